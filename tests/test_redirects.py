"""Redirects that clients with a `SessionAuth` follow: the token and the key stay with the project."""

from __future__ import annotations

import asyncio
from typing import Any

import made
import pytest

from supabase_nb import Client, MemoryStorage, SessionAuth, create_client
from supabase_nb.demo import DemoServer

URL = "https://abcd.supabase.co"
ELSEWHERE = "https://elsewhere.example"
Redirects = dict[str, Any]


def asked_for(
    library: Any, auth: SessionAuth, url: str, kind: str, table: Redirects, **options: Any
) -> list[Any]:
    """All requests that a custom client sends when it follows redirects."""
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        there = table.get(str(request.url), library.Response(200))
        if isinstance(there, str):
            return library.Response(options.get("status", 307), headers={"location": there})
        return library.Response(there.status_code, headers=there.headers)

    transport, method = library.MockTransport(answer), options.get("method", "GET")

    async def ask() -> None:
        async with library.AsyncClient(auth=auth, transport=transport, follow_redirects=True) as own:
            await own.request(method, url)

    if kind == "async":
        asyncio.run(ask())
    else:
        with library.Client(auth=auth, transport=transport, follow_redirects=True) as own:
            own.request(method, url)
    return asked


def carries(request: Any) -> tuple[bool, bool]:
    """Whether a request carries a token, and a key."""
    return "authorization" in request.headers, "apikey" in request.headers


both_kinds = pytest.mark.parametrize("kind", ["sync", "async"])


@both_kinds
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_carries_neither_token_nor_key(
    library: Any, client: Client, kind: str, status: int, method: str
) -> None:
    first, second = f"{client.url}/a", f"{client.url}/b"
    table: Redirects = {first: second, second: f"{ELSEWHERE}/c", f"{ELSEWHERE}/c": f"{ELSEWHERE}/d"}
    asked = asked_for(library, SessionAuth(client), first, kind, table, status=status, method=method)
    # Within the project the redirect is signed like the first request.
    assert [carries(request) for request in asked] == [(True, True)] * 2 + [(False, False)] * 2
    assert asked[0].headers["authorization"] == asked[1].headers["authorization"]


@both_kinds
def test_a_redirect_that_comes_back_is_not_signed_again(
    library: Any, client: Client, server: DemoServer, kind: str
) -> None:
    """Its 401 is not about the token: nothing is renewed, nothing is sent again."""
    exchanges = server.stats().get("token.refresh_token", 0)
    first, back = f"{client.url}/a", f"{client.url}/back"
    table: Redirects = {first: f"{ELSEWHERE}/b", f"{ELSEWHERE}/b": back, back: library.Response(401)}
    asked = asked_for(library, SessionAuth(client), first, kind, table)
    assert [carries(request) for request in asked] == [(True, True), (False, False), (False, False)]
    assert server.stats().get("token.refresh_token", 0) == exchanges


@both_kinds
def test_the_retry_after_a_401_is_redirected_without_secrets_too(
    library: Any, client: Client, kind: str
) -> None:
    first, answers = f"{client.url}/a", [library.Response(401)]

    class Table(dict[str, Any]):
        def get(self, url: str, default: Any = None) -> Any:
            if url != first:
                return default
            return answers.pop() if answers else f"{ELSEWHERE}/b"

    asked = asked_for(library, SessionAuth(client), first, kind, Table())
    assert [carries(request) for request in asked] == [(True, True), (True, True), (False, False)]


def test_a_manually_followed_redirect_carries_no_secrets(library: Any, client: Client) -> None:
    transport = library.MockTransport(lambda _: library.Response(307, headers={"location": f"{ELSEWHERE}/b"}))
    with library.Client(auth=SessionAuth(client), transport=transport) as own:
        response = own.get(f"{client.url}/a")
    assert carries(response.request) == (True, True)
    assert carries(response.next_request) == (False, False)


def test_a_custom_request_class_is_guarded_too(library: Any, client: Client) -> None:
    asked: list[Any] = []

    class Mixin:
        pass

    class Own(library.Request, Mixin):
        pass

    def answer(request: Any) -> Any:
        asked.append(request)
        return (
            library.Response(307, headers={"location": ELSEWHERE})
            if len(asked) == 1
            else library.Response(200)
        )

    transport = library.MockTransport(answer)
    with library.Client(auth=SessionAuth(client), transport=transport, follow_redirects=True) as own:
        own.send(Own("GET", f"{client.url}/a"))
    assert [carries(request) for request in asked] == [(True, True), (False, False)]


@both_kinds
def test_a_request_that_starts_elsewhere_carries_nothing_when_it_is_redirected_here(
    library: Any, client: Client, kind: str
) -> None:
    table: Redirects = {f"{ELSEWHERE}/a": f"{client.url}/b", f"{client.url}/b": library.Response(401)}
    asked = asked_for(library, SessionAuth(client), f"{ELSEWHERE}/a", kind, table)
    assert [carries(request) for request in asked] == [(False, False)] * 2


@both_kinds
def test_a_redirect_between_two_allowed_origins_carries_no_secrets(
    library: Any, client: Client, kind: str
) -> None:
    """As in httpx: each origin is checked by itself."""
    auth = SessionAuth(client, origins=["https://api.example.com"])
    asked = asked_for(
        library, auth, f"{client.url}/a", kind, {f"{client.url}/a": "https://api.example.com/b"}
    )
    assert [carries(request) for request in asked] == [(True, True), (False, False)]


@both_kinds
@pytest.mark.parametrize("signed_in", [True, False])
def test_a_secret_key_does_not_go_along_either(library: Any, kind: str, signed_in: bool) -> None:
    answers = made.Answers(**{"POST /auth/v1/token": made.session()})
    with create_client(
        URL,
        "sb_secret_abcdefghijklmnop",
        storage=MemoryStorage(),
        auto_refresh=False,
        allow_secret_key=True,
        transport=answers,
    ) as client:
        if signed_in:
            client.auth.sign_in_with_password(email="ada@example.com", password="pass")
        table: Redirects = {f"{URL}/a": f"{ELSEWHERE}/b"}
        asked = asked_for(library, SessionAuth(client), f"{URL}/a", kind, table)
    assert [carries(request) for request in asked] == [(signed_in, True), (False, False)]


@both_kinds
@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("https://abcd.example.com/b", True),
        ("https://abcd.example.com:444/b", False),
        ("https://other.example.com/b", False),
    ],
)
def test_an_upgrade_to_https_on_the_same_host_keeps_them(
    library: Any, kind: str, target: str, kept: bool
) -> None:
    """Where httpx keeps a header `Authorization`."""
    answers = made.Answers(**{"POST /auth/v1/token": made.session()})
    url = "http://abcd.example.com"
    with create_client(
        url,
        "sb_publishable_abc",
        storage=MemoryStorage(),
        auto_refresh=False,
        allow_http=True,
        transport=answers,
    ) as client:
        client.auth.sign_in_with_password(email="ada@example.com", password="pass")
        asked = asked_for(
            library, SessionAuth(client), f"{url}/a", kind, {f"{url}/a": target, target: f"{url}/c"}
        )
    # And back from https to http takes nothing along.
    assert [carries(request) for request in asked] == [(True, True), (kept, kept), (False, False)]


@both_kinds
def test_requests_without_a_session_are_redirected_as_httpx_does_it(library: Any, kind: str) -> None:
    """A header with the same name that has nothing to do with this package."""
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        return (
            library.Response(307, headers={"location": ELSEWHERE})
            if len(asked) == 1
            else library.Response(200)
        )

    transport, headers = library.MockTransport(answer), {"apikey": "theirs"}

    async def ask() -> None:
        async with library.AsyncClient(transport=transport, follow_redirects=True) as own:
            await own.get(URL, headers=headers)

    if kind == "async":
        asyncio.run(ask())
    else:
        with library.Client(transport=transport, follow_redirects=True) as own:
            own.get(URL, headers=headers)
    assert [request.headers["apikey"] for request in asked] == ["theirs"] * 2
