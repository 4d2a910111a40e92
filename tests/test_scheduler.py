"""The scheduler: one timer on the owner loop for all clients, which calls each one when it is due."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator

import pytest
from waiting import wait_until

from supabase_nb import AuthClient, MemoryStorage
from supabase_nb.auth._owner_loop import owner_loop
from supabase_nb.auth._session.scheduler import SessionScheduler
from supabase_nb.demo import DemoServer

MakeAuth = Callable[..., AuthClient]


class Work:
    """Something to be woken for."""

    def __init__(self, due: float | None = 0.0, then: float | None = None) -> None:
        self.due, self.then = due, then
        self.done = 0
        self.version: object = None
        self.during: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)

    def due_in(self) -> float | None:
        return self.due

    def stored_version(self) -> object:
        return self.version

    def is_behind(self, version: object) -> bool:
        return version is not None

    async def run_due(self) -> None:
        self.due, self.version = self.then, None
        await self.during()
        self.done += 1


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionScheduler]:
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 0.05)
    owner_loop._ensure_loop()
    made = SessionScheduler()
    yield made
    last = Work(None)  # clients may have been collected, which ends the timer only at its next look
    made.register(last)
    for client in (*made._sessions, last):
        made.unregister(client)
    wait_until(lambda: made._timer is None)


def test_each_client_is_called_when_it_is_due(scheduler: SessionScheduler) -> None:
    now, soon, never = Work(0.0), Work(30.0), Work(None)
    for work in (now, soon, never):
        scheduler.register(work)
        scheduler.register(work)
    wait_until(lambda: now.done == 1)
    assert (soon.done, never.done) == (0, 0)
    soon.due = 0.0
    scheduler.register(soon)
    wait_until(lambda: soon.done == 1)
    assert never.done == 0


def test_a_client_whose_stored_session_changed_is_called(scheduler: SessionScheduler) -> None:
    work = Work(None)
    scheduler.register(work)
    work.version = "another"
    wait_until(lambda: work.done == 1)


def test_one_that_hangs_or_raises_does_not_delay_the_others(
    scheduler: SessionScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    hangs, raises, other = Work(), Work(), Work(then=0.0)
    go_on = threading.Event()
    hangs.during = lambda: asyncio.to_thread(go_on.wait, 20)

    async def fail() -> None:
        raise ZeroDivisionError

    raises.during = fail
    with caplog.at_level(logging.INFO):
        for work in (hangs, raises, other):
            scheduler.register(work)
        wait_until(lambda: other.done >= 3)
    assert hangs.done == 0
    assert "ZeroDivisionError" in caplog.text
    go_on.set()
    wait_until(lambda: hangs.done == 1)


def test_a_storage_that_hangs_delays_only_looks_at_storage(scheduler: SessionScheduler) -> None:
    hangs, other = Work(None), Work(then=0.0)
    go_on = threading.Event()
    hangs.stored_version = lambda: go_on.wait(20)  # type: ignore[method-assign]
    for work in (hangs, other):
        scheduler.register(work)
    wait_until(lambda: other.done >= 3)
    go_on.set()


def test_no_client_is_called_twice_at_once(scheduler: SessionScheduler) -> None:
    running, most = [0], [0]

    async def during() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0.02)
        running[0] -= 1

    work = Work(then=0.0)
    work.during = during
    scheduler.register(work)
    wait_until(lambda: work.done >= 3)
    assert most == [1]


def test_a_client_without_a_due_time_is_skipped(
    scheduler: SessionScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Work):
        broken = False

        def due_in(self) -> float | None:
            if self.broken:
                raise RuntimeError
            return 30.0

    broken, other = Broken(), Work()
    scheduler.register(broken)
    broken.broken = True
    scheduler.register(other)
    wait_until(lambda: other.done == 1)
    assert broken.done == 0
    wait_until(lambda: "could not find out when a session is due" in caplog.text)
    broken.broken = False


def registered(scheduler: SessionScheduler) -> Work:
    """One that has been woken, and that nothing else refers to."""
    work = Work(then=0.0)
    scheduler.register(work)
    wait_until(lambda: work.done > 0)
    return work


def test_dropped_clients_are_garbage_collected(scheduler: SessionScheduler) -> None:
    gone = weakref.ref(registered(scheduler))

    def collected() -> bool:
        gc.collect()
        return gone() is None

    wait_until(collected)
    wait_until(lambda: scheduler._timer is None)


def test_a_bounded_number_of_clients_works_at_a_time(
    scheduler: SessionScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supabase_nb.auth._session.scheduler._MAX_RUNNING", 4)
    running, most = [0], [0]

    async def during() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0.05)
        running[0] -= 1

    works = [Work() for _ in range(12)]
    for work in works:
        work.during = during
        scheduler.register(work)
    wait_until(lambda: all(work.done == 1 for work in works))
    assert most == [4]


def test_work_without_effect_is_not_repeated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever makes a client due again at once: the background pauses, longer each time, up to a tick."""
    pauses: list[float] = []
    made = SessionScheduler()
    start = made._start

    def watched(client: object, known: object, now: float) -> None:
        start(client, known, now)  # type: ignore[arg-type]
        pauses.append(known.not_before - now)  # type: ignore[attr-defined]

    monkeypatch.setattr(made, "_start", watched)
    owner_loop._ensure_loop()
    work = Work(then=0.0)
    made.register(work)
    wait_until(lambda: len(pauses) >= 5)
    made.unregister(work)
    assert pauses[:5] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])


def test_it_costs_next_to_nothing_when_idle(make_auth: MakeAuth, server: DemoServer) -> None:
    """A look at the storage every two seconds, and no request."""
    auth = make_auth(auto_refresh=True)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    asked = sum(server.stats().values())
    looks: list[object] = []
    version = auth.storage.version  # type: ignore[attr-defined]
    auth.storage.version = lambda key: looks.append(key) or version(key)  # type: ignore[attr-defined]
    threading.Event().wait(4.0)
    assert 2 <= len(looks) <= 8  # two files a look
    assert sum(server.stats().values()) - asked <= 2  # those two are ours


def test_one_thread_for_many_clients(server: DemoServer) -> None:
    """Also while they are refreshed in the background."""
    headers, storage = {"apikey": server.anon_key}, MemoryStorage()
    clients = [
        AuthClient(server.auth_url, headers=headers, storage=storage, name=str(number))
        for number in range(20)
    ]
    pair = server.sign_in()
    clients[0].set_session(pair["access_token"], pair["refresh_token"])
    before = threading.active_count()
    for client in clients[1:]:
        client.set_session(pair["access_token"], pair["refresh_token"])
    wait_until(lambda: threading.active_count() <= before)
    for client in clients:
        client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_no_timer_and_no_clients(scheduler: SessionScheduler) -> None:
    work = Work(None)
    scheduler.register(work)
    wait_until(lambda: scheduler._timer is not None)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if scheduler._timer is None and not list(scheduler._sessions) else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_only_work_that_is_due_sooner_wakes_the_timer(
    scheduler: SessionScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that changes again and again, and is due in an hour, costs one look each time."""
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 30.0)
    bystander = Work(3600.0, 3600.0)
    looks: list[object] = []
    bystander.due_in = lambda: looks.append(1) or 3600.0  # type: ignore[method-assign, func-returns-value]
    work = Work(3600.0, 3600.0)
    scheduler.register(bystander)
    scheduler.register(work)
    wait_until(lambda: looks)
    seen = len(looks)
    for due in (3600.0, 31.0, None):
        work.due = due
        scheduler.register(work)
    work.due = 0.0
    scheduler.register(work)
    wait_until(lambda: work.done == 1)
    assert len(looks) <= seen + 2
