"""SessionScheduler: a timer on the owner loop that calls sessions when they have work to do."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Protocol

from ..._runtime.fork import renew_after_fork
from .._owner_loop import owner_loop

logger = logging.getLogger("supabase_nb")

# Seconds between checks for changes by other kernels, and for a wake-up from sleep.
TICK = 2.0
# Pause before a session that is due again at once. Doubled each time, up to a tick.
_SHORTEST_PAUSE = 0.1
# How many sessions work at a time. Others wait for the next tick.
_MAX_RUNNING = 64


class ScheduledSession(Protocol):
    """A session, as the scheduler sees it."""

    def due_in(self) -> float | None:
        """Seconds until `run_due` has something to do; ``None``: nothing is scheduled, or it is running."""

    def stored_version(self) -> object:
        """A value that changes when another kernel changes the stored session. Called in a thread."""

    def is_behind(self, version: object) -> bool:
        """Whether the stored session has changed since it was last read."""

    async def run_due(self) -> None:
        """Do the work that is due."""


class _WorkState:
    """The scheduler's state of a session.

    Args:
        working: Whether its work is running.
        repeats: How often in a row it was due again right after its work.
        not_before: When it may work again, on the loop's clock.
    """

    def __init__(self) -> None:
        self.working, self.repeats, self.not_before = False, 0, 0.0


class SessionScheduler:
    """Calls each registered session when its work is due. Runs while sessions are registered."""

    def __init__(self) -> None:
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: stop, because only the parent refreshes its tokens."""
        self._sessions: weakref.WeakKeyDictionary[ScheduledSession, _WorkState] = weakref.WeakKeyDictionary()
        self._timer: asyncio.TimerHandle | None = None
        self._next_storage_check = 0.0
        self._storage_check: asyncio.Future[None] | None = None

    # -- from any thread ----------------------------------------------------------------------------------

    def register(self, session: ScheduledSession) -> None:
        """Start calling this session."""
        owner_loop.call_soon(self._register, weakref.ref(session))

    def unregister(self, session: ScheduledSession) -> None:
        """Stop calling this session."""
        owner_loop.call_soon(self._unregister, weakref.ref(session))

    # -- on the loop --------------------------------------------------------------------------------------

    @property
    def has_sessions(self) -> bool:
        """Whether any session is refreshed automatically."""
        return bool(self._sessions)

    def _register(self, reference: weakref.ref[ScheduledSession]) -> None:
        session = reference()
        if session is not None:
            self._sessions.setdefault(session, _WorkState())
            self._wake_for(session)

    def _unregister(self, reference: weakref.ref[ScheduledSession]) -> None:
        session = reference()
        if session is not None:
            self._sessions.pop(session, None)
        if self._timer is not None and not self._sessions:
            self._timer.cancel()
            self._timer = None

    def _wake_for(self, session: ScheduledSession) -> None:
        """A session's due time has changed: set the timer for it, unless it is earlier."""
        due = session.due_in()
        self._wake_in(TICK if due is None else max(due, 0.0))

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        # At most a tick, because a loop's clock stops while the machine sleeps.
        then = loop.time() + min(seconds, TICK)
        if self._timer is None or then < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(then, self._wake)

    def _wake(self) -> None:
        """Start the work that is due. The timer runs as long as there are sessions."""
        self._timer = None
        if not self._sessions:
            return
        now = asyncio.get_running_loop().time()
        if now >= self._next_storage_check:
            self._next_storage_check = now + TICK
            self._start_storage_check()
        pause = self._start_due_work(now)
        self._wake_in(min(max(pause, 0.01), self._next_storage_check - now))

    def _start_due_work(self, now: float) -> float:
        """Start the work of sessions that are due. Returns the seconds until the next one is."""
        soonest = TICK
        for session, state in list(self._sessions.items()):
            wait = self._due_in(session, state, now)
            if wait is not None and wait <= 0:
                self._start(session, state, now)
            elif wait is not None:
                soonest = min(soonest, wait)
        return soonest

    def _due_in(self, session: ScheduledSession, state: _WorkState, now: float) -> float | None:
        if state.working:
            return None
        try:
            due = session.due_in()
        except Exception:
            logger.exception("internal error: could not find out when a session is due")
            return None
        if due is None or due > 0:
            if now >= state.not_before:
                state.repeats = 0  # its work changed something
            return due
        return max(due, state.not_before - now)

    def _start(self, session: ScheduledSession, state: _WorkState, now: float) -> None:
        if sum(other.working for other in self._sessions.values()) >= _MAX_RUNNING:
            return
        state.working = True
        state.not_before = now + min(_SHORTEST_PAUSE * 2 ** min(state.repeats, 10), TICK)
        state.repeats += 1
        owner_loop.create_task(self._run(session, state))

    async def _run(self, session: ScheduledSession, state: _WorkState) -> None:
        try:
            await session.run_due()
        except Exception as error:  # noqa: BLE001  (the session's state shows the error)
            logger.info("background work ended with %s", type(error).__name__)
        finally:
            state.working = False
            self._wake_for(session)

    def _start_storage_check(self) -> None:
        """Look for stored sessions that other kernels have changed. A slow storage delays only this."""
        if self._storage_check is None or self._storage_check.done():
            self._storage_check = owner_loop.create_task(self._check_storage())

    async def _check_storage(self) -> None:
        sessions = list(self._sessions)

        def versions() -> list[object]:
            return [session.stored_version() for session in sessions]

        found = await owner_loop.in_thread(versions)
        now = asyncio.get_running_loop().time()
        for session, version in zip(sessions, found, strict=True):
            state = self._sessions.get(session)
            if state is not None and not state.working and session.is_behind(version):
                self._start(session, state, now)


scheduler = SessionScheduler()
