"""Handing changes to observers and subscribers: one at a time, in one order, never under a lock."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .models import AuthCallback, AuthEvent, Session, Subscription

logger = logging.getLogger("supabase_nb")

# A subscriber that blocks must not block whoever caused the next change; that change is delivered after it.
_LONGEST_WAIT = 5.0


@dataclass(frozen=True)
class Change:
    """New values of traits, and the event that goes with them."""

    traits: Mapping[str, object]
    event: AuthEvent | None = None
    session: Session | None = None
    to: tuple[Subscription, ...] = field(default=())


class Delivery:
    """A queue of changes, emptied by whichever thread comes first.

    Changes that a callback causes queue up behind the one being delivered, so that every subscriber sees one
    and the same order.
    """

    def __init__(self, set_traits: Callable[[Change], None]) -> None:
        self._set_traits = set_traits
        self._ready = threading.Condition(threading.Lock())
        self._queue: deque[Change] = deque()
        self._subscriptions: list[Subscription] = []
        self._put = self._delivered = 0
        self._owner: int | None = None

    def after_fork(self) -> None:
        """The child's own lock: a thread of the parent's may have held the old one."""
        self._ready = threading.Condition(threading.Lock())
        self._owner = None

    def put(
        self, traits: Mapping[str, object], event: AuthEvent | None = None, session: Session | None = None
    ) -> None:
        """Queue a change for the subscribers of now. Callers hold the lock that orders changes."""
        with self._ready:
            to = tuple(self._subscriptions) if event else ()
            self._queue.append(Change(traits, event, session, to))
            self._put += 1

    def subscribe(self, callback: AuthCallback, event: AuthEvent, session: Session | None) -> Subscription:
        """Add a subscriber, with a first event of its own that comes before all others."""
        subscription = Subscription(callback, self._unsubscribe)
        with self._ready:
            self._subscriptions.append(subscription)
            self._queue.append(Change({}, event, session, (subscription,)))
            self._put += 1
        return subscription

    def _unsubscribe(self, subscription: Subscription) -> None:
        with self._ready:
            # By identity, and harmless when it is gone.
            self._subscriptions = [known for known in self._subscriptions if known is not subscription]

    def flush(self) -> None:
        """Deliver what is queued, or wait (at most 5 s) for the thread that is delivering it."""
        me = threading.get_ident()
        with self._ready:
            mine = self._put
            if self._owner == me:
                return
            self._ready.wait_for(lambda: self._owner is None or self._delivered >= mine, _LONGEST_WAIT)
            if self._owner is not None or not self._queue:
                return
            self._owner = me
        interrupt: BaseException | None = None
        try:
            while True:
                with self._ready:
                    if not self._queue:
                        self._owner = None
                        break
                    change = self._queue.popleft()
                interrupt = self._deliver(change) or interrupt
                with self._ready:
                    self._delivered += 1
                    self._ready.notify_all()
        finally:
            with self._ready:
                self._owner = None if self._owner == me else self._owner
                self._ready.notify_all()
        if interrupt is not None:
            raise interrupt

    def _deliver(self, change: Change) -> BaseException | None:
        """Reach everybody, whatever one of them raises; a Ctrl-C among it is handed back."""
        interrupt: BaseException | None = None
        try:
            self._set_traits(change)
        except BaseException as error:  # noqa: BLE001  (observers are guarded: this is a Ctrl-C)
            interrupt = error
        for subscription in change.to:
            with self._ready:
                gone = subscription not in self._subscriptions
            if gone or change.event is None:
                continue
            try:
                subscription.callback(change.event.kind, change.session)
            except Exception:  # noqa: BLE001
                log_guarded("a subscriber of on_auth_state_change raised; the others are still called")
            except BaseException as error:  # noqa: BLE001
                interrupt = error
        return interrupt


def log_guarded(message: str) -> None:
    """Log the exception under way; its own text may hold anything, so only its type and place are kept."""
    kind, _, trace = sys.exc_info()
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    logger.error("%s (%s at %s)", message, kind.__name__ if kind else "?", place)
