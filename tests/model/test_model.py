"""No schedule of kernels, faults and pauses loses a session: the protocol against its recorded rules.

`make test` runs 2,000 schedules, `make soak` 100,000 (the variable `SUPABASE_NB_SCHEDULES`).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

import made
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model.auth_server import AuthServer
from model.kernels import Kernel, World

from supabase_nb.auth._api.server_clock import ServerClock
from supabase_nb.auth._session.refresher import TokenRefresher
from supabase_nb.auth._session.rotation_conflict import SentRefreshTokens
from supabase_nb.auth._session.session_record import SessionRecord, TokenPair
from supabase_nb.auth._session.session_store import SessionStore
from supabase_nb.auth._session.storage_sync import StorageSync
from supabase_nb.errors import AuthError, AuthRetryableError, AuthSessionMissing
from supabase_nb.models import Session
from supabase_nb.storage import FileStorage, MemoryStorage

pytestmark = pytest.mark.slow

SCHEDULES = int(os.environ.get("SUPABASE_NB_SCHEDULES", "2000"))
#: Hypothesis remembers all of one run, so many runs are gentler to the memory than a long one.
PART = min(SCHEDULES, 2000)
KERNELS = st.integers(0, 3)
FAULTS = st.sampled_from(["drop", "lose", "503"])
# Within the reuse interval, beyond it, into the margin before expiry, over the expiry, days.
PAUSES = st.sampled_from([1.0, 8.0, 11.0, 45.0, 600.0, 3545.0, 3601.0, 90_000.0])
OFFSETS = st.sampled_from([0.0, 0.0, 7200.0, -7200.0])


class Jitter:
    """In place of chance, which threads of other tests' clients would draw from too."""

    share = 0.5

    @classmethod
    def uniform(cls, low: float, high: float) -> float:
        return low + (high - low) * cls.share


@pytest.fixture(autouse=True, scope="module")
def _no_refresher() -> Iterator[None]:
    """A schedule goes the same way each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("supabase_nb.auth._session.retry.random", Jitter)
        # No call times out in the real machine's time.
        patch.setattr(
            "supabase_nb.auth._session.set_session.time_until", lambda until, now: max(until - now, 60.0)
        )
        patch.setattr(
            "supabase_nb.auth._session.refresher.time_until", lambda until, now: max(until - now, 60.0)
        )
        yield


class Rotation(RuleBasedStateMachine):
    """Up to four kernels, one storage, one session, and everything that can go wrong between them."""

    @initialize(
        version=st.sampled_from([1, 2]),
        reuse_interval=st.sampled_from([10.0, 10.0, 0.0]),
        file=st.integers(0, 39).map(lambda number: number == 39),
        offset=OFFSETS,
        jitter=st.sampled_from([0.5, 0.1, 1.0]),
    )
    def begin(self, version: int, reuse_interval: float, file: bool, offset: float, jitter: float) -> None:
        Jitter.share = jitter
        self.folder = Path(tempfile.mkdtemp()) if file else None
        storage = FileStorage(self.folder) if self.folder else MemoryStorage()
        self.world = World(storage, version=version, reuse_interval=reuse_interval, offset=offset)
        self.kernels: list[Kernel] = []
        self.pairs: list[dict[str, Any]] = []
        self.signed_out = True
        self.start()
        self.sign_in(0)

    def teardown(self) -> None:
        for kernel in getattr(self, "kernels", []):
            kernel.go_on()
        try:
            if getattr(self, "kernels", None):
                self.everybody_has_a_session()
        finally:
            if getattr(self, "folder", None):
                shutil.rmtree(self.folder)  # type: ignore[arg-type]

    def pick(self, number: int) -> Kernel | None:
        usable = [kernel for kernel in self.kernels if kernel.usable]
        return usable[number % len(usable)] if usable else None

    def note(self, session: Session | None) -> None:
        """Tokens that a user could have copied into a cell, and that the server still accepts.

        A kernel that hasn't looked at the storage yet may still have a session that another one has signed out.
        """
        if session is not None and self.world.server.sessions[session.session_id or ""].alive:
            self.pairs.append(session.to_wire())

    # -- kernels come and go ------------------------------------------------------------------------------

    @precondition(lambda self: sum(not kernel.dead for kernel in self.kernels) < 4)
    @rule()
    def start(self) -> None:
        kernel = Kernel(self.world)
        kernel.restore()
        kernel.tick()
        self.kernels.append(kernel)

    @rule(number=KERNELS)
    def kill(self, number: int) -> None:
        if kernel := self.pick(number):
            kernel.kill()

    @precondition(lambda self: not self.signed_out)
    @rule(number=KERNELS, fault=st.sampled_from(["kill before", "kill after"]), old=st.none() | KERNELS)
    def kill_in_a_request(self, number: int, fault: str, old: int | None) -> None:
        if kernel := self.pick(number):
            kernel.fault = fault
            if old is None:
                self.refresh(number)
            else:
                self.restore(number, old, "expired")
            if kernel.fault is None:
                assert kernel.dead
            else:
                kernel.fault = None  # nothing was asked

    @rule(number=KERNELS)
    def stop_in_an_exchange(self, number: int) -> None:
        kernel = self.pick(number)
        if kernel and kernel.session and not any(k._call for k in self.kernels) and not self.world.offline:
            kernel.stop_in_exchange()

    @rule()
    def go_on(self) -> None:
        for kernel in self.kernels:
            kernel.go_on()

    # -- what people and programs do ----------------------------------------------------------------------

    @rule(number=KERNELS)
    def refresh(self, number: int) -> None:
        kernel = self.pick(number)
        if kernel and kernel.session:
            try:
                kernel.refresh()
            except AuthRetryableError:
                pass
            except AuthSessionMissing:
                assert self.signed_out
            self.note(kernel.session)

    @rule(number=KERNELS)
    def get(self, number: int) -> None:
        if kernel := self.pick(number):
            with suppress(AuthRetryableError):
                kernel.get_session()
            self.note(kernel.session)

    @precondition(lambda self: not self.signed_out)
    @rule(number=KERNELS, old=st.integers(0, 30), kind=st.sampled_from(["as it is", "expired", "unreadable"]))
    def restore(self, number: int, old: int, kind: str) -> None:
        """Run the cell again, with any earlier pair of tokens, most often the first ones."""
        if kernel := self.pick(number):
            pair = self.pairs[old % len(self.pairs)]
            access_token = pair["access_token"]
            if kind == "unreadable":
                access_token = "nonsense"
            elif kind == "expired":
                claims = {**TokenPair.from_tokens(access_token, "").claims, "exp": 1}  # type: ignore[dict-item]
                access_token = made.jwt(claims)
            with suppress(AuthRetryableError):
                kernel.set_session(TokenPair.from_tokens(access_token, pair["refresh_token"]))
            self.note(kernel.session)

    @precondition(lambda self: not self.signed_out)
    @rule(number=KERNELS)
    def run_all_again(self, number: int) -> None:
        """The notebook still holds the pair of the first day."""
        self.restore(number, 0, "expired")

    @precondition(lambda self: not self.signed_out and not self.world.offline)
    @rule(number=KERNELS, scope=st.sampled_from(["local", "global"]))
    def sign_out(self, number: int, scope: str) -> None:
        if (kernel := self.pick(number)) and kernel.session:
            self.go_on()
            kernel.fault = None
            kernel.sign_out(scope)
            self.signed_out = True
            self.pairs.clear()

    @precondition(lambda self: self.signed_out)
    @rule(number=KERNELS)
    def sign_in(self, number: int) -> None:
        if kernel := self.pick(number):
            self.go_on()
            kernel.fault, self.world.offline = None, False
            session = kernel.sign_in()
            self.pairs[:] = [session.to_wire()]
            self.signed_out = False

    # -- what goes wrong, and time ------------------------------------------------------------------------

    @rule(number=KERNELS, fault=FAULTS)
    def next_request_fails(self, number: int, fault: str) -> None:
        if kernel := self.pick(number):
            kernel.fault = fault

    @rule(offline=st.booleans())
    def network(self, offline: bool) -> None:
        self.world.offline = offline

    @rule(seconds=PAUSES)
    def sleep(self, seconds: float) -> None:
        """All machines are suspended."""
        self.world.time += seconds

    @rule(offset=OFFSETS)
    def set_the_clock(self, offset: float) -> None:
        self.world.offset = offset

    @rule(seconds=PAUSES)
    def live(self, seconds: float) -> None:
        """Time in which every kernel does what is due, as often as it matters here."""
        end = self.world.time + seconds
        for _ in range(4):
            running = [kernel for kernel in self.kernels if kernel.usable]
            waits = [due for kernel in running if (due := kernel.due_in()) is not None]
            self.world.time += max(min([end - self.world.time, *waits]), 0.0)
            for kernel in running:
                kernel.tick()
                self.note(kernel.session)
            if self.world.time >= end:
                return
        self.world.time = max(self.world.time, end)

    @rule(hours=st.integers(2, 4))
    def hours_go_by(self, hours: int) -> None:
        """Rotates the session, if a kernel can."""
        for _ in range(hours):
            self.live(3601.0)

    @rule(number=KERNELS)
    def tick(self, number: int) -> None:
        if kernel := self.pick(number):
            kernel.tick()

    # -- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def no_spent_token_was_sent(self) -> None:
        if hasattr(self, "world"):
            assert self.world.server.already_used == 0

    @invariant()
    def no_kernel_is_taken_for_another_program(self) -> None:
        """Whatever is killed, lost, repeated and pasted again: all of it was our own doing."""
        for kernel in getattr(self, "kernels", []):
            notices = kernel.traits.get("notices") or ()
            assert "shared" not in [notice.name for notice in notices]

    @precondition(lambda self: all(kernel.usable or kernel.dead for kernel in self.kernels))
    @rule()
    def everybody_has_a_session(self) -> None:
        """Without a sign-out, every kernel, and a new one, has a session that the server accepts."""
        self.world.offline = False
        self.world.time += 61.0  # the longest pause between two tries
        new = Kernel(self.world)
        new.restore()
        for kernel in (*self.kernels, new):
            if kernel.dead:
                continue
            kernel.fault = None
            # What comes from storage is verified at once: the machine's clock may have been set meanwhile.
            kernel.restore()
            kernel.tick()
            session = kernel.get_session()
            if self.signed_out:
                assert session is None
            else:
                assert session is not None
                assert self.world.server.session_of(session.access_token) is not None
        self.no_spent_token_was_sent()

    @precondition(
        lambda self: (
            not self.signed_out
            and not self.world.offline
            and all(kernel.usable or kernel.dead for kernel in self.kernels)
            and any(kernel.usable for kernel in self.kernels)
        )
    )
    @rule()
    def an_expiry_takes_one_exchange(self) -> None:
        """However many kernels are at it."""
        self.everybody_has_a_session()
        self.world.time += 3600
        before = self.world.server.exchanges
        for kernel in self.kernels:
            if kernel.usable:
                kernel.tick()
        assert self.world.server.exchanges == before + 1


SETTINGS = settings(
    max_examples=PART,
    stateful_step_count=16,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    print_blob=True,
    derandomize=False,
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(max(SCHEDULES // PART, 1)))
def test_no_schedule_loses_a_session(part: int) -> None:
    run_state_machine_as_test(Rotation, settings=SETTINGS)


# -- that it would notice -----------------------------------------------------------------------------------


async def _nothing(*_: Any, **__: Any) -> None:
    pass


class Mistake(NamedTuple):
    """What a client could do wrong, and the shortest schedule that shows it."""

    owner: type
    name: str
    wrong: Any
    schedule: list[Callable[[Any], None]]

    def assert_noticed(self, model: type[RuleBasedStateMachine], monkeypatch: pytest.MonkeyPatch) -> None:
        """Only the mistake makes the schedule fail."""
        self._run(model)
        monkeypatch.setattr(self.owner, self.name, self.wrong)
        with pytest.raises((AssertionError, AuthError)):  # or an error where there should be none
            self._run(model)

    def _run(self, model: type[RuleBasedStateMachine]) -> None:
        state = model()
        for step in self.schedule:
            step(state)
        state.teardown()


def begin(state: Rotation, offset: float = 0.0) -> None:
    state.begin(version=1, reuse_interval=10.0, file=False, offset=offset, jitter=0.5)


MISTAKES = {
    "spent tokens are sent": Mistake(
        SessionRecord,
        "is_later_than",
        lambda self, pair: False,
        [
            begin,
            Rotation.an_expiry_takes_one_exchange,
            Rotation.an_expiry_takes_one_exchange,
            lambda state: state.run_all_again(number=0),
        ],
    ),
    "other kernels are not looked at": Mistake(
        StorageSync,
        "reconcile",
        _nothing,
        [begin, Rotation.start, Rotation.an_expiry_takes_one_exchange],
    ),
    "nothing is saved": Mistake(
        SessionStore,
        "save",
        lambda self, *_, **__: None,
        [begin, Rotation.an_expiry_takes_one_exchange],
    ),
    "an outage ends the session": Mistake(
        TokenRefresher,
        "record_failure",
        lambda self, error, generation: self.state.mark_expired(error),
        [begin, lambda state: state.kill_in_a_request(number=0, fault="kill before", old=None)],
    ),
    "the machine's clock counts": Mistake(
        ServerClock,
        "now",
        lambda self: self.clock.wall(),
        [lambda state: begin(state, offset=-7200.0), Rotation.an_expiry_takes_one_exchange],
    ),
    "a token is taken to be sent for the first time": Mistake(
        SentRefreshTokens,
        "record_sending",
        lambda self, token: True,
        [
            begin,
            Rotation.start,
            lambda state: state.kill_in_a_request(number=0, fault="kill after", old=None),
            Rotation.an_expiry_takes_one_exchange,
            Rotation.no_kernel_is_taken_for_another_program,
        ],
    ),
    "an older pair replaces a newer one": Mistake(
        SessionRecord,
        "is_spent",
        lambda self, token: True,
        [begin, Rotation.start, Rotation.an_expiry_takes_one_exchange],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_faulty_client_is_detected(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MISTAKES[mistake].assert_noticed(Rotation, monkeypatch)


# -- the model itself ---------------------------------------------------------------------------------------

RECORDED = {
    "rotation": (1, 10.0),
    "rotation-no-reuse-interval": (1, 0.0),
    "rotation-v2-refresh-tokens": (2, 10.0),
}


@pytest.mark.parametrize("scenario", RECORDED)
def test_the_model_answers_as_recorded(scenario: str) -> None:
    """Every exchange of the recorded families has the recorded outcome, token for token."""
    version, reuse_interval = RECORDED[scenario]
    time = 0.0
    server = AuthServer(lambda: time, version=version, reuse_interval=reuse_interval)
    ours: dict[str, str] = {}
    touched: dict[str, str] = {}
    path = Path(__file__).parent.parent / "wire" / f"{scenario}.json"
    for number, exchange in enumerate(json.loads(path.read_text("utf-8"))):
        request, response = exchange["request"], exchange["response"]
        # Dates are whole seconds; within one, one exchange comes after the other.
        time = parsedate_to_datetime(response["headers"]["date"]).timestamp() + number / 1000
        if request["path"].startswith("/signup"):
            pair: dict[str, Any] = server.sign_in(response["body"]["user"]["id"])
        elif request["path"].startswith("/token"):
            status, pair, _ = server.exchange(ours[request["body"]["refresh_token"]])
            assert status == response["status"], exchange["name"]
            if status != 200:
                assert pair["code"] == response["body"]["code"], exchange["name"]
                continue
        else:
            continue
        # It also returns whether it has changed the user.
        user_id, at = pair["user"]["id"], pair["user"]["updated_at"]
        as_recorded = touched.get(user_id) != response["body"]["user"]["updated_at"]
        touched[user_id] = response["body"]["user"]["updated_at"]
        assert (datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() == time) is as_recorded, (
            exchange["name"]
        )
        theirs = response["body"]["refresh_token"]
        assert ours.setdefault(theirs, pair["refresh_token"]) == pair["refresh_token"], exchange["name"]


def test_the_model_notices_a_client_that_sends_used_tokens() -> None:
    """What other clients do: yesterday's pair, sent again after two rotations."""
    time = 0.0
    server = AuthServer(lambda: time)
    first = server.sign_in()["refresh_token"]
    second = server.exchange(first)[1]["refresh_token"]
    server.exchange(second)
    time = 86400.0
    with pytest.raises(AssertionError):
        assert server.exchange(first)[0] == 200
    assert server.already_used == 1
