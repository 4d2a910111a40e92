"""A session survives outages, wrong clocks and concurrent calls, which other clients get wrong.

Three ways to look: the embedded server behind a proxy that fails as told; one or two clients on a virtual
clock against the modeled server, where nothing waits; and processes of their own (`tests/faults/`).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import httpx
import made
import pytest
from faults.proxy import LOGIN_PAGE, Fault, FaultProxy, cut, drip, drop, faulty, hang, hang_after, lose, says
from model.kernels import Kernel, World
from waiting import wait_until

from supabase_nb import (
    AuthClient,
    AuthError,
    AuthRetryableError,
    AuthSessionMissing,
    AuthStorageError,
    AuthUnknownError,
    FileStorage,
    MemoryStorage,
    SessionAuth,
)
from supabase_nb.auth._api.server_clock import Clock
from supabase_nb.demo import DemoServer
from supabase_nb.storage import storage_key

MakeAuth = Callable[..., AuthClient]
URL = "https://abcd.supabase.co/auth/v1"
USER, TOKEN, LOGOUT = "GET /auth/v1/user", "POST /auth/v1/token", "POST /auth/v1/logout"


@pytest.fixture
def signed_in(make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer) -> AuthClient:
    """Behind the proxy; refreshes only when it is asked to."""
    auth = make_auth(proxy.auth_url)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    return auth


class ShiftedClock(Clock):
    """This machine's clocks, shifted by the test."""

    def __init__(self, wall: float = 0.0) -> None:
        self.wall_shift, self.steady_shift = wall, 0.0

    def wall(self) -> float:
        return super().wall() + self.wall_shift

    def steady(self) -> float:
        return super().steady() + self.steady_shift

    def sleep(self, seconds: float) -> None:
        """The machine is suspended for so long."""
        self.wall_shift += seconds
        self.steady_shift += seconds


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refresher looks more often, so that tests need not wait for a clock that they shifted."""
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 0.05)


@pytest.fixture
def alive(
    attentive: None, make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, clock: ShiftedClock
) -> AuthClient:
    """Behind the proxy, refreshing in the background, on a clock that the test shifts."""
    auth = make_auth(proxy.auth_url, auto_refresh=True, clock=clock)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    return auth


def make_due(auth: AuthClient, clock: ShiftedClock, *, expired: bool = False) -> str:
    """Let the time of the refresh come. Returns the access token that is to be renewed."""
    assert auth.session is not None
    clock.sleep((auth.time_left() or 0.0) + (1.0 if expired else -30.0))
    return auth.session.access_token


def renewed(auth: AuthClient, before: str) -> Callable[[], bool]:
    return lambda: (
        auth.session is not None and auth.session.access_token != before and auth.status == "active"
    )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The modeled server and a virtual clock."""

    return World(MemoryStorage(), version=1, reuse_interval=10.0, offset=0.0)


def modeled(world: World, lifetime: int = 3600) -> Kernel:
    """A kernel there, signed in."""
    world.server.lifetime = lifetime
    kernel = Kernel(world)
    kernel.sign_in()
    kernel.asked = 0
    return kernel


def run(world: World, kernel: Kernel, until: float, happened: Callable[[], bool] = lambda: False) -> bool:
    """What the refresher does until then: it looks every two seconds, and when something is due."""
    while world.time < until:
        kernel.tick()
        if happened():
            return True
        due = kernel.due_in()
        world.time = min(until, world.time + max(min(2.0, 2.0 if due is None else due), 0.01))
    return happened()


def test_after_the_wall_clock_was_set_the_server_is_asked_for_the_time_without_a_refresh(
    alive: AuthClient, proxy: FaultProxy, clock: ShiftedClock
) -> None:
    before = proxy.count(path="/user")
    clock.wall_shift += 600.0
    wait_until(lambda: proxy.count(path="/user") > before)
    assert proxy.count() == 0


# -- one exchange -------------------------------------------------------------------------------------------


def at_once(calls: Sequence[Callable[[], object]]) -> list[object]:
    """Carry out all calls at the same time, each in a thread. Returns their results."""
    start, found = threading.Barrier(len(calls)), []

    def wait_and_call(call: Callable[[], object]) -> None:
        start.wait()
        found.append(call())

    threads = [threading.Thread(target=wait_and_call, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


@pytest.mark.parametrize("kind", ["in the margin", "expired"])
def test_sixteen_threads_at_expiry_make_one_exchange(
    kind: str, make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, clock: ShiftedClock
) -> None:
    auth = make_auth(proxy.auth_url, clock=clock)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    make_due(auth, clock, expired=kind == "expired")
    found = at_once([auth.get_session] * 16)
    assert len(found) == 16
    assert len(set(found)) == 1
    assert proxy.count() == 1


def test_threads_tasks_and_requests_share_one_exchange(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, clock: ShiftedClock
) -> None:
    auth = make_auth(proxy.auth_url, clock=clock)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    left = auth.time_left() or 0.0
    make_due(auth, clock, expired=True)
    # For the server too. Otherwise it would still accept the old token, and a client could use it.
    server.advance(left + 1.0)
    signer = SessionAuth(auth)
    found: list[str] = []

    def thread() -> None:
        session = auth.get_session()
        assert session is not None
        found.append(session.access_token)

    def request() -> None:
        with httpx.Client(auth=signer) as http:
            found.append(http.get(proxy.auth_url + "/user").request.headers["authorization"].split()[1])

    async def tasks() -> None:
        async with httpx.AsyncClient(auth=signer) as http:
            answers = await asyncio.gather(*(http.get(proxy.auth_url + "/user") for _ in range(8)))
        found.extend(answer.request.headers["authorization"].split()[1] for answer in answers)
        sessions = await asyncio.gather(*(auth.aio.get_session() for _ in range(8)))
        found.extend(session.access_token for session in sessions if session is not None)

    try:
        at_once([thread] * 8 + [request] * 8 + [lambda: asyncio.run(tasks())])
    finally:
        server.advance(-left - 1.0)
    assert len(found) == 32
    assert len(set(found)) == 1
    assert proxy.count() == 1


def test_a_tick_makes_one_exchange(world: World) -> None:
    kernel = modeled(world)
    world.time += 3580
    kernel.tick()
    kernel.tick()
    assert world.server.exchanges == 1


# -- run it again -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["valid", "expired", "unreadable"])
def test_yesterdays_tokens_after_two_rotations_are_harmless(kind: str, version: int, world: World) -> None:
    """The used token is never sent, and the other notebook's session continues."""
    world.server.version = version
    one = modeled(world)
    assert one.session is not None
    yesterday = one.session.to_wire()
    for _ in range(2):
        world.time += 7200
        one.tick()
    other = Kernel(world)
    token = {
        "valid": made.jwt(session_id=one.session.session_id, iat=1),
        "expired": yesterday["access_token"],
        "unreadable": "nonsense",
    }[kind]
    other.set_session(made_pair(token, yesterday["refresh_token"]))
    assert other.session == one.session
    assert other.manager.state.events[-1].cause == "continued from storage"
    assert any("Resumed your saved session" in notice for notice in other.manager.state.notices.values())
    world.time += 7200
    other.tick()
    one.tick()
    assert one.session == other.session
    assert world.server.already_used == 0


def made_pair(access_token: str, refresh_token: str) -> Any:
    from supabase_nb.auth._session.session_record import TokenPair

    return TokenPair.from_tokens(access_token, refresh_token)


def test_used_tokens_are_bounded_and_both_ends_are_kept(world: World) -> None:
    kernel = modeled(world)
    assert kernel.session is not None
    tokens = [kernel.session.refresh_token]
    for _ in range(600):
        world.time += 10
        tokens.append(kernel.refresh().refresh_token)
    record = kernel.snapshot.record
    assert record is not None
    assert len(record.spent_token_hashes) == 512
    later = Kernel(world)
    for spent in (*tokens[:100], *tokens[-300:-1]):
        assert record.is_later_than(made_pair("unreadable", spent))
    later.set_session(made_pair("unreadable", tokens[0]))
    assert later.session == kernel.session
    # Tokens in between are recognized by their access token, if it was passed too, otherwise by the server.
    assert not record.is_later_than(made_pair("unreadable", tokens[150]))


# -- outages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [13, 19, 27, 110])
@pytest.mark.parametrize("answer", ["503", "drop", "portal", "429", "408", "409", "520"])
def test_renewed_within_five_seconds_of_recovery(seconds: float, answer: str, world: World) -> None:
    """cases.md: 503 for 13, 19, 27 s when the refresh is due. On a virtual clock, ten times each."""
    for _ in range(10):
        kernel = modeled(world)
        kernel.always = answer
        begin = world.time = world.time + 3541
        assert not run(world, kernel, begin + seconds)
        assert kernel.snapshot.status == "retrying"
        before, kernel.always = kernel.session, None
        recovery = world.time
        assert run(world, kernel, recovery + 60, lambda: kernel.session != before)  # noqa: B023
        assert world.time - recovery <= 5.0
        assert kernel.snapshot.status == "active"
        assert kernel.snapshot.error is None


def test_a_long_outage_is_asked_about_every_half_minute_and_ends_by_the_next_try(world: World) -> None:
    kernel = modeled(world)
    begin = world.time = world.time + 3541
    kernel.always = "503"
    run(world, kernel, begin + 120)
    asked = kernel.asked
    run(world, kernel, begin + 3600)
    # Full jitter under 30 s: every 15 s on average.
    assert 60 <= kernel.asked - asked <= 600
    kernel.always, before = None, kernel.session
    assert run(world, kernel, world.time + 31, lambda: kernel.session != before)


FAULTS: dict[str, Fault] = {
    "dropped": drop,
    "the answer lost": lose,
    "the answer cut": cut,
    "503": says(503, "<h1>Service unavailable</h1>"),
    "500 without a body": says(500),
    "522 of Cloudflare": says(522),
    "408": says(408),
    "409": says(409, {"code": "conflict", "message": "Too many concurrent requests"}),
    "425": says(425),
    "429": says(429, {"code": "over_request_rate_limit", "message": "Request rate limit reached"}),
    "a captive portal": LOGIN_PAGE,
    "an empty 200": says(200),
    "wrong types": says(200, {"access_token": 5, "refresh_token": [], "user": "ada"}),
    "no refresh token": says(200, {**made.session(), "refresh_token": ""}),
    "nested too deep": says(
        200, '{"access_token": "a.b.c", "user": ' + '{"a":' * 800 + "1" + "}" * 800 + "}"
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_temporary_failures_are_retried_and_end_no_session(
    fault: Fault, alive: AuthClient, proxy: FaultProxy, clock: ShiftedClock, storage: FileStorage
) -> None:
    before = make_due(alive, clock, expired=True)
    proxy.always(fault)
    wait_until(lambda: alive.status == "retrying")
    assert alive.session is not None
    assert alive.last_error is not None
    assert alive.next_refresh_at is not None
    assert storage.get(storage_key(proxy.url)) is not None
    proxy.recover()
    wait_until(renewed(alive, before))
    assert alive.last_error is None
    assert alive.get_user().email == "ada@example.com"


@pytest.mark.parametrize("fault", [says(400, "Bad gateway"), says(401), says(403, "Forbidden"), says(404)])
def test_a_gateways_error_is_not_the_auth_servers(
    fault: Fault, alive: AuthClient, proxy: FaultProxy, clock: ShiftedClock
) -> None:
    proxy.always(fault)
    before = make_due(alive, clock)
    wait_until(lambda: alive.status == "retrying")
    assert alive.session is not None
    assert alive.next_refresh_at is not None
    assert alive.next_refresh_at - clock.wall() > 50  # every 60 s
    proxy.recover()
    clock.sleep(60)
    wait_until(renewed(alive, before))


def test_a_redirect_is_not_followed(
    alive: AuthClient, proxy: FaultProxy, clock: ShiftedClock, server: DemoServer
) -> None:
    with faulty(server) as elsewhere:
        proxy.always(says(307, location=elsewhere.auth_url + "/token?grant_type=refresh_token"))
        make_due(alive, clock)
        wait_until(lambda: alive.status == "retrying")
        assert isinstance(alive.last_error, AuthUnknownError)
        assert alive.last_error.code == "unexpected_redirect"
        assert elsewhere.asked == []


def test_a_server_that_hangs_is_waited_for_no_longer_than_its_limit(
    signed_in: AuthClient, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte, or not at all: the call ends, the lock is free, and what the server did is not lost."""
    monkeypatch.setattr("supabase_nb.auth._api.auth_api.REQUEST_TIMEOUT", 0.4)
    monkeypatch.setattr("supabase_nb.auth._session.retry.FOREGROUND_TIMEOUT", 0.8)
    before = signed_in.session
    for fault in (drip, hang, hang_after):
        proxy.always(fault)
        with pytest.raises(AuthRetryableError, match="did not respond in time"):
            signed_in.refresh_session()
        assert signed_in.session == before
        proxy.recover()
    monkeypatch.undo()
    assert signed_in.refresh_session().session != before


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(form: str, world: World) -> None:
    """A date is read by the server's clock, even if the local clock differs."""
    world.offset = 7200.0
    kernel = modeled(world)
    kernel.always, kernel.retry_after = "429", (form, 40.0)
    begin = world.time = world.time + 3541
    run(world, kernel, begin + 35)
    assert kernel.asked == 1
    # Nor does anybody else ask meanwhile: not who needs the token (it is valid still), nor who insists.
    assert kernel.get_session() is not None
    with pytest.raises(AuthRetryableError):
        kernel.refresh()  # type: ignore[union-attr]
    assert kernel.asked == 1
    kernel.always, before = None, kernel.session
    assert run(world, kernel, begin + 50, lambda: kernel.session != before)
    assert world.time - begin >= 39  # a date is whole seconds


def test_a_retry_after_of_years_is_an_hour(world: World) -> None:
    kernel = modeled(world)
    kernel.always, kernel.retry_after = "429", ("seconds", 10.0**12)
    begin = world.time = world.time + 3541
    run(world, kernel, begin + 100)
    kernel.always, before = None, kernel.session
    assert kernel.asked == 1
    assert run(world, kernel, begin + 3700, lambda: kernel.session != before)


def test_in_an_outage_a_valid_session_is_returned_at_once(world: World) -> None:
    """And not asked for anew with every call: the background does that."""
    kernel = modeled(world)
    kernel.always = "drop"
    world.time += 3541
    kernel.tick()
    asked = kernel.asked
    for _ in range(20):
        assert kernel.get_session() == kernel.session
    assert kernel.asked == asked


def test_started_offline_the_stored_session_stays(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, storage: FileStorage
) -> None:
    pair = server.sign_in()
    make_auth(proxy.auth_url).set_session(pair["access_token"], pair["refresh_token"])
    proxy.always(drop)
    auth = make_auth(proxy.auth_url, auto_refresh=True)
    session = auth.get_session()
    assert session is not None
    wait_until(lambda: auth.status == "retrying")
    assert auth.session == session
    assert storage.get(storage_key(proxy.url)) is not None
    proxy.recover()
    wait_until(lambda: auth.status == "active")


def test_started_offline_after_the_expiry(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, clock: ShiftedClock
) -> None:
    pair = server.sign_in()
    make_auth(proxy.auth_url).set_session(pair["access_token"], pair["refresh_token"])
    clock.sleep(86400)
    proxy.always(drop)
    auth = make_auth(proxy.auth_url, auto_refresh=True, clock=clock)
    with pytest.raises(AuthRetryableError):
        auth.get_session()
    assert auth.status == "retrying"
    assert auth.session is not None
    proxy.recover()
    wait_until(lambda: auth.status == "active")
    assert auth.get_user().email == "ada@example.com"


def test_an_outage_of_the_embedded_server(alive: AuthClient, server: DemoServer, clock: ShiftedClock) -> None:
    server.outage(60)
    before = make_due(alive, clock)
    try:
        wait_until(lambda: alive.status == "retrying")
        assert isinstance(alive.last_error, AuthRetryableError)
        assert alive.last_error.status == 503
    finally:
        server.outage(0)
    wait_until(renewed(alive, before))


# -- final answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "refresh_token_not_found",
        "refresh_token_already_used",
        "session_not_found",
        "session_expired",
        "user_banned",
        "user_not_found",
    ],
)
def test_a_final_answer_ends_the_session(
    code: str, alive: AuthClient, proxy: FaultProxy, clock: ShiftedClock, storage: FileStorage
) -> None:
    seen: list[str] = []
    alive.on_auth_state_change(lambda event, _: seen.append(str(event)))
    proxy.always(says(400, {"code": code, "message": "Invalid Refresh Token"}))
    make_due(alive, clock)
    wait_until(lambda: alive.status == "expired")
    assert (alive.session, alive.user) == (None, None)
    assert alive.last_error is not None
    assert alive.last_error.code == code
    wait_until(lambda: seen == ["INITIAL_SESSION", "SIGNED_OUT"])
    assert storage.get(storage_key(proxy.url)) is None
    assert alive.get_session() is None
    assert alive.next_refresh_at is None


def test_a_sessions_time_box_ends_it(make_auth: MakeAuth) -> None:
    from supabase_nb.demo.testing import running_server

    with running_server(timebox=60) as server:
        auth = make_auth(server.auth_url, headers={})
        pair = server.sign_in()
        auth.set_session(pair["access_token"], pair["refresh_token"])
        server.advance(61)
        with pytest.raises(Exception, match="limits how long"):
            auth.refresh_session()
        assert auth.status == "expired"


@pytest.mark.parametrize("code", ["refresh_token_already_used", "refresh_token_not_found"])
def test_before_the_end_storage_is_read_once_more(
    code: str, make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    """Another kernel was ahead: its pair is exchanged at once, which the server still takes for 10 s."""

    class Blind(MemoryStorage):
        """A storage whose lock does not work, and which shows the old value the first time."""

        def __init__(self) -> None:
            super().__init__()
            self.late: dict[str, str] = {}

        def get(self, key: str) -> str | None:
            return self.late.pop(key, None) or super().get(key)

    storage = Blind()
    one, other = (make_auth(proxy.auth_url, storage=storage) for _ in range(2))
    pair = server.sign_in()
    one.set_session(pair["access_token"], pair["refresh_token"])
    other.get_session()
    old = {key: secret.reveal() for key, secret in storage._values.items()}
    newest = other.refresh_session().session
    assert newest is not None
    storage.late.update(old)
    proxy.next(says(400, {"code": code, "message": "Invalid Refresh Token"}))
    session = one.refresh_session().session
    assert session is not None
    assert one.status == "active"
    assert session.refresh_token not in (pair["refresh_token"], newest.refresh_token)
    assert proxy.count() == 3


def test_a_revoked_family_is_rescued_within_the_grace_of_ten_seconds(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    """Somebody else spends an ancestor; the newest pair, which storage holds, is still taken."""
    auth = make_auth(proxy.auth_url)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    auth.refresh_session()
    auth.refresh_session()
    server.advance(11)
    with pytest.raises(Exception, match="Already Used"):
        server.request(
            "POST",
            "/auth/v1/token?grant_type=refresh_token",
            {"refresh_token": pair["refresh_token"]},
        )
    assert auth.refresh_session().session is not None
    server.advance(60)
    assert auth.refresh_session().session is not None


# -- crossings ----------------------------------------------------------------------------------------------


def test_signing_out_during_a_refresh_works(
    signed_in: AuthClient, proxy: FaultProxy, storage: FileStorage
) -> None:
    proxy.next(hang_after)
    errors: list[BaseException] = []

    def refresh() -> None:
        try:
            signed_in.refresh_session()
        except AuthSessionMissing as error:
            errors.append(error)

    thread = threading.Thread(target=refresh)
    thread.start()
    proxy.wait_for(1)
    signed_in.sign_out("local")
    assert (signed_in.status, signed_in.session) == ("signed_out", None)
    proxy.recover()
    thread.join(20)
    assert len(errors) == 1
    assert (signed_in.status, signed_in.session) == ("signed_out", None)
    assert storage.get(storage_key(proxy.url)) is None
    assert [str(event.kind) for event in signed_in.events] == ["TOKEN_REFRESHED", "SIGNED_OUT"]


def test_the_last_call_wins_even_if_an_earlier_session_ends_meanwhile(
    signed_in: AuthClient, proxy: FaultProxy, server: DemoServer
) -> None:
    """`set_session(B)` waits for the refresh of A, whose session has ended: B is the current session."""
    proxy.next(lambda exchange: (exchange.wait(), revoked(exchange))[0])  # type: ignore[func-returns-value]
    revoked = says(400, {"code": "refresh_token_not_found", "message": "Invalid Refresh Token"})

    def refresh() -> None:
        with pytest.raises(Exception, match="Invalid Refresh Token"):
            signed_in.refresh_session()

    first = threading.Thread(target=refresh)
    first.start()
    proxy.wait_for(1)
    b = server.sign_in("grace@example.com")
    second = threading.Thread(target=lambda: signed_in.set_session(b["access_token"], b["refresh_token"]))
    second.start()
    proxy.recover()
    first.join(20)
    second.join(20)
    assert signed_in.user is not None
    assert signed_in.user.email == "grace@example.com"
    assert signed_in.status == "active"


def test_signing_out_supersedes_an_earlier_set_session(
    signed_in: AuthClient, proxy: FaultProxy, server: DemoServer, storage: FileStorage
) -> None:
    b = server.sign_in("grace@example.com")
    proxy.next(hang_after, path="/user")

    def enter() -> None:
        with pytest.raises(AuthError, match="finished during this call"):
            signed_in.set_session(b["access_token"], b["refresh_token"])

    entering = threading.Thread(target=enter)
    entering.start()
    proxy.wait_for(2, path="/user")
    signed_in.sign_out("local")
    proxy.recover()
    entering.join(20)
    assert signed_in.session is None
    assert storage.get(storage_key(proxy.url)) is None


def test_of_two_set_sessions_the_later_one_wins(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    auth = make_auth(proxy.auth_url)
    a, b = server.sign_in(), server.sign_in("grace@example.com")
    proxy.next(hang_after, path="/user")

    def enter() -> None:
        with suppress(AuthError):  # replaced by the second call, where that has ended first
            auth.set_session(a["access_token"], a["refresh_token"])

    first = threading.Thread(target=enter)
    first.start()
    proxy.wait_for(1, path="/user")
    second = threading.Thread(target=lambda: auth.set_session(b["access_token"], b["refresh_token"]))
    second.start()
    proxy.recover()
    first.join(20)
    second.join(20)
    assert auth.user is not None
    assert auth.user.email == "grace@example.com"


def test_closing_during_a_refresh_keeps_the_new_tokens(
    signed_in: AuthClient, make_auth: MakeAuth, proxy: FaultProxy
) -> None:
    """Unloading the extension, say: the answer on its way is saved, and nothing refreshes any more."""
    proxy.next(hang_after)
    before = signed_in.session
    thread = threading.Thread(target=signed_in.refresh_session)
    thread.start()
    proxy.wait_for(1)
    signed_in.close()
    signed_in.close()
    proxy.recover()
    thread.join(20)
    later = make_auth(proxy.auth_url).get_session()
    assert later is not None
    assert later != before


def test_a_late_failure_of_an_earlier_session_does_not_affect_the_new_one(
    signed_in: AuthClient, proxy: FaultProxy, server: DemoServer
) -> None:
    proxy.next(hang)

    def refresh_in_vain() -> None:
        with suppress(AuthSessionMissing):  # or what is in force by then
            signed_in.refresh_session()

    refresh = threading.Thread(target=refresh_in_vain)
    refresh.start()
    proxy.wait_for(1)
    signed_in.sign_out("local")
    b = server.sign_in("grace@example.com")
    entering = threading.Thread(target=lambda: signed_in.set_session(b["access_token"], b["refresh_token"]))
    entering.start()
    proxy.always(drop, path="grant_type=refresh_token")
    proxy.recover()
    entering.join(20)
    refresh.join(20)
    assert (signed_in.status, signed_in.last_error) == ("active", None)


# -- signing out --------------------------------------------------------------------------------------------


def test_signing_out_offline_reaches_the_server_later(
    alive: AuthClient,
    proxy: FaultProxy,
    server: DemoServer,
    clock: ShiftedClock,
    make_auth: MakeAuth,
) -> None:
    assert alive.session is not None
    token = alive.session.access_token
    proxy.always(drop)
    alive.sign_out("local")
    assert (alive.status, alive.session) == ("signed_out", None)
    assert any("not confirmed it yet" in notice for notice in alive.notices)
    server.request("GET", "/auth/v1/user", token=token)  # there it lives
    proxy.recover()
    clock.sleep(20)
    wait_until(lambda: not alive.notices)
    with pytest.raises(Exception, match="session_id claim"):
        server.request("GET", "/auth/v1/user", token=token)


@pytest.mark.parametrize("scope", ["local", "global"])
def test_signing_in_again_cancels_a_pending_sign_out(
    scope: str, alive: AuthClient, proxy: FaultProxy, server: DemoServer, clock: ShiftedClock
) -> None:
    """Signed out offline, then the same cell is run again: the session stays."""
    assert alive.session is not None
    pair = (alive.session.access_token, alive.session.refresh_token)
    proxy.always(drop)
    alive.sign_out(scope)  # type: ignore[arg-type]
    proxy.recover()
    alive.set_session(*pair)
    assert not alive.notices
    clock.sleep(40)
    wait_until(lambda: proxy.count("/logout") >= 1)
    asked = proxy.count("/logout")
    clock.sleep(40)
    alive.refresh_session()
    assert alive.get_user().email == "ada@example.com"
    assert proxy.count("/logout") == asked


# -- storage ------------------------------------------------------------------------------------------------


def test_observers_are_called_after_saving(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer
) -> None:
    """A blocking storage delays events, but not the current session."""

    class Slow(MemoryStorage):
        go_on = threading.Event()
        asked = threading.Event()

        def set(self, key: str, value: str) -> None:
            self.asked.set()
            assert self.go_on.wait(20)
            super().set(key, value)

    storage = Slow()
    storage.go_on.set()
    auth = make_auth(proxy.auth_url, storage=storage)
    pair = server.sign_in()
    first = auth.set_session(pair["access_token"], pair["refresh_token"]).session
    seen: list[str] = []
    auth.on_auth_state_change(lambda event, _: seen.append(str(event)))
    storage.go_on.clear()
    storage.asked.clear()
    thread = threading.Thread(target=auth.refresh_session)
    thread.start()
    assert storage.asked.wait(20)
    assert auth.get_session() == first
    assert seen == ["INITIAL_SESSION"]
    storage.go_on.set()
    thread.join(20)
    assert seen == ["INITIAL_SESSION", "TOKEN_REFRESHED"]
    assert auth.session != first


def test_a_rotation_that_cannot_be_saved_is_used_and_saved_at_the_next_chance(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, clock: ShiftedClock
) -> None:
    class Full(MemoryStorage):
        full = False

        def set(self, key: str, value: str) -> None:
            if self.full:
                raise AuthStorageError("The disk is full.")
            super().set(key, value)

    storage = Full()
    auth = make_auth(proxy.auth_url, storage=storage, auto_refresh=True, clock=clock)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    storage.full = True
    with pytest.raises(AuthStorageError, match="full"):
        auth.refresh_session()
    assert auth.session is not None
    assert auth.status == "active"
    assert isinstance(auth.last_error, AuthStorageError)
    assert auth.get_user().email == "ada@example.com"
    stored = json.loads(storage.get(storage_key(proxy.url)) or "")
    assert stored["refresh_token"] == pair["refresh_token"]  # the parent, which the server takes again
    storage.full = False
    clock.sleep(5)
    wait_until(lambda: auth.last_error is None)
    stored = json.loads(storage.get(storage_key(proxy.url)) or "")
    assert stored["refresh_token"] == auth.session.refresh_token


def test_a_damaged_file_is_replaced_by_a_client_with_the_session(
    alive: AuthClient, proxy: FaultProxy, storage: FileStorage, clock: ShiftedClock
) -> None:
    storage.set(storage_key(proxy.url), "half a sess")
    clock.sleep(5)
    wait_until(lambda: "refresh_token" in (storage.get(storage_key(proxy.url)) or ""))
    assert alive.session is not None
    assert (storage.path / f"{storage_key(proxy.url)}.damaged").read_text() == "half a sess"


# -- clocks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [7200.0, -7200.0])
@pytest.mark.parametrize("start", ["sign in", "valid pair", "expired pair", "from storage", "adopted"])
def test_a_clock_that_is_two_hours_off_costs_one_exchange_at_most(
    offset: float, start: str, world: World
) -> None:
    """cases.md: 28 s of 20 s tokens with a `get_session` a second; none of them is refused."""
    kernel = modeled(world, lifetime=20)
    assert kernel.session is not None
    pair = (kernel.session.access_token, kernel.session.refresh_token)
    world.offset = offset
    if start != "adopted":
        kernel.kill()
    if start == "expired pair":
        world.time += 25
    kernel = modeled(world, lifetime=20) if start == "sign in" else Kernel(world)
    if start.endswith("pair"):
        world.storage.remove("sb-abcd-auth-token")
        kernel.set_session(made_pair(*pair))
    kernel.restore()
    before = world.server.exchanges
    begin = world.time
    for second in range(29):
        run(world, kernel, begin + second)
        session = kernel.get_session()
        assert session is not None
        assert world.server.session_of(session.access_token) is not None
    # 28 s of tokens that are renewed after 16 s: one exchange or, from a start in the middle, two.
    assert world.server.exchanges - before <= 1 + 1
    assert kernel.manager.clock.offset == pytest.approx(-offset, abs=1.5)


@pytest.mark.parametrize("jump", [7200.0, -7200.0])
@pytest.mark.parametrize("date", [True, False])
def test_a_clock_that_is_set_while_it_runs(jump: float, date: bool, world: World) -> None:
    kernel = modeled(world)
    world.dates = date
    world.offset = jump
    for _ in range(40):
        run(world, kernel, world.time + 2)
        session = kernel.get_session()
        assert session is not None
        assert world.server.session_of(session.access_token) is not None
    assert world.server.exchanges <= 1
    assert kernel.asked <= 3


def test_a_machine_that_slept_unnoticed_by_its_steady_clock(world: World) -> None:
    """A virtual machine that was paused: only the wall clock has moved on."""
    kernel = modeled(world)
    before = kernel.session
    world.time += 3700
    world.steady_shift -= 3700
    assert kernel.get_session() != before
    assert world.server.exchanges == 1


def test_a_laptop_wakes_over_the_expiry(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, clock: ShiftedClock
) -> None:
    auth = make_auth(proxy.auth_url, auto_refresh=True, clock=clock)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    before = make_due(auth, clock, expired=True)  # suspended, and awake again
    wait_until(renewed(auth, before), timeout=6.0)
    assert proxy.count() == 1


@pytest.mark.parametrize("offset", [-7200, 7200])
def test_a_wrong_date_of_a_proxy_causes_no_loop(offset: float, world: World) -> None:
    """The `Date` header may be another machine's; the auth server's own time is in the tokens."""
    world.date_offset = offset
    one = modeled(world, lifetime=20)
    other = Kernel(world)
    other.restore()
    begin = world.time
    for second in range(60):
        for kernel in (one, other):
            run(world, kernel, begin + second)
            session = kernel.get_session()
            assert session is not None
        world.time = max(world.time, begin + second)
    # 60 s of tokens that are renewed after 16 s, and one extra for each kernel.
    assert world.server.exchanges <= 4 + 2


# -- events -------------------------------------------------------------------------------------------------


def test_user_updated_changes_the_user_and_nothing_else(signed_in: AuthClient) -> None:
    before = signed_in.session
    assert before is not None
    seen: list[Any] = []
    signed_in.on_auth_state_change(lambda event, session: seen.append((str(event), session)))
    signed_in.update_user({"data": {"name": "Augusta"}})
    assert signed_in.session is not None
    assert signed_in.session.access_token == before.access_token
    assert signed_in.session.refresh_token == before.refresh_token
    assert signed_in.user is not None
    assert signed_in.user.user_metadata["name"] == "Augusta"
    assert [event for event, _ in seen] == ["INITIAL_SESSION", "USER_UPDATED"]


# -- the end ------------------------------------------------------------------------------------------------


def test_the_interpreter_ends_at_once(server: DemoServer, proxy: FaultProxy, tmp_path: Any) -> None:
    """With a refresher running, an exchange hanging, and a subscriber that blocks."""
    pair = server.sign_in()
    program = f"""
import json, sys, threading
from supabase_nb import AuthClient, FileStorage
pair = json.loads(sys.stdin.read())
auth = AuthClient({proxy.auth_url!r}, storage=FileStorage({str(tmp_path)!r}))
auth.set_session(pair["access_token"], pair["refresh_token"])
auth.on_auth_state_change(lambda event, _: event == "TOKEN_REFRESHED" and threading.Event().wait())
threading.Thread(target=auth.refresh_session, daemon=True).start()
sys.stdin.close()
print("ready", flush=True)
{"import time; time.sleep(0.3)"}
"""
    proxy.next(hang)
    process = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(pair),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == "ready\n"


def test_where_no_thread_can_be_started(
    make_auth: MakeAuth, server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As during interpreter shutdown: calls in an `atexit` function still work."""

    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    auth = make_auth(auto_refresh=True)
    pair = server.sign_in()
    monkeypatch.setattr(threading.Thread, "start", start)
    auth.set_session(pair["access_token"], pair["refresh_token"])
    assert auth.get_user().email == "ada@example.com"
    auth.refresh_session()
    auth.sign_out("local")
    assert auth.status == "signed_out"
    monkeypatch.undo()
    with pytest.raises(Exception, match="session_id claim"):
        server.request("GET", "/auth/v1/user", token=pair["access_token"])


def test_a_dropped_client_is_garbage_collected_and_stops_refreshing(
    proxy: FaultProxy, server: DemoServer, clock: ShiftedClock
) -> None:
    import gc
    import weakref

    headers = {"apikey": server.anon_key}
    auth = AuthClient(proxy.auth_url, storage=MemoryStorage(), clock=clock, headers=headers)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    auth.refresh_session()
    auth.on_auth_state_change(lambda event, session: None)
    keeper = weakref.ref(auth._manager)
    make_due(auth, clock)
    del auth

    def collected() -> bool:
        gc.collect()
        return keeper() is None

    wait_until(collected)
    asked = proxy.count()
    clock.sleep(3600)
    threading.Event().wait(0.2)
    assert proxy.count() == asked
