"""Sign-ins in a browser: with a provider, and with the project as an OAuth 2.1 server."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import made
import pytest

from supabase_nb import AuthApiError, AuthClient, AuthError, AuthImplicitGrantRedirectError, MemoryStorage
from supabase_nb.auth._browser_sign_in import BrowserSignIn, begin_with_oauth_server, begin_with_provider
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

HERE = "http://127.0.0.1:8899/callback"


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with running_server() as running:
        yield running


def follow(url: str, who: str, what: str = "") -> str:
    """What a person does in the browser: opens the address, and chooses a user. Returns where that leads."""
    page = httpx.get(url, follow_redirects=True)
    entry = next(part for part in page.text.split("<li>") if who in part)
    link = next(link for link in re.findall(r'href="([^"]+)"', entry) if what in link)
    location: str = httpx.get(str(page.url.join(html.unescape(link)))).headers["location"]
    return location


# -- with a provider ----------------------------------------------------------------------------------------


def test_a_provider_signs_in(auth: AuthClient) -> None:
    under_way = begin_with_provider(auth, "github", f"{HERE}?a=1", scopes="read:user")
    address = follow(under_way.url, "grace@example.com")
    assert address.startswith(f"{HERE}?")
    assert parse_qs(urlsplit(address).query)["a"] == ["1"]
    response = under_way.finish(address)
    assert response.user.email == "grace@example.com"
    assert auth.session == response.session
    assert response.session.provider_token


def test_several_at_once_do_not_get_in_each_others_way(auth: AuthClient, make_auth: Any) -> None:
    first, second = (begin_with_provider(auth, "github", HERE) for _ in range(2))
    asked = make_auth(storage=MemoryStorage())
    other = begin_with_provider(asked, "github", HERE)
    address = follow(first.url, "ada@example.com")
    for wrong in (second, other):
        with pytest.raises(AuthError, match="another sign-in") as refused:
            wrong.finish(address)
        assert refused.value.code == "state_mismatch"
    assert first.finish(address).user.email == "ada@example.com"
    assert other.finish(follow(other.url, "alan@example.com")).user.email == "alan@example.com"


def test_an_address_without_its_nonce_is_refused(auth: AuthClient) -> None:
    under_way = begin_with_provider(auth, "github", HERE)
    address = follow(under_way.url, "ada@example.com")
    (code,) = parse_qs(urlsplit(address).query)["code"]
    with pytest.raises(AuthError) as refused:
        under_way.finish(f"{HERE}?code={code}")
    assert refused.value.code == "state_mismatch"


def test_an_address_of_the_site_can_be_pasted(auth: AuthClient) -> None:
    """The server leads there, if the wanted one is not in the project's list."""
    under_way = begin_with_provider(auth, "github", "https://not-in-the-list.example.com/callback")
    address = follow(under_way.url, "ada@example.com")
    assert address.startswith(auth.url.removesuffix("/auth/v1"))
    assert under_way.finish(address).user.email == "ada@example.com"


def test_a_code_of_another_sign_in_pasted_from_the_site_is_refused(auth: AuthClient) -> None:
    elsewhere = "https://not-in-the-list.example.com/callback"
    address = follow(begin_with_provider(auth, "github", elsewhere).url, "ada@example.com")
    with pytest.raises(AuthApiError) as refused:
        begin_with_provider(auth, "github", elsewhere).finish(address)
    assert refused.value.code == "bad_code_verifier"
    assert auth.session is None


def test_cancelling_is_reported(auth: AuthClient) -> None:
    under_way = begin_with_provider(auth, "github", HERE)
    with pytest.raises(AuthImplicitGrantRedirectError, match="The user said no") as refused:
        under_way.finish(follow(under_way.url, "Cancel"))
    assert refused.value.code == "access_denied"
    again = begin_with_provider(auth, "github", HERE)
    assert again.finish(follow(again.url, "ada@example.com")).session


def test_a_code_works_once(auth: AuthClient) -> None:
    under_way = begin_with_provider(auth, "github", HERE)
    address = follow(under_way.url, "ada@example.com")
    session = under_way.finish(address).session
    with pytest.raises(AuthApiError, match="Start the sign-in again"):
        under_way.finish(address)
    assert auth.session == session


def test_it_touches_no_verifier_in_the_storage(make_auth: Callable[..., AuthClient]) -> None:
    """The one of `sign_in_with_oauth`, which another process may finish, stays."""
    storage = MemoryStorage()
    auth = make_auth(storage=storage)
    url = auth.sign_in_with_oauth(provider="github", redirect_to=HERE).url
    under_way = begin_with_provider(auth, "github", HERE)
    under_way.finish(follow(under_way.url, "ada@example.com"))
    assert auth.sign_in_with_url(follow(url, "grace@example.com")).user.email == "grace@example.com"


def test_nothing_in_the_address(auth: AuthClient) -> None:
    under_way = begin_with_provider(auth, "github", HERE)
    for address in ("", "https://example.com/", "nonsense", "http://["):
        with pytest.raises(AuthError, match="neither a code nor tokens"):
            under_way.finish(address)


# -- at the project as an OAuth server ------------------------------------------------------------------------


def signed_in(auth: AuthClient, who: str = "ada@example.com") -> Any:
    under_way = begin_with_oauth_server(auth, HERE)
    return under_way.finish(follow(under_way.url, who, "approve"))


def paths(server: DemoServer, since: dict[str, int]) -> dict[str, int]:
    """What was asked of the server since then."""
    return {name: n - since.get(name, 0) for name, n in server.stats().items() if n > since.get(name, 0)}


def test_the_oauth_server_signs_in(auth: AuthClient) -> None:
    response = signed_in(auth)
    assert response.user.email == "ada@example.com"
    assert response.user.identities
    assert response.session.claims["client_id"]
    assert response.session.expires_at > time.time()
    assert auth.session == response.session


def test_it_is_refreshed_at_its_own_endpoint(auth: AuthClient, server: DemoServer) -> None:
    before = signed_in(auth)
    since = server.stats()
    after = auth.refresh_session()
    assert paths(server, since) == {"oauth.token": 1}
    assert after.session.refresh_token != before.session.refresh_token
    assert after.session.session_id == before.session.session_id
    assert after.user.identities == before.user.identities


def test_a_refresh_takes_over_what_the_claims_say_of_the_user(auth: AuthClient, server: DemoServer) -> None:
    user = signed_in(auth).user
    server.admin("PUT", f"/users/{user.id}", {"user_metadata": {"city": "London"}})
    assert auth.refresh_session().user.user_metadata["city"] == "London"


@pytest.mark.parametrize("expired", [False, True])
def test_a_restored_session_is_recognized_by_its_claims(
    expired: bool, auth: AuthClient, server: DemoServer, make_auth: Callable[..., AuthClient]
) -> None:
    session = signed_in(auth).session
    other = make_auth(storage=MemoryStorage())
    if expired:
        server.advance(3601)
    since = server.stats()
    restored = other.set_session(session.access_token, session.refresh_token)
    assert restored.user.email == "ada@example.com"
    assert paths(server, since).get("oauth.token", 0) == int(expired)
    other.refresh_session()
    assert paths(server, since)["oauth.token"] == 1 + int(expired)
    assert "token.refresh_token" not in paths(server, since)


def test_a_stored_session_is_refreshed_there_too(
    auth: AuthClient, server: DemoServer, make_auth: Callable[..., AuthClient]
) -> None:
    signed_in(auth)
    since = server.stats()
    assert make_auth().refresh_session().session
    assert paths(server, since) == {"oauth.token": 1}


def test_its_sign_out_reaches_the_server(auth: AuthClient, server: DemoServer) -> None:
    session = signed_in(auth).session
    auth.sign_out("local")
    with pytest.raises(AuthApiError) as refused:
        auth.get_user(session.access_token)
    assert refused.value.code == "session_not_found"


def test_a_grant_that_was_revoked_ends_it(auth: AuthClient, server: DemoServer) -> None:
    session = signed_in(auth).session
    token = server.sign_in("ada@example.com")["access_token"]
    path = f"/auth/v1/user/oauth/grants?client_id={session.claims['client_id']}"
    server.request("DELETE", path, token=token)
    with pytest.raises(AuthApiError) as refused:
        auth.refresh_session()
    assert refused.value.code == "refresh_token_not_found"
    assert auth.status == "expired"


def test_denying_is_reported(auth: AuthClient) -> None:
    under_way = begin_with_oauth_server(auth, HERE)
    with pytest.raises(AuthError, match="denied") as refused:
        under_way.finish(follow(under_way.url, "ada@example.com", "deny"))
    assert refused.value.code == "access_denied"


def test_another_state_is_refused(auth: AuthClient) -> None:
    under_way, other = (begin_with_oauth_server(auth, HERE) for _ in range(2))
    with pytest.raises(AuthError) as refused:
        other.finish(follow(under_way.url, "ada@example.com", "approve"))
    assert refused.value.code == "state_mismatch"


def test_a_registered_client_can_be_named(auth: AuthClient) -> None:
    client_id = signed_in(auth).session.claims["client_id"]
    under_way = begin_with_oauth_server(auth, HERE, client_id=client_id)
    session = under_way.finish(follow(under_way.url, "ada@example.com", "approve")).session
    assert session.claims["client_id"] == client_id


def test_a_project_without_an_oauth_server(make_auth: Callable[..., AuthClient]) -> None:
    with running_server(oauth_server=False) as other:
        auth = make_auth(other.auth_url, headers={"apikey": other.anon_key})
        with pytest.raises(AuthApiError) as refused:
            begin_with_oauth_server(auth, HERE)
        assert refused.value.code == "feature_disabled"


def test_a_project_without_dynamic_registration(make_auth: Callable[..., AuthClient]) -> None:
    answers = made.Answers(**{"GET /auth/v1/.well-known/oauth-authorization-server": {"issuer": "x"}})
    auth = make_auth("https://abcd.supabase.co/auth/v1", transport=answers)
    with pytest.raises(AuthError, match="pass its client_id"):
        begin_with_oauth_server(auth, HERE)
    assert begin_with_oauth_server(auth, HERE, client_id="known").url.count("client_id=known") == 1


CLIENT = "6be83a5d-781e-4bfb-b2a3-03be6933a5e3"


def scripted(make_auth: Callable[..., AuthClient], answers: made.Answers, token: str) -> AuthClient:
    auth = make_auth("https://abcd.supabase.co/auth/v1", transport=answers, storage=MemoryStorage())
    auth.set_session(token, "abcdefghijkl")
    return auth


def test_what_was_issued_is_kept_if_the_user_cannot_be_asked_for(
    make_auth: Callable[..., AuthClient],
) -> None:
    later = made.session("mnopqrstuvwx", client_id=CLIENT, email="ada@example.com")
    del later["user"], later["expires_at"]
    answers = made.Answers(
        **{"POST /auth/v1/oauth/token": later, "GET /auth/v1/user": httpx.Response(503)},
    )
    auth = make_auth("https://abcd.supabase.co/auth/v1", transport=answers, storage=MemoryStorage())
    session = auth.set_session(made.expired(client_id=CLIENT), "abcdefghijkl").session
    assert session.refresh_token == "mnopqrstuvwx"
    assert session.user.email == "ada@example.com"


def test_a_session_of_a_client_with_a_secret_ends_with_a_clear_message(
    make_auth: Callable[..., AuthClient],
) -> None:
    message = (
        "invalid authentication method: client is registered for 'client_secret_basic' but 'none' was used"
    )
    answers = made.Answers(
        **{
            "GET /auth/v1/user": made.user(),
            "POST /auth/v1/oauth/token": made.refusal(400, "invalid_credentials", message),
        }
    )
    auth = scripted(make_auth, answers, made.jwt(client_id=CLIENT))
    with pytest.raises(AuthApiError, match="only for its app") as refused:
        auth.refresh_session()
    assert refused.value.code == "oauth_client_refused"
    assert auth.status == "expired"


def test_an_unreadable_access_token_names_no_client(make_auth: Callable[..., AuthClient]) -> None:
    """So the server refuses it, and the message says what helps."""
    error = {
        "error": "invalid_client",
        "error_description": "Client authentication required for OAuth session",
    }
    answers = made.Answers(**{"POST /auth/v1/token": httpx.Response(400, json=error)})
    auth = make_auth("https://abcd.supabase.co/auth/v1", transport=answers, storage=MemoryStorage())
    with pytest.raises(AuthApiError, match="Pass the session's access token too") as refused:
        auth.set_session("", "abcdefghijkl")
    assert refused.value.code == "invalid_client"


def test_its_repr_shows_no_nonce(auth: AuthClient) -> None:
    under_way = begin_with_provider(auth, "github", HERE)
    assert isinstance(under_way, BrowserSignIn)
    assert repr(under_way) == f"BrowserSignIn(redirect_to={HERE!r})"
    nonce = re.findall(r"supabase_nb_state%3D([\w-]+)", under_way.url)[0]
    assert nonce not in repr(vars(under_way)).replace(under_way.url, "")


def test_tokens_of_the_oauth_server_are_verified_by_its_keys(auth: AuthClient, server: DemoServer) -> None:
    token = signed_in(auth).session.access_token
    keys = jwt.PyJWKSet.from_dict(httpx.get(f"{server.auth_url}/.well-known/jwks.json").json())
    claims = jwt.decode(token, keys.keys[0].key, algorithms=["ES256"], audience="authenticated")
    assert claims["client_id"]
    assert auth.get_claims().claims["client_id"] == claims["client_id"]
