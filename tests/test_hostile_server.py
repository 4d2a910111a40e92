"""Responses that no auth server should send: each becomes a value or one of our errors, and no session is harmed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import made
import pytest
from faults.proxy import Exchange, Fault, FaultProxy
from waiting import wait_until

from supabase_nb import AuthClient, AuthWeakPassword, FileStorage, MemoryStorage, create_client
from supabase_nb.demo import DemoServer
from supabase_nb.storage import storage_key

MakeAuth = Callable[..., AuthClient]
URL = "https://abcd.supabase.co/auth/v1"
USER, TOKEN = "GET /auth/v1/user", "POST /auth/v1/token"
SOMEONE_ELSE = "0b6c7d0e-5a55-4f2b-9d5e-54b0e4b3a0aa"


@pytest.mark.parametrize("reasons", [True, 1, 1.5, None, "length", {"length": 1}, [["length"]], [None]])
def test_reasons_of_a_weak_password_of_any_type(reasons: Any, make_auth: MakeAuth) -> None:
    body = {"code": "weak_password", "message": "Too short", "weak_password": {"reasons": reasons}}
    auth = make_auth(URL, transport=made.Answers(**{"POST /auth/v1/signup": httpx.Response(422, json=body)}))
    with pytest.raises(AuthWeakPassword, match="Too short") as caught:
        auth.sign_up(email="ada@example.com", password="abc")
    assert all(isinstance(reason, str) for reason in caught.value.reasons)
    assert len(caught.value.reasons) == (len(reasons) if isinstance(reasons, list) else 0)


def test_another_users_answer_is_not_taken_for_the_stored_session(
    make_auth: MakeAuth, storage: FileStorage
) -> None:
    storage.set(storage_key(URL), json.dumps(made.session()))
    answers = made.Answers(**{USER: made.user(SOMEONE_ELSE, email="eve@example.com")})
    auth = make_auth(URL, transport=answers, auto_refresh=True)
    auth.get_session()
    wait_until(lambda: auth.last_error is not None)
    assert auth.last_error is not None
    assert auth.last_error.code == "session_mismatch"
    assert auth.user is not None
    assert auth.user.id == made.USER_ID
    assert auth.get_session() is not None, "the session is kept"


def with_header(header: bytes) -> Fault:
    """The server's answer, with one more header from a proxy."""

    def fault(exchange: Exchange) -> None:
        status, rest = exchange.forward().split(b"\r\n", 1)
        exchange.send(status + b"\r\n" + header + b"\r\n" + rest)

    return fault


@pytest.mark.parametrize("header", [b"Via: 1.1 B\xfcro", "Via: 1.1 Büro".encode(), b"Date: \xff", b"X: \x81"])
def test_a_proxys_headers_in_any_encoding(
    header: bytes, make_auth: MakeAuth, server: DemoServer, proxy: FaultProxy
) -> None:
    auth, pair = make_auth(proxy.auth_url), server.sign_in()
    proxy.always(with_header(header))
    auth.set_session(pair["access_token"], pair["refresh_token"])
    assert auth.refresh_session().session.refresh_token != pair["refresh_token"]
    assert auth.status == "active"


def test_a_proxys_headers_of_an_error_that_repeats_the_token(server: DemoServer) -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, headers=[(b"Via", b"1.1 B\xfcro")], text=request.headers["authorization"])

    answers = made.Answers(**{"POST /auth/v1/token": made.session(), "GET /rest/v1/trips": echo})
    with create_client(
        server.url, server.anon_key, storage=MemoryStorage(), transport=answers, auto_refresh=False
    ) as client:
        client.auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
        response = client.http.get("/rest/v1/trips")
    assert (response.status_code, response.headers["via"]) == (400, "1.1 Büro")
    assert response.text == "Bearer •••"
