"""`Client.adopt`, with Supabase's own package."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from supabase_nb import AuthRetryableError, Client
from supabase_nb.demo import DemoServer

supabase = pytest.importorskip("supabase")

PASSWORD = "correct horse battery"


@pytest.fixture
def nobodys(server: DemoServer) -> Iterator[Any]:
    """A client of Supabase's package."""
    # With an HTTP client given: those that it makes itself cause its own warnings, and are never closed.
    with httpx.Client() as http:
        options = supabase.ClientOptions(httpx_client=http)
        client = supabase.create_client(server.url, server.anon_key, options)
        yield client
        client.auth._remove_session()  # its timer


@pytest.fixture
def theirs(nobodys: Any) -> Any:
    """The same, signed in as Ada."""
    nobodys.auth.sign_in_with_password({"email": "ada@example.com", "password": PASSWORD})
    return nobodys


@pytest.fixture
def ours(theirs: Any) -> Iterator[Client]:
    with Client.adopt(theirs, auto_refresh=False) as client:
        yield client


def rows(client: Any) -> list[Any]:
    found: list[Any] = client.table("trips").select("*").execute().data
    return found


def sent(client: Any) -> set[str]:
    """The bearers that its parts would send."""
    headers = [client.options.headers, client.postgrest.headers, client.storage._headers]
    return {each["Authorization"] for each in [*headers, client.functions.headers, client.auth._headers]}


def bearer(ours: Client) -> str:
    assert ours.auth.session is not None
    return f"Bearer {ours.auth.session.access_token}"


def test_the_session_is_taken_over(theirs: Any) -> None:
    before = theirs.auth.get_session()
    with Client.adopt(theirs, auto_refresh=False) as ours:
        assert ours.auth.session is not None
        assert ours.auth.session.access_token == before.access_token
        assert ours.auth.user is not None
        assert ours.auth.user.email == "ada@example.com"
        assert len(rows(ours)) == len(rows(theirs)) == 3
        assert ours.url == str(theirs.supabase_url).rstrip("/")


def test_its_parts_send_the_newest_token_after_each_rotation(ours: Client, theirs: Any) -> None:
    held = theirs.postgrest, theirs.storage, theirs.functions  # somebody may hold on to them
    for _ in range(3):
        ours.auth.refresh_session()
        assert sent(theirs) == {bearer(ours)}
        assert {part.headers["Authorization"] for part in (held[0], held[2])} == {bearer(ours)}
        assert held[1]._headers["Authorization"] == bearer(ours)
        assert len(rows(theirs)) == 3
    assert theirs.auth.get_session().access_token == bearer(ours).removeprefix("Bearer ")


def test_its_own_timer_is_stopped(theirs: Any) -> None:
    assert theirs.auth._refresh_token_timer.is_alive()
    with Client.adopt(theirs, auto_refresh=False) as ours:
        assert theirs.auth._refresh_token_timer is None
        ours.auth.refresh_session()
        assert theirs.auth._refresh_token_timer is None


def test_its_refresh_is_the_shared_one(ours: Client, theirs: Any, server: DemoServer) -> None:
    exchanges = server.stats().get("token.refresh_token", 0)
    gate = threading.Semaphore(0)
    keeper = ours.auth._keeper
    refresh, renew = keeper.api.refresh, keeper.renew

    def counted(seen: Any) -> Any:
        gate.release()
        return renew(seen)

    def after_all(token: Any) -> Any:
        for _ in range(8):
            assert gate.acquire(timeout=30)
        return refresh(token)

    keeper.renew, keeper.api.refresh = counted, after_all  # type: ignore[method-assign]
    found: list[Any] = []
    ask = [ours.auth.refresh_session, theirs.auth.refresh_session] * 4
    threads = [threading.Thread(target=lambda ask=ask: found.append(ask().session)) for ask in ask]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {session.access_token for session in found} == {bearer(ours).removeprefix("Bearer ")}
    assert len(found) == 8
    assert server.stats().get("token.refresh_token", 0) == exchanges + 1


def test_a_spent_token_that_it_still_has_is_never_sent(ours: Client, theirs: Any, server: DemoServer) -> None:
    stale = theirs.auth.get_session().refresh_token
    ours.auth.refresh_session()
    exchanges = server.stats().get("token.refresh_token", 0)
    assert theirs.auth.refresh_session(stale).session.access_token == bearer(ours).removeprefix("Bearer ")
    assert server.stats().get("token.refresh_token", 0) == exchanges


def test_another_sessions_token_is_its_own_affair(ours: Client, theirs: Any, server: DemoServer) -> None:
    """`refresh_session(token)` with what is not of this session: as without us; and then it counts here."""
    grace = server.sign_in("grace@example.com")
    assert theirs.auth.refresh_session(grace["refresh_token"]).user.email == "grace@example.com"
    assert ours.auth.user is not None
    assert ours.auth.user.email == "grace@example.com"
    assert sent(theirs) == {bearer(ours)}


def test_its_subscribers_are_told_of_our_events_once(ours: Client, theirs: Any) -> None:
    seen: list[str] = []
    theirs.auth.on_auth_state_change(lambda event, session: seen.append(event))
    ours.auth.refresh_session()
    ours.auth.update_user({"data": {"city": "London"}})
    ours.auth.sign_out("local")
    assert seen == ["TOKEN_REFRESHED", "USER_UPDATED", "SIGNED_OUT"]
    assert theirs.auth.get_session() is None
    assert sent(theirs) == {f"Bearer {theirs.supabase_key}"}
    assert rows(theirs) == []


def test_a_subscriber_of_theirs_that_raises_hinders_nobody_here(ours: Client, theirs: Any) -> None:
    def fail(event: str, session: Any) -> None:
        raise ValueError("theirs")

    theirs.auth.on_auth_state_change(fail)
    before = bearer(ours)
    ours.auth.refresh_session()
    assert bearer(ours) != before
    assert sent(theirs) == {bearer(ours)}


def test_whoever_signs_in_over_there_is_the_user_here(ours: Client, theirs: Any) -> None:
    seen: list[str] = []
    theirs.auth.on_auth_state_change(lambda event, session: seen.append(event))
    theirs.auth.sign_in_with_password({"email": "grace@example.com", "password": PASSWORD})
    assert ours.auth.user is not None
    assert ours.auth.user.email == "grace@example.com"
    assert ours.auth.refresh_session().session is not None
    assert {row["start"] for row in rows(theirs)} == {"New York", "Philadelphia", "Boston"}
    assert seen == ["SIGNED_IN", "TOKEN_REFRESHED"]
    theirs.auth.sign_out({"scope": "local"})
    assert ours.auth.session is None
    assert ours.auth.status == "signed_out"


def test_set_auth_reaches_its_parts(ours: Client, theirs: Any, server: DemoServer) -> None:
    token = server.sign_in("grace@example.com")["access_token"]
    ours.set_auth(token)
    assert sent(theirs) == {f"Bearer {token}"}
    ours.auth.refresh_session()
    assert sent(theirs) == {f"Bearer {token}"}
    ours.set_auth(None)
    assert sent(theirs) == {bearer(ours)}


def test_release_gives_it_back(theirs: Any, server: DemoServer) -> None:
    ours = Client.adopt(theirs, auto_refresh=False)
    newest = ours.auth.refresh_session().session
    assert newest is not None
    before = collections.Counter(server.stats())
    ours.release()
    assert theirs.auth.get_session().refresh_token == newest.refresh_token
    assert theirs.auth._refresh_token_timer.is_alive()
    assert "_call_refresh_token" not in vars(theirs.auth)
    # Here it is gone, and nobody was signed out at the server.
    assert ours.auth.session is None
    assert collections.Counter(server.stats()) == before
    assert theirs.auth.refresh_session().session.access_token != newest.access_token
    assert len(rows(theirs)) == 3
    assert ours.auth.session is None
    ours.release()  # harmless
    ours.close()


def test_closing_releases(theirs: Any) -> None:
    with Client.adopt(theirs, auto_refresh=False) as ours:
        ours.auth.refresh_session()
    assert theirs.auth._refresh_token_timer.is_alive()
    assert theirs.auth.refresh_session().session is not None


def test_a_client_that_nobody_is_signed_in_to(nobodys: Any) -> None:
    with Client.adopt(nobodys, auto_refresh=False) as ours:
        assert ours.auth.session is None
        ours.auth.sign_in_with_password(email="ada@example.com", password=PASSWORD)
        assert nobodys.auth.get_session().access_token == bearer(ours).removeprefix("Bearer ")
        assert len(rows(nobodys)) == 3
        ours.auth.sign_out("local")


def test_a_session_that_does_not_hold_stays_theirs(theirs: Any, server: DemoServer) -> None:
    server.outage(60)
    try:
        with pytest.raises(AuthRetryableError):
            Client.adopt(theirs, auto_refresh=False)
    finally:
        server.outage(0)
    assert theirs.auth._auto_refresh_token is True
    assert "_call_refresh_token" not in vars(theirs.auth)
    assert theirs.auth.refresh_session().session is not None


def test_errors_are_in_their_words(ours: Client, theirs: Any, server: DemoServer) -> None:
    from supabase_auth.errors import AuthRetryableError as TheirRetryable

    server.outage(60)
    try:
        with pytest.raises(TheirRetryable, match="Nothing is lost"):
            theirs.auth.refresh_session()
    finally:
        server.outage(0)
    server.admin("DELETE", f"/users/{_new_user(server, theirs)}")
    from supabase_auth.errors import AuthApiError as TheirRefusal

    with pytest.raises(TheirRefusal) as refused:
        theirs.auth.refresh_session()
    assert refused.value.code == "refresh_token_not_found"
    assert ours.auth.status == "expired"


def _new_user(server: DemoServer, client: Any) -> str:
    user = client.auth.sign_up({"email": "adopted@example.com", "password": PASSWORD}).user
    return str(user.id)


@pytest.mark.parametrize("other", [None, object(), "client"])
def test_only_a_client_is_adopted(other: Any) -> None:
    with pytest.raises(TypeError, match=r"what supabase\.create_client makes"):
        Client.adopt(other)
