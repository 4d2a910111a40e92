"""Responses that don't come from a current auth server: old servers, gateways and login pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import made
import pytest
from waiting import wait_until

from supabase_nb import AuthClient, MemoryStorage
from supabase_nb.errors import (
    AuthApiError,
    AuthError,
    AuthInvalidCredentials,
    AuthSessionMissing,
    AuthUnknownError,
    UserDoesntExist,
)

URL = "https://auth.example.com/auth/v1"
TOKEN, USER, LOGOUT = "POST /auth/v1/token", "GET /auth/v1/user", "POST /auth/v1/logout"
PAIR = made.session()
LOGIN_PAGE = httpx.Response(200, html="<html>Welcome to our Wi-Fi</html>")


@pytest.fixture
def network() -> made.Answers:
    """A server; all well until a test says otherwise."""
    return made.Answers(**{USER: PAIR["user"], TOKEN: PAIR, LOGOUT: httpx.Response(204)})


@pytest.fixture
def auth(network: made.Answers) -> Iterator[AuthClient]:
    """A signed-out client of it."""
    client = AuthClient(URL, storage=MemoryStorage(), transport=network, auto_refresh=False)
    yield client
    client.close()


def restored(auth: AuthClient) -> AuthClient:
    auth.set_session(PAIR["access_token"], PAIR["refresh_token"])
    return auth


# -- servers from before error codes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Invalid Refresh Token: Already Used", "refresh_token_already_used"),
        ("Invalid Refresh Token: Refresh Token Not Found", "refresh_token_not_found"),
        ("Invalid Refresh Token: Revoked", "refresh_token_not_found"),
        ("Invalid Refresh Token", "refresh_token_not_found"),
        ("Invalid Refresh Token: Session Expired (Inactivity)", "session_expired"),
        ("Invalid Refresh Token: No Valid Session Found", "session_not_found"),
        ("Invalid Refresh Token: User Banned", "user_banned"),
    ],
)
@pytest.mark.parametrize("form", ["oauth", "msg"])
def test_an_old_servers_refusal_of_a_refresh_token_is_final(
    text: str, code: str, form: str, auth: AuthClient, network: made.Answers
) -> None:
    body = (
        {"error": "invalid_grant", "error_description": text}
        if form == "oauth"
        else {"code": 400, "msg": text}
    )
    restored(auth)
    network[TOKEN] = httpx.Response(400, json=body)
    with pytest.raises(AuthApiError) as caught:
        auth.refresh_session()
    assert caught.value.code == code
    assert text in str(caught.value)
    assert auth.status == "expired"
    assert auth.get_session() is None


def test_oauths_own_code_is_final_whatever_the_text(auth: AuthClient, network: made.Answers) -> None:
    restored(auth)
    network[TOKEN] = httpx.Response(
        400, json={"error": "invalid_grant", "error_description": "Something new"}
    )
    with pytest.raises(AuthApiError, match="Something new") as caught:
        auth.refresh_session()
    assert (caught.value.code, auth.status) == ("invalid_grant", "expired")


def test_the_background_stops_at_an_old_servers_refusal(network: made.Answers) -> None:
    network[TOKEN] = httpx.Response(
        400, json={"error": "invalid_grant", "error_description": "Invalid Refresh Token: Already Used"}
    )
    now = int(time.time())
    short = made.session(iat=now, exp=now + 2)
    auth = AuthClient(URL, storage=MemoryStorage(), transport=network)
    try:
        auth.set_session(short["access_token"], short["refresh_token"])
        wait_until(lambda: auth.status == "expired")
    finally:
        auth.close()
    assert network.count(TOKEN) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, json={"code": 404, "msg": "User not found"}),
        httpx.Response(404, json={"msg": "User not found"}),
        httpx.Response(401, json={"code": 401, "msg": "User from sub claim in JWT does not exist"}),
    ],
)
def test_an_old_servers_deleted_user(answer: httpx.Response, auth: AuthClient, network: made.Answers) -> None:
    network[USER] = answer
    with pytest.raises(UserDoesntExist) as caught:
        restored(auth)
    assert caught.value.code == "user_not_found"


def test_an_old_server_without_the_session(auth: AuthClient, network: made.Answers) -> None:
    network[USER] = httpx.Response(
        403, json={"code": 403, "msg": "Session from session_id claim in JWT does not exist"}
    )
    with pytest.raises(AuthSessionMissing):
        restored(auth)


def test_an_old_server_whose_clock_says_that_the_token_has_expired(
    auth: AuthClient, network: made.Answers
) -> None:
    network[USER] = httpx.Response(
        401,
        json={"code": 401, "msg": "invalid JWT: unable to parse or verify signature, token is expired by 2s"},
    )
    network[TOKEN] = made.session("mnopqrstuvwx")
    restored(auth)
    assert auth.session is not None
    assert auth.session.refresh_token == "mnopqrstuvwx"


@pytest.mark.parametrize(
    ("path", "body", "call", "kind", "code"),
    [
        (
            TOKEN,
            {"error": "invalid_grant", "error_description": "Invalid login credentials"},
            lambda auth: auth.sign_in_with_password(email="ada@example.com", password="wrong"),
            AuthInvalidCredentials,
            "invalid_credentials",
        ),
        (
            TOKEN,
            {"error": "invalid_grant", "error_description": "Email not confirmed"},
            lambda auth: auth.sign_in_with_password(email="ada@example.com", password="right"),
            AuthApiError,
            "email_not_confirmed",
        ),
        (
            "POST /auth/v1/verify",
            {"code": 401, "msg": "Token has expired or is invalid"},
            lambda auth: auth.verify_otp(email="ada@example.com", token="123456"),
            AuthInvalidCredentials,
            "otp_expired",
        ),
        (
            "POST /auth/v1/signup",
            {"code": 422, "msg": "User already registered"},
            lambda auth: auth.sign_up(email="ada@example.com", password="right"),
            AuthApiError,
            "user_already_exists",
        ),
    ],
)
def test_an_old_servers_refusal_of_a_sign_in(
    path: str,
    body: dict[str, Any],
    call: Callable[[AuthClient], object],
    kind: type[AuthError],
    code: str,
    auth: AuthClient,
    network: made.Answers,
) -> None:
    network[path] = httpx.Response(400, json=body)
    with pytest.raises(kind) as caught:
        call(auth)
    assert caught.value.code == code


def test_a_404_of_the_auth_server_does_not_mean_a_wrong_url(auth: AuthClient, network: made.Answers) -> None:
    network[USER] = httpx.Response(404, json={"code": 404, "msg": "No such thing"})
    with pytest.raises(AuthApiError, match="No such thing"):
        restored(auth)


def test_a_404_of_a_gateway_means_a_wrong_url(auth: AuthClient, network: made.Answers) -> None:
    network[USER] = httpx.Response(404, json={"message": "no Route matched with those values"})
    with pytest.raises(AuthApiError, match="has no auth server at this address"):
        restored(auth)


# -- a 200 that is no answer --------------------------------------------------------------------------------

NO_ANSWERS: dict[str, Any] = {
    "empty": httpx.Response(200),
    "a login page": LOGIN_PAGE,
    "a list": httpx.Response(200, json=[]),
    "null": httpx.Response(200, content=b"null"),
}


@pytest.mark.parametrize("answer", NO_ANSWERS)
@pytest.mark.parametrize(
    ("path", "call"),
    [
        (USER, restored),
        (USER, lambda auth: auth.get_user(PAIR["access_token"])),
        (TOKEN, lambda auth: auth.set_session("", "abcdefghijkl")),
        (TOKEN, lambda auth: auth.sign_in_with_password(email="ada@example.com", password="right")),
        ("POST /auth/v1/otp", lambda auth: auth.sign_in_with_otp(email="ada@example.com")),
        ("POST /auth/v1/verify", lambda auth: auth.verify_otp(email="ada@example.com", token="123456")),
        ("POST /auth/v1/signup", lambda auth: auth.sign_in_anonymously()),
        ("POST /auth/v1/signup", lambda auth: auth.sign_up(email="ada@example.com", password="right")),
    ],
)
def test_a_200_with_unexpected_contents(
    answer: str, path: str, call: Callable[[AuthClient], object], auth: AuthClient, network: made.Answers
) -> None:
    network[path] = NO_ANSWERS[answer]
    with pytest.raises(AuthUnknownError, match="proxy or a login page"):
        call(auth)
    assert auth.session is None


@pytest.mark.parametrize(
    ("path", "call"),
    [
        (TOKEN, lambda auth: auth.sign_in_with_password(email="ada@example.com", password="right")),
        ("POST /auth/v1/signup", lambda auth: auth.sign_in_anonymously()),
    ],
)
def test_a_user_without_a_session_is_no_sign_in(
    path: str, call: Callable[[AuthClient], object], auth: AuthClient, network: made.Answers
) -> None:
    network[path] = {"user": PAIR["user"]}
    with pytest.raises(AuthUnknownError):
        call(auth)


@pytest.mark.parametrize("answer", NO_ANSWERS)
def test_a_login_page_does_not_confirm_the_sign_out(
    answer: str, auth: AuthClient, network: made.Answers
) -> None:
    restored(auth)
    network[LOGOUT] = NO_ANSWERS[answer]
    auth.sign_out()
    assert auth.session is None
    wait_until(lambda: any("not confirmed it yet" in notice for notice in auth.notices))


@pytest.mark.parametrize("answer", NO_ANSWERS)
def test_a_login_page_has_not_signed_out_the_others(
    answer: str, auth: AuthClient, network: made.Answers
) -> None:
    restored(auth)
    network[LOGOUT] = NO_ANSWERS[answer]
    with pytest.raises(AuthUnknownError):
        auth.sign_out("others")
