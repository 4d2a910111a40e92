"""An event loop without a thread, for browsers. It runs while a call waits, and when the page is idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar

_T = TypeVar("_T")

# Pyodide's `time.sleep` runs the page's other tasks in the meantime, and one of them could call this loop.
_sleep: Callable[[float], None] = getattr(time.sleep, "__wrapped__", time.sleep)
# Since Python 3.12. Before, each loop has its own current task.
_swap_current_task: Callable[..., Any] = getattr(asyncio.tasks, "_swap_current_task", lambda *_: None)


def page_loop() -> asyncio.AbstractEventLoop:
    """The page's event loop, which runs when the kernel is idle."""
    running = asyncio.get_running_loop()
    while isinstance(running, ThreadlessLoop):
        running = running.outer
    return running


class ThreadlessLoop(asyncio.BaseEventLoop):
    """Runs a coroutine to completion, even while another loop is running.

    Its tasks can wait only for each other or for time, because nothing else happens in the meantime. So
    requests must be synchronous.

    Args:
        idle: Continue with remaining tasks whenever the page is idle.
    """

    def __init__(self, *, idle: bool = False) -> None:
        super().__init__()
        self._selector = self  # the base class waits with `select`
        self._idle, self._in_scheduled_run = idle, False
        self._scheduled_run: asyncio.Handle | None = None
        self._page: asyncio.AbstractEventLoop | None = None
        #: The loop that this one temporarily replaces.
        self.outer: asyncio.AbstractEventLoop

    def run_until_complete(self, future: Any) -> Any:
        """Run until this is done, and return its result.

        Raises:
            RuntimeError: The loop is already running, or nothing is left that could produce the result.
        """
        try:
            with self._replace_running_loop():
                return super().run_until_complete(future)
        finally:
            self._schedule_run(0)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, call: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Make the call at once, because there are no threads."""
        future: asyncio.Future[_T] = self.create_future()
        try:
            future.set_result(call(*args))
        except Exception as error:  # noqa: BLE001  (raised where the future is awaited)
            future.set_exception(error)
        return future

    @contextmanager
    def _replace_running_loop(self) -> Iterator[None]:
        if self.is_running():
            raise RuntimeError("this event loop is already running")
        self.outer = asyncio.get_running_loop()
        task = _swap_current_task(self.outer, None)
        asyncio._set_running_loop(None)
        try:
            yield
        finally:
            asyncio._set_running_loop(self.outer)
            _swap_current_task(self.outer, task)

    def _run_due_tasks(self) -> None:
        """Run tasks that are due. Called by the page's loop."""
        if self.is_running():
            return
        self._in_scheduled_run = True
        try:
            with self._replace_running_loop():
                self.run_forever()
        finally:
            self._in_scheduled_run = False

    def _schedule_run(self, seconds: float) -> None:
        if self._idle:
            if self._scheduled_run is not None:
                self._scheduled_run.cancel()
            self._page = self._page or page_loop()
            self._scheduled_run = self._page.call_later(seconds, self._run_due_tasks)

    # -- methods that the base class needs --------------------------------------------------------------

    def select(self, timeout: float | None) -> list[Any]:
        """Wait for this many seconds, until something is due."""
        if self._in_scheduled_run:
            if timeout != 0:
                self.stop()
                if timeout is not None:
                    self._schedule_run(timeout)
        elif timeout is None:
            raise RuntimeError("this call waits for something that can't happen before it returns")
        elif timeout > 0:
            _sleep(timeout)
        return []

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        if not self.is_running():
            self._schedule_run(0)
