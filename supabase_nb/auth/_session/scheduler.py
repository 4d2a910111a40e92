"""RefreshScheduler: one timer on the owner loop that has clients refresh when something is due."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Protocol

from ..._fork import renew_after_fork
from .._loop import owner_loop

logger = logging.getLogger("supabase_nb")

# Seconds between looks for a rotation or sign-out by another kernel, and for having slept.
TICK = 2.0
# Between two looks at a client that is due again at once; doubled each time, up to a tick.
_SHORTEST_PAUSE = 0.1
# Clients that work at a time; what is due beyond that waits for the next tick.
_MOST_AT_WORK = 64


class Refreshable(Protocol):
    """What the scheduler asks of a client."""

    def due_in(self) -> float | None:
        """Seconds until there is something to do; ``None``: nothing by time, or it is being done."""

    def stored_version(self) -> object:
        """Changes when another kernel changes the stored session. Called in a thread."""

    def is_behind(self, version: object) -> bool:
        """Whether the stored session has changed since the client last looked."""

    async def work(self) -> None:
        """Do what is due."""


class _Client:
    """What the scheduler knows of a client.

    Args:
        working: Whether its work is running.
        repeats: How often in a row it was due again as soon as its work was done.
        not_before: When it may work again, on the loop's clock.
    """

    def __init__(self) -> None:
        self.working, self.repeats, self.not_before = False, 0, 0.0


class RefreshScheduler:
    """Wakes each registered client when its time has come. Runs while clients are registered."""

    def __init__(self) -> None:
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """The child has no scheduler, and must not refresh: the tokens are its parent's."""
        self._clients: weakref.WeakKeyDictionary[Refreshable, _Client] = weakref.WeakKeyDictionary()
        self._timer: asyncio.TimerHandle | None = None
        self._next_look = 0.0
        self._looking: asyncio.Future[None] | None = None

    # -- from any thread ----------------------------------------------------------------------------------

    def register(self, client: Refreshable) -> None:
        """Wake this client from now on."""
        owner_loop.call_soon(self._register, weakref.ref(client))

    def unregister(self, client: Refreshable) -> None:
        """Wake this client no more."""
        owner_loop.call_soon(self._unregister, weakref.ref(client))

    # -- on the loop --------------------------------------------------------------------------------------

    def _register(self, reference: weakref.ref[Refreshable]) -> None:
        client = reference()
        if client is not None:
            self._clients.setdefault(client, _Client())
            owner_loop.users.add(client)
            self._wake_for(client)

    def _unregister(self, reference: weakref.ref[Refreshable]) -> None:
        client = reference()
        if client is not None:
            self._clients.pop(client, None)
            owner_loop.users.discard(client)
        if self._timer is not None and not self._clients:
            self._timer.cancel()
            self._timer = None

    def _wake_for(self, client: Refreshable) -> None:
        """A client's time has changed: look when it is due, if not before."""
        due = client.due_in()
        self._wake_in(TICK if due is None else max(due, 0.0))

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        # At most a tick: a loop's clock does not count the time that the machine sleeps.
        then = loop.time() + min(seconds, TICK)
        if self._timer is None or then < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(then, self._wake)

    def _wake(self) -> None:
        """Start what is due. The timer runs for as long as there are clients."""
        self._timer = None
        if not self._clients:
            return
        now = asyncio.get_running_loop().time()
        if now >= self._next_look:
            self._next_look = now + TICK
            self._look_at_storage()
        pause = self._start_what_is_due(now)
        self._wake_in(min(max(pause, 0.01), self._next_look - now))

    def _start_what_is_due(self, now: float) -> float:
        """Start the work of clients that are due. Returns when the next one is, in seconds from now."""
        soonest = TICK
        for client, known in list(self._clients.items()):
            wait = self._due_in(client, known, now)
            if wait is not None and wait <= 0:
                self._start(client, known, now)
            elif wait is not None:
                soonest = min(soonest, wait)
        return soonest

    def _due_in(self, client: Refreshable, known: _Client, now: float) -> float | None:
        if known.working:
            return None
        try:
            due = client.due_in()
        except Exception:
            logger.exception("internal error: a client could not say what is due")
            return None
        if due is None or due > 0:
            if now >= known.not_before:
                known.repeats = 0  # its work led to something
            return due
        return max(due, known.not_before - now)

    def _start(self, client: Refreshable, known: _Client, now: float) -> None:
        if sum(other.working for other in self._clients.values()) >= _MOST_AT_WORK:
            return
        known.working = True
        known.not_before = now + min(_SHORTEST_PAUSE * 2 ** min(known.repeats, 10), TICK)
        known.repeats += 1
        owner_loop.start(self._work(client, known))

    async def _work(self, client: Refreshable, known: _Client) -> None:
        try:
            await client.work()
        except Exception as error:  # noqa: BLE001  (the client's state says what became of it)
            logger.info("background work ended with %s", type(error).__name__)
        finally:
            known.working = False
            self._wake_for(client)

    def _look_at_storage(self) -> None:
        """Find out which clients' stored sessions have changed. A slow storage delays only that."""
        if self._looking is None or self._looking.done():
            self._looking = owner_loop.start(self._look())

    async def _look(self) -> None:
        clients = list(self._clients)

        def versions() -> list[object]:
            return [client.stored_version() for client in clients]

        found = await owner_loop.in_thread(versions)
        now = asyncio.get_running_loop().time()
        for client, version in zip(clients, found, strict=True):
            known = self._clients.get(client)
            if known is not None and not known.working and client.is_behind(version):
                self._start(client, known, now)


scheduler = RefreshScheduler()
