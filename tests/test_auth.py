"""AuthClient beyond `set_session`: getting, ending, changing and verifying sessions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import made
import pytest
from waiting import wait_until

import supabase_nb
from supabase_nb import (
    AuthApiError,
    AuthClient,
    AuthError,
    AuthInvalidJwt,
    AuthRetryableError,
    AuthSessionMissing,
    AuthStorageError,
    AuthWeakPassword,
    Client,
    FileStorage,
    MemoryStorage,
)
from supabase_nb.client._project_lookup import resolve_project
from supabase_nb.demo import DemoServer
from supabase_nb.storage import storage_key

MakeAuth = Callable[..., AuthClient]
URL = "https://abcd.supabase.co/auth/v1"
USER, TOKEN, LOGOUT = "GET /auth/v1/user", "POST /auth/v1/token", "POST /auth/v1/logout"


@pytest.fixture
def signed_in(auth: AuthClient, server: DemoServer) -> AuthClient:
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    return auth


# -- constructing -------------------------------------------------------------------------------------------


def test_constructing_touches_nothing(make_auth: MakeAuth, storage: FileStorage) -> None:
    threads = threading.active_count()
    make_auth(auto_refresh=True)
    assert not storage.path.exists()
    assert threading.active_count() <= threads


@pytest.mark.parametrize(
    "url", ["", "abcd", "ftp://abcd.supabase.co", "https://", "https://user@host", None, "//x"]
)
def test_an_invalid_url_is_refused_with_the_next_step(url: Any) -> None:
    with pytest.raises(AuthError, match="looks like https://abcd"):
        AuthClient(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://:planted@abcd.supabase.co", "no user name or password"),
        ("https://ada:planted@abcd.supabase.co", "no user name or password"),
        ("https://ada:planted@", "no user name or password"),
        ("https://@abcd.supabase.co", "no user name or password"),
        ("http://ada:planted@abcd.supabase.co", "no user name or password"),
        ("https://ada:planted@abcd.supabase.co:99999", "no user name or password"),
        ("https://abcd.supabase.co#planted", "no query or fragment"),
        ("https://abcd.supabase.co/#", "no query or fragment"),
        ("https://abcd.supabase.co?apikey=planted", "no query or fragment"),
        ("https://abcd.supabase.co/?", "no query or fragment"),
        ("https://ab cd.supabase.co", "not a project's URL"),
        ("https://\u202eabcd.supabase.co", "not a project's URL"),
        ("https://\ud800abcd.supabase.co", "not a project's URL"),
        ("https://abcd.supabase.co/\x00", "not a project's URL"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda url: AuthClient(url, storage=MemoryStorage()),
        lambda url: Client(url, "sb_publishable_x", storage=MemoryStorage()),
        lambda url: Client(URL, "sb_publishable_x", storage=MemoryStorage(), auth_url=url),
        lambda url: resolve_project(url, "sb_publishable_x"),
        lambda url: resolve_project(URL, "sb_publishable_x", auth_url=url),
        lambda url: resolve_project(environ={"SUPABASE_URL": url, "SUPABASE_KEY": "sb_publishable_x"}),
    ],
)
def test_a_url_with_more_than_an_address_is_refused(make: Any, url: str, problem: str) -> None:
    with pytest.raises(AuthError, match=problem) as caught:
        make(url)
    assert caught.value.code == "invalid_url"
    assert "planted" not in repr(caught.value) + str(caught.value) + repr(caught.value.__context__)


@pytest.mark.parametrize(
    "headers", [{"X": 5}, {5: "x"}, {"X": "é"}, {"é": "x"}, {"X": "a\r\nY: b"}, {"": "x"}]
)
def test_headers_that_cannot_be_sent_are_refused(headers: Any) -> None:
    with pytest.raises(AuthError, match="header") as caught:
        AuthClient(URL, headers=headers, storage=MemoryStorage())
    assert not caught.value.retryable


@pytest.mark.parametrize("callback", [None, 5, "print"])
def test_a_subscriber_that_cannot_be_called_is_refused(callback: Any, auth: AuthClient) -> None:
    with pytest.raises(TypeError, match="takes a function, not"):
        auth.on_auth_state_change(callback)


def test_tokens_are_not_sent_unencrypted() -> None:
    with pytest.raises(AuthError, match="unencrypted"):
        AuthClient("http://abcd.supabase.co/auth/v1")
    AuthClient("http://abcd.supabase.co/auth/v1", allow_http=True).close()
    AuthClient("http://localhost:9999").close()


@pytest.mark.parametrize(
    ("url", "name", "key"),
    [
        ("https://abcd.supabase.co", "", "sb-abcd-auth-token"),
        ("https://abcd.supabase.co/auth/v1", "work", "sb-abcd-auth-token-work"),
        ("http://127.0.0.1:54321", "", "sb-127.0.0.1-54321-auth-token"),
        ("https://auth.example.com", "", "sb-auth.example.com-auth-token"),
    ],
)
def test_the_storage_key_is_the_one_of_supabases_clients(url: str, name: str, key: str) -> None:
    assert storage_key(url, name) == key


# -- restoring ----------------------------------------------------------------------------------------------


def test_the_next_kernel_finds_the_session(signed_in: AuthClient, make_auth: MakeAuth) -> None:
    later = make_auth()
    assert later.session is None
    assert later.get_session() == signed_in.session == later.session
    assert later.user == signed_in.user


def test_the_first_subscription_reads_storage(signed_in: AuthClient, make_auth: MakeAuth) -> None:
    seen: list[Any] = []
    make_auth().on_auth_state_change(lambda event, session: seen.append((str(event), session)))
    assert seen == [("INITIAL_SESSION", signed_in.session)]


def test_what_supabase_py_stored_is_found(
    make_auth: MakeAuth, server: DemoServer, storage: FileStorage
) -> None:
    pair = server.sign_in()
    storage.set(storage_key(server.url), json.dumps({**pair, "provider_token": "unknown-field"}))
    auth = make_auth()
    session = auth.get_session()
    assert session is not None
    assert session.refresh_token == pair["refresh_token"]
    # Unknown fields are kept, and hidden.
    assert session.to_wire()["provider_token"] == "unknown-field"
    assert "unknown-field" not in repr(session) + str(vars(session))
    auth.refresh_session()
    stored = json.loads(storage.get(storage_key(server.url)) or "")
    assert {
        "access_token",
        "refresh_token",
        "expires_in",
        "expires_at",
        "token_type",
        "user",
    } <= stored.keys()


def test_not_signed_in(auth: AuthClient) -> None:
    assert auth.get_session() is None
    for call in (auth.refresh_session, auth.get_user, auth.get_claims, lambda: auth.sign_out("others")):
        with pytest.raises(AuthSessionMissing, match="Not signed in"):
            call()
    with pytest.raises(AuthSessionMissing, match="Not signed in"):
        auth.update_user({"data": {}})
    auth.sign_out()
    assert auth.status == "signed_out"


# -- refreshing ---------------------------------------------------------------------------------------------


def test_refresh_session_rotates_saves_and_notifies(
    signed_in: AuthClient, server: DemoServer, storage: FileStorage
) -> None:
    before = signed_in.session
    response = signed_in.refresh_session()
    assert before is not None
    assert response.session is not None
    assert response.session.refresh_token != before.refresh_token
    assert (
        json.loads(storage.get(storage_key(server.url)) or "")["refresh_token"]
        == response.session.refresh_token
    )
    assert signed_in.last_event is not None
    assert (signed_in.last_event.kind, signed_in.last_event.cause) == ("TOKEN_REFRESHED", "refreshed")


def test_a_final_answer_to_refresh_session_ends_the_session(
    signed_in: AuthClient, server: DemoServer, storage: FileStorage
) -> None:
    assert signed_in.session is not None
    server.request("POST", "/auth/v1/logout?scope=local", token=signed_in.session.access_token)
    with pytest.raises(AuthApiError) as caught:
        signed_in.refresh_session()
    assert caught.value.code == "refresh_token_not_found"
    assert (signed_in.session, signed_in.user, signed_in.status) == (None, None, "expired")
    assert signed_in.last_event is not None
    assert signed_in.last_event.kind == "SIGNED_OUT"
    assert storage.get(storage_key(server.url)) is None
    # Whose it was is known until the sign-out.
    assert signed_in.last_user is not None
    assert signed_in.last_user.email == "ada@example.com"
    signed_in.sign_out()
    assert signed_in.last_user is None


def test_get_session_refreshes_within_the_margin(make_auth: MakeAuth) -> None:
    answers = made.Answers()
    auth = make_auth(URL, transport=answers)
    answers[USER] = made.user()
    answers[TOKEN] = made.session("rotatedtoken")
    import time

    now = int(time.time())
    auth.set_session(made.jwt(iat=now - 3550, exp=now + 50), "abcdefghijkl")
    session = auth.get_session()
    assert session is not None
    assert session.refresh_token == "rotatedtoken"
    auth.get_session()
    assert answers.count(TOKEN) == 1
    assert auth.events[-1].cause == "refreshed automatically"
    answers[TOKEN] = made.session("rotatedagain")
    auth.refresh_session()
    assert auth.events[-1].cause == "refreshed"


def test_get_session_returns_a_valid_session_in_an_outage(make_auth: MakeAuth) -> None:
    answers = made.Answers()
    auth = make_auth(URL, transport=answers)
    answers[USER] = made.user()
    answers[TOKEN] = httpx.ConnectError("no route")
    import time

    now = int(time.time())
    token = made.jwt(iat=now - 3550, exp=now + 50)
    auth.set_session(token, "abcdefghijkl")
    session = auth.get_session()
    assert session is not None
    assert session.access_token == token
    assert isinstance(auth.last_error, AuthRetryableError)


# -- signing out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "others_live"), [("local", True), ("global", False)])
def test_sign_out_ends_the_session_here_and_there(
    scope: Any, others_live: bool, signed_in: AuthClient, server: DemoServer, storage: FileStorage
) -> None:
    other = server.sign_in()
    assert signed_in.session is not None
    token = signed_in.session.access_token
    signed_in.sign_out(scope)
    assert (signed_in.session, signed_in.user, signed_in.status) == (None, None, "signed_out")
    assert storage.get(storage_key(server.url)) is None
    with pytest.raises(AuthApiError):
        signed_in.get_user(token)
    if others_live:
        assert signed_in.get_user(other["access_token"]).email == "ada@example.com"
    else:
        with pytest.raises(AuthApiError):
            signed_in.get_user(other["access_token"])


def test_sign_out_of_the_others_keeps_this_session(signed_in: AuthClient, server: DemoServer) -> None:
    other = server.sign_in()
    signed_in.sign_out("others")
    assert signed_in.status == "active"
    assert signed_in.get_user().email == "ada@example.com"
    with pytest.raises(AuthApiError):
        signed_in.get_user(other["access_token"])


def test_an_unknown_scope_is_named(signed_in: AuthClient) -> None:
    with pytest.raises(AuthError, match=r"scope 'zzz'\. Use"):
        signed_in.sign_out("zzz")  # type: ignore[arg-type]
    assert signed_in.status == "active"


def test_sign_out_offline_is_signed_out_here(make_auth: MakeAuth) -> None:
    answers = made.Answers()
    auth = make_auth(URL, transport=answers)
    answers[USER] = made.user()
    auth.set_session(made.jwt(), "abcdefghijkl")
    answers[LOGOUT] = httpx.ConnectError("no route")
    auth.sign_out()
    assert (auth.status, auth.session) == ("signed_out", None)
    assert any("not confirmed it yet" in notice for notice in auth.notices)


def test_sign_out_with_an_expired_token_refreshes_first(make_auth: MakeAuth, storage: FileStorage) -> None:
    answers = made.Answers()
    storage.set(storage_key(URL), json.dumps({**made.session(), "access_token": made.expired()}))
    rotated = made.session("rotatedtoken")
    answers[TOKEN] = rotated
    answers[LOGOUT] = httpx.Response(204)
    auth = make_auth(URL, transport=answers)
    auth.sign_out("local")
    assert answers.asked[-1].headers["authorization"] == f"Bearer {rotated['access_token']}"
    assert storage.get(storage_key(URL)) is None


def test_sign_out_refreshes_if_only_the_server_knows_that_the_token_has_expired(make_auth: MakeAuth) -> None:
    answers = made.Answers()
    answers[USER] = made.user()
    auth = make_auth(URL, transport=answers)
    auth.set_session(made.jwt(), "abcdefghijkl")
    rotated = answers[TOKEN] = made.session("rotatedtoken", jti="2")
    authorization = f"Bearer {rotated['access_token']}"
    expired = made.refusal(403, "bad_jwt", "invalid JWT: token is expired")
    answers[LOGOUT] = lambda request: (
        httpx.Response(204) if request.headers["authorization"] == authorization else expired
    )
    auth.sign_out("local")
    assert answers.asked[-1].headers["authorization"] == authorization
    assert auth.notices == ()


def test_a_stored_session_whose_access_token_is_refused_is_refreshed(
    make_auth: MakeAuth, storage: FileStorage
) -> None:
    """Its key may be gone, or it has expired by the server's clock: the refresh token is still good."""
    storage.set(storage_key(URL), json.dumps(made.session()))
    answers = made.Answers()
    answers[USER] = made.refusal(403, "bad_jwt", "invalid JWT: unable to parse or verify signature")
    answers[TOKEN] = made.session("rotatedtoken", jti="2")
    auth = make_auth(URL, transport=answers, auto_refresh=True)
    auth.get_session()
    wait_until(lambda: auth.status == "active")
    assert auth.session is not None
    assert auth.session.refresh_token == "rotatedtoken"


# -- the user -----------------------------------------------------------------------------------------------


def test_get_user_asks_the_server(signed_in: AuthClient, server: DemoServer) -> None:
    assert signed_in.get_user().email == "ada@example.com"
    assert (
        signed_in.get_user(server.sign_in("grace@example.com")["access_token"]).email == "grace@example.com"
    )


def test_update_user_changes_nothing_but_the_user(
    auth: AuthClient, server: DemoServer, storage: FileStorage
) -> None:
    pair = server.sign_in("alan@example.com")
    auth.set_session(pair["access_token"], pair["refresh_token"])
    seen: list[Any] = []
    auth.on_auth_state_change(lambda event, session: seen.append((str(event), session)))
    response = auth.update_user({"data": {"theme": "dark"}})
    assert response.user is not None
    assert response.user.user_metadata["theme"] == "dark"
    assert auth.user == response.user
    assert auth.session is not None
    assert auth.session.access_token == pair["access_token"]
    assert [event for event, _ in seen] == ["INITIAL_SESSION", "USER_UPDATED"]
    assert json.loads(storage.get(storage_key(server.url)) or "")["user"]["user_metadata"]["theme"] == "dark"


def test_a_weak_password_says_why(signed_in: AuthClient) -> None:
    with pytest.raises(AuthWeakPassword) as caught:
        signed_in.update_user({"password": "x"})
    assert caught.value.reasons == ("length",)
    assert "stronger" in str(caught.value)


# -- claims -------------------------------------------------------------------------------------------------


def test_claims_are_verified_with_the_projects_keys(signed_in: AuthClient, server: DemoServer) -> None:
    assert signed_in.session is not None
    assert signed_in.get_claims()["session_id"] == signed_in.session.session_id
    head, payload, _ = signed_in.session.access_token.split(".")
    with pytest.raises(AuthInvalidJwt, match="signature"):
        signed_in.get_claims(f"{head}.{payload}.{made.segment(b'x' * 64)}")
    with pytest.raises(AuthInvalidJwt, match="readable"):
        signed_in.get_claims("nonsense")


def test_the_keys_are_fetched_once_for_any_number_of_threads(
    signed_in: AuthClient, server: DemoServer
) -> None:
    before = jwks_fetches(server)
    start = threading.Barrier(16)

    def verify() -> None:
        start.wait()
        signed_in.get_claims()

    threads = [threading.Thread(target=verify) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert jwks_fetches(server) - before == 1


def jwks_fetches(server: DemoServer) -> int:
    return sum(count for name, count in server.stats().items() if "jwks" in name)


def test_an_unknown_kid_asks_for_the_keys_at_most_twice(signed_in: AuthClient, server: DemoServer) -> None:
    before = jwks_fetches(server)
    head = made.segment({"alg": "ES256", "kid": "nobody", "typ": "JWT"})
    _, payload, signature = made.jwt().split(".")
    for _ in range(10):
        with pytest.raises(AuthInvalidJwt, match="the auth server rejected it"):
            signed_in.get_claims(f"{head}.{payload}.{signature}")
    assert 1 <= jwks_fetches(server) - before <= 2


# -- the public face ----------------------------------------------------------------------------------------


def test_the_exported_names() -> None:
    assert supabase_nb.__all__ == sorted(supabase_nb.__all__)
    for name in supabase_nb.__all__:
        assert getattr(supabase_nb, name) is not None
    with pytest.raises(AttributeError):
        supabase_nb.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_failed_save_is_reported_and_the_session_stays_usable(
    make_auth: MakeAuth, server: DemoServer
) -> None:
    class Full(MemoryStorage):
        def set(self, key: str, value: str) -> None:
            raise AuthStorageError("The disk is full.")

    auth = make_auth(storage=Full())
    pair = server.sign_in()
    with pytest.raises(AuthStorageError, match="full"):
        auth.set_session(pair["access_token"], pair["refresh_token"])
    assert auth.status == "active"
    assert auth.get_user().email == "ada@example.com"
    assert auth.last_event is not None
    assert auth.last_event.kind == "TOKEN_REFRESHED"


def test_a_coroutine_on_another_librarys_loop_says_so_before_anything_is_sent(make_auth: MakeAuth) -> None:
    """As in trio, or in a cell after ``%autoawait trio``."""
    answers = made.Answers(**{"GET /auth/v1/user": made.user()})
    auth = make_auth(transport=answers)
    with pytest.raises(AuthError, match=r"asyncio.*supabase\.auth\.get_user"):
        auth.aio.set_session(made.jwt(), "abcdefghijkl").send(None)
    assert auth.get_session() is None
    assert answers.asked == []
