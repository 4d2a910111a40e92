"""Kernels that share one storage, on one virtual clock, with faults on the way to the server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

import httpx
from model.auth_server import AuthServer

from supabase_nb.api import AuthAPI
from supabase_nb.clock import Clock, ServerClock
from supabase_nb.errors import AuthStorageError
from supabase_nb.events import Change, Delivery
from supabase_nb.keeper import Keeper
from supabase_nb.models import Session
from supabase_nb.storage import SessionStorage

URL = "https://abcd.supabase.co/auth/v1"
KEY = "sb-abcd-auth-token"
ROUND_TRIP = 0.05


class World:
    """What all kernels share: the server, the network, a machine with its clock, storage and lock.

    Args:
        storage: Where the session rests.
        version: Of the server's refresh tokens.
        reuse_interval: The server's, in seconds.
        offset: What the machine's clock is ahead of the server's, in seconds.
    """

    def __init__(
        self, storage: SessionStorage, *, version: int, reuse_interval: float, offset: float
    ) -> None:
        self.offset = offset
        self.time = 1_800_000_000.0
        self.server = AuthServer(lambda: self.time, version=version, reuse_interval=reuse_interval)
        self.storage = storage
        self.offline = False
        self.steady_shift = 0.0
        self.dates, self.date_offset = True, 0.0
        self.holder: Kernel | None = None


class VirtualClock(Clock):
    """The machine's clock in that world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def wall(self) -> float:
        return self.world.time + self.world.offset

    def steady(self) -> float:
        return self.world.time - 1_799_000_000.0 + self.world.steady_shift

    def pause(self, seconds: float) -> None:
        self.world.time += seconds


class Kernel:
    """A process with one client.

    Attributes:
        fault: What happens to its next request.
        always: What happens to all of its requests: ``"drop"``, ``"portal"`` (a 200 with HTML) or a status.
        retry_after: Goes with a status: ``("seconds" | "date", seconds)``.
        asked: How often it has asked the server for something.

    Faults: ``"drop"`` (it never arrives), ``"lose"`` (the server acts, the answer is lost), ``"503"``,
    ``"kill before"`` and ``"kill after"`` the server acts, ``"stop"`` (the answer waits until `go_on`).
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.fault: str | None = None
        self.always: str | None = None
        self.retry_after: tuple[str, float] | None = None
        self.asked = 0
        self.dead = False
        self._stopped, self._go_on = threading.Event(), threading.Event()
        self._call: threading.Thread | None = None
        clock = ServerClock(VirtualClock(world))
        api = AuthAPI(URL, clock=clock, transport=httpx.MockTransport(self._handle))
        #: What observers were told, and each of the subscribers.
        self.traits: dict[str, object] = {}
        self.told: list[list[str]] = []
        self.keeper = Keeper(api, _Storage(self), KEY, clock, Delivery(self._set_traits))
        self.keeper.background = True

    def _set_traits(self, change: Change) -> None:
        self.traits.update(change.traits)

    def subscribe(self) -> None:
        told: list[str] = []
        self.told.append(told)
        self.keeper.subscribe(lambda event, _: told.append(str(event)))
        self.keeper.delivery.flush()

    @property
    def usable(self) -> bool:
        return not self.dead and self._call is None

    @property
    def session(self) -> Session | None:
        return self.keeper.held.session

    def _handle(self, request: httpx.Request) -> httpx.Response:
        world, fault, self.fault = self.world, self.fault, None
        fault = fault or self.always
        self.asked += 1
        world.time += ROUND_TRIP / 2
        if fault == "kill before" or (fault == "kill after" and world.offline):
            self.dead = True
        if self.dead or world.offline or fault == "drop":
            raise httpx.ConnectError("no route")
        if fault == "portal":
            return httpx.Response(200, html="<h1>Log in</h1>", headers=self._date())
        if fault is not None and fault.isdigit():
            return httpx.Response(int(fault), headers={**self._date(), **self._retry_after()})
        response = world.server.answer(request)
        response.headers.update(self._date())
        world.time += ROUND_TRIP / 2
        if fault == "kill after":
            self.dead = True
            raise httpx.ReadError("killed")
        if fault == "lose":
            raise httpx.ReadTimeout("lost")
        if fault == "stop":
            self._stopped.set()
            assert self._go_on.wait(10)
        return response

    def _date(self) -> dict[str, str]:
        now = self.world.time + self.world.date_offset
        return {"date": formatdate(now, usegmt=True)} if self.world.dates else {}

    def _retry_after(self) -> dict[str, str]:
        if self.retry_after is None:
            return {}
        form, seconds = self.retry_after
        value = f"{seconds:.0f}" if form == "seconds" else formatdate(self.world.time + seconds, usegmt=True)
        return {"retry-after": value}

    def tick(self) -> None:
        """What the refresher does."""
        for _ in range(4):
            due = self.keeper.due_in()
            if due is None or due > 0:
                break
            self.keeper.work()

    def stop_in_exchange(self) -> None:
        """Begin a refresh, and stop (as by SIGSTOP) when the server has acted."""
        session = self.session
        assert session is not None
        self.fault = "stop"
        self._stopped.clear()
        self._go_on.clear()

        flight = self.keeper._open_flight(session._access_token)

        def fly() -> None:
            self.keeper._fly(flight)
            self._stopped.set()  # where there was no request to stop at

        self._call = threading.Thread(target=fly)
        self._call.start()
        assert self._stopped.wait(10)

    def go_on(self) -> None:
        if self._call is not None:
            self._go_on.set()
            self._call.join(10)
            assert not self._call.is_alive()
            self._call = None

    def kill(self) -> None:
        self.dead = True
        self.go_on()


class _Storage:
    """The shared storage, as one kernel sees it: a killed one does nothing any more."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def _alive(self) -> SessionStorage:
        if self._kernel.dead:
            raise AuthStorageError("killed")
        return self._kernel.world.storage

    def get(self, key: str) -> str | None:
        return self._alive().get(key)

    def set(self, key: str, value: str) -> None:
        self._alive().set(key, value)

    def remove(self, key: str) -> None:
        self._alive().remove(key)

    def version(self, key: str) -> object:
        # Not the file's times, which are the real machine's: a schedule must go the same way each time.
        return self._kernel.world.storage.get(key)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[bool]:
        world = self._kernel.world
        free = world.holder is None or world.holder.dead  # the system frees what a killed one held
        if free:
            world.holder = self._kernel
        else:
            world.time += timeout
        try:
            yield free
        finally:
            if world.holder is self._kernel:
                world.holder = None
