"""What a session promises, in Pyodide, against a server in another process."""

from __future__ import annotations

import asyncio
import fcntl
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from runner import error_of, eventually, run

from supabase_nb import (
    AuthApiError,
    AuthClient,
    AuthError,
    AuthRetryableError,
    AuthSessionMissing,
    Client,
    FileStorage,
    MemoryStorage,
    SessionAuth,
)
from supabase_nb.pyodide_transports import FetchTransport, XHRTransport

given: dict[str, str] = {}
EXPIRED = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln"


async def main(argument: str) -> str:
    given.update(json.loads(argument))
    return await run(sys.modules[__name__])


def demo(method: str, path: str, body: Any = None) -> Any:
    """Ask the embedded server."""
    with httpx.Client(transport=XHRTransport(), headers={"apikey": given["key"]}) as http:
        response = http.request(method, given["url"] + path, json=body)
        response.raise_for_status()
        return response.json() if response.content else None


def tokens(email: str = "ada@example.com") -> tuple[str, str]:
    """A new session's tokens, as an app would have them."""
    body = {"email": email, "password": given["password"]}
    session = demo("POST", "/auth/v1/token?grant_type=password", body)
    return session["access_token"], session["refresh_token"]


def exchanges() -> int:
    return demo("GET", "/demo/stats").get("token.refresh_token", 0)


def client(**options: Any) -> Client:
    return Client(given["url"], given["key"], **options)


async def test_a_client_stores_in_memory_and_knows_no_session() -> None:
    supabase = client()
    assert isinstance(supabase.auth.storage, MemoryStorage)
    assert supabase.auth.get_session() is None
    assert supabase.auth.status == "signed_out"


async def test_set_session_verifies_a_valid_pair() -> None:
    at, rt = tokens()
    supabase, seen = client(), []
    supabase.auth.on_auth_state_change(lambda event, session: seen.append(str(event)))
    response = supabase.auth.set_session(at, rt)
    assert response.user.email == "ada@example.com"
    assert response.session.access_token == at
    # Subscribers and traits know of it before the call returns.
    assert seen[:2] == ["INITIAL_SESSION", "TOKEN_REFRESHED"]
    assert supabase.auth.user.email == "ada@example.com"
    assert supabase.auth.status in ("active", "refreshing")
    supabase.close()


async def test_set_session_exchanges_an_expired_pair() -> None:
    _, rt = tokens()
    supabase = client()
    response = supabase.auth.set_session(EXPIRED, rt)
    assert response.session.refresh_token != rt
    assert supabase.auth.user.email == "ada@example.com"
    supabase.close()


async def test_a_failed_set_session_changes_nothing() -> None:
    supabase = client()
    supabase.auth.set_session(*tokens())
    for pair, kind in (((EXPIRED, ""), AuthSessionMissing), ((EXPIRED, "abcdefghij23"), AuthApiError)):
        assert "abcdefghij23" not in str(error_of(kind, supabase.auth.set_session, *pair))
    assert supabase.auth.get_session().user.email == "ada@example.com"
    supabase.close()


async def test_the_session_is_refreshed_between_cells() -> None:
    supabase, seen = client(), []
    first = supabase.auth.set_session(*tokens()).session
    supabase.auth.on_auth_state_change(lambda event, session: seen.append(str(event)))
    await eventually(lambda: supabase.auth.session.refresh_token != first.refresh_token)
    await eventually(lambda: "TOKEN_REFRESHED" in seen)
    assert supabase.auth.status == "active"
    supabase.close()


async def test_a_plain_call_refreshes_an_expired_session() -> None:
    supabase = client(auto_refresh=False)
    first = supabase.auth.set_session(*tokens()).session
    demo("POST", "/demo/expire", {"email": "ada@example.com"})
    rows = supabase.http.get("/rest/v1/trips").json()
    assert {row["user_id"] for row in rows} == {first.user.id}
    assert supabase.auth.session.refresh_token != first.refresh_token
    supabase.close()


async def test_awaited_and_plain_calls_share_one_exchange() -> None:
    supabase = client(auto_refresh=False)
    supabase.auth.set_session(*tokens())
    before = exchanges()
    many = [supabase.auth.aio.refresh_session() for _ in range(5)]
    refreshed = await asyncio.gather(*many)
    assert len({response.session.refresh_token for response in refreshed}) == 1
    assert exchanges() == before + 1
    assert (await supabase.auth.aio.get_user()).user.email == "ada@example.com"
    supabase.close()


async def test_a_plain_call_while_an_awaited_one_is_under_way() -> None:
    supabase = client(auto_refresh=False)
    supabase.auth.set_session(*tokens())
    before = exchanges()
    waiting = asyncio.ensure_future(supabase.auth.aio.refresh_session())
    await asyncio.sleep(0)
    plain = supabase.auth.refresh_session()
    assert (await waiting).session.refresh_token == plain.session.refresh_token
    assert exchanges() == before + 1
    supabase.close()


async def test_sign_out_ends_the_session_at_the_server() -> None:
    supabase, seen = client(), []
    session = supabase.auth.set_session(*tokens()).session
    supabase.auth.on_auth_state_change(lambda event, session: seen.append(str(event)))
    supabase.auth.sign_out("local")
    assert seen[-1] == "SIGNED_OUT"
    assert supabase.auth.session is None
    assert supabase.auth.get_session() is None
    pair = session.access_token, session.refresh_token
    assert error_of(AuthSessionMissing, client().auth.set_session, *pair).code == "session_not_found"


async def test_an_outage_is_no_sign_out_and_ends_by_itself() -> None:
    supabase = client()
    supabase.auth.set_session(*tokens())
    demo("POST", "/demo/outage", {"seconds": 3600})
    error_of(AuthRetryableError, supabase.auth.refresh_session)
    assert supabase.auth.user.email == "ada@example.com"
    demo("POST", "/demo/outage", {"seconds": 0})
    await eventually(lambda: supabase.auth.status == "active" and supabase.auth.last_error is None)
    supabase.close()


async def test_a_server_that_is_not_there() -> None:
    # A browser tells the same of a server that refuses this page (CORS).
    supabase = Client(given["nowhere"], given["key"])
    assert error_of(AuthRetryableError, supabase.auth.set_session, *tokens()).code == "network"


async def test_a_redirect_is_refused() -> None:
    auth = AuthClient(given["redirects"], headers={"apikey": given["key"]})
    assert error_of(AuthError, auth.set_session, *tokens()).code == "unexpected_redirect"


async def test_session_auth_signs_requests_of_httpx() -> None:
    supabase = client(auto_refresh=False)
    user = supabase.auth.set_session(*tokens("grace@example.com")).user
    address = f"{given['url']}/rest/v1/trips"
    demo("POST", "/demo/expire", {"email": "grace@example.com"})
    with httpx.Client(transport=XHRTransport(), auth=SessionAuth(supabase)) as http:
        assert {row["user_id"] for row in http.get(address).json()} == {user.id}
    demo("POST", "/demo/expire", {"email": "grace@example.com"})
    async with httpx.AsyncClient(transport=FetchTransport(), auth=SessionAuth(supabase)) as http:
        rows = await asyncio.gather(*(http.get(address) for _ in range(3)))
    assert {row["user_id"] for answer in rows for row in answer.json()} == {user.id}
    supabase.close()


async def test_tables_of_supabase() -> None:
    supabase = client(auto_refresh=False)
    user = supabase.auth.set_session(*tokens()).user
    rows = supabase.table("trips").select("user_id, km").execute().data
    assert rows
    assert {row["user_id"] for row in rows} == {user.id}
    supabase.close()


async def test_claims_are_verified_by_the_server() -> None:
    supabase = client(auto_refresh=False)
    supabase.auth.set_session(*tokens())
    assert supabase.auth.get_claims().claims["email"] == "ada@example.com"
    supabase.close()


async def test_callbacks_may_call_any_method() -> None:
    supabase, seen = client(), []

    def subscriber(event: object, session: object) -> None:
        seen.append((str(event), supabase.auth.get_session() is not None))

    async def awaited(event: object, session: object) -> None:
        seen.append(("awaited", str(event)))

    supabase.auth.on_auth_state_change(subscriber)
    supabase.auth.on_auth_state_change(awaited)
    supabase.auth.set_session(*tokens())
    assert ("TOKEN_REFRESHED", True) in seen
    await eventually(lambda: ("awaited", "TOKEN_REFRESHED") in seen)
    supabase.close()


async def test_two_clients_share_a_session_in_memory() -> None:
    storage = MemoryStorage()
    one, two = client(storage=storage), client(storage=storage)
    at, rt = tokens()
    one.auth.set_session(at, rt)
    one.auth.refresh_session()
    # The later rotation is continued, and the used token is not sent again.
    assert two.auth.set_session(at, rt).session.refresh_token == one.auth.session.refresh_token
    before = exchanges()
    waiting = asyncio.gather(one.auth.aio.refresh_session(), two.auth.aio.refresh_session())
    both = await waiting
    assert both[0].session.refresh_token == both[1].session.refresh_token
    assert exchanges() == before + 1
    one.close()
    two.close()


async def test_waiting_for_a_locked_session_does_not_block_the_page() -> None:
    class Busy(MemoryStorage):
        """Another task of this page has the locks, until it lets go of them."""

        locked = False

        @contextmanager
        def lock(self, key: str, timeout: float = 30.0) -> Iterator[bool]:
            if self.locked and timeout == 0.0:
                yield False
            else:
                with super().lock(key, timeout) as locked:
                    yield locked

    storage = Busy()
    supabase = client(storage=storage, auto_refresh=False)
    supabase.auth.set_session(*tokens())
    storage.locked = True
    waiting = asyncio.ensure_future(supabase.auth.aio.refresh_session())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    storage.locked = False
    await waiting
    supabase.close()


async def test_a_session_is_stored_in_files_on_request() -> None:
    # JupyterLite's kernel has no locks of files, and no file is its owner's alone.
    vars(fcntl).pop("flock", None)
    one = client(storage=FileStorage())
    at, rt = tokens()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.auth.set_session(at, rt)
        later = one.auth.refresh_session().session
        one.close()
        for file in FileStorage().path.glob("*.json"):
            file.chmod(0o666)
        two = client(storage=FileStorage(), auto_refresh=False)
        # The later rotation of the same session is continued, whichever tokens are brought.
        assert two.auth.get_session().refresh_token == later.refresh_token
        assert two.auth.set_session(at, rt).session.refresh_token == later.refresh_token
        two.auth.sign_out("local")
    assert client(storage=FileStorage()).auth.get_session() is None
