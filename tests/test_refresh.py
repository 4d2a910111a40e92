"""The refresher: one daemon thread for all clients, which wakes each when its time has come."""

from __future__ import annotations

import gc
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest
from waiting import wait_until

from supabase_nb import AuthClient
from supabase_nb.demo import DemoServer
from supabase_nb.refresh import Refresher

MakeAuth = Callable[..., AuthClient]


class Work:
    """Something to be woken for."""

    def __init__(self, due: float | None = 0.0, then: float | None = None) -> None:
        self.due, self.then = due, then
        self.done = 0
        self.during: Callable[[], object] = lambda: None

    def due_in(self) -> float | None:
        return self.due

    def work(self) -> None:
        self.due = self.then
        self.during()
        self.done += 1


@pytest.fixture
def refresher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Refresher]:
    monkeypatch.setattr("supabase_nb.refresh.TICK", 0.05)
    made = Refresher()
    yield made
    for client in list(made._clients):
        made.unregister(client)
    wait_until(lambda: made._thread is None)


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_one_daemon_thread_that_ends_with_its_last_client(refresher: Refresher) -> None:
    before = len(threads("supabase-nb-refresher"))
    works = [Work(None) for _ in range(3)]
    for work in works:
        refresher.register(work)
        refresher.register(work)
    wait_until(lambda: refresher._thread is not None)
    wait_until(lambda: len(threads("supabase-nb-refresher")) == before + 1)
    assert refresher._thread is not None
    assert refresher._thread.daemon
    for work in works:
        refresher.unregister(work)
    wait_until(lambda: refresher._thread is None)


def test_each_is_woken_when_it_is_due(refresher: Refresher) -> None:
    now, soon, never = Work(0.0), Work(30.0), Work(None)
    for work in (now, soon, never):
        refresher.register(work)
    wait_until(lambda: now.done == 1)
    assert (soon.done, never.done) == (0, 0)
    soon.due = 0.0
    refresher.reconsider()
    wait_until(lambda: soon.done == 1)
    assert never.done == 0


def test_one_that_hangs_or_raises_stalls_nobody_else(
    refresher: Refresher, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()
    hangs, raises, other = Work(), Work(), Work(then=0.0)
    hangs.during = lambda: go_on.wait(20)
    raises.during = lambda: 1 / 0
    with caplog.at_level(logging.ERROR):
        for work in (hangs, raises, other):
            refresher.register(work)
        wait_until(lambda: other.done >= 5)
    assert hangs.done == 0
    assert "error that is ours" in caplog.text
    go_on.set()
    wait_until(lambda: hangs.done == 1)


def test_nobody_is_woken_twice_at_once(refresher: Refresher) -> None:
    running, most = [0], [0]

    def during() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        threading.Event().wait(0.02)
        running[0] -= 1

    work = Work(then=0.0)
    work.during = during
    refresher.register(work)
    wait_until(lambda: work.done >= 5)
    assert most == [1]


def test_one_whose_due_time_cannot_be_told_is_passed_over(
    refresher: Refresher, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Work):
        def due_in(self) -> float | None:
            raise RuntimeError

    broken, other = Broken(), Work()
    refresher.register(broken)
    refresher.register(other)
    wait_until(lambda: other.done == 1)
    assert broken.done == 0
    assert "could not ask" in caplog.text


def registered(refresher: Refresher) -> Work:
    """One that has been woken, and that nobody else holds."""
    work = Work(then=0.0)
    refresher.register(work)
    wait_until(lambda: work.done > 0)
    return work


def test_clients_that_are_dropped_are_collected(refresher: Refresher) -> None:
    gone = weakref.ref(registered(refresher))

    def collected() -> bool:
        gc.collect()
        return gone() is None

    wait_until(collected)
    wait_until(lambda: refresher._thread is None)


def test_many_clients_have_a_bounded_number_of_workers(
    refresher: Refresher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supabase_nb.refresh._MOST_WORKERS", 4)
    go_on = threading.Event()
    works = [Work() for _ in range(12)]
    for work in works:
        work.during = lambda: go_on.wait(20)
        refresher.register(work)
    wait_until(lambda: len(refresher._working) == 4)
    assert len(threads("supabase-nb-refresh")) == 4
    go_on.set()
    wait_until(lambda: all(work.done == 1 for work in works))


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
    assert 1 <= len(looks) <= 4
    assert sum(server.stats().values()) - asked <= 2  # those two are ours


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_none() -> None:
    from supabase_nb.refresh import refresher

    work = Work(None)
    refresher.register(work)
    wait_until(lambda: refresher._thread is not None)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if refresher._thread is None and not list(refresher._clients) else 1)
    _, status = os.waitpid(pid, 0)
    refresher.unregister(work)
    assert os.waitstatus_to_exitcode(status) == 0


def test_only_what_is_due_sooner_wakes_the_thread(
    refresher: Refresher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is set again and again, and due in an hour, costs the thread nothing."""
    monkeypatch.setattr("supabase_nb.refresh.TICK", 30.0)
    looks: list[object] = []

    class Watched(Work):
        def due_in(self) -> float | None:
            looks.append(self)
            return super().due_in()

    work = Watched(3600.0, 3600.0)
    refresher.register(work)
    wait_until(lambda: refresher._next_look < float("inf"))
    seen = len(looks)
    for due in (3600.0, 31.0, None):
        refresher.register(work, due)
        assert not refresher._changed
    assert len(looks) == seen
    work.due = 0.0
    refresher.register(work, 0.0)
    wait_until(lambda: work.done == 1)
