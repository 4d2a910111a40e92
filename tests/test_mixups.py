"""Mix-ups of keys, tokens and projects: reported before anything is sent."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import made
import pytest

from supabase_nb import AuthClient, AuthError, Client, MemoryStorage, create_client
from supabase_nb.client._project_lookup import resolve_project
from supabase_nb.demo._project.refresh_token_format import write_v2

URL = "https://abcd.supabase.co"
ANON = made.jwt({"iss": "supabase", "role": "anon", "ref": "abcd"})
SERVICE = made.jwt({"iss": "supabase", "role": "service_role", "ref": "abcd"})
RT = "abcdefghijkl"
SESSIONS = ("e6d9321c-6520-41f9-bda6-c8064d60fca5", "0b0b3c6e-5f0e-4a7c-9d3a-5a5f1c2d3e4f")


def refresh_token_v2(session_id: str) -> str:
    """A version 2 refresh token: it contains its session's id."""
    return write_v2(session_id, b"key", 3)


def token(**claims: object) -> str:
    return made.jwt(**{"iss": f"{URL}/auth/v1", "role": "authenticated", "aud": "authenticated", **claims})


class Refused(httpx.MockTransport):
    """Counts what is sent and refuses it."""

    def __init__(self) -> None:
        self.sent: list[httpx.Request] = []
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return httpx.Response(400, json={"code": "refresh_token_not_found", "message": "no"})


def enter(access_token: str, refresh_token: str, url: str = f"{URL}/auth/v1") -> tuple[AuthError, int]:
    transport = Refused()
    auth = AuthClient(url, storage=MemoryStorage(), auto_refresh=False, transport=transport)
    with pytest.raises(AuthError) as caught:
        auth.set_session(access_token, refresh_token)
    auth.close()
    return caught.value, len(transport.sent)


@pytest.mark.parametrize(
    ("access_token", "refresh_token", "code", "says"),
    [
        (ANON, RT, "key_for_token", "This is a project's anon key, not a user's access token"),
        (SERVICE, RT, "key_for_token", "This is a project's service_role key, not a user's access token"),
        (
            "sb_publishable_abc",
            RT,
            "key_for_token",
            "This is a project's publishable key, not a user's access token",
        ),
        ("sb_secret_abc", RT, "key_for_token", "This is a project's secret key, not a user's access token"),
        (token(), ANON, "key_for_token", "anon key, not a user's refresh token"),
        (token(), "sb_publishable_abcdef", "key_for_token", "key, not a user's refresh token"),
        (token(), "sb_secret_abcdef", "key_for_token", "key, not a user's refresh token"),
        (
            token(),
            "sbp_" + "0123456789" * 4,
            "key_for_token",
            "This is a personal access token for Supabase's",
        ),
        ("", "sb_secret_abcdef", "key_for_token", "key, not a user's refresh token"),
        (RT, token(), "swapped_tokens", "seem to be swapped"),
        ("***", "***", "masked_token", "the token was removed from its cell"),
        (token(), "************", "masked_token", "with no arguments to paste"),
        ("", token(), "swapped_tokens", "seem to be swapped"),
        (token(), token(), "swapped_tokens", "These are two access tokens"),
        (
            token(iss="https://efgh.supabase.co/auth/v1"),
            RT,
            "wrong_project",
            "another project (efgh.supabase.co); this client uses abcd.supabase.co",
        ),
        (
            made.expired(iss="https://efgh.supabase.co/auth/v1"),
            RT,
            "wrong_project",
            "is from another project",
        ),
        (
            token(session_id=SESSIONS[0]),
            refresh_token_v2(SESSIONS[1]),
            "session_mismatch",
            "two different sessions. Nothing was sent. Use both tokens of the same session.",
        ),
        (
            made.expired(session_id=SESSIONS[0]),
            refresh_token_v2(SESSIONS[1]),
            "session_mismatch",
            "different",
        ),
        (token(iss="https://accounts.google.com"), RT, "wrong_project", "issued by a third party"),
        (token(iss="accounts.google.com"), RT, "wrong_project", "issued by a third party"),
        (token(iss="https://securetoken.google.com/my-app"), RT, "wrong_project", "third party"),
        (token(iss="https://dev-1.eu.auth0.com/"), RT, "wrong_project", "third party"),
        (token(iss="https://x.clerk.accounts.dev"), RT, "wrong_project", "third party"),
        (token(iss="https://cognito-idp.eu-west-1.amazonaws.com/p"), RT, "wrong_project", "third party"),
    ],
)
def test_a_mixed_up_pair_is_not_sent(access_token: str, refresh_token: str, code: str, says: str) -> None:
    error, sent = enter(access_token, refresh_token)
    assert error.code == code
    assert says in str(error)
    assert sent == 0
    for given in (access_token, refresh_token):
        assert not given or given not in str(error)


@pytest.mark.parametrize("access_token", [token(session_id=SESSIONS[0]), made.expired(), "cut off", ""])
def test_tokens_that_may_be_of_one_session_are_left_to_the_server(access_token: str) -> None:
    error, sent = enter(access_token, refresh_token_v2(SESSIONS[0]))
    assert sent >= 1
    assert error.code != "session_mismatch"


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        (f"{URL}/auth/v1", URL),
        ("https://api.example.com/auth/v1", URL),  # a custom domain, and the project's own address
        (f"{URL}/auth/v1", "https://api.example.com"),
        ("http://localhost:9999", "http://127.0.0.1:54321"),
        ("http://127.0.0.1:54321/auth/v1", "https://tunnel.example.com"),
        ("supabase", URL),
        ("", URL),
        ("https://accounts.google.com.example.com", URL),
        ("https://notauth0.com", URL),
        ("https://efgh.supabase.co.example.com", URL),
        ("https://[::", URL),
        (7, URL),
    ],
)
def test_what_may_be_right_is_left_to_the_server(issuer: object, url: str) -> None:
    error, sent = enter(token(iss=issuer), RT, f"{url}/auth/v1")
    assert sent == 1
    assert error.code not in ("wrong_project", "key_for_token", "swapped_tokens")


@pytest.mark.parametrize(
    "key",
    [
        token(session_id="e6d9321c-6520-41f9-bda6-c8064d60fca5"),
        made.jwt({"sub": made.USER_ID, "role": "authenticated"}),
        token(iss="https://accounts.google.com"),
    ],
)
def test_a_token_is_no_key(key: str) -> None:
    for make in (create_client, Client, resolve_project):
        with pytest.raises(AuthError, match="This is a user's access token, not the project's key") as caught:
            make(URL, key)
        assert caught.value.code == "token_for_key"
        assert key not in str(caught.value)


def test_a_refresh_token_is_no_key() -> None:
    key = refresh_token_v2(SESSIONS[0])
    with pytest.raises(AuthError, match="This is a user's refresh token, not the project's key") as caught:
        create_client(URL, key)
    assert caught.value.code == "token_for_key"
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", [ANON, "sb_publishable_abc", "any", made.jwt({"role": "custom", "sub": "x"})])
def test_other_keys_are_taken(key: str) -> None:
    with create_client(URL, key, storage=MemoryStorage()) as client:
        assert client.key == key


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://supabase.com/dashboard/project/abcd", URL),
        ("https://supabase.com/dashboard/project/abcd/settings/api-keys", URL),
        ("https://supabase.com/dashboard/project/abcd?x=1", URL),
        ("https://app.supabase.com/project/abcd", URL),
        ("abcd.supabase.co", URL),
        ("abcd.supabase.co/", URL),
        (f"{URL}/rest/v1", URL),
        (f"{URL}/rest/v1/", URL),
        (f"{URL}/rest/v1/trips", URL),
        (f"{URL}/auth/v1", URL),
        (f"{URL}/auth/v1/token", URL),
        (f"{URL}/storage/v1/object", URL),
        (f"{URL}/functions/v1", URL),
        ("https://host.example.com/a/auth/v1", "https://host.example.com/a"),
        ("http://127.0.0.1:54321/rest/v1", "http://127.0.0.1:54321"),
        (URL, URL),
        (f" {URL}/ ", URL),
    ],
)
def test_the_projects_url_from_what_people_copy(given: str, meant: str) -> None:
    with create_client(given, "sb_publishable_abc", storage=MemoryStorage()) as client:
        assert client.url == meant
        assert client.auth.url == f"{meant}/auth/v1"
    assert resolve_project(given, "sb_publishable_abc").url.rstrip("/") == meant


@pytest.mark.parametrize(
    "url",
    [
        "https://supabase.com/dashboard",
        "https://supabase.com/dashboard/project/_/settings/api",
        "https://supabase.com/docs",
        "https://app.supabase.com/projects",
    ],
)
def test_a_dashboard_page_without_a_project_is_reported(url: str) -> None:
    for make in (create_client, resolve_project):
        with pytest.raises(AuthError, match="not a project's URL") as caught:
            make(url, "sb_publishable_abc")
        assert caught.value.code == "invalid_url"


@pytest.mark.parametrize("url", [None, 7, b"x", "", "https://[::", "x" * 100_000])
def test_what_is_no_url_raises_nothing_else(url: object) -> None:
    with pytest.raises(AuthError):
        create_client(url, "k")  # type: ignore[arg-type]


def test_mix_ups_are_refused_beside_a_session_in_force_too() -> None:
    session = made.session()
    answers = made.Answers(**{"GET /auth/v1/user": session["user"]})
    auth = AuthClient(f"{URL}/auth/v1", storage=MemoryStorage(), transport=answers, auto_refresh=False)
    pair = session["access_token"], session["refresh_token"]
    auth.set_session(*pair)
    asked = len(answers.asked)
    for given, code in (
        (pair[::-1], "swapped_tokens"),
        ((pair[0], pair[0]), "swapped_tokens"),
        ((pair[0], ANON), "key_for_token"),
        ((token(iss="https://efgh.supabase.co/auth/v1"), pair[1]), "wrong_project"),
    ):
        with pytest.raises(AuthError) as caught:
            auth.set_session(*given)
        assert caught.value.code == code
    assert len(answers.asked) == asked
    auth.set_session(*pair)


# -- storages -----------------------------------------------------------------------------------------------


class Asynchronous(MemoryStorage):
    async def get(self, key: str) -> str | None:  # type: ignore[override]
        return super().get(key)


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        ("memory", "MemoryStorage"),
        (MemoryStorage, "MemoryStorage"),
        (object(), "get, set, remove and lock"),
        ({}, "get, set, remove and lock"),
        (Asynchronous(), "coroutine"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("make", [AuthClient, lambda url, **options: Client(url, ANON, **options)])
def test_what_is_no_storage_is_refused_at_once(
    make: Callable[..., object], storage: object, says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        make(URL, storage=storage)


def test_a_storage_that_is_empty_is_used() -> None:
    """Not the default storage, which would write the tokens to a file."""

    class Empty(MemoryStorage):
        def __len__(self) -> int:
            return 0

    storage = Empty()
    assert AuthClient(URL, storage=storage).storage is storage
