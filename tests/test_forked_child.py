"""A forked child has its parent's session and can use its access token, but not refresh it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import made
import pytest

from supabase_nb import AuthError, AuthRetryableError, Client, MemoryStorage, SessionAuth, create_client
from supabase_nb.auth._api.server_clock import Clock

URL, TABLE = "https://abcd.supabase.co", "GET /rest/v1/trips"
TOKEN = "POST /auth/v1/token"

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


class ShiftedClock(Clock):
    shift = 0.0

    def wall(self) -> float:
        return super().wall() + self.shift

    def steady(self) -> float:
        return super().steady() + self.shift


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def answers() -> made.Answers:
    return made.Answers(**{TOKEN: made.session(), TABLE: [{"id": 1}], "GET /auth/v1/user": made.user()})


@pytest.fixture
def client(answers: made.Answers, clock: ShiftedClock) -> Iterator[Client]:
    options: dict[str, Any] = {"storage": MemoryStorage(), "transport": answers, "clock": clock}
    with create_client(URL, "sb_publishable_abc", auto_refresh=False, **options) as made_client:
        made_client.auth.sign_in_with_password(email="ada@example.com", password="pass")
        answers.asked.clear()
        yield made_client


def in_a_child(call: Callable[[], object]) -> Any:
    """What `call` returns in a forked child, as JSON has it; or its error, by class, code and text."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            try:
                outcome = call()
            except AuthError as error:
                kinds = [kind.__name__ for kind in type(error).__mro__]
                outcome = {"kinds": kinds, "code": error.code, "text": str(error)}
            os.write(write, json.dumps(outcome).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        outcome = json.loads(pipe.read())
    os.waitpid(child, 0)
    return outcome


def own_request(client: Client, answers: made.Answers) -> object:
    with httpx.Client(auth=SessionAuth(client), transport=answers) as own:
        return own.get(f"{URL}/rest/v1/trips").status_code


def own_async_request(client: Client, answers: made.Answers) -> object:
    async def ask() -> object:
        async with httpx.AsyncClient(auth=SessionAuth(client), transport=answers) as own:
            return (await own.get(f"{URL}/rest/v1/trips")).status_code

    return asyncio.run(ask())


REQUESTS: dict[str, Callable[[Client, made.Answers], object]] = {
    "http": lambda client, _: client.http.get("/rest/v1/trips").status_code,
    "table": lambda client, _: client.table("trips").select("*").execute().data,
    "SessionAuth": own_request,
    "SessionAuth, async": own_async_request,
}
ASKING: dict[str, Callable[[Client, made.Answers], object]] = {
    **REQUESTS,
    "get_session": lambda client, _: client.auth.get_session() is not None,
    "refresh_session": lambda client, _: client.auth.refresh_session() is not None,
    "get_user": lambda client, _: client.auth.get_user().email,
    "get_claims": lambda client, _: dict(client.auth.get_claims()),
    "update_user": lambda client, _: client.auth.update_user({"data": {}}).user is not None,
    "start_auto_refresh": lambda client, _: client.auth.start_auto_refresh(),
    "aio.get_session": lambda client, _: asyncio.run(client.auth.aio.get_session()) is not None,
    "aio.refresh_session": lambda client, _: asyncio.run(client.auth.aio.refresh_session()) is not None,
}


def check(outcome: Any) -> None:
    assert "Only the parent process can refresh" in outcome["text"]
    assert "Create a client in the child" in outcome["text"]
    assert outcome["code"] == "forked_process"
    # Trying again would not help.
    assert AuthRetryableError.__name__ not in outcome["kinds"]


@pytest.mark.parametrize("name", ASKING)
def test_a_child_that_needs_a_refresh_gets_an_explanation(
    client: Client, answers: made.Answers, clock: ShiftedClock, name: str
) -> None:
    clock.shift = 7200.0

    def ask() -> object:
        try:
            return ASKING[name](client, answers)
        finally:
            assert answers.count(TOKEN) == 0

    check(in_a_child(ask))


@pytest.mark.parametrize("name", REQUESTS)
def test_a_child_whose_token_is_rejected_gets_an_explanation(
    client: Client, answers: made.Answers, name: str
) -> None:
    answers[TABLE] = httpx.Response(401)
    check(in_a_child(lambda: REQUESTS[name](client, answers)))


@pytest.mark.parametrize("left", [3600.0, 30.0])
@pytest.mark.parametrize("name", [*REQUESTS, "get_session", "aio.get_session"])
def test_a_child_uses_the_token_as_long_as_it_is_valid(
    client: Client, answers: made.Answers, clock: ShiftedClock, name: str, left: float
) -> None:
    clock.shift = 3600.0 - left
    outcome = in_a_child(lambda: [ASKING[name](client, answers), answers.count(TOKEN)])
    assert outcome in ([200, 0], [True, 0], [[{"id": 1}], 0])


def test_the_parent_refreshes_as_ever(client: Client, answers: made.Answers, clock: ShiftedClock) -> None:
    clock.shift = 7200.0
    check(in_a_child(lambda: client.auth.get_session() is not None))
    answers[TOKEN] = made.session("refreshtoken2", exp=int(clock.wall()) + 3600)
    session = client.auth.get_session()
    assert session is not None
    assert session.refresh_token == "refreshtoken2"


def test_a_child_does_not_wait_for_a_lock_of_its_parent() -> None:
    storage = MemoryStorage()

    def lock() -> bool:
        with storage.lock("key", 1.0) as locked:
            return locked

    with storage.lock("key") as locked:
        assert locked
        assert in_a_child(lock) is True
