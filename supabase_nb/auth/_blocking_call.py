"""BlockingCall: a synchronous call that waits for its coroutine on the owner loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

# Seconds per wait. Windows handles Ctrl-C only between two waits, and so a dead thread is noticed.
LONGEST_WAIT = 1.0
# Seconds before the caller is woken to deliver a change. Usually the call ends first and delivers it.
_DELIVER_AFTER = 0.01


class BlockingCall:
    """One call. Its coroutine runs on the loop; the waiting thread delivers the changes that it causes."""

    def __init__(self) -> None:
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._abandoned = self._finished = False
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._result: list[Any] = []
        self._error: list[BaseException] = []

    @property
    def is_waiting(self) -> bool:
        """Whether the caller is still waiting."""
        return not self._abandoned and not self._finished

    # -- on the loop --------------------------------------------------------------------------------------

    def deliver_soon(self) -> None:
        """Wake the caller soon to deliver a queued change, unless the call ends first."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELIVER_AFTER, self._wake_caller)

    def _wake_caller(self) -> None:
        self._timer = None
        self._wakeups.put(None)

    def start(self, async_fn: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Start the coroutine. If the call was already abandoned, `cancel` follows before its first step."""
        self._task = asyncio.get_running_loop().create_task(self.run(async_fn))

    async def run(self, async_fn: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run the coroutine, and keep its result or exception for the caller."""
        _current.set(self)
        try:
            self._result.append(await async_fn())
        except BaseException as error:  # noqa: BLE001  (raised in the waiting thread)
            self._error.append(error)
        if self._timer is not None:
            self._timer.cancel()
        self._finished = True
        self._task = None
        self._wakeups.put(None)

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
                self._wakeups.get(timeout=LONGEST_WAIT)
            finished = self._finished
            deliver()
            if finished:
                return self.result()
            ensure_running()

    def result(self) -> Any:
        """The coroutine's result. Raises its exception."""
        if self._error:
            try:
                raise self._error[0]
            finally:
                self._error.clear()  # otherwise the exception would keep itself alive through this frame
        return self._result.pop()

    def abandon(self) -> None:
        """The caller has stopped waiting (Ctrl-C)."""
        self._abandoned = True


_current: contextvars.ContextVar[BlockingCall | None] = contextvars.ContextVar(
    "supabase_nb_call", default=None
)


def current_call() -> BlockingCall | None:
    """The blocking call that runs this task, if its caller is still waiting."""
    call = _current.get()
    return call if call is not None and call.is_waiting else None
