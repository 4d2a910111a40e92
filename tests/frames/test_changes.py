"""Tables that change while they are read, requests that fail, users who leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tables import Api, refused

from supabase_nb import AuthError, Client, DataWarning, MemoryStorage
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server


def test_a_change_is_reported(api: Api, supabase: Client) -> None:
    api.numbers(12_000)

    def change(request: httpx.Request, number: int) -> None:
        if number == 7:  # the first page of a part; in the last part's second one, this is seen
            api.database.insert("numbers", [(23_900 + odd, "new") for odd in (1, 3, 5)])
            api.database.delete("numbers", id=23_910)

    api.before = change
    with pytest.warns(DataWarning, match="12,000 rows before, 12,002 after, 12,002 read") as caught:
        frame = supabase.frame("numbers")
    assert caught[0].filename == __file__
    assert {23_901, 23_903, 23_905} <= set(frame["id"])
    assert "once" in frame.attrs["supabase"]["note"]


@pytest.mark.filterwarnings("ignore::supabase_nb.DataWarning")
def test_rows_that_come_and_go_all_the_time(api: Api, supabase: Client) -> None:
    """Each row that was there all the time is there once. By numbers, some would be doubled, others lost."""
    api.numbers(12_000)
    lock, deleted = threading.Lock(), set()
    new, gone = iter(range(1, 24_000, 902)), iter(range(10, 24_000, 1_002))

    def change(request: httpx.Request, number: int) -> None:
        with lock:
            for odd in (next(new, None), next(new, None)):
                if odd is not None:
                    api.database.insert("numbers", [(odd, "new")])
            if (even := next(gone, None)) is not None:
                api.database.delete("numbers", id=even)
                deleted.add(even)

    api.before = change
    found = list(supabase.frame("numbers")["id"])
    assert found == sorted(set(found))
    assert {2 * number for number in range(12_000)} - deleted <= set(found)
    assert len(deleted) > 10


def test_the_first_rows_of_a_table_that_grows(api: Api, supabase: Client) -> None:
    api.numbers(12_000)

    def change(request: httpx.Request, number: int) -> None:
        api.database.insert("numbers", [(3_001 + 2 * number, "new")])

    api.before = change
    with pytest.warns(DataWarning, match="changed while it was loading"):
        frame = supabase.frame(supabase.table("numbers").select("*").limit(5_000))
    assert len(frame) == 5_000
    assert frame["id"].is_unique


def test_without_a_key_a_change_may_have_cost_rows(api: Api, supabase: Client) -> None:
    from supabase_nb.demo._project.filters import Column, Table

    api.create(
        Table("view", (Column("a", "integer"), Column("b", "integer"))), [(n, n) for n in range(5_000)]
    )

    def change(request: httpx.Request, number: int) -> None:
        if number == 4:
            api.database.insert("view", [(-1, 0)])

    api.before = change
    with pytest.warns(DataWarning, match=r"may be missing or repeated.*key="):
        supabase.frame("view")


@pytest.mark.parametrize(
    "failure",
    [
        lambda: refused(503, "PGRST001", "Could not query the database"),
        lambda: httpx.Response(502, text="<html>Bad gateway</html>"),
        lambda: httpx.Response(429, headers={"retry-after": "0"}),
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ReadTimeout("slow"),
        lambda: httpx.RemoteProtocolError("cut off"),
    ],
)
def test_failures_in_the_middle(
    api: Api, supabase: Client, monkeypatch: pytest.MonkeyPatch, failure: Callable[[], Any]
) -> None:
    monkeypatch.setattr("supabase_nb.client._frames.page_request._FIRST_PAUSE", 0.01)
    api.numbers(8_000)

    def fail(request: httpx.Request, number: int) -> httpx.Response | None:
        if number % 3 != 1:
            return None
        found = failure()
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, httpx.Response)
        return found

    api.before = fail
    assert list(supabase.frame("numbers")["id"]) == [2 * number for number in range(8_000)]


def test_a_failure_that_stays(api: Api, supabase: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from postgrest.exceptions import APIError

    monkeypatch.setattr("supabase_nb.client._frames.page_request._FIRST_PAUSE", 0.001)
    api.numbers(8_000)
    api.before = lambda request, number: httpx.Response(503, text="down") if number > 5 else None
    with pytest.raises(APIError, match="HTTP 503"):
        supabase.frame("numbers")


def signed_in(server: DemoServer, email: str = "ada@example.com") -> Client:
    given = server.sign_in(email)
    client = Client(server.url, server.anon_key, storage=MemoryStorage())
    client.auth.set_session(given["access_token"], given["refresh_token"])
    return client


def test_the_whole_table_of_the_embedded_server(server: DemoServer) -> None:
    with signed_in(server) as supabase:
        frame = supabase.frame("readings")
        assert (len(frame), frame["id"].nunique()) == (25_000, 25_000)
        assert frame.attrs["supabase"]["user"] == "ada@example.com"
        assert set(frame["user_id"]) == {supabase.auth.user.id}
    with signed_in(server, "grace@example.com") as supabase:
        assert len(supabase.frame("readings")) == 1_000


def test_the_token_expires_in_the_middle() -> None:
    with running_server() as server, signed_in(server) as supabase:
        fired = threading.Event()
        send = supabase.http._transport.handle_request

        def expire(request: httpx.Request) -> httpx.Response:
            if "limit=1000" in str(request.url) and not fired.is_set():
                fired.set()
                server.expire()
            return send(request)

        supabase.http._transport.handle_request = expire  # type: ignore[method-assign]
        frame = supabase.frame("readings")
        assert fired.is_set()
        assert (len(frame), frame["id"].nunique()) == (25_000, 25_000)
        assert server.stats()["token.refresh_token"] == 1


def test_another_user_in_the_middle(server: DemoServer) -> None:
    """The rows of one frame are one user's."""
    other = server.sign_in("grace@example.com")
    with signed_in(server) as supabase:
        send, lock = supabase.http._transport.handle_request, threading.Lock()

        def switch(request: httpx.Request) -> httpx.Response:
            if "limit=1000" in str(request.url) and lock.acquire(blocking=False):
                supabase.auth.set_session(other["access_token"], other["refresh_token"])
            return send(request)

        supabase.http._transport.handle_request = switch  # type: ignore[method-assign]
        with pytest.raises(AuthError, match=r"ada@example\.com before, grace@example\.com now"):
            supabase.frame("readings")


def test_ctrl_c_stops_at_once(api: Api, supabase: Client) -> None:
    """Also while a page hangs; and what is under way then asks for no more."""
    api.numbers(25_000)
    hanging, release = threading.Event(), threading.Event()
    main = threading.get_ident()

    def hang(request: httpx.Request, number: int) -> None:
        if "and" in request.url.params and "offset" not in request.url.params:
            if not hanging.is_set():
                hanging.set()
                # As Ctrl-C: it wakes a wait, which _thread.interrupt_main() does not.
                signal.pthread_kill(main, signal.SIGINT)
            assert release.wait(60)

    api.before = hang
    with pytest.raises(KeyboardInterrupt):
        supabase.frame("numbers")
    asked = len(api.asked)
    release.set()
    for thread in threading.enumerate():
        if thread.name == "supabase-nb-frame":
            thread.join(20)
    assert len(api.asked) == asked
