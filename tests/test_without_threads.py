"""Without threads (Pyodide, interpreter shutdown): what works, and the errors."""

from __future__ import annotations

import asyncio
import threading

import httpx
import made
import pytest

from supabase_nb import AuthClient, AuthError, MemoryStorage, SessionAuth, create_client

URL = "https://abcd.supabase.co"


@pytest.fixture
def answers() -> made.Answers:
    session = made.session()
    table = {"GET /auth/v1/user": session["user"], "POST /auth/v1/token": session, "GET /rest/v1/trips": []}
    return made.Answers(**table)


@pytest.fixture
def auth(answers: made.Answers, monkeypatch: pytest.MonkeyPatch) -> AuthClient:
    from supabase_nb.auth import stop_owner_loop

    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    stop_owner_loop()
    monkeypatch.setattr(threading.Thread, "start", start)
    return create_client(URL, "sb_publishable_abc", storage=MemoryStorage(), transport=answers).auth


def test_a_plain_call_inside_a_running_event_loop_says_to_await_it(
    auth: AuthClient, answers: made.Answers
) -> None:
    async def cell() -> None:
        session = made.session()
        auth.set_session(session["access_token"], session["refresh_token"])

    with pytest.raises(AuthError, match=r"await supabase\.auth\.aio\.set_session\("):
        asyncio.run(cell())
    assert answers.asked == []


def test_an_awaited_call_notifies_subscribers_before_it_returns(auth: AuthClient) -> None:
    async def cell() -> list[str]:
        session, told = made.session(), []
        auth.observe(lambda change: told.append(change["new"]), "status")
        await auth.aio.set_session(session["access_token"], session["refresh_token"])
        return told

    assert asyncio.run(cell()) == ["active"]
    assert auth.get_session() is not None


def test_a_request_that_needs_no_refresh_works_inside_a_running_event_loop(
    auth: AuthClient, answers: made.Answers
) -> None:
    async def cell() -> httpx.Response:
        session = made.session()
        await auth.aio.set_session(session["access_token"], session["refresh_token"])
        with httpx.Client(auth=SessionAuth(auth, origins=[URL]), transport=answers) as http:
            return http.get(f"{URL}/rest/v1/trips")

    assert asyncio.run(cell()).status_code == 200
    assert answers.asked[-1].headers["Authorization"].startswith("Bearer eyJ")
