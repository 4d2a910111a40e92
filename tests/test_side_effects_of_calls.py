"""Side effects of calls on later calls, other clients and other notebooks."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import httpx
import made
import pytest
from faults.proxy import Exchange, FaultProxy, hang_after
from model.kernels import KEY, Kernel, World
from traitlets import TraitError
from waiting import wait_until

from supabase_nb import (
    AuthClient,
    AuthSessionMismatch,
    AuthSessionMissing,
    AuthStorageError,
    AuthUnknownError,
    FileStorage,
    MemoryStorage,
    create_client,
)
from supabase_nb._secrets import masking
from supabase_nb._secrets.tokens import Secret
from supabase_nb.auth import stop_owner_loop
from supabase_nb.auth._owner_loop import owner_loop
from supabase_nb.auth._session.session_record import TokenPair
from supabase_nb.demo import DemoServer

MakeAuth = Callable[..., AuthClient]
URL = "https://abcd.supabase.co/auth/v1"


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler looks for changes more often."""
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 0.05)


def sign_in(auth: AuthClient, server: DemoServer, email: str = "ada@example.com") -> None:
    pair = server.sign_in(email)
    auth.set_session(pair["access_token"], pair["refresh_token"])


class FullDisk(MemoryStorage):
    full = False

    def set(self, key: str, value: str) -> None:
        if self.full:
            raise AuthStorageError("The disk is full.")
        super().set(key, value)


# -- sign-outs that the server has not confirmed ------------------------------------------------------------


def test_an_unconfirmed_sign_out_does_not_end_the_next_session(world: World) -> None:
    kernel = Kernel(world)
    kernel.sign_in()
    world.offline = True
    kernel.sign_out("global")
    world.offline = False
    session = kernel.sign_in()
    world.time += 20
    kernel.tick()
    assert world.server.session_of(session.access_token) is not None
    assert kernel.session == session


def test_a_sign_out_that_a_captive_portal_redirected_is_sent_again(world: World) -> None:
    kernel = Kernel(world)
    session = kernel.sign_in()
    kernel.always = "302"
    kernel.sign_out()
    assert world.server.session_of(session.access_token) is not None
    kernel.always = None
    world.time += 20
    kernel.tick()
    assert world.server.session_of(session.access_token) is None


def test_a_sign_in_during_an_unconfirmed_sign_out_leaves_no_notice(make_auth: MakeAuth) -> None:
    session = made.session()
    answers = made.Answers(**{"GET /auth/v1/user": session["user"], "POST /auth/v1/token": session})
    auth = make_auth(URL, transport=answers, storage=MemoryStorage())

    def sign_in_again(_: httpx.Request) -> httpx.Response:
        auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
        return httpx.Response(503)

    answers["POST /auth/v1/logout"] = sign_in_again
    auth.set_session(session["access_token"], session["refresh_token"])
    auth.sign_out()
    assert auth.session is not None
    assert auth.notices == ()


# -- the server's clock -------------------------------------------------------------------------------------


def test_a_new_kernel_on_a_machine_that_is_two_hours_late_knows_that_its_token_has_expired() -> None:
    world = World(MemoryStorage(), version=1, reuse_interval=10.0, offset=-7200.0)
    Kernel(world).sign_in()
    world.time += 3700
    session = Kernel(world).get_session()
    assert session is not None
    assert world.server.session_of(session.access_token) is not None


# -- used refresh tokens ------------------------------------------------------------------------------------


def test_a_sign_out_elsewhere_is_noticed_right_after_the_session_was_restored(world: World) -> None:
    """The storage is as empty as when this notebook last looked at it."""
    kernel, other = Kernel(world), Kernel(world)
    other.sign_in()
    kernel.restore()
    other.sign_out()
    kernel.tick()
    assert kernel.session is None
    kernel.set_session(TokenPair.from_session(other.sign_in()))
    other.sign_out()
    kernel.tick()
    assert kernel.session is None


def test_used_tokens_are_known_after_another_supabase_client_has_refreshed(world: World) -> None:
    """Its copy of the session has no list of used tokens."""
    kernel = Kernel(world)
    first = kernel.sign_in()
    world.time += 60
    second = kernel.refresh()
    world.time += 60
    _, pair, _ = world.server.exchange(second.refresh_token)
    world.storage.set(KEY, json.dumps(pair))
    world.time += 60
    other = Kernel(world)
    session = other.set_session(TokenPair.from_tokens("", first.refresh_token))
    assert session.refresh_token == pair["refresh_token"]
    assert world.server.already_used == 0


def test_a_refresh_during_set_session_is_continued_although_it_could_not_be_saved(
    make_auth: MakeAuth,
) -> None:
    storage, session = FullDisk(), made.session()
    answers = made.Answers(**{"GET /auth/v1/user": session["user"]})
    answers["POST /auth/v1/token"] = made.session("refreshtoken2", iat=int(time.time()) + 1)
    auth = make_auth(URL, transport=answers, storage=storage)
    auth.set_session(session["access_token"], session["refresh_token"])

    def refresh(_: httpx.Request) -> httpx.Response:
        answers["GET /auth/v1/user"] = session["user"]
        storage.full = True
        with pytest.raises(AuthStorageError):
            auth.refresh_session()
        return httpx.Response(200, json=session["user"])

    answers["GET /auth/v1/user"] = refresh
    with pytest.raises(AuthStorageError):
        auth.set_session(session["access_token"], session["refresh_token"])
    assert auth.session is not None
    assert auth.session.refresh_token == "refreshtoken2"


# -- other notebooks ----------------------------------------------------------------------------------------


def test_a_sign_in_in_another_notebook_is_an_event(make_auth: MakeAuth, server: DemoServer) -> None:
    one, other = make_auth(), make_auth()
    events: list[str] = []
    one.on_auth_state_change(lambda event, _: events.append(str(event)))
    sign_in(other, server)
    assert one.get_session() == other.session
    assert events == ["INITIAL_SESSION", "SIGNED_IN"]


def test_a_session_that_another_notebook_has_saved_is_saved(make_auth: MakeAuth, server: DemoServer) -> None:
    storage = FullDisk()
    one, other = make_auth(storage=storage), make_auth(storage=storage)
    pair = server.sign_in()
    storage.full = True
    with pytest.raises(AuthStorageError, match="disk is full"):
        one.set_session(pair["access_token"], pair["refresh_token"])
    storage.full = False
    other.set_session(pair["access_token"], pair["refresh_token"])
    one.start_auto_refresh()
    wait_until(lambda: one.last_error is None)


def test_a_refresh_that_waited_for_another_notebooks_is_not_a_second_one(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    one, other = make_auth(proxy.auth_url), make_auth(proxy.auth_url)
    sign_in(one, server)
    other.get_session()
    proxy.next(hang_after)
    first = threading.Thread(target=one.refresh_session)
    first.start()
    proxy.wait_for(1)
    second = threading.Thread(target=other.refresh_session)
    second.start()
    wait_until(lambda: other.status == "refreshing")
    proxy.recover()
    first.join(20)
    second.join(20)
    assert one.session == other.session
    assert proxy.count() == 1


# -- responses ----------------------------------------------------------------------------------------------


def test_a_refresh_without_a_new_refresh_token_changes_nothing(make_auth: MakeAuth) -> None:
    """As from a proxy or another server."""
    session = made.session()
    answers = made.Answers(**{"GET /auth/v1/user": session["user"], "POST /auth/v1/token": made.session("")})
    auth = make_auth(URL, transport=answers, storage=MemoryStorage())
    before = auth.set_session(session["access_token"], session["refresh_token"]).session
    with pytest.raises(AuthUnknownError, match="Unexpected response"):
        auth.refresh_session()
    assert auth.session == before


def test_a_compressed_response_is_read(make_auth: MakeAuth, proxy: FaultProxy) -> None:
    body = gzip.compress(json.dumps(made.user()).encode())

    def compressed(exchange: Exchange) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        exchange.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    proxy.always(compressed)
    token = made.jwt()
    assert make_auth(proxy.auth_url).set_session(token, "abcdefghijkl").user.email == "ada@example.com"


# -- other users --------------------------------------------------------------------------------------------


def test_a_changed_user_is_not_mixed_up_with_the_next_session(make_auth: MakeAuth) -> None:
    """Another cell sets another user's session while the server changes the first user."""
    ada, grace = made.session(), made.session("refreshtoken2", "a-second-user", session_id="a-second-session")
    answers = made.Answers()
    auth = make_auth(URL, transport=answers, storage=MemoryStorage())

    def change(_: httpx.Request) -> httpx.Response:
        auth.set_session(grace["access_token"], grace["refresh_token"])
        return httpx.Response(200, json=ada["user"])

    answers["GET /auth/v1/user"] = lambda request: httpx.Response(
        200, json=(grace if grace["access_token"] in request.headers["authorization"] else ada)["user"]
    )
    answers["PUT /auth/v1/user"] = change
    auth.set_session(ada["access_token"], ada["refresh_token"])
    with pytest.raises(AuthSessionMismatch):
        auth.update_user({"data": {"name": "Ada"}})
    assert auth.user is not None
    assert auth.user.id == "a-second-user"


# -- other clients and threads ------------------------------------------------------------------------------


def test_a_cancelled_call_does_not_take_the_lock_that_it_waited_for(
    auth: AuthClient, server: DemoServer, lock_session: Callable[..., Any]
) -> None:
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])

    def waits() -> bool:
        return any(thread.name == "supabase-nb-lock" for thread in threading.enumerate())

    async def cell() -> None:
        call = asyncio.ensure_future(auth.aio.set_session(pair["access_token"], pair["refresh_token"]))
        await asyncio.to_thread(wait_until, waits)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    with lock_session(auth) as locked:
        assert locked
        asyncio.run(cell())
    wait_until(lambda: not waits())
    with lock_session(auth) as locked:
        assert locked


def test_an_error_is_freed_when_it_has_been_handled(auth: AuthClient) -> None:
    """Its frames would keep their variables alive."""
    try:
        auth.refresh_session()
    except AuthSessionMissing as error:
        kept = weakref.ref(error)
    assert kept() is None


def test_an_observer_does_not_block_the_event_loop_of_an_awaited_call(
    auth: AuthClient, server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supabase_nb.auth._session.change_queue._FLUSH_TIMEOUT", 60.0)
    pair, others_ran = server.sign_in(), []

    async def cell() -> None:
        loop = asyncio.get_running_loop()

        def observer(_: Any) -> None:
            for _ in range(500):  # also while the call's result is on its way
                ran = threading.Event()
                loop.call_soon_threadsafe(ran.set)
                others_ran.append(ran.wait(10))

        auth.observe(observer, "session")
        await auth.aio.set_session(pair["access_token"], pair["refresh_token"])

    asyncio.run(cell())
    assert others_ran
    assert all(others_ran)


def test_an_observer_of_one_trait_sees_the_others_new_values(auth: AuthClient, server: DemoServer) -> None:
    seen: list[object] = []
    for name in ("session", "user", "status"):
        auth.observe(lambda _: seen.append((auth.session is None, auth.user is None, auth.status)), name)
    sign_in(auth, server)
    assert seen == [(False, False, "active")] * 3
    seen.clear()
    auth.sign_out("local")
    assert seen == [(True, True, "signed_out")] * 3


def test_the_background_delivers_a_change_while_another_clients_call_hangs(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    auth, other = make_auth(auto_refresh=True), make_auth()
    sign_in(auth, server)
    other.get_session()
    sign_in(make_auth(proxy.auth_url), server)
    hanging = make_auth(proxy.auth_url, auto_refresh=True)
    proxy.next(hang_after)
    thread = threading.Thread(target=hanging.refresh_session)
    thread.start()
    proxy.wait_for(1)
    before = len(auth.events)
    other.refresh_session()
    wait_until(lambda: len(auth.events) > before)
    auth.stop_auto_refresh()  # so that a later look at the storage doesn't deliver it
    wait_until(lambda: auth.session == other.session)
    assert hanging.status == "refreshing"
    proxy.recover()
    thread.join(20)


def test_stopping_the_loop_leaves_other_clients_refreshing(
    attentive: None, make_auth: MakeAuth, server: DemoServer
) -> None:
    """As `%unload_ext` does."""
    auth, other = make_auth(auto_refresh=True), make_auth()
    sign_in(auth, server)
    other.get_session()
    stop_owner_loop()
    assert owner_loop.running


# -- secrets ------------------------------------------------------------------------------------------------


def test_a_call_does_not_wait_until_earlier_records_are_cleaned_of_its_new_tokens(
    auth: AuthClient, server: DemoServer
) -> None:
    sign_in(auth, server)
    cleaned = threading.Event()
    stop = masking.listen(lambda values, given: cleaned.wait(60))
    refreshing = threading.Thread(target=auth.refresh_session, daemon=True)
    try:
        refreshing.start()
        refreshing.join(20)
        assert not refreshing.is_alive()
    finally:
        cleaned.set()
        stop()


def test_a_refresh_token_that_looks_like_a_word_is_masked_once_the_server_accepts_it(
    make_auth: MakeAuth,
) -> None:
    word = "qwertzuiopas"
    session = made.session("refreshtoken2")
    auth = make_auth(URL, storage=MemoryStorage(), transport=made.Answers(**{"POST /auth/v1/token": session}))
    assert masking.mask(word) == word
    auth.refresh_session(word)
    assert masking.mask(word) == "*" * len(word)


def test_a_token_of_set_auth_is_looked_for_in_cells(server: DemoServer) -> None:
    token, given = Secret(server.sign_in()["access_token"]), set()
    stop = masking.listen(lambda values, passed: given.update(values) if passed else None)
    try:
        with create_client(server.url, server.anon_key, storage=MemoryStorage()) as client:
            client.set_auth(token)
    finally:
        stop()
    assert given == {token}


def test_an_error_about_a_traits_value_does_not_keep_the_value(auth: AuthClient) -> None:
    secret = made.jwt()
    with pytest.raises(TraitError) as caught:
        auth.set_trait("session", secret)
    ours = [entry for entry in caught.traceback if "supabase_nb" in str(entry.path)]
    assert ours
    assert all(secret not in repr(entry.frame.f_locals) for entry in ours)


def test_an_error_about_a_file_that_is_open_to_others_does_not_keep_its_contents(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = made.jwt()
    storage.set("key", secret)
    (storage.path / "key.json").chmod(0o644)

    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "chmod", refused)
    with pytest.raises(AuthStorageError, match="other users can read") as caught:
        storage.get("key")
    ours = [entry for entry in caught.traceback if "supabase_nb" in str(entry.path)]
    assert ours
    assert all(secret not in repr(entry.frame.f_locals) for entry in ours)
