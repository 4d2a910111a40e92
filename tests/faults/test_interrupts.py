"""Ctrl-C at any point: no half-finished change, no lock left behind, no event lost or repeated."""

from __future__ import annotations

import linecache
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from model.kernels import Kernel, World
from waiting import wait_until

import supabase_nb
from supabase_nb import MemoryStorage
from supabase_nb.auth._session.session_record import TokenPair
from supabase_nb.auth._thread_loop import ThreadLoop
from supabase_nb.errors import AuthSessionMissing

#: Threads of other tests: their servers, displays and clients go on.
BEFORE: set[threading.Thread] = set()
#: Signals at random moments; `make soak` has more.
INTERRUPTS = int(os.environ.get("SUPABASE_NB_INTERRUPTS", "400"))
OURS = os.path.dirname(supabase_nb.__file__)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(MemoryStorage(), version=1, reuse_interval=0.0, offset=0.0)


def signed_in(world: World) -> Kernel:
    kernel = Kernel(world, owner_loop=LOOP)
    kernel.subscribe()
    kernel.sign_in()
    return kernel


def renew(kernel: Kernel) -> None:
    assert kernel.session is not None
    kernel.refresh()


def enter(kernel: Kernel) -> None:
    assert kernel.session is not None
    pair = kernel.session.to_wire()
    kernel.set_session(TokenPair.from_tokens("expired", pair["refresh_token"]))


def enter_another(kernel: Kernel) -> None:
    pair = kernel.world.server.sign_in()
    kernel.set_session(TokenPair.from_tokens(pair["access_token"], pair["refresh_token"]))


CALLS: dict[str, Callable[[Kernel], object]] = {
    "renew": renew,
    "set_session": enter,
    "set_session of another": enter_another,
    "get_session": lambda kernel: kernel.get_session(),
    "restore": lambda kernel: kernel.restore(),
    "sign_out": lambda kernel: kernel.sign_out("local"),
    "update_user": lambda kernel: kernel.update_user({}),
    "subscribe": lambda kernel: kernel.subscribe(),
    "set_notice": lambda kernel: kernel.set_notice("test", "A notice."),
}


LOOP = ThreadLoop()


def finish(kernel: Kernel) -> None:
    """Let what continues without the interrupted caller come to its end."""
    wait_until(lambda: not LOOP._tasks)
    kernel.tick()
    wait_until(lambda: not LOOP._tasks and not kernel.manager.changes._queue)


def assert_sound(kernel: Kernel) -> None:
    """Memory, storage, traits and events agree, no lock is left behind, and everything continues to work."""
    world, manager = kernel.world, kernel.manager
    finish(kernel)
    held = kernel.snapshot
    assert manager.refresher.attempt is None
    assert not world.holders
    assert not manager.state.commit_lock.locked()
    assert kernel.traits["session"] == held.session
    assert kernel.traits["status"] == held.status
    assert held.status in ("active", "signed_out")
    # Each event once, to each subscriber; the client itself remembers the last twenty.
    happened = [str(event.kind) for event in manager.state.events]
    for events in kernel.told:
        assert events[:1] in (["INITIAL_SESSION"], [])
        received = events[1:][-len(happened) :]
        assert received == happened[len(happened) - len(received) :]
    assert len(kernel.told[0][1:]) >= len(happened)
    stored = kernel.stored()
    assert (stored.session if stored else None) == held.session
    if held.session is not None:
        world.time += 30.0
        renew(kernel)
        assert kernel.session is not None
        assert world.server.session_of(kernel.session.access_token)
    assert world.server.already_used == 0


class Line:
    """Raises `KeyboardInterrupt` at the n-th line of ours that the main thread reaches."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.entered: set[tuple[int, int]] = set()

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line" and not self.passed_over(frame):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self

    def passed_over(self, frame: FrameType) -> bool:
        """Tracing stops once more at a `with` when it is left, where Python lets no signal through.

        And what is raised here at the call of a subscriber looks as if it came from the subscriber.
        """
        place = (id(frame), frame.f_lineno)
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        left = line.startswith("with ") and place in self.entered
        self.entered.add(place)
        return left or "subscription.callback(" in line

    def __enter__(self) -> Line:
        self._before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_at_every_line(name: str, world: World) -> None:
    """At the first line of ours, the second, and so on, until the call comes to its end."""
    for number in range(2000):
        kernel = signed_in(world)
        if name == "get_session":
            world.time += 3580
        elif name == "restore":
            kernel = Kernel(world, owner_loop=LOOP)
            kernel.subscribe()
        interrupted = False
        with Line(number):
            try:
                CALLS[name](kernel)
            except KeyboardInterrupt:
                interrupted = True
        if name == "restore":
            kernel.restore()  # whatever became of the first try
        assert_sound(kernel)
        if not interrupted:
            break
    assert 10 < number < 1999


@pytest.fixture
def interrupt() -> Iterator[Callable[[Callable[[], object], float], bool]]:
    """Carries out a call that a signal interrupts after so many seconds. Returns whether it did."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    main = threading.main_thread().ident
    assert main is not None

    def call(action: Callable[[], object], delay: float) -> bool:
        timer = threading.Timer(delay, signal.pthread_kill, (main, signal.SIGUSR1))
        timer.start()
        try:
            signal.signal(signal.SIGUSR1, signal.default_int_handler)
            action()
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        except KeyboardInterrupt:
            return True
        finally:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            timer.join()
        return False

    yield call
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no such signals here")
def test_ctrl_c_at_random_moments(
    world: World, interrupt: Callable[[Callable[[], object], float], bool]
) -> None:
    """With a real signal, at any instruction. Each session is used until it is signed out."""
    chance = random.Random(1)
    kernel = signed_in(world)
    interrupted = 0
    names = [name for name in CALLS if name not in ("subscribe", "restore")]
    for _ in range(INTERRUPTS):
        name = chance.choice(names)
        if kernel.session is None:
            kernel = signed_in(world)
        if name == "get_session":
            world.time += 3580
        try:
            interrupted += interrupt(lambda: CALLS[name](kernel), chance.uniform(0.0, 0.001))  # noqa: B023
        except AuthSessionMissing:
            assert kernel.session is None
        assert_sound(kernel)
    assert interrupted > INTERRUPTS / 10
