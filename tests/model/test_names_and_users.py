"""Several users, names and projects share one storage: no session is lost, none goes to another server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import made
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model.kernels import Kernel, World
from model.test_model import PART, SCHEDULES, SETTINGS, Jitter, Mistake

from supabase_nb.auth._session.session_record import TokenPair
from supabase_nb.auth._session.session_store import SessionStore
from supabase_nb.errors import AuthError, AuthRetryableError
from supabase_nb.storage import MemoryStorage

pytestmark = pytest.mark.slow

#: Two projects behind one host, and one of them by its other name.
PROJECTS = ("http://localhost:1/a/auth/v1", "http://localhost:1/b/auth/v1")
OTHER_NAME = "http://127.0.0.1:1/a/auth/v1"
USERS = ("ada", "grace")
NAMES = ("", "work")
KERNELS = st.integers(0, 4)


@pytest.fixture(autouse=True, scope="module")
def _the_same_way_each_time() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("supabase_nb.auth._session.retry.random", Jitter)
        for module in ("set_session", "refresher"):
            patch.setattr(
                f"supabase_nb.auth._session.{module}.time_until", lambda until, now: max(until - now, 60.0)
            )
        yield


@dataclass(frozen=True)
class Copied:
    """Tokens that a user could have copied into a cell."""

    project: str
    user: str
    session_id: str
    pair: dict[str, Any]

    def as_tokens(self, kind: str) -> TokenPair:
        access_token = self.pair["access_token"]
        if kind == "unreadable":
            access_token = "nonsense"
        elif kind == "expired":
            access_token = made.jwt({**TokenPair.from_tokens(access_token, "").claims, "exp": 1})  # type: ignore[dict-item]
        return TokenPair.from_tokens(access_token, self.pair["refresh_token"])


class Sharing(RuleBasedStateMachine):
    """Up to five kernels, each with a name and a project."""

    @initialize(version=st.sampled_from([1, 2]), reuse_interval=st.sampled_from([10.0, 0.0]))
    def begin(self, version: int, reuse_interval: float) -> None:
        self.world = World(MemoryStorage(), version=version, reuse_interval=reuse_interval, offset=0.0)
        self.kernels: list[Kernel] = []
        self.copied: list[Copied] = []
        self.start("", PROJECTS[0])
        self.sign_in(0, USERS[0])

    def teardown(self) -> None:
        if getattr(self, "kernels", None):
            self.each_session_is_found_again("work")

    def project_of(self, kernel: Kernel) -> str:
        return PROJECTS[0] if kernel.url == OTHER_NAME else kernel.url

    def note(self, kernel: Kernel) -> None:
        if kernel.session is not None:
            self.copied.append(
                Copied(
                    self.project_of(kernel),
                    kernel.session.user.id,
                    kernel.session.session_id or "",
                    kernel.session.to_wire(),
                )
            )

    def pick(self, number: int) -> Kernel:
        return self.kernels[number % len(self.kernels)]

    @precondition(lambda self: len(self.kernels) < 5)
    @rule(name=st.sampled_from(NAMES), project=st.sampled_from([*PROJECTS, OTHER_NAME]))
    def start(self, name: str, project: str) -> None:
        kernel = Kernel(self.world, url=project, name=name)
        # By whichever name it is reached, it is one server.
        self.world.servers[project] = self.world.server_of(self.project_of(kernel))
        kernel.restore()
        kernel.tick()
        self.kernels.append(kernel)

    @precondition(lambda self: len(self.kernels) > 1)
    @rule(number=KERNELS)
    def kill(self, number: int) -> None:
        self.kernels.remove(self.pick(number))

    @rule(number=KERNELS, user=st.sampled_from(USERS))
    def sign_in(self, number: int, user: str) -> None:
        kernel = self.pick(number)
        kernel.fault, self.world.offline = None, False
        kernel.sign_in(user)
        self.note(kernel)

    @precondition(lambda self: self.copied)
    @rule(number=KERNELS, old=st.integers(0, 30), kind=st.sampled_from(["as it is", "expired", "unreadable"]))
    def restore(self, number: int, old: int, kind: str) -> None:
        kernel = self.pick(number)
        mine = [copied for copied in self.copied if copied.project == self.project_of(kernel)]
        if mine:
            copied = mine[old % len(mine)]
            try:
                kernel.set_session(copied.as_tokens(kind))
            except AuthRetryableError:
                return
            assert kernel.session is not None
            assert kernel.session.user.id == copied.user
            self.note(kernel)

    @rule(number=KERNELS)
    def refresh(self, number: int) -> None:
        kernel = self.pick(number)
        if kernel.session is not None:
            # Another kernel may have signed out.
            with suppress(AuthError):
                kernel.refresh()
            self.note(kernel)

    @rule(number=KERNELS, scope=st.sampled_from(["local", "global"]))
    def sign_out(self, number: int, scope: str) -> None:
        kernel = self.pick(number)
        kernel.tick()  # it may have to catch up
        session, project = kernel.session, self.project_of(kernel)
        if session is None or self.world.offline:
            return
        kernel.fault = None
        kernel.sign_out(scope)
        self.copied = [
            copied
            for copied in self.copied
            if copied.project != project
            or (
                copied.user != session.user.id
                if scope == "global"
                else copied.session_id != session.session_id
            )
        ]

    @rule(number=KERNELS, fault=st.sampled_from(["drop", "lose", "503"]))
    def next_request_fails(self, number: int, fault: str) -> None:
        self.pick(number).fault = fault

    @rule(offline=st.booleans())
    def network(self, offline: bool) -> None:
        self.world.offline = offline

    @rule(seconds=st.sampled_from([1.0, 11.0, 600.0, 3545.0, 90_000.0]))
    def live(self, seconds: float) -> None:
        self.world.time += seconds
        for kernel in self.kernels:
            kernel.tick()
            self.note(kernel)

    @rule(name=st.sampled_from(NAMES))
    def each_session_is_found_again(self, name: str) -> None:
        """By any of its pairs, under any name: the first one ever copied, and the last."""
        self.world.offline = False
        self.world.time += 61.0
        for kernel in self.kernels:
            kernel.fault = None
            kernel.tick()
        sessions = {(copied.project, copied.session_id): copied for copied in self.copied}
        first = {(copied.project, copied.session_id): copied for copied in reversed(self.copied)}
        for copied in (*sessions.values(), *first.values()):
            new = Kernel(self.world, url=copied.project, name=name)
            session = new.set_session(copied.as_tokens("expired"))
            assert session.user.id == copied.user
            assert self.world.server_of(copied.project).session_of(session.access_token) is not None

    @invariant()
    def what_other_clients_read_is_the_newest(self) -> None:
        """A name's copy, which Supabase's other clients use, has the same tokens as the session's record."""
        for kernel in getattr(self, "kernels", ()):
            store = kernel.manager.store
            copy, _ = store._read_record(store.key)
            if copy is not None:
                own = store.read_by_id(copy.id).record
                assert own is not None
                assert own.session.refresh_token == copy.session.refresh_token

    @invariant()
    def no_spent_token_and_no_foreign_one_was_sent(self) -> None:
        for server in (getattr(self, "world", None) and self.world.servers.values()) or ():
            assert server.already_used == 0
            assert server.foreign == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(max(SCHEDULES // PART, 1)))
def test_no_schedule_loses_a_session(part: int) -> None:
    run_state_machine_as_test(Sharing, settings=SETTINGS)


def begin(state: Sharing) -> None:
    state.begin(version=1, reuse_interval=10.0)


MISTAKES = {
    "one record for all sessions": Mistake(
        SessionStore,
        "_key_of",
        lambda self, session_id: f"{self._project}-session",
        [
            begin,
            lambda state: state.sign_in(number=0, user="ada"),
            lambda state: state.each_session_is_found_again(name="work"),
            Sharing.what_other_clients_read_is_the_newest,
        ],
    ),
    "only the name's session is looked at": Mistake(
        SessionStore,
        "find",
        lambda self, pair: self.read(),
        [
            begin,
            lambda state: state.each_session_is_found_again(name=""),
            lambda state: state.restore(number=0, old=0, kind="as it is"),
            lambda state: state.sign_in(number=0, user="ada"),
            lambda state: state.each_session_is_found_again(name=""),
        ],
    ),
    "names are not followed": Mistake(
        SessionStore,
        "_names_of",
        lambda self, session_id, index: set(),
        [
            begin,
            lambda state: state.each_session_is_found_again(name="work"),
            Sharing.what_other_clients_read_is_the_newest,
        ],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_faulty_store_is_detected(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MISTAKES[mistake].assert_noticed(Sharing, monkeypatch)
