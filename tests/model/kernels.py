"""Kernels that share one storage and a virtual clock, with faults on the way to the server.

By default everything runs on one event loop in the test's own thread, so a schedule goes the same way each
time. With `owner_loop` it runs as it does for users.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from email.utils import formatdate
from typing import Any

import httpx
from model.auth_server import AuthServer

from supabase_nb.auth._api.auth_api import AuthAPI
from supabase_nb.auth._api.server_clock import Clock, ServerClock
from supabase_nb.auth._session.change_queue import Change
from supabase_nb.auth._session.manager import SessionManager
from supabase_nb.auth._session.session_record import SessionRecord, TokenPair
from supabase_nb.auth._session.snapshot import SessionSnapshot
from supabase_nb.auth._thread_loop import ThreadLoop
from supabase_nb.errors import AuthStorageError
from supabase_nb.models import AuthChangeEvent, Session
from supabase_nb.storage import SessionStorage, project_key, storage_key

URL = "https://abcd.supabase.co/auth/v1"
KEY = storage_key(URL)
ROUND_TRIP = 0.05
_LOOP = asyncio.new_event_loop()


class World:
    """What all kernels share: the server, the network, a machine with its clock, storage and lock.

    Args:
        storage: Where the session is stored.
        version: Of the server's refresh tokens.
        reuse_interval: The server's, in seconds.
        offset: What the machine's clock is ahead of the server's, in seconds.
    """

    def __init__(
        self, storage: SessionStorage, *, version: int, reuse_interval: float, offset: float
    ) -> None:
        self.offset = offset
        self.time = 1_800_000_000.0
        self.servers: dict[str, AuthServer] = {}
        self._options: dict[str, Any] = {"version": version, "reuse_interval": reuse_interval}
        self.server = self.server_of(URL)
        self.storage = storage
        self.offline = False
        self.steady_shift = 0.0
        self.dates, self.date_offset = True, 0.0
        #: Who has which lock.
        self.holders: dict[str, Kernel] = {}
        self.loop = _LOOP

    def server_of(self, url: str) -> AuthServer:
        """The auth server of a project."""
        if url not in self.servers:
            self.servers[url] = AuthServer(lambda: self.time, number=len(self.servers), **self._options)
        return self.servers[url]


class InOneThread:
    """Runs what would block on the loop itself: here nothing does."""

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        return call()

    @asynccontextmanager
    async def context_in_thread(
        self, make_context: Callable[[], AbstractContextManager[Any]]
    ) -> AsyncIterator[Any]:
        with make_context() as value:
            yield value


class VirtualClock(Clock):
    """The machine's clock in that world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def wall(self) -> float:
        return self.world.time + self.world.offset

    def steady(self) -> float:
        return self.world.time - 1_799_000_000.0 + self.world.steady_shift

    async def pause(self, seconds: float) -> None:
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

    def __init__(
        self, world: World, *, url: str = URL, name: str = "", owner_loop: ThreadLoop | None = None
    ) -> None:
        self.world = world
        self.url, self.name = url, name
        self.fault: str | None = None
        self.always: str | None = None
        self.retry_after: tuple[str, float] | None = None
        self.asked = 0
        self.dead = False
        self._owner_loop = owner_loop
        self._stopped, self._go_on = asyncio.Event(), asyncio.Event()
        self._call: asyncio.Task[Any] | None = None
        #: What observers got, and each of the subscribers.
        self.traits: dict[str, object] = {}
        self.told: list[list[str]] = []
        self.api = AuthAPI(url, clock=ServerClock(VirtualClock(world)), transport=_Wire(self))
        self.manager = SessionManager(
            self.api,
            _Storage(self),
            storage_key(url, name),
            project_key(url),
            self._set_traits,
            loop=owner_loop or InOneThread(),
            schedule=lambda manager: None,  # the test says when a kernel looks for what is due
        )
        self.manager.refresher.auto_refresh = True
        if owner_loop is None:
            self.manager.changes.flush_soon = self.manager.changes.flush  # type: ignore[method-assign]

    def run(self, async_fn: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What `AuthClient` does with a coroutine."""
        changes, loop = self.manager.changes, self.world.loop
        if self._owner_loop is not None:
            return self._owner_loop.run(async_fn, changes)
        try:
            if not loop.is_running():
                return loop.run_until_complete(async_fn())
            # While another kernel's request is under way, which waits for this.
            with ThreadPoolExecutor(1) as another_thread:
                return another_thread.submit(lambda: asyncio.run(async_fn())).result()
        finally:
            changes.flush()

    # -- a client's methods -------------------------------------------------------------------------------

    def set_session(self, pair: TokenPair) -> Session:
        return self.run(lambda: self.manager.session_setter.set_session(pair))  # type: ignore[no-any-return]

    def sign_in(self, user: str = "") -> Session:
        """Sign in; `user` is one of the server's."""
        manager = self.manager

        async def sign_in() -> Session:
            operation = manager.state.new_operation()
            session = await self.api.session("/token?grant_type=password", {"email": user} if user else {})
            return await manager.session_setter.use_issued(session, AuthChangeEvent.SIGNED_IN, "", operation)

        return self.run(sign_in)  # type: ignore[no-any-return]

    def get_session(self) -> Session | None:
        return self.run(self.manager.get_fresh)  # type: ignore[no-any-return]

    def refresh(self) -> Session:
        """Another access token than the current one."""
        assert self.session is not None
        seen = self.session.access_secret
        return self.run(lambda: self.manager.refresher.refresh(seen))  # type: ignore[no-any-return]

    def restore(self) -> Session | None:
        return self.run(self.manager.load_stored)  # type: ignore[no-any-return]

    def sign_out(self, scope: str = "local") -> None:
        self.run(lambda: self.manager.sign_out(scope))

    def update_user(self, attributes: dict[str, object]) -> Session:
        return self.run(lambda: self.manager.update_user(attributes))  # type: ignore[no-any-return]

    def set_notice(self, name: str, text: str | None) -> None:
        self.run(lambda: self.manager.set_notice(name, text))

    def subscribe(self) -> None:
        told: list[str] = []
        self.told.append(told)
        self.run(lambda: self.manager.subscribe(lambda event, _: told.append(str(event))))

    # -- its state ----------------------------------------------------------------------------------------

    def _set_traits(self, change: Change) -> None:
        self.traits.update(change.traits)

    @property
    def usable(self) -> bool:
        return not self.dead and self._call is None

    @property
    def snapshot(self) -> SessionSnapshot:
        return self.manager.snapshot

    @property
    def session(self) -> Session | None:
        return self.snapshot.session

    def stored(self) -> SessionRecord | None:
        """What is stored under this kernel's name."""
        return self.manager.store.read().record

    # -- what happens to it -------------------------------------------------------------------------------

    async def answer(self, request: httpx.Request) -> httpx.Response:
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
        response = world.server_of(self.url).answer(request)
        response.headers.update(self._date())
        world.time += ROUND_TRIP / 2
        if fault == "kill after":
            self.dead = True
            raise httpx.ReadError("killed")
        if fault == "lose":
            raise httpx.ReadTimeout("lost")
        if fault == "stop":
            self._stopped.set()
            await self._go_on.wait()
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

    def due_in(self) -> float | None:
        """Seconds until there is something to do."""
        manager = self.manager
        return 0.0 if manager.is_behind(manager.stored_version()) else manager.due_in()

    def tick(self) -> None:
        """What the scheduler does."""
        for _ in range(4):
            due = self.due_in()
            if due is None or due > 0:
                break
            self.run(self.manager.run_due)

    def stop_in_exchange(self) -> None:
        """Begin a refresh, and stop (as by SIGSTOP) when the server has acted."""
        session = self.session
        assert session is not None
        self.fault = "stop"
        self._stopped, self._go_on = asyncio.Event(), asyncio.Event()

        async def begin() -> None:
            attempt = self.manager.refresher.start(session.access_secret)
            self._call = attempt.task
            stopped = asyncio.ensure_future(self._stopped.wait())
            # Where there is no request to stop at, it just ends.
            await asyncio.wait((stopped, attempt.task), return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()

        self.run(begin)

    def go_on(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            self._go_on.set()

            async def end() -> None:
                await asyncio.wait((call,))

            self.run(end)

    def kill(self) -> None:
        self.dead = True
        self.go_on()


class _Wire(httpx.AsyncBaseTransport):
    """The way from a kernel to the server."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._kernel.answer(request)


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
        holder = world.holders.get(key)
        free = holder is None or holder.dead  # the system releases the locks of a killed process
        if free:
            world.holders[key] = self._kernel
        else:
            world.time += timeout
        try:
            yield free
        finally:
            if free and world.holders.get(key) is self._kernel:
                del world.holders[key]
