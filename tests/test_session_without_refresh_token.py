"""A session that has only an access token: verified once, left alone until it expires, then ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email.utils import formatdate

import httpx
import made
import pytest
from waiting import wait_until

from supabase_nb import AuthClient, AuthRetryableError, MemoryStorage
from supabase_nb.auth._api.server_clock import Clock
from supabase_nb.storage import SessionStorage, storage_key

URL = "https://abcd.supabase.co/auth/v1"


def a_user(_: httpx.Request) -> httpx.Response:
    """As a server answers: with the time."""
    return httpx.Response(200, json=made.user(), headers={"date": formatdate(usegmt=True)})


class ShiftedClock(Clock):
    """This machine's clocks; the test sets them."""

    def __init__(self) -> None:
        self.wall_shift = self.steady_shift = 0.0

    def wall(self) -> float:
        return super().wall() + self.wall_shift

    def steady(self) -> float:
        return super().steady() + self.steady_shift


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The background looks more often, so that tests need not wait for a clock that they set."""
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 0.05)


@pytest.fixture
def clients() -> Iterator[Callable[..., AuthClient]]:
    made_clients = []

    def make(
        transport: httpx.BaseTransport, storage: SessionStorage, clock: Clock, **options: bool
    ) -> AuthClient:
        client = AuthClient(URL, storage=storage, transport=transport, clock=clock, **options)
        made_clients.append(client)
        return client

    yield make
    for client in made_clients:
        client.close()


def quiet(client: AuthClient, answers: made.Answers, clock: ShiftedClock) -> None:
    """The background has looked a few times since, and has neither asked the server nor changed anything."""
    looks: list[float] = []
    original = client._manager.due_in

    def look() -> float | None:
        looks.append(0.0)
        return original()

    changes: list[object] = []
    client.observe(lambda change: changes.append(change.name))
    client._manager.due_in = look  # type: ignore[method-assign]
    asked = len(answers.asked)
    wait_until(lambda: len(looks) > 5)
    client._manager.due_in = original  # type: ignore[method-assign]
    assert len(answers.asked) == asked
    assert changes == []


def test_restored_when_a_refresh_would_be_due_it_is_verified_once(
    attentive: None, clients: Callable[..., AuthClient]
) -> None:
    clock, storage = ShiftedClock(), MemoryStorage()
    answers = made.Answers(**{"GET /auth/v1/user": a_user})
    at = made.jwt()
    first = clients(answers, storage, clock)
    first.set_session(at, "")
    first.close()
    clock.wall_shift = clock.steady_shift = 3600 - 30

    client = clients(answers, storage, clock)
    assert client.get_session() is not None
    wait_until(lambda: client.status == "active")
    assert answers.count("GET /auth/v1/user") == 2
    quiet(client, answers, clock)
    assert client.next_refresh_at is None
    assert client.last_error is None


def test_the_wall_clock_is_set_back(attentive: None, clients: Callable[..., AuthClient]) -> None:
    clock = ShiftedClock()
    answers = made.Answers(**{"GET /auth/v1/user": a_user})
    client = clients(answers, MemoryStorage(), clock)
    client.set_session(made.jwt(), "")
    assert client.next_refresh_at is None
    clock.wall_shift = -7200
    wait_until(lambda: answers.count("GET /auth/v1/user") == 2)
    wait_until(lambda: client.status == "active")
    quiet(client, answers, clock)


def test_it_ends_when_it_expires(attentive: None, clients: Callable[..., AuthClient]) -> None:
    clock = ShiftedClock()
    answers = made.Answers(**{"GET /auth/v1/user": a_user})
    client = clients(answers, MemoryStorage(), clock)
    client.set_session(made.jwt(), "")
    clock.wall_shift = clock.steady_shift = 3601
    wait_until(lambda: client.status == "expired")
    assert client.session is None
    assert client.last_error is not None
    assert "no refresh token" in client.last_error.message
    assert len(answers.asked) == 1


def test_refused_when_it_is_verified_it_ends(attentive: None, clients: Callable[..., AuthClient]) -> None:
    """Nothing could replace the access token, so the server's refusal is final."""
    clock, storage = ShiftedClock(), MemoryStorage()
    answers = made.Answers(**{"GET /auth/v1/user": a_user})
    first = clients(answers, storage, clock)
    first.set_session(made.jwt(), "")
    first.close()
    answers["GET /auth/v1/user"] = made.refusal(403, "bad_jwt", "invalid JWT: signature is invalid")
    client = clients(answers, storage, clock)
    client.get_session()
    wait_until(lambda: client.status == "expired")
    asked = len(answers.asked)
    quiet(client, answers, clock)
    assert len(answers.asked) == asked == 2


def test_without_a_refresh_token_the_panel_says_so(clients: Callable[..., AuthClient]) -> None:
    from supabase_nb.notebook._displays.view import describe

    answers = made.Answers(**{"GET /auth/v1/user": a_user})
    client = clients(answers, MemoryStorage(), ShiftedClock())
    client.set_session(made.jwt(), "")
    view = describe(client)
    assert view["refreshable"] is False
    assert view["refresh_in"] is None


# -- by a clock that may be wrong, it has expired -----------------------------------------------------------

YEAR = 365 * 24 * 3600.0


@pytest.fixture
def stored_by_a_slow_clock(clients: Callable[..., AuthClient]) -> tuple[made.Answers, MemoryStorage]:
    """A session that was stored while this machine's clock was a year behind. It has been set since."""
    clock, storage = ShiftedClock(), MemoryStorage()
    answers = made.Answers(**{"GET /auth/v1/user": a_user})
    clock.wall_shift = -YEAR
    first = clients(answers, storage, clock)
    first.set_session(made.jwt(), "")
    first.close()
    return answers, storage


@pytest.mark.parametrize("auto_refresh", [True, False])
def test_a_wrong_clock_does_not_end_a_stored_session(
    auto_refresh: bool,
    stored_by_a_slow_clock: tuple[made.Answers, MemoryStorage],
    clients: Callable[..., AuthClient],
) -> None:
    answers, storage = stored_by_a_slow_clock
    client = clients(answers, storage, ShiftedClock(), auto_refresh=auto_refresh)
    assert client.get_session() is not None
    assert client.status == "active"
    left = client.time_left()
    assert left is not None
    assert 0 < left < 3700
    assert answers.count("GET /auth/v1/user") == 2


def test_by_a_wrong_clock_and_without_the_server_a_stored_session_is_kept(
    stored_by_a_slow_clock: tuple[made.Answers, MemoryStorage], clients: Callable[..., AuthClient]
) -> None:
    answers, storage = stored_by_a_slow_clock
    answers["GET /auth/v1/user"] = httpx.ConnectError("unreachable")
    client = clients(answers, storage, ShiftedClock(), auto_refresh=False)
    with pytest.raises(AuthRetryableError):
        client.get_session()
    assert client.session is not None
    answers["GET /auth/v1/user"] = a_user
    assert client.get_session() is not None


def test_a_stored_session_that_the_server_calls_expired_ends(
    stored_by_a_slow_clock: tuple[made.Answers, MemoryStorage], clients: Callable[..., AuthClient]
) -> None:
    answers, storage = stored_by_a_slow_clock
    answers["GET /auth/v1/user"] = made.refusal(403, "bad_jwt", "invalid JWT: token is expired")
    client = clients(answers, storage, ShiftedClock(), auto_refresh=False)
    assert client.get_session() is None
    assert client.status == "expired"
    assert storage.get(storage_key(URL)) is None


def test_the_wall_clock_is_set_forward(attentive: None, clients: Callable[..., AuthClient]) -> None:
    clock = ShiftedClock()
    answers = made.Answers(**{"GET /auth/v1/user": a_user})
    client = clients(answers, MemoryStorage(), clock)
    client.set_session(made.jwt(), "")
    clock.wall_shift = YEAR
    wait_until(lambda: answers.count("GET /auth/v1/user") == 2)
    wait_until(lambda: client.status == "active")
    quiet(client, answers, clock)
    assert client.session is not None


def test_the_wall_clock_is_set_forward_and_the_server_sends_no_time(
    attentive: None, clients: Callable[..., AuthClient]
) -> None:
    """As in a browser, where other sites don't see the header `Date`: the server is asked now and then."""
    clock = ShiftedClock()
    answers = made.Answers(**{"GET /auth/v1/user": made.user()})
    client = clients(answers, MemoryStorage(), clock)
    client.set_session(made.jwt(), "")
    clock.wall_shift = YEAR
    assert client.get_session() is not None
    wait_until(lambda: client.status == "active")
    asked = len(answers.asked)
    quiet(client, answers, clock)
    assert len(answers.asked) == asked
    assert client.session is not None
