"""Concurrent calls: superseded ones raise an error, interrupted ones don't block later ones, sign-out never waits."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from faults.proxy import Exchange, Fault, FaultProxy, hang, hang_after, pause
from waiting import wait_until

from supabase_nb import AuthClient, AuthError, AuthRetryableError, MemoryStorage, create_client
from supabase_nb.demo import DemoServer

MakeAuth = Callable[..., AuthClient]


def in_thread(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Start a call. Its result, or what it raised, is in the list when the thread has ended."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(call())
        except AuthError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


@pytest.mark.parametrize("scope", ["local", "global"])
def test_signing_out_while_set_session_exchanges_ends_what_the_server_issued(
    scope: str, make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    auth = make_auth(proxy.auth_url, auto_refresh=True)
    pair = server.sign_in("grace@example.com")
    proxy.next(hang_after)
    thread, outcome = in_thread(lambda: auth.set_session("", pair["refresh_token"]))
    proxy.wait_for(1)
    auth.sign_out(scope)  # type: ignore[arg-type]
    proxy.recover()
    thread.join(20)
    (error,) = outcome
    assert isinstance(error, AuthError)
    assert error.code == "superseded"
    assert auth.session is None
    # The server ends it too: the access token that came with the first sign-in is of the same session.
    wait_until(lambda: proxy.count("/logout") == 1)
    wait_until(lambda: ended(server, pair["access_token"]))


def ended(server: DemoServer, access_token: str) -> bool:
    found = httpx.get(
        f"{server.auth_url}/user",
        headers={"apikey": server.anon_key, "authorization": f"Bearer {access_token}"},
    )
    return found.status_code == 403 and found.json()["error_code"] == "session_not_found"


def test_a_later_set_session_replaces_an_earlier_one(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    auth = make_auth(proxy.auth_url, auto_refresh=True)
    a, b = server.sign_in(), server.sign_in("grace@example.com")
    proxy.next(hang_after, path="/user")
    first, outcome = in_thread(lambda: auth.set_session(a["access_token"], a["refresh_token"]))
    proxy.wait_for(1, path="/user")
    auth.set_session(b["access_token"], b["refresh_token"])
    proxy.recover()
    first.join(20)
    (error,) = outcome
    assert isinstance(error, AuthError)
    assert error.code == "superseded"
    assert auth.user is not None
    assert auth.user.email == "grace@example.com"
    # The tokens were supplied, not issued for this call: they are not signed out.
    server.request("GET", "/auth/v1/user", token=a["access_token"])


def test_two_calls_with_the_same_tokens_both_succeed(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    auth = make_auth(proxy.auth_url)
    pair = server.sign_in()
    proxy.next(hang_after, path="/user")
    first, outcome = in_thread(lambda: auth.set_session(pair["access_token"], pair["refresh_token"]))
    proxy.wait_for(1, path="/user")
    auth.set_session(pair["access_token"], pair["refresh_token"])
    proxy.recover()
    first.join(20)
    (response,) = outcome
    assert response.user.email == "ada@example.com"  # type: ignore[attr-defined]


def test_signing_out_during_a_sign_in_replaces_it(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    """A sign-in's place in the order is decided when it starts, not when the server responds."""
    auth = make_auth(proxy.auth_url, auto_refresh=True)
    proxy.next(hang_after)
    credentials = {"email": "ada@example.com", "password": "correct horse battery"}
    thread, outcome = in_thread(lambda: auth.sign_in_with_password(credentials))
    proxy.wait_for(1)
    auth.sign_out("local")
    proxy.recover()
    thread.join(20)
    (error,) = outcome
    assert isinstance(error, AuthError)
    assert error.code == "superseded"
    assert auth.session is None
    wait_until(lambda: proxy.count("/logout") == 1)


def test_sign_out_does_not_wait_for_a_server_that_hangs(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    auth = make_auth(proxy.auth_url, auto_refresh=True)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    proxy.next(hang_after, path="/logout")
    auth.sign_out("local")
    # It has returned although no answer has come, and none has been given up: that would be a notice.
    proxy.wait_for(1, path="/logout")
    assert auth.notices == ()
    assert (auth.status, auth.session) == ("signed_out", None)
    proxy.recover()
    wait_until(lambda: ended(server, pair["access_token"]))


@pytest.mark.skipif(sys.platform == "win32", reason="sends the main thread a signal")
@pytest.mark.parametrize("fault", [hang, hang_after])
def test_after_ctrl_c_a_refresh_works_at_once(
    fault: Fault, make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupted exchange still hangs; the next call sends its own request instead of waiting for it."""
    # It hangs for longer than any call waits.
    monkeypatch.setattr("supabase_nb.auth._api.auth_api.READ_TIMEOUT", 60.0)
    monkeypatch.setattr("supabase_nb.auth._api.auth_api.REQUEST_TIMEOUT", 60.0)
    auth = make_auth(proxy.auth_url)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    proxy.next(fault)

    def interrupt() -> None:
        proxy.wait_for(1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        auth.refresh_session()
    interrupting.join(20)
    response = auth.refresh_session()  # joined to the hanging request, it would fail with it
    assert response.session is not None
    assert response.session.refresh_token != pair["refresh_token"]
    assert proxy.count() == 2
    # The first answer arrives late and changes nothing.
    proxy.recover()
    wait_until(lambda: not auth._manager.loop._tasks)  # type: ignore[attr-defined]
    assert auth.get_user().email == "ada@example.com"
    assert auth.session == response.session
    assert auth.last_error is None
    auth.refresh_session()
    assert auth.status == "active"


@pytest.mark.skipif(sys.platform == "win32", reason="sends the main thread a signal")
def test_observers_hear_of_a_refresh_that_ends_after_ctrl_c(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Until Ctrl-C, the call has delivered nothing.
    monkeypatch.setattr("supabase_nb.auth._blocking_call._DELIVER_AFTER", 600.0)
    auth = make_auth(proxy.auth_url)
    pair = server.sign_in()
    before = auth.set_session(pair["access_token"], pair["refresh_token"]).session
    proxy.next(hang_after)

    def interrupt() -> None:
        proxy.wait_for(1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        auth.refresh_session()
    interrupting.join(20)
    wait_until(lambda: auth.status == "refreshing")
    proxy.recover()
    wait_until(lambda: auth.session != before)
    assert auth.status == "active"


@pytest.mark.skipif(sys.platform == "win32", reason="sends the main thread a signal")
def test_after_ctrl_c_a_refresh_that_waits_for_another_kernel_is_joined_quietly(
    make_auth: MakeAuth, server: DemoServer, lock_session: Callable[..., Any]
) -> None:
    """Nothing was sent yet, so there is nothing to replace: the next call waits, and does not spin."""
    auth = make_auth()
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    refresher = auth._manager.refresher
    started: list[object] = []
    start = refresher.start

    def counted(*arguments: Any, **options: Any) -> Any:
        started.append(arguments)
        return start(*arguments, **options)

    refresher.start = counted  # type: ignore[method-assign]

    def interrupt() -> None:
        wait_until(lambda: started)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with lock_session(auth) as locked:
        assert locked
        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            auth.refresh_session()
        interrupting.join(20)
        with pytest.raises(AuthRetryableError):
            auth.refresh_session()
    assert len(started) < 5


@pytest.mark.parametrize("fault", [hang_after, pause])
def test_a_request_under_way_is_answered_when_the_client_is_closed_and_leaves_no_connection(
    make_auth: MakeAuth,
    proxy: FaultProxy,
    server: DemoServer,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "httpcore.http11")
    auth = make_auth(proxy.auth_url)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    caplog.clear()
    proxy.next(fault, path="/user")
    thread, outcome = in_thread(auth.get_user)
    proxy.wait_for(2, path="/user")
    wait_until(lambda: fault is not pause or "receive_response_body.started" in caplog.text)
    auth.close()
    assert proxy.connections
    proxy.recover()
    thread.join(20)
    assert outcome[0].email == "ada@example.com"  # type: ignore[attr-defined]
    wait_until(lambda: not proxy.connections)


@pytest.mark.parametrize("sent_before", [0, 50_000])
def test_a_query_under_way_is_answered_in_full_when_the_client_is_closed(
    proxy: FaultProxy, server: DemoServer, caplog: pytest.LogCaptureFixture, sent_before: int
) -> None:
    caplog.set_level("DEBUG", "httpcore.http11")
    rows = [{"id": number} for number in range(100_000)]
    body = json.dumps(rows).encode()

    def in_two_parts(exchange: Exchange) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = head.encode() + body
        exchange.send(answer[:sent_before])
        exchange.wait()
        exchange.send(answer[sent_before:])

    proxy.always(in_two_parts, path="/rest/v1/")
    client = create_client(proxy.url, server.anon_key, storage=MemoryStorage(), auto_refresh=False)
    thread, outcome = in_thread(lambda: client.table("trips").select("id").execute().data)
    proxy.wait_for(1, path="/rest/v1/")
    wait_until(lambda: not sent_before or "receive_response_body.started" in caplog.text)
    client.close()
    proxy.recover()
    thread.join(20)
    assert outcome == [rows]
    wait_until(lambda: not proxy.connections)


def test_a_call_that_sends_its_first_request_after_closing_leaves_no_connection(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, lock_session: Callable[..., Any]
) -> None:
    pair = server.sign_in()
    first, auth = make_auth(proxy.auth_url), make_auth(proxy.auth_url)
    first.set_session(pair["access_token"], pair["refresh_token"])
    first.close()
    assert auth.get_session()
    with lock_session(auth) as locked:
        assert locked
        thread, outcome = in_thread(auth.refresh_session)
        wait_until(lambda: auth.status == "refreshing")
        auth.close()
    thread.join(20)
    assert [type(response).__name__ for response in outcome] == ["SessionResponse"]
    assert proxy.count() == 1
    wait_until(lambda: not proxy.connections)
