"""The server's time, derived from its responses, on a clock that neither jumps nor stops."""

from __future__ import annotations

import runpy
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supabase_nb.auth._api import server_clock
from supabase_nb.auth._api.responses import retry_after
from supabase_nb.auth._api.server_clock import Clock, ServerClock

NOW = 1_800_000_000.0


class Machine(Clock):
    """Clocks that the test sets: `time` is the true one."""

    def __init__(self, wall_offset: float = 0.0) -> None:
        self.time, self.wall_offset, self.steady_offset = NOW, wall_offset, -NOW + 500.0

    def wall(self) -> float:
        return self.time + self.wall_offset

    def steady(self) -> float:
        return self.time + self.steady_offset


def date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


def exchange(
    clock: ServerClock, machine: Machine, round_trip: float = 0.1, said: float | None = None
) -> None:
    """One answer whose `Date` was written in the middle of the way (or says something else)."""
    sent = machine.steady()
    machine.time += round_trip / 2
    header = date(machine.time if said is None else said)
    machine.time += round_trip / 2
    clock.learn(header, sent, machine.steady())


def test_this_machines_clocks_go_forward() -> None:
    clock = Clock()
    steady, wall = clock.steady(), clock.wall()
    assert clock.steady() >= steady
    assert abs(wall - time.time()) < 5


def test_the_steady_clock_continues_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux by CLOCK_BOOTTIME, on macOS by CLOCK_MONOTONIC, elsewhere by what Python has."""
    monkeypatch.setattr(time, "clock_gettime", lambda which: float(which), raising=False)
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "CLOCK_MONOTONIC", 1, raising=False)
    monkeypatch.setattr(time, "monotonic", lambda: 42.0)
    for platform, expected in (("linux", 7.0), ("darwin", 1.0), ("win32", 42.0)):
        monkeypatch.setattr("sys.platform", platform)
        imported = runpy.run_path(server_clock.__file__)  # the clock is selected on import
        assert imported["Clock"]().steady() == expected


def test_before_the_first_answer_it_is_this_machines_time() -> None:
    assert ServerClock(Machine(7200.0)).now() == NOW + 7200.0


@given(
    offset=st.sampled_from([0.0, 7200.0, -7200.0, 31_536_000.0]),
    trips=st.lists(st.floats(0.001, 1.9), min_size=1, max_size=8),
    pauses=st.lists(st.floats(0.0, 5000.0), min_size=8, max_size=8),
)
def test_answers_give_the_time_to_a_second_and_never_worse(
    offset: float, trips: list[float], pauses: list[float]
) -> None:
    machine = Machine(offset)
    clock = ServerClock(machine)
    for trip, pause in zip(trips, pauses, strict=False):
        exchange(clock, machine, trip)
        assert abs(clock.now() - machine.time) <= 0.5 + trip
        machine.time += pause
        assert abs(clock.now() - machine.time) <= 0.5 + trip
    assert clock.offset == pytest.approx(-offset, abs=2.5)


def test_several_responses_narrow_the_bounds() -> None:
    machine = Machine()
    clock = ServerClock(machine)
    for _ in range(50):
        exchange(clock, machine, 0.02)
        machine.time += 0.33
    assert abs(clock.now() - machine.time) < 0.05


def test_a_slow_response_is_ignored() -> None:
    machine = Machine()
    clock = ServerClock(machine)
    exchange(clock, machine, 2.5, said=NOW + 9999)
    assert clock.now() == machine.wall()


@pytest.mark.parametrize("header", [None, "", "yesterday", "Mon, 99 Foo 20 99:99:99 GMT", "-1", "\x00"])
def test_no_date_or_nonsense_says_nothing(header: str | None) -> None:
    machine = Machine()
    clock = ServerClock(machine)
    clock.learn(header, machine.steady(), machine.steady())
    assert clock.now() == machine.wall()


def test_an_earlier_sessions_offset_and_a_tokens_age_are_a_start() -> None:
    machine = Machine(-7200.0)
    clock = ServerClock(machine)
    clock.hint(7200.0)
    assert clock.now() == NOW
    clock = ServerClock(machine)
    clock.hint(0.0, not_before=NOW - 60)  # a token issued a minute ago
    assert clock.now() == NOW - 60
    clock.hint(-500.0)  # of another machine: what is known to be past stays so
    assert clock.now() == NOW - 60


def test_a_response_overrides_a_hint() -> None:
    machine = Machine()
    clock = ServerClock(machine)
    clock.hint(7200.0)
    exchange(clock, machine)
    clock.hint(7200.0)
    assert abs(clock.now() - machine.time) < 1


def test_the_auth_servers_time_overrides_a_proxys() -> None:
    machine = Machine()
    clock = ServerClock(machine)
    exchange(clock, machine, said=NOW + 7200)
    assert clock.now() > NOW + 7000
    clock.learn_issued(int(machine.time), machine.steady() - 0.1, machine.steady())
    assert abs(clock.now() - machine.time) < 1
    exchange(clock, machine, said=machine.time + 7200)
    assert abs(clock.now() - machine.time) < 1
    # Small differences are no other machine's, but time that was learnt better.
    exchange(clock, machine)
    assert abs(clock.now() - machine.time) < 1


def test_a_token_in_a_slow_response_may_be_as_old_as_the_response() -> None:
    machine = Machine()
    clock = ServerClock(machine)
    sent, issued = machine.steady(), int(machine.time)
    machine.time += 3000.0  # suspended, say, before the answer was read
    clock.learn_issued(issued, sent, machine.steady())
    assert clock.now() >= machine.time
    clock.learn_issued(None, sent, machine.steady())


@pytest.mark.parametrize("jump", [7200.0, -7200.0])
def test_a_wall_clock_that_is_set_is_noticed_and_the_later_time_taken(jump: float) -> None:
    machine = Machine()
    clock = ServerClock(machine)
    exchange(clock, machine)
    assert not clock.jumped
    machine.wall_offset += jump
    assert clock.jumped
    assert clock.now() >= machine.time - 1
    exchange(clock, machine)
    assert not clock.jumped
    assert abs(clock.now() - machine.time) < 1


def test_a_steady_clock_that_stopped_is_noticed() -> None:
    machine = Machine()
    clock = ServerClock(machine)
    exchange(clock, machine)
    machine.time += 3600
    machine.steady_offset -= 3600
    assert clock.jumped
    assert abs(clock.now() - machine.time) < 1


def test_a_jump_is_asked_about_once_even_if_answers_have_no_time() -> None:
    machine = Machine()
    clock = ServerClock(machine)
    exchange(clock, machine)
    machine.wall_offset += 7200
    clock.learn(None, machine.steady(), machine.steady())
    assert not clock.jumped
    assert clock.now() >= machine.time - 1


def test_small_corrections_of_the_wall_clock_are_none() -> None:
    machine = Machine()
    clock = ServerClock(machine)
    exchange(clock, machine)
    machine.wall_offset += 3.0
    assert not clock.jumped


# -- Retry-After --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 17 ", 17.0),
        ("9" * 40, 999_999_999.0),
        (date(NOW + 40), 40.0),
        (date(NOW - 40), 0.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("Mon, 99 Foo 20 99:99:99 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
