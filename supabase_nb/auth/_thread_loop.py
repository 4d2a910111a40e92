"""ThreadLoop: the owner loop in a daemon thread, started by the first call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from .._runtime.thread_executor import daemon_threads, in_thread
from ..errors import AuthError
from ._blocking_call import LONGEST_WAIT, BlockingCall

if TYPE_CHECKING:
    from ._session.change_queue import ChangeQueue

logger = logging.getLogger("supabase_nb")

_T = TypeVar("_T")


class ThreadLoop:
    """The thread and its loop, started by the first call."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: forget the loop, whose thread exists only in the parent."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def running(self) -> bool:
        """Whether its thread is alive. `loop.is_running()` stays true when the thread has died."""
        return self._thread is not None and self._thread.is_alive()

    def _ensure_loop(self) -> asyncio.AbstractEventLoop:
        """The loop, running in its thread. If no thread can be started, a loop that isn't running."""
        with self._lock:
            if self._loop is not None and self.running:
                return self._loop
            if sys.is_finalizing():
                raise _shutting_down()
            if self._loop is None or self._loop.is_running():  # its thread has died
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(daemon_threads)
                self._loop.set_exception_handler(log_without_values)
            self._thread = threading.Thread(
                target=_run_forever, args=(self._loop,), name="supabase-nb", daemon=True
            )
            with suppress(RuntimeError):  # in an `atexit` function, or too many threads
                self._thread.start()
            return self._loop

    # -- from any other thread ----------------------------------------------------------------------------

    def run(self, async_fn: Callable[[], Coroutine[Any, Any, _T]], changes: ChangeQueue) -> _T:
        """Run a coroutine on the loop and wait for it. Ctrl-C cancels it.

        Args:
            async_fn: A function that returns the coroutine.
            changes: Delivers its changes before this returns.

        Raises:
            AuthError: Called on the loop itself, during interpreter shutdown, or inside a running event loop
                if no thread can be started.
        """
        if threading.current_thread() is self._thread:
            raise called_on_the_loop()
        call, loop = BlockingCall(), self._ensure_loop()
        if not self.running:
            if running_loop() is not None:
                raise AuthError(
                    "Threads are not available here, so this call can't wait inside the running event loop. "
                    "Await it instead, as in: await supabase.auth.aio.set_session(...)"
                )
            with self._lock:
                loop.run_until_complete(call.run(async_fn))
            changes.flush()
            result: _T = call.result()
            return result
        try:
            loop.call_soon_threadsafe(call.start, async_fn)
            result = call.wait(changes.flush, self._ensure_loop)
        except BaseException:
            call.abandon()
            if self.running:
                loop.call_soon_threadsafe(call.cancel)
            changes.flush_soon()
            raise
        return result

    async def run_async(self, async_fn: Callable[[], Coroutine[Any, Any, _T]], changes: ChangeQueue) -> _T:
        """Run a coroutine on the owner loop and await it on another. Cancelling one cancels the other.

        Raises:
            AuthError: The loop that awaits it isn't asyncio's.
        """
        if running_loop() is None:
            raise AuthError(
                "The coroutines of auth.aio need asyncio's event loop. With another library, such as trio, "
                "call the method itself in a thread: await trio.to_thread.run_sync(supabase.auth.get_user)"
            )
        loop = self._ensure_loop()
        if not self.running:  # no thread could be started
            try:
                return await async_fn()
            finally:
                changes.flush()
        try:
            # Changes are delivered in another thread, so that an observer can't block this one.
            return await _awake(asyncio.run_coroutine_threadsafe(self._run_tracked(async_fn), loop))
        finally:
            if changes.pending:
                await asyncio.shield(in_thread(changes.flush))

    async def _run_tracked(self, async_fn: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine. `stop` waits for it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await async_fn()
        finally:
            self._tasks.discard(task)

    def stop(self, is_needed: Callable[[], bool]) -> None:
        """End the thread, unless it is needed or busy. The next call starts it again."""
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and self.running:
            with suppress(TimeoutError, concurrent.futures.TimeoutError):
                if asyncio.run_coroutine_threadsafe(self._stop(is_needed), loop).result(2 * LONGEST_WAIT):
                    thread.join(2 * LONGEST_WAIT)

    async def _stop(self, is_needed: Callable[[], bool]) -> bool:
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=LONGEST_WAIT)  # connections are being closed
        if is_needed() or self._tasks:
            return False
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.stop)
        return True

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call a function on the loop: at once if this is its thread, else without waiting for it."""
        context = contextvars.Context()  # else the call that is running would get the changes of later work
        if threading.current_thread() is self._thread:
            context.run(function, *args)
        elif self._loop is not None and self.running:
            self._loop.call_soon_threadsafe(function, *args, context=context)

    # -- on the loop (`OwnerLoop`) --------------------------------------------------------------------------

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine in its own task."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)  # the loop keeps only weak references
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, even if nothing is waiting any more

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        """Make a blocking call in a daemon thread."""
        return await asyncio.get_running_loop().run_in_executor(daemon_threads, call)

    @asynccontextmanager
    async def context_in_thread(
        self, make_context: Callable[[], AbstractContextManager[Any]]
    ) -> AsyncIterator[Any]:
        """Enter and leave a blocking context manager in the same thread, as locks require."""
        loop = asyncio.get_running_loop()
        entered: asyncio.Future[Any] = loop.create_future()
        left: asyncio.Future[None] = loop.create_future()
        release = threading.Event()

        def enter_and_leave() -> None:
            failure: Exception | None = None
            try:
                with make_context() as value:
                    loop.call_soon_threadsafe(_set_result, entered, value)
                    release.wait()
            except Exception as error:  # noqa: BLE001  (raised where this is awaited)
                failure = error
            except BaseException as error:  # noqa: BLE001  (raised there, it would end the event loop)
                failure = RuntimeError(type(error).__name__)
            loop.call_soon_threadsafe(_set_result, left, failure)

        try:
            threading.Thread(target=enter_and_leave, name="supabase-nb-lock", daemon=True).start()
        except RuntimeError:  # in an `atexit` function, or too many threads
            with make_context() as value:
                yield value
            return
        try:
            await asyncio.wait((entered, left), return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            release.set()  # the thread leaves the context as soon as it has entered it
            raise
        if not entered.done():
            raise left.result() or RuntimeError("left without having entered")
        try:
            yield entered.result()
        finally:
            release.set()
            await asyncio.shield(left)


async def _awake(future: concurrent.futures.Future[_T]) -> _T:
    """Await a future, and wake the running loop from time to time.

    Jupyter's kernel cancels an interrupted cell in a signal handler, which a sleeping loop doesn't notice.
    """
    loop, timer = asyncio.get_running_loop(), None

    def wake() -> None:
        nonlocal timer
        timer = loop.call_later(LONGEST_WAIT, wake)

    wake()
    try:
        return await asyncio.wrap_future(future)
    finally:
        if timer is not None:
            timer.cancel()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _set_result(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def log_without_values(_: object, context: dict[str, Any]) -> None:
    """Log an unhandled exception by its type only, because its text may contain a token."""
    error = context.get("exception")
    logger.error("%s (%s)", context.get("message", "error on the event loop"), type(error).__name__)


def _shutting_down() -> AuthError:
    return AuthError("The interpreter is shutting down, so the call was not made.")


def called_on_the_loop() -> AuthError:
    """The error for a call that would wait for itself."""
    return AuthError(
        "This method was called on supabase-nb's own event loop, where it would wait for itself. "
        "Call it from another thread."
    )
