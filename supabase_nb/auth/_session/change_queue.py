"""ChangeQueue: calls observers and subscribers, in order and without holding a lock."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass

from ..._runtime.background import run_in_background
from ..._runtime.fork import renew_after_fork
from ..._secrets.log_masking import log_without_text
from ...models import AuthCallback, AuthEvent, Session, Subscription
from .._thread_loop import running_loop

logger = logging.getLogger("supabase_nb")

# A blocking subscriber must not block the call whose change is delivered after it.
_FLUSH_TIMEOUT = 2.0


@dataclass(eq=False)
class Change:
    """New values of traits, and the event that goes with them.

    Args:
        traits: Their new values.
        event: The event for subscribers, if any.
        session: The session for subscribers.
        remaining: The subscribers still to be called, in order; ``None`` means the traits' observers.
    """

    traits: Mapping[str, object]
    event: AuthEvent | None
    session: Session | None
    remaining: deque[Subscription | None]


class ChangeQueue:
    """A queue of changes. The thread that calls `flush` delivers them.

    Changes caused by a callback are queued behind the current one, so that all subscribers see the same
    order.

    Args:
        set_traits: Sets traits and calls their observers. It returns a Ctrl-C from an observer, and raises
            one from between two observers, after which it is called again.
    """

    def __init__(self, set_traits: Callable[[Change], BaseException | None]) -> None:
        self._set_traits = set_traits
        self._make_locks()
        self._queue: deque[Change] = deque()
        self._subscriptions: dict[Subscription, None] = {}  # in order, compared by identity
        self._queued_count = self._delivered_count = 0
        # The call of `flush` that is delivering.
        self._owner: object = None
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Create a new lock: a thread of the parent may hold the old one."""
        self._make_locks()
        self._owner = None

    def _make_locks(self) -> None:
        # Uses the lock itself, because a Ctrl-C in a condition's `__exit__` could leave it locked.
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)

    @property
    def pending(self) -> bool:
        """Whether anything is queued, or being delivered."""
        return bool(self._queue)

    @property
    def is_stalled(self) -> bool:
        """Whether something is queued that no thread is delivering, after a Ctrl-C."""
        return bool(self._queue) and self._owner is None

    def put(
        self, traits: Mapping[str, object], event: AuthEvent | None = None, session: Session | None = None
    ) -> None:
        """Queue a change for the current subscribers. Called on the owner loop."""
        with self._lock:
            to = self._subscriptions if event else ()
            self._queue.append(Change(traits, event, session, deque([None, *to])))
            self._queued_count += 1

    def subscribe(
        self,
        callback: AuthCallback,
        event: AuthEvent,
        session: Session | None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Subscription:
        """Add a subscriber, and queue its first event."""
        subscription = Subscription(callback, self._unsubscribe, loop)
        with self._lock:
            self._subscriptions[subscription] = None
            self._queue.append(Change({}, event, session, deque([subscription])))
            self._queued_count += 1
        return subscription

    def _unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions.pop(subscription, None)

    def flush_soon(self) -> None:
        """Deliver in another thread, so that a blocking subscriber doesn't block a refresh."""
        with self._lock:
            if self._owner is not None or not self._queue:
                return
        with suppress(RuntimeError):  # the interpreter is shutting down, so no thread can be started
            run_in_background(self.flush, name="supabase-nb-events")

    def flush(self) -> None:
        """Deliver the queue, or wait up to 2 s for the thread that is delivering it.

        Inside a callback this returns at once, because changes caused by the callback are delivered later.
        """
        this_flush = object()
        interrupt: BaseException | None = None
        try:
            with self._lock:
                mine = self._queued_count
                if self not in _delivering.get():
                    self._ready.wait_for(
                        lambda: self._owner is None or self._delivered_count >= mine, _FLUSH_TIMEOUT
                    )
                if self._owner is not None:
                    return
                self._owner = this_flush
            while True:
                with self._lock:
                    if not self._queue:
                        self._release(this_flush)  # in the same step, so that a later `put` finds no owner
                        break
                    change = self._queue[0]
                interrupt = self._deliver(change) or interrupt
                with self._lock:
                    # Last, so that after a Ctrl-C the next flush does the rest.
                    if self._queue and self._queue[0] is change:
                        self._queue.popleft()
                        self._delivered_count += 1
                    self._ready.notify_all()
        finally:
            with self._lock:
                self._release(this_flush)
        if interrupt is not None:
            raise interrupt

    def _release(self, this_flush: object) -> None:
        if self._owner is this_flush:
            self._owner = None
            self._ready.notify_all()

    def _deliver(self, change: Change) -> BaseException | None:
        """Call all observers and subscribers, even if one raises. Returns a Ctrl-C that was raised."""
        interrupt: BaseException | None = None
        outer = _delivering.set((*_delivering.get(), self))
        try:
            while change.remaining:
                interrupt = self._notify(change, change.remaining[0]) or interrupt
        finally:
            _delivering.reset(outer)
        return interrupt

    def _notify(self, change: Change, subscription: Subscription | None) -> BaseException | None:
        """Set the traits, or call the remaining subscribers until one raises a Ctrl-C.

        A Ctrl-C can't interrupt the removal of a subscriber from the list.
        """
        remaining, subscriptions, session = change.remaining, self._subscriptions, change.session
        if subscription is None:
            interrupt = self._set_traits(change)  # can be called again; set traits don't notify twice
            remaining.popleft()
            return interrupt
        if change.event is None:
            remaining.clear()
            return None
        kind, remove_first = change.event.kind, remaining.popleft
        while remaining:
            subscription = remaining[0]
            if subscription not in subscriptions:
                remove_first()
                continue
            returned = None
            try:
                returned, _ = subscription.callback(kind, session), remove_first()
            except BaseException as error:
                if not isinstance(error, Exception) and (
                    error.__traceback__ is None or error.__traceback__.tb_next is None
                ):
                    raise  # raised before the subscriber was called
                remove_first()
                if not isinstance(error, Exception):
                    return error
                log_without_text(
                    "exception in a subscriber of on_auth_state_change; the others are still called"
                )
            if returned is not None:
                try:
                    run_awaitable(returned, subscription.loop)
                except BaseException as error:  # noqa: BLE001  (a Ctrl-C: raised when all have been called)
                    return error
        return None


def run_awaitable(returned: object, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Await what a callback returned, if it can be awaited.

    Args:
        returned: What the callback returned.
        loop: The event loop that was running when the callback subscribed. The coroutine becomes a task
            there, without waiting for it. Without a loop, it runs here to its end.
    """
    if not inspect.isawaitable(returned):
        return

    async def await_it() -> None:
        try:
            await returned
        except Exception:  # noqa: BLE001
            log_without_text(
                "exception in a coroutine of an observer or subscriber; the others are still called"
            )

    if loop is None or not loop.is_running():
        loop = running_loop()
    if loop is not None:
        asyncio.run_coroutine_threadsafe(await_it(), loop)
    else:
        asyncio.run(await_it())


# The deliveries whose callbacks are running in the current thread or task.
_delivering: ContextVar[tuple[ChangeQueue, ...]] = ContextVar("supabase_nb_delivering", default=())
