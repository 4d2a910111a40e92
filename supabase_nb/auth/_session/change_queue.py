"""ChangeQueue: notifies observers and subscribers of changes, in one order and never under a lock."""

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

from ..._background import run_soon
from ..._fork import renew_after_fork
from ...logs import log_without_text
from ...models import AuthCallback, AuthEvent, Session, Subscription
from .._loop import running_loop

logger = logging.getLogger("supabase_nb")

# A subscriber that blocks must not block the call that caused the next change, which is delivered after it.
_LONGEST_WAIT = 2.0


@dataclass(eq=False)
class Change:
    """New values of traits, and the event that goes with them.

    Args:
        traits: Their new values.
        event: What happened, if subscribers are to be notified.
        session: The session that goes with it.
        left: Those still to be notified, in their order; ``None`` means the observers of the traits.
    """

    traits: Mapping[str, object]
    event: AuthEvent | None
    session: Session | None
    left: deque[Subscription | None]


class ChangeQueue:
    """A queue of changes. A thread that wants one delivered empties it.

    Changes that a callback causes queue up behind the one being delivered, so that every subscriber sees one
    and the same order.

    Args:
        set_traits: Sets traits and calls their observers. Returns a Ctrl-C that one of these raised; raises
            one that came between, and is then called again.
    """

    def __init__(self, set_traits: Callable[[Change], BaseException | None]) -> None:
        self._set_traits = set_traits
        self._make_locks()
        self._queue: deque[Change] = deque()
        self._subscriptions: dict[Subscription, None] = {}  # by identity, in their order
        self._put = self._delivered = 0
        # Whose turn it is to deliver: a mark of one call of `flush`.
        self._owner: object = None
        renew_after_fork(self)

    def after_fork(self) -> None:
        """The child's own lock: a thread of the parent may have taken the old one."""
        self._make_locks()
        self._owner = None

    def _make_locks(self) -> None:
        # Entered by the lock itself: Ctrl-C can come into a condition's `__exit__`, before it lets go.
        self._guard = threading.Lock()
        self._ready = threading.Condition(self._guard)

    @property
    def pending(self) -> bool:
        """Whether anything is queued, or being delivered."""
        return bool(self._queue)

    @property
    def overdue(self) -> bool:
        """Whether something is queued that no thread is delivering: Ctrl-C came between."""
        return bool(self._queue) and self._owner is None

    def put(
        self, traits: Mapping[str, object], event: AuthEvent | None = None, session: Session | None = None
    ) -> None:
        """Queue a change for those who are subscribed now. Called on the owner loop."""
        with self._guard:
            to = self._subscriptions if event else ()
            self._queue.append(Change(traits, event, session, deque([None, *to])))
            self._put += 1

    def subscribe(
        self,
        callback: AuthCallback,
        event: AuthEvent,
        session: Session | None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Subscription:
        """Add a subscriber, with a first event of its own that comes before all others."""
        subscription = Subscription(callback, self._unsubscribe, loop)
        with self._guard:
            self._subscriptions[subscription] = None
            self._queue.append(Change({}, event, session, deque([subscription])))
            self._put += 1
        return subscription

    def _unsubscribe(self, subscription: Subscription) -> None:
        with self._guard:
            self._subscriptions.pop(subscription, None)

    def flush_soon(self) -> None:
        """Deliver what is queued in a thread of its own: a subscriber that blocks must not stop a refresh."""
        with self._guard:
            if self._owner is not None or not self._queue:
                return
        with suppress(RuntimeError):  # the interpreter is ending: no more threads
            run_soon(self.flush, name="supabase-nb-events")

    def flush(self) -> None:
        """Deliver what is queued, or wait (at most 2 s) for the thread that is delivering it.

        From inside a callback it returns at once: what the callback caused comes after the change that it was
        called for.
        """
        turn = object()
        interrupt: BaseException | None = None
        try:
            with self._guard:
                mine = self._put
                if self not in _inside.get():
                    self._ready.wait_for(
                        lambda: self._owner is None or self._delivered >= mine, _LONGEST_WAIT
                    )
                if self._owner is not None:
                    return
                self._owner = turn
            while True:
                with self._guard:
                    if not self._queue:
                        self._release(turn)  # in one step with the look: what is put later finds no owner
                        break
                    change = self._queue[0]
                interrupt = self._deliver(change) or interrupt
                with self._guard:
                    # Only now: whatever Ctrl-C leaves undone is done by the next flush.
                    if self._queue and self._queue[0] is change:
                        self._queue.popleft()
                        self._delivered += 1
                    self._ready.notify_all()
        finally:
            with self._guard:
                self._release(turn)
        if interrupt is not None:
            raise interrupt

    def _release(self, turn: object) -> None:
        if self._owner is turn:
            self._owner = None
            self._ready.notify_all()

    def _deliver(self, change: Change) -> BaseException | None:
        """Notify everyone, whatever one of them raises; a Ctrl-C among it is returned."""
        interrupt: BaseException | None = None
        inside = _inside.set((*_inside.get(), self))
        try:
            while change.left:
                interrupt = self._notify(change, change.left[0]) or interrupt
        finally:
            _inside.reset(inside)
        return interrupt

    def _notify(self, change: Change, subscription: Subscription | None) -> BaseException | None:
        """Reach the traits, or the subscribers from this one on until a Ctrl-C comes from one of them.

        Each is crossed off with nothing between that Ctrl-C could come into.
        """
        left, known, session = change.left, self._subscriptions, change.session
        if subscription is None:
            interrupt = self._set_traits(change)  # may be called again; what is set already notifies no one
            left.popleft()
            return interrupt
        if change.event is None:
            left.clear()
            return None
        kind, cross_off = change.event.kind, left.popleft
        while left:
            subscription = left[0]
            if subscription not in known:
                cross_off()
                continue
            returned = None
            try:
                returned, _ = subscription.callback(kind, session), cross_off()
            except BaseException as error:
                if not isinstance(error, Exception) and (
                    error.__traceback__ is None or error.__traceback__.tb_next is None
                ):
                    raise  # it came before the subscriber was called
                cross_off()
                if not isinstance(error, Exception):
                    return error
                log_without_text("a subscriber of on_auth_state_change raised; the others are still called")
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
        loop: The event loop that ran when it subscribed. There it becomes a task, whose end is not waited
            for; without one, it runs to its end here.
    """
    if not inspect.isawaitable(returned):
        return

    async def await_it() -> None:
        try:
            await returned
        except Exception:  # noqa: BLE001
            log_without_text("a coroutine of an observer or subscriber raised; the others are still called")

    if loop is None or not loop.is_running():
        loop = running_loop()
    if loop is not None:
        asyncio.run_coroutine_threadsafe(await_it(), loop)
    else:
        asyncio.run(await_it())


# Whose callbacks the current thread, or the task that one of them awaits, is inside of.
_inside: ContextVar[tuple[ChangeQueue, ...]] = ContextVar("supabase_nb_inside", default=())
