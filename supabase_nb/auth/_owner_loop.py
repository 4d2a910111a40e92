"""The owner loop, whose event loop runs the sessions of all clients.

Synchronous methods run their coroutine there and wait. So Ctrl-C interrupts only the wait, a timeout is a
cancellation, and session state needs no lock. Tests run the same coroutines on their own loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from .._runtime.environment import IN_BROWSER
from .._runtime.fork import renew_after_fork
from ._thread_loop import ThreadLoop

_T = TypeVar("_T")


class OwnerLoop(Protocol):
    """What sessions run on: an event loop, and threads for blocking calls."""

    def create_task(self, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run a coroutine in its own task. Called on the loop."""

    async def in_thread(self, call: Callable[[], _T]) -> _T:
        """Make a blocking call without blocking the loop. If cancelled, the call still runs to its end."""

    def context_in_thread(self, make_context: Callable[[], AbstractContextManager[_T]]) -> Any:
        """Enter and leave a blocking context manager without blocking the loop."""


def _create_loop() -> ThreadLoop:
    if IN_BROWSER:
        from ._pyodide_loop import PyodideLoop

        return PyodideLoop()
    return ThreadLoop()


owner_loop = _create_loop()
renew_after_fork(owner_loop)
