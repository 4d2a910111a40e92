"""Each status and kind of error in the documentation, caused on purpose with the embedded server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import wait_until

from supabase_nb import (
    AuthApiError,
    AuthError,
    AuthInvalidCredentials,
    AuthInvalidJwt,
    AuthRetryableError,
    AuthSessionMismatch,
    AuthSessionMissing,
    AuthStorageError,
    AuthWeakPassword,
    Client,
    FileStorage,
    UserDoesntExist,
    create_client,
)
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server


@pytest.fixture(scope="module")
def own_server() -> Iterator[DemoServer]:
    """One whose clock may be advanced, and that may have an outage."""
    with running_server() as server:
        yield server


@pytest.fixture
def make_client(own_server: DemoServer, tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Makes clients that share a storage; they refresh in the background as in a notebook."""
    made = []

    def make(url: str = own_server.url) -> Client:
        made.append(create_client(url, own_server.anon_key, storage=FileStorage(tmp_path)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def supabase(make_client: Callable[..., Client]) -> Client:
    return make_client()


def tokens(server: DemoServer, email: str = "ada@example.com") -> tuple[str, str]:
    session = server.sign_in(email)
    return session["access_token"], session["refresh_token"]


@contextmanager
def error_of(kind: type[AuthError], code: str | None, says: str) -> Iterator[None]:
    """What is done here raises exactly this kind of error, whose message says what to do next."""
    with pytest.raises(kind) as caught:
        yield
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert says in caught.value.message


def test_the_six_statuses(
    own_server: DemoServer, supabase: Client, make_client: Callable[..., Client]
) -> None:
    auth = supabase.auth
    seen = [auth.status]
    auth.observe(lambda change: seen.append(change.new), "status")
    auth.set_session(*tokens(own_server))
    auth.refresh_session()
    assert seen == ["signed_out", "active", "refreshing", "active"]

    # Another kernel finds the session in storage.
    other = make_client().auth
    restored: list[str] = []
    other.observe(lambda change: restored.append(change.new), "status")
    other.get_session()
    wait_until(lambda: other.status == "active")
    assert restored == ["restoring", "active"]

    own_server.outage(60)
    with pytest.raises(AuthRetryableError):
        auth.refresh_session()
    assert auth.status == "retrying"
    assert auth.next_refresh_at is not None
    own_server.outage(0)
    wait_until(lambda: auth.status == "active")

    assert auth.session is not None
    own_server.request("POST", "/auth/v1/logout?scope=local", token=auth.session.access_token)
    with error_of(AuthApiError, "refresh_token_not_found", "Sign in again"):
        auth.refresh_session()
    assert auth.status == "expired"
    assert auth.last_error is not None


def test_no_session(supabase: Client) -> None:
    with error_of(AuthSessionMissing, "session_missing", "sign in"):
        supabase.auth.get_user()


def test_expired_without_a_refresh_token(supabase: Client) -> None:
    with error_of(AuthSessionMissing, "session_missing", "refresh token"):
        supabase.auth.set_session("an.expired.token", "")


def test_a_deleted_user(own_server: DemoServer, supabase: Client) -> None:
    new = {"email": f"new{time.time_ns()}@example.com", "email_confirm": True, "password": "long enough"}
    user = own_server.admin("POST", "/users", new)
    session = own_server.sign_in(user["email"], "long enough")
    own_server.admin("DELETE", f"/users/{user['id']}")
    with error_of(UserDoesntExist, "user_not_found", "Sign in again"):
        supabase.auth.set_session(session)


def test_tokens_of_two_users(own_server: DemoServer, supabase: Client) -> None:
    access_token, _ = tokens(own_server, "grace@example.com")
    _, refresh_token = tokens(own_server, "alan@example.com")
    own_server.expire("grace@example.com")
    with error_of(AuthSessionMismatch, "session_mismatch", "same session"):
        supabase.auth.set_session(access_token, refresh_token)


def test_a_refresh_token_that_another_program_has_used(own_server: DemoServer, supabase: Client) -> None:
    access_token, refresh_token = tokens(own_server, "grace@example.com")
    newest = refresh_token
    for _ in range(3):
        answer = own_server.request(
            "POST", "/auth/v1/token?grant_type=refresh_token", {"refresh_token": newest}
        )
        newest = answer["refresh_token"]
    own_server.expire("grace@example.com")
    own_server.advance(60)
    with error_of(AuthApiError, "refresh_token_already_used", "Sign in again"):
        supabase.auth.set_session(access_token, refresh_token)
    own_server.advance(-60)


def test_passwords(own_server: DemoServer, supabase: Client) -> None:
    with error_of(AuthInvalidCredentials, "invalid_credentials", "Check the"):
        supabase.auth.sign_in_with_password(email="ada@example.com", password="wrong")
    supabase.auth.set_session(*tokens(own_server))
    with error_of(AuthWeakPassword, "weak_password", "Choose a stronger password"):
        supabase.auth.update_user({"password": "123"})


def test_claims_without_a_signature(supabase: Client) -> None:
    with error_of(AuthInvalidJwt, "bad_jwt", "sign in again"):
        supabase.auth.get_claims("eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2lnbmVk")


def test_an_address_where_nothing_listens(
    own_server: DemoServer, make_client: Callable[..., Client], free_port: int
) -> None:
    with error_of(AuthRetryableError, "network", f"127.0.0.1:{free_port}"):
        make_client(f"http://127.0.0.1:{free_port}").auth.set_session(*tokens(own_server))


def test_an_address_without_an_auth_server(
    own_server: DemoServer, make_client: Callable[..., Client]
) -> None:
    with error_of(AuthApiError, None, "Check the project's URL"):
        make_client(f"{own_server.url}/oops").auth.set_session(*tokens(own_server))


def test_a_storage_folder_that_cannot_be_found() -> None:
    with error_of(AuthStorageError, None, "SUPABASE_NB_SESSIONS"):
        FileStorage("~a-user-that-is-unknown-here/sessions")


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
