"""A closed client: says so, sends nothing, and names the next step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import made
import pytest

from supabase_nb import AuthError, Client, MemoryStorage, SessionAuth, create_client

URL = "https://abcd.supabase.co"


@pytest.fixture
def answers() -> made.Answers:
    session = made.session()
    return made.Answers(
        **{
            "GET /auth/v1/user": session["user"],
            "POST /auth/v1/token": session,
            "POST /auth/v1/logout": {},
            "GET /rest/v1/trips": [],
        }
    )


@pytest.fixture
def closed(answers: made.Answers) -> Client:
    session = made.session()
    client = create_client(
        URL, "sb_publishable_abc", storage=MemoryStorage(), transport=answers, auto_refresh=False
    )
    client.auth.set_session(session["access_token"], session["refresh_token"])
    client.close()
    answers.asked.clear()
    return client


CALLS: dict[str, Callable[[Client], Any]] = {
    "get_session": lambda client: client.auth.get_session(),
    "get_user": lambda client: client.auth.get_user(),
    "get_claims": lambda client: client.auth.get_claims(),
    "set_session": lambda client: client.auth.set_session(made.jwt(), "abcdefghijkl"),
    "refresh_session": lambda client: client.auth.refresh_session(),
    "sign_out": lambda client: client.auth.sign_out("local"),
    "sign in": lambda client: client.auth.sign_in_with_password(email="ada@example.com", password="x"),
    "subscribe": lambda client: client.auth.on_auth_state_change(lambda event, session: None),
    "start_auto_refresh": lambda client: client.auth.start_auto_refresh(),
    "aio.get_session": lambda client: asyncio.run(client.auth.aio.get_session()),
    "aio.get_user": lambda client: asyncio.run(client.auth.aio.get_user()),
    "set_auth": lambda client: client.set_auth(made.jwt()),
    "table": lambda client: client.table("trips").select("*").execute(),
    "rpc": lambda client: client.rpc("count").execute(),
    "frame": lambda client: client.frame("trips", progress=False),
    "storage": lambda client: client.storage.list_buckets(),
    "functions": lambda client: client.functions.invoke("hello"),
    "http": lambda client: client.http.get("/rest/v1/trips"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_on_a_closed_client_names_the_next_step_and_sends_nothing(
    closed: Client, answers: made.Answers, call: Callable[[Client], Any]
) -> None:
    with pytest.raises(AuthError) as caught:
        call(closed)
    assert caught.value.code == "client_closed"
    assert str(caught.value).startswith("This client was closed. Run %supabase_connect to connect again")
    assert answers.asked == []


def test_a_query_made_before_closing_says_it_too(answers: made.Answers) -> None:
    client = create_client(URL, "sb_publishable_abc", storage=MemoryStorage(), transport=answers)
    query = client.table("trips").select("*")
    client.close()
    with pytest.raises(AuthError, match="This client was closed"):
        query.execute()


def test_someones_own_requests_get_no_token_of_a_closed_client(closed: Client, answers: made.Answers) -> None:
    with (
        httpx.Client(auth=SessionAuth(closed), transport=answers) as http,
        pytest.raises(AuthError, match="This client was closed"),
    ):
        http.get(f"{URL}/rest/v1/trips")
    assert answers.asked == []


def test_what_a_closed_client_knew_can_be_read_and_its_repr_says_closed(closed: Client) -> None:
    assert closed.auth.closed
    assert closed.auth.user is not None
    assert closed.auth.user.email == "ada@example.com"
    assert repr(closed) == "Client('https://abcd.supabase.co', closed)"
    assert repr(closed.auth) == "AuthClient('https://abcd.supabase.co/auth/v1', closed)"


def test_stopping_what_is_stopped_is_harmless(closed: Client) -> None:
    closed.auth.stop_auto_refresh()
    closed.auth.close()
    closed.close()
