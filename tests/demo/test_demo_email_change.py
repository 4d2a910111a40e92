"""Changing an email address: at once for anonymous users, otherwise with a confirmation email (``recover``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from supabase_nb.demo import DemoServer, DemoServerError
from supabase_nb.demo.testing import running_server

OLD, NEW = "ada@example.com", "countess@example.com"
HALF = "Confirmation link accepted. Please proceed to confirm link sent to the other email"
CHALLENGE = {"code_challenge": "v" * 43, "code_challenge_method": "plain"}


@pytest.fixture
def careful() -> Iterator[DemoServer]:
    """A server on which both addresses have to confirm."""
    with running_server(autoconfirm=False) as running:
        yield running


def change(server: DemoServer, token: str, **more: str) -> Any:
    return server.request("PUT", "/auth/v1/user", {"email": NEW, **more}, token=token)


def verify(server: DemoServer, email: str, code: str) -> Any:
    body = {"type": "email_change", "email": email, "token": code}
    return server.request("POST", "/auth/v1/verify", body)


def code_to(server: DemoServer, address: str) -> str:
    code: str = server.outbox(address)[-1]["email_otp"]
    return code


def test_with_autoconfirm_the_new_address_is_confirmed_by_mail_too(server: DemoServer) -> None:
    token = server.sign_in()["access_token"]
    user = change(server, token)
    assert (user["email"], user["new_email"]) == (OLD, NEW)
    assert user["email_change_sent_at"]
    assert len(server.outbox(OLD)) == len(server.outbox(NEW)) == 1
    session = verify(server, NEW, code_to(server, NEW))
    assert session["user"]["email"] == NEW
    assert "new_email" not in session["user"]
    identity = session["user"]["identities"][0]
    assert (identity["email"], identity["identity_data"]["email_verified"]) == (NEW, True)
    assert session["user"]["user_metadata"]["email"] == OLD  # that of the sign-up, for good
    assert server.request("GET", "/auth/v1/user", token=token)["email"] == NEW
    server.sign_in(NEW)
    with pytest.raises(DemoServerError, match="Token has expired or is invalid"):
        verify(server, OLD, code_to(server, OLD))


@pytest.mark.parametrize(("first", "second"), [(OLD, NEW), (NEW, OLD)])
def test_both_addresses_confirm_by_code(careful: DemoServer, first: str, second: str) -> None:
    token = careful.sign_in()["access_token"]
    change(careful, token)
    assert verify(careful, first, code_to(careful, first)) == {"code": "200", "msg": HALF}
    half = careful.request("GET", "/auth/v1/user", token=token)
    assert (half["email"], half["new_email"]) == (OLD, NEW)
    with pytest.raises(DemoServerError, match="Token has expired or is invalid"):
        verify(careful, first, code_to(careful, first))
    assert verify(careful, second, code_to(careful, second))["user"]["email"] == NEW


def test_a_code_counts_only_with_its_own_address(careful: DemoServer) -> None:
    change(careful, careful.sign_in()["access_token"])
    with pytest.raises(DemoServerError, match="Token has expired or is invalid"):
        verify(careful, OLD, code_to(careful, NEW))


def test_both_addresses_confirm_by_link(careful: DemoServer) -> None:
    change(careful, careful.sign_in()["access_token"])
    first, second = (urlsplit(follow(careful, address)) for address in (NEW, OLD))
    assert parse_qs(first.fragment)["message"] == [HALF]
    assert not first.query
    assert "access_token" in parse_qs(second.fragment)


def test_with_pkce_the_message_is_in_the_query_too(careful: DemoServer) -> None:
    change(careful, careful.sign_in()["access_token"], **CHALLENGE)
    first = urlsplit(follow(careful, OLD))
    assert parse_qs(first.query)["message"] == parse_qs(first.fragment)["message"] == [HALF]
    (code,) = parse_qs(urlsplit(follow(careful, NEW)).query)["code"]
    body = {"auth_code": code, "code_verifier": CHALLENGE["code_challenge"]}
    session = careful.request("POST", "/auth/v1/token?grant_type=pkce", body)
    assert session["user"]["email"] == NEW
    again = urlsplit(follow(careful, NEW))
    assert parse_qs(again.query)["error_code"] == parse_qs(again.fragment)["error_code"] == ["otp_expired"]


def follow(server: DemoServer, address: str) -> str:
    answer = httpx.get(server.outbox(address)[-1]["action_link"])
    assert answer.status_code == 303
    location: str = answer.headers["location"]
    return location


def test_an_anonymous_user_gets_the_address_at_once_or_by_one_mail(
    server: DemoServer, careful: DemoServer
) -> None:
    guest = server.request("POST", "/auth/v1/signup", {})["access_token"]
    user = change(server, guest)
    assert (user["email"], user["is_anonymous"], server.outbox()) == (NEW, False, [])
    guest = careful.request("POST", "/auth/v1/signup", {})["access_token"]
    user = change(careful, guest)
    assert (user["email"], user["new_email"]) == ("", NEW)
    assert [mail["to"] for mail in careful.outbox()] == [NEW]
    user = verify(careful, NEW, code_to(careful, NEW))["user"]
    assert (user["email"], user["is_anonymous"]) == (NEW, False)


def test_an_address_taken_meanwhile_is_refused(server: DemoServer) -> None:
    token = server.sign_in()["access_token"]
    change(server, token)
    server.admin("POST", "/users", {"email": NEW})
    with pytest.raises(DemoServerError, match="422 A user with this email address has already"):
        verify(server, NEW, code_to(server, NEW))


def test_an_address_set_by_an_admin_ends_the_change(server: DemoServer) -> None:
    session = server.sign_in()
    change(server, session["access_token"])
    server.admin("PUT", f"/users/{session['user']['id']}", {"email": "lovelace@example.com"})
    with pytest.raises(DemoServerError, match="Token has expired or is invalid"):
        verify(server, NEW, code_to(server, NEW))


def test_a_second_change_within_a_minute_is_refused(server: DemoServer) -> None:
    token = server.sign_in()["access_token"]
    change(server, token)
    verify(server, NEW, code_to(server, NEW))
    with pytest.raises(DemoServerError, match="429 For security purposes"):
        change(server, token, email="another@example.com")
    server.advance(61)
    assert change(server, token, email="another@example.com")["new_email"] == "another@example.com"


def test_the_same_address_is_no_change(server: DemoServer) -> None:
    user = change(server, server.sign_in()["access_token"], email=OLD)
    assert "new_email" not in user
    assert server.outbox() == []
