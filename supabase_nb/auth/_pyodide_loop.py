"""The owner loop in a browser, without threads: each call runs it to completion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from .._runtime.threadless_loop import ThreadlessLoop
from ._blocking_call import BlockingCall
from ._thread_loop import ThreadLoop, called_on_the_loop, log_without_values

if TYPE_CHECKING:
    from ._session.change_queue import ChangeQueue

_T = TypeVar("_T")


class PyodideLoop(ThreadLoop):
    """Runs the session's tasks while a call waits for them, and between cells."""

    @property
    def running(self) -> bool:
        """Always true: scheduled work runs when the page is idle."""
        return True

    def _ensure_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = ThreadlessLoop(idle=True)
            self._loop.set_exception_handler(log_without_values)
        return self._loop

    def run(self, async_fn: Callable[[], Coroutine[Any, Any, _T]], changes: ChangeQueue) -> _T:
        """Run a coroutine to completion.

        Raises:
            AuthError: Called on the loop itself.
        """
        loop = self._ensure_loop()
        if loop.is_running():
            raise called_on_the_loop()
        call = BlockingCall()
        try:
            loop.run_until_complete(call.run(async_fn))
        finally:
            changes.flush()
        result: _T = call.result()
        return result

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        """Make a call that may block, here."""
        return call()

    @asynccontextmanager
    async def context_in_thread(
        self, make_context: Callable[[], AbstractContextManager[Any]]
    ) -> AsyncIterator[Any]:
        """Enter and leave a context manager that may block, here."""
        with make_context() as value:
            yield value
