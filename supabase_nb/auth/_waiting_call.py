"""A synchronous call that waits for its coroutine on the owner loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol

# Seconds per wait. Windows handles Ctrl-C only between two waits, and a dead thread is noticed.
LONGEST_WAIT = 1.0
# Seconds that a change waits for the end of its call, so that the caller is woken only once.
_DELIVER_AFTER = 0.01


class Waiter:
    """A call that waits for a coroutine on the loop, and delivers its changes."""

    def __init__(self) -> None:
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._left = self._finished = False
        self._task: asyncio.Task[Any] | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._outcome: list[Any] = []
        self._failure: list[BaseException] = []

    @property
    def waits(self) -> bool:
        """Whether the caller is still waiting."""
        return not self._left and not self._finished

    # -- on the loop --------------------------------------------------------------------------------------

    def changed(self) -> None:
        """A change was queued. The caller delivers it when the call ends, or soon."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_DELIVER_AFTER, self._deliver)

    def _deliver(self) -> None:
        self._soon = None
        self._wakes.put(None)

    def begin(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Start the coroutine. If the caller has stopped waiting, `cancel` follows before its first step."""
        self._task = asyncio.get_running_loop().create_task(self.run(make))

    async def run(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run the coroutine, and store its result."""
        _waiter.set(self)
        try:
            self._outcome.append(await make())
        except BaseException as error:  # noqa: BLE001  (raised in the thread that waits)
            self._failure.append(error)
        if self._soon is not None:
            self._soon.cancel()
        self._finished = True
        self._task = None
        self._wakes.put(None)

    def cancel(self) -> None:
        """Cancel the coroutine, because the caller has stopped waiting."""
        if self._task is not None:
            self._task.cancel()

    # -- in the waiting thread ----------------------------------------------------------------------------

    def wait(self, deliver: Callable[[], object], ensure_running: Callable[[], object]) -> Any:
        """Wait for the coroutine, and deliver its changes in the meantime.

        Raises:
            AuthError: The interpreter is shutting down.
        """
        while True:
            with suppress(Empty):
                self._wakes.get(timeout=LONGEST_WAIT)
            finished = self._finished
            deliver()
            if finished:
                return self.result()
            ensure_running()

    def result(self) -> Any:
        """The coroutine's result. Raises its exception."""
        if self._failure:
            try:
                raise self._failure[0]
            finally:
                self._failure.clear()  # otherwise the exception would keep itself alive through this frame
        return self._outcome.pop()

    def leave(self) -> None:
        """Stop waiting."""
        self._left = True


_waiter: contextvars.ContextVar[Waiter | None] = contextvars.ContextVar("supabase_nb_waiter", default=None)


def waiting_call() -> Waiter | None:
    """The call that the running task works for, if it is still waiting."""
    waiter = _waiter.get()
    return waiter if waiter is not None and waiter.waits else None


class Changes(Protocol):
    """The changes that a call delivers: `ChangeQueue`."""

    @property
    def pending(self) -> bool:
        """Whether anything is queued."""

    def flush(self) -> None:
        """Deliver queued changes in this thread."""

    def flush_soon(self) -> None:
        """Deliver queued changes in another thread."""
