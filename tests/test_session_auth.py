"""`SessionAuth` with users' own httpx clients, sync and async; and the awaitable methods."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import made
import pytest
import traitlets

from supabase_nb import (
    AuthClient,
    AuthError,
    AuthSessionMissing,
    Client,
    FileStorage,
    MemoryStorage,
    SessionAuth,
    create_client,
)
from supabase_nb._runtime.thread_executor import in_thread
from supabase_nb.auth.aio import AuthAio
from supabase_nb.demo import DemoServer

URL = "https://abcd.supabase.co"


@pytest.fixture
def trips(server: DemoServer) -> str:
    return f"{server.url}/rest/v1/trips?select=user_id"


# -- sync ---------------------------------------------------------------------------------------------------


def test_your_own_client_sends_requests_as_the_user(library: Any, client: Client, trips: str) -> None:
    with library.Client(auth=SessionAuth(client)) as own:
        assert len(own.get(trips).json()) == 3
        client.auth.sign_out()
        assert own.get(trips).json() == []


def test_an_auth_client_will_do(library: Any, client: Client, trips: str) -> None:
    with library.Client(auth=SessionAuth(client.auth), headers={"apikey": client.key}) as own:
        assert len(own.get(trips).json()) == 3


@pytest.mark.parametrize("other", [None, "client", httpx.Client])
def test_other_values_are_refused(other: Any) -> None:
    with pytest.raises(TypeError, match="takes a Client or its auth"):
        SessionAuth(other)


def test_it_sees_each_rotation(library: Any, client: Client, trips: str) -> None:
    with library.Client(auth=SessionAuth(client)) as own:
        seen = set()
        for _ in range(3):
            client.auth.refresh_session()
            seen.add(own.get(trips).request.headers["authorization"])
        session = client.auth.session
        assert session is not None
        assert f"Bearer {session.access_token}" in seen
        assert len(seen) == 3


def test_401_is_one_refresh_and_one_retry(
    library: Any, client: Client, server: DemoServer, trips: str
) -> None:
    server.expire("ada@example.com")
    before = server.stats().get("token.refresh_token", 0)
    with library.Client(auth=SessionAuth(client)) as own:
        response = own.get(trips)
    assert response.status_code == 200
    assert [earlier.status_code for earlier in response.history] == [401]
    assert server.stats().get("token.refresh_token", 0) == before + 1


def test_set_auth_applies_to_session_auth(
    library: Any, client: Client, server: DemoServer, trips: str
) -> None:
    client.set_auth(server.sign_in("grace@example.com")["access_token"])
    with library.Client(auth=SessionAuth(client)) as own:
        (user,) = {row["user_id"] for row in own.get(trips).json()}
    assert client.auth.user is not None
    assert user != client.auth.user.id


def test_other_addresses_get_nothing_unless_they_are_named(library: Any, client: Client) -> None:
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        return library.Response(200)

    def ask(auth: SessionAuth, url: str) -> bool:
        with library.Client(auth=auth, transport=library.MockTransport(answer)) as own:
            own.get(url)
        return "authorization" in asked[-1].headers

    plain, named = SessionAuth(client), SessionAuth(client, origins=["https://api.example.com/v1"])
    assert ask(plain, f"{client.url}/rest/v1/trips")
    assert ask(named, f"{client.url}/rest/v1/trips")
    assert ask(named, "https://api.example.com/other")
    assert not ask(plain, "https://api.example.com/other")
    assert not ask(named, "https://api.example.com:444/other")
    assert not ask(named, "http://api.example.com/other")


def test_origins_are_a_list(client: Client) -> None:
    with pytest.raises(TypeError, match="takes a list"):
        SessionAuth(client, origins="https://api.example.com")


def test_a_plain_http_origin_is_refused(client: Client) -> None:
    with pytest.raises(AuthError, match="unencrypted"):
        SessionAuth(client, origins=["http://api.example.com"])


# -- async --------------------------------------------------------------------------------------------------


def test_an_async_client_sends_requests_as_the_user(library: Any, client: Client, trips: str) -> None:
    async def ask() -> int:
        async with library.AsyncClient(auth=SessionAuth(client)) as own:
            return len((await own.get(trips)).json())

    assert asyncio.run(ask()) == 3


def test_200_tasks_share_one_refresh_and_take_no_threads(client: Client, server: DemoServer) -> None:
    """The token has expired for all of them at once."""
    exchanges = server.stats().get("token.refresh_token", 0)
    refused = 0
    gate = asyncio.Event()
    before, most = threading.active_count(), 0
    session = client.auth.session
    assert session is not None
    old = f"Bearer {session.access_token}"

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal refused, most
        most = max(most, threading.active_count())
        if request.headers["authorization"] != old:
            return httpx.Response(200)
        refused += 1
        if refused == 200:
            gate.set()
        await gate.wait()
        return httpx.Response(401)

    async def ask() -> list[int]:
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(auth=SessionAuth(client), transport=transport) as own:
            url = f"{client.url}/rest/v1/trips"
            answers = await asyncio.gather(*(own.get(url) for _ in range(200)))
            return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [200] * 200
    assert server.stats().get("token.refresh_token", 0) == exchanges + 1
    assert most <= before + 10


def test_a_refresh_does_not_hold_up_the_loop(library: Any, client: Client, server: DemoServer) -> None:
    """While one task waits for the refresh, others run."""
    waiting, go_on = threading.Event(), threading.Event()
    get_fresh = client.auth._manager.get_fresh

    async def slow() -> Any:
        waiting.set()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return await get_fresh()

    client._session_tokens.token_if_ready = lambda: None  # type: ignore[method-assign]
    client.auth._manager.get_fresh = slow  # type: ignore[method-assign]

    async def ask() -> int:
        transport = library.MockTransport(lambda _: library.Response(200))
        async with library.AsyncClient(auth=SessionAuth(client), transport=transport) as own:
            task = asyncio.create_task(own.get(f"{client.url}/rest/v1/trips"))
            while not waiting.is_set():
                await asyncio.sleep(0)
            go_on.set()
            return (await task).status_code

    assert asyncio.run(ask()) == 200


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_401_for_another_reason_costs_one_exchange(
    library: Any, client: Client, server: DemoServer, is_async: bool
) -> None:
    exchanges = server.stats().get("token.refresh_token", 0)
    url, transport = f"{client.url}/rest/v1/trips", library.MockTransport(lambda _: library.Response(401))

    def ask() -> list[int]:
        with library.Client(auth=SessionAuth(client), transport=transport) as own:
            return [own.get(url).status_code for _ in range(3)]

    async def ask_async() -> list[int]:
        async with library.AsyncClient(auth=SessionAuth(client), transport=transport) as own:
            return [(await own.get(url)).status_code for _ in range(3)]

    assert (asyncio.run(ask_async()) if is_async else ask()) == [401] * 3
    assert server.stats()["token.refresh_token"] == exchanges + 1


def test_an_async_streamed_body_is_not_sent_again(library: Any, client: Client) -> None:
    sent: list[list[bytes]] = []

    class Network(library.AsyncBaseTransport):
        async def handle_async_request(self, request: Any) -> Any:
            sent.append([part async for part in request.stream])  # type: ignore[union-attr]  # nothing is kept
            return library.Response(401)

    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    async def ask() -> int:
        async with library.AsyncClient(auth=SessionAuth(client), transport=Network()) as own:
            return (await own.post(f"{client.url}/rest/v1/trips", content=body())).status_code

    assert asyncio.run(ask()) == 401
    assert sent == [[b"once"]]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there it is postgrest 2.33, which leaves `auth` out")
def test_supabases_async_packages_work_with_it(client: Client) -> None:
    from postgrest import AsyncPostgrestClient

    async def ask() -> int:
        async with httpx.AsyncClient(auth=SessionAuth(client)) as own:
            postgrest = AsyncPostgrestClient(f"{client.url}/rest/v1", headers={}, http_client=own)
            return len((await postgrest.from_("trips").select("*").execute()).data)

    assert asyncio.run(ask()) == 3


# -- secrets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [repr, str, vars])
def test_it_shows_no_token(client: Client, view: Callable[[object], object]) -> None:
    session = client.auth.session
    assert session is not None
    shown = str(view(SessionAuth(client)))
    assert session.access_token not in shown
    assert session.refresh_token not in shown


def test_it_is_not_pickled_unless_it_is_shared(client: Client) -> None:
    for dump in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"supabase_nb\.distributed\.share"):
            dump(SessionAuth(client))


# -- awaitable methods --------------------------------------------------------------------------------------


def test_await_set_session(server: DemoServer, make_auth: Callable[..., AuthClient]) -> None:
    auth, pair = make_auth(), server.sign_in()

    async def restore() -> None:
        response = await auth.aio.set_session(pair["access_token"], pair["refresh_token"])
        assert response.session is auth.session
        assert (await auth.aio.get_user()).email == "ada@example.com"
        await auth.aio.update_user({"data": {"city": "London"}})
        assert (await auth.aio.get_claims())["email"] == "ada@example.com"
        await auth.aio.sign_out("local")
        assert await auth.aio.get_session() is None

    asyncio.run(restore())


def test_an_awaited_error_is_the_same_error(make_auth: Callable[..., AuthClient]) -> None:
    with pytest.raises(AuthSessionMissing, match="Not signed in"):
        asyncio.run(make_auth().aio.refresh_session())


def test_tasks_and_threads_share_one_exchange(client: Client, server: DemoServer) -> None:
    exchanges = server.stats().get("token.refresh_token", 0)
    manager = client.auth._manager
    exchange, refresh = manager.api.refresh, manager.refresher.refresh
    asked: list[Any] = []

    async def counted(*given: Any, **how: Any) -> Any:
        asked.append(given)
        return await refresh(*given, **how)

    async def after_all(*given: Any) -> Any:
        while len(asked) < 24:
            await asyncio.sleep(0.001)
        return await exchange(*given)

    manager.refresher.refresh, manager.api.refresh = counted, after_all  # type: ignore[method-assign]
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(client.auth.refresh_session())) for _ in range(8)]

    async def refresh_all() -> None:
        for thread in threads:
            thread.start()
        found.extend(await asyncio.gather(*(client.auth.aio.refresh_session() for _ in range(16))))

    asyncio.run(refresh_all())
    for thread in threads:
        thread.join()
    assert [response.session for response in found] == [client.auth.session] * 24
    assert server.stats().get("token.refresh_token", 0) == exchanges + 1


def test_a_cancelled_task_loses_no_rotated_token(
    server: DemoServer, client: Client, storage: FileStorage
) -> None:
    """The exchange was already sent, so its response is saved although nothing waits for it."""
    under_way, go_on = threading.Event(), threading.Event()
    refresh = client.auth._manager.api.refresh
    before = client.auth.session

    async def slow(*given: Any) -> Any:
        session = await refresh(*given)
        under_way.set()
        assert await asyncio.to_thread(go_on.wait, 30)
        return session

    client.auth._manager.api.refresh = slow  # type: ignore[method-assign]
    changed = threading.Event()
    client.auth.observe(lambda _: changed.set(), "session")

    async def cancel() -> None:
        task = asyncio.create_task(client.auth.aio.refresh_session())
        while not under_way.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    asyncio.run(cancel())
    assert changed.wait(30)
    assert client.auth.session != before
    with create_client(server.url, server.anon_key, storage=storage, auto_refresh=False) as later:
        assert later.auth.get_session() == client.auth.session
        assert later.auth.refresh_session().session is not None


def test_requests_work_after_a_cancelled_task(server: DemoServer, client: Client) -> None:
    """`set_session(B)` after a cancelled `set_session(A)`: B, never A."""
    ada, grace = server.sign_in(), server.sign_in("grace@example.com")
    under_way, go_on = threading.Event(), threading.Event()
    get_user = client.auth._manager.api.get_user

    async def slow(token: Any) -> Any:
        user = await get_user(token)
        if user.email == "ada@example.com":
            under_way.set()
            await asyncio.to_thread(go_on.wait, 30)
        return user

    client.auth._manager.api.get_user = slow  # type: ignore[method-assign]

    async def change_ones_mind() -> None:
        task = asyncio.create_task(client.auth.aio.set_session(ada["access_token"], ada["refresh_token"]))
        while not under_way.is_set():
            await asyncio.sleep(0)
        task.cancel()
        second = asyncio.create_task(
            client.auth.aio.set_session(grace["access_token"], grace["refresh_token"])
        )
        await asyncio.sleep(0)
        go_on.set()
        await second

    asyncio.run(change_ones_mind())
    assert client.auth.user is not None
    assert client.auth.user.email == "grace@example.com"


def test_every_method_that_waits_can_be_awaited() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    inherited = public(traitlets.HasTraits)
    no_network = {
        "aio",
        "close",
        "closed",
        "events",
        "get_oauth_url",
        "last_error",
        "last_event",
        "last_user",
        "next_refresh_at",
        "notices",
        "on_auth_state_change",
        "session",
        "set_notice",
        "start_auto_refresh",
        "status",
        "stop_auto_refresh",
        "storage",
        "time_left",
        "url",
        "user",
        "uses_secret_key",
    }
    assert public(AuthAio) == public(AuthClient) - inherited - no_network
    assert "one-time code" in (AuthAio.verify_otp.__doc__ or "")


def test_a_closed_event_loop_is_harmless() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def call() -> None:
        assert go_on.wait(30)
        ended.set()

    async def leave() -> None:
        task = asyncio.ensure_future(in_thread(call))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    go_on.set()
    assert ended.wait(30)


def test_an_awaited_call_does_not_hold_the_end_of_the_process_up() -> None:
    """Its thread is a daemon: a server that hangs is not waited for when the kernel ends."""

    async def look() -> bool:
        return await in_thread(lambda: threading.current_thread().daemon)

    assert asyncio.run(look())


def test_one_logic_for_a_mock_of_the_network(library: Any, storage: FileStorage) -> None:
    """Signed out, sync and async send the same."""
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        return library.Response(200, json=[])

    with create_client(URL, made.jwt({"role": "anon"}), storage=MemoryStorage()) as client:
        auth, transport = SessionAuth(client), library.MockTransport(answer)
        with library.Client(auth=auth, transport=transport) as own:
            own.get(f"{URL}/rest/v1/trips")

        async def ask() -> None:
            async with library.AsyncClient(auth=auth, transport=transport) as own:
                await own.get(f"{URL}/rest/v1/trips")

        asyncio.run(ask())
    first, second = asked
    assert first.headers == second.headers
    assert first.headers["authorization"] == f"Bearer {client.key}"
