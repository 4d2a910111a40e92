"""Daemon threads for blocking calls that are awaited."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")


class DaemonThreads(ThreadPoolExecutor):
    """Runs each call in a daemon thread, so that the process can exit without waiting."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)  # never starts a thread, because `submit` is overridden

    def submit(self, call: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Run the call in a thread."""
        future: Future[_T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = call(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  (raised where the future is awaited)
                future.set_exception(error)
            except BaseException as error:  # noqa: BLE001  (raised there, it would end the event loop)
                future.set_exception(RuntimeError(type(error).__name__))
            else:
                future.set_result(result)

        try:
            threading.Thread(target=run, name="supabase-nb-call", daemon=True).start()
        except RuntimeError:  # in an `atexit` function, or too many threads
            run()
        return future


daemon_threads: Executor = DaemonThreads()


async def in_thread(call: Callable[[], _T]) -> _T:
    """Make a blocking call in a daemon thread, with this task's context."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(daemon_threads, lambda: context.run(call))
