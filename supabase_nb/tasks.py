"""Waiting in a thread for what blocks, so that an event loop goes on."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from . import workers

_T = TypeVar("_T")


# What tasks of a loop are waiting for: those that wait for the same share one thread.
_waits: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, asyncio.Future[Any]]] = WeakKeyDictionary()


def in_thread(call: Callable[[], _T]) -> asyncio.Future[_T]:
    """Run a blocking call in a thread that neither holds up the loop nor the end of the process.

    (`asyncio.to_thread` has few threads, which the interpreter waits for when it ends.) When nobody waits any
    more the call still runs to its end: an exchange that has left is saved.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if future.done():  # cancelled
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = context.run(call)
        except BaseException as error:  # noqa: BLE001  (whoever awaits gets it)
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:
            return  # the loop was closed: nobody waits any more

    workers.start(run, "supabase-nb-await")
    return future


async def shared(call: Callable[[], _T]) -> _T:
    """Run a blocking call once for all tasks of this loop that want an equal one at the same time."""
    waits = _waits.setdefault(asyncio.get_running_loop(), {})
    future: asyncio.Future[_T] | None = waits.get(call)
    if future is None:
        waits[call] = future = in_thread(call)

        def done(future: asyncio.Future[_T]) -> None:
            waits.pop(call, None)
            if not future.cancelled():
                future.exception()  # seen, even if every task that waited was cancelled

        future.add_done_callback(done)
    return await asyncio.shield(future)
