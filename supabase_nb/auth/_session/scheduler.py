"""SessionScheduler: a timer on the owner loop that calls clients when they have work to do."""

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
# Pause before a client that is due again at once. Doubled each time, up to a tick.
_SHORTEST_PAUSE = 0.1
# How many clients work at a time. Others wait for the next tick.
_MAX_RUNNING = 64


class ScheduledSession(Protocol):
    """A client, as the scheduler sees it."""

    def due_in(self) -> float | None:
        """Seconds until `run_due` has something to do; ``None``: nothing is scheduled, or it is running."""

    def stored_version(self) -> object:
        """A value that changes when another kernel changes the stored session. Called in a thread."""

    def is_behind(self, version: object) -> bool:
        """Whether the stored session has changed since the client last read it."""

    async def run_due(self) -> None:
        """Do the work that is due."""


class _ClientState:
    """The scheduler's state of a client.

    Args:
        working: Whether its work is running.
        repeats: How often in a row it was due again right after its work.
        not_before: When it may work again, on the loop's clock.
    """

    def __init__(self) -> None:
        self.working, self.repeats, self.not_before = False, 0, 0.0


class SessionScheduler:
    """Calls each registered client when its work is due. Runs while clients are registered."""

    def __init__(self) -> None:
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: stop, because only the parent refreshes its tokens."""
        self._clients: weakref.WeakKeyDictionary[ScheduledSession, _ClientState] = weakref.WeakKeyDictionary()
        self._timer: asyncio.TimerHandle | None = None
        self._next_storage_check = 0.0
        self._storage_check: asyncio.Future[None] | None = None

    # -- from any thread ----------------------------------------------------------------------------------

    def register(self, client: ScheduledSession) -> None:
        """Start calling this client."""
        owner_loop.call_soon(self._register, weakref.ref(client))

    def unregister(self, client: ScheduledSession) -> None:
        """Stop calling this client."""
        owner_loop.call_soon(self._unregister, weakref.ref(client))

    # -- on the loop --------------------------------------------------------------------------------------

    @property
    def has_clients(self) -> bool:
        """Whether any client is refreshed automatically."""
        return bool(self._clients)

    def _register(self, reference: weakref.ref[ScheduledSession]) -> None:
        client = reference()
        if client is not None:
            self._clients.setdefault(client, _ClientState())
            self._wake_for(client)

    def _unregister(self, reference: weakref.ref[ScheduledSession]) -> None:
        client = reference()
        if client is not None:
            self._clients.pop(client, None)
        if self._timer is not None and not self._clients:
            self._timer.cancel()
            self._timer = None

    def _wake_for(self, client: ScheduledSession) -> None:
        """A client's due time has changed: set the timer for it, unless it is earlier."""
        due = client.due_in()
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
        """Start the work that is due. The timer runs as long as there are clients."""
        self._timer = None
        if not self._clients:
            return
        now = asyncio.get_running_loop().time()
        if now >= self._next_storage_check:
            self._next_storage_check = now + TICK
            self._start_storage_check()
        pause = self._start_due_work(now)
        self._wake_in(min(max(pause, 0.01), self._next_storage_check - now))

    def _start_due_work(self, now: float) -> float:
        """Start the work of clients that are due. Returns the seconds until the next one is."""
        soonest = TICK
        for client, state in list(self._clients.items()):
            wait = self._due_in(client, state, now)
            if wait is not None and wait <= 0:
                self._start(client, state, now)
            elif wait is not None:
                soonest = min(soonest, wait)
        return soonest

    def _due_in(self, client: ScheduledSession, state: _ClientState, now: float) -> float | None:
        if state.working:
            return None
        try:
            due = client.due_in()
        except Exception:
            logger.exception("internal error: could not find out when a client is due")
            return None
        if due is None or due > 0:
            if now >= state.not_before:
                state.repeats = 0  # its work changed something
            return due
        return max(due, state.not_before - now)

    def _start(self, client: ScheduledSession, state: _ClientState, now: float) -> None:
        if sum(other.working for other in self._clients.values()) >= _MAX_RUNNING:
            return
        state.working = True
        state.not_before = now + min(_SHORTEST_PAUSE * 2 ** min(state.repeats, 10), TICK)
        state.repeats += 1
        owner_loop.create_task(self._run(client, state))

    async def _run(self, client: ScheduledSession, state: _ClientState) -> None:
        try:
            await client.run_due()
        except Exception as error:  # noqa: BLE001  (the client's state shows the error)
            logger.info("background work ended with %s", type(error).__name__)
        finally:
            state.working = False
            self._wake_for(client)

    def _start_storage_check(self) -> None:
        """Look for stored sessions that other kernels have changed. A slow storage delays only this."""
        if self._storage_check is None or self._storage_check.done():
            self._storage_check = owner_loop.create_task(self._check_storage())

    async def _check_storage(self) -> None:
        clients = list(self._clients)

        def versions() -> list[object]:
            return [client.stored_version() for client in clients]

        found = await owner_loop.in_thread(versions)
        now = asyncio.get_running_loop().time()
        for client, version in zip(clients, found, strict=True):
            state = self._clients.get(client)
            if state is not None and not state.working and client.is_behind(version):
                self._start(client, state, now)


scheduler = SessionScheduler()
