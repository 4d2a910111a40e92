"""Threads that carry out one call after another."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Iterator

import pytest
from waiting import wait_until

from supabase_nb import workers


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    wait_until(lambda: not workers._idle)
    monkeypatch.setattr(workers, "_KEPT", 15.0)  # on a busy machine too it is still there at the next line
    yield
    with workers._guard:
        for worker in workers._idle:
            worker.wake.release()
    wait_until(lambda: not workers._idle)


@pytest.fixture
def _not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_KEPT", 1.0)


def carry_out() -> tuple[threading.Thread, str]:
    """In which thread a call is carried out, and what that is called meanwhile."""
    found: list[tuple[threading.Thread, str]] = []
    workers.start(lambda: found.append((threading.current_thread(), threading.current_thread().name)), "test")
    wait_until(lambda: found)
    return found[0]


def test_a_thread_that_is_there_goes_on() -> None:
    first, name = carry_out()
    assert (name, first.daemon) == ("test", True)
    wait_until(lambda: workers._idle)
    assert first.name == workers.IDLE
    assert carry_out() == (first, "test")


def test_a_call_never_waits_for_another() -> None:
    """One that needs a second one to end would wait for ever."""
    go_on, done = threading.Event(), threading.Event()

    def needs_another() -> None:
        workers.start(go_on.set, "inner")
        assert go_on.wait(20)
        done.set()

    carry_out()
    workers.start(needs_another, "outer")
    assert done.wait(20)


@pytest.mark.usefixtures("_not_for_long")
def test_threads_end_when_nothing_comes() -> None:
    thread, _ = carry_out()
    wait_until(lambda: not thread.is_alive())
    assert thread not in workers._idle
    assert carry_out()[0] is not thread


@pytest.mark.usefixtures("_not_for_long")
def test_what_ctrl_c_left_unsaid_is_found() -> None:
    """Given, and then Ctrl-C before the thread was woken; or taken, and then Ctrl-C before it was given."""
    thread, _ = carry_out()
    wait_until(lambda: workers._idle)
    done = threading.Event()
    with workers._guard:
        worker = workers._idle.pop()
        worker.name, worker.task = "test", done.set
    assert done.wait(20)
    wait_until(lambda: workers._idle)
    with workers._guard:
        assert workers._idle.pop() is thread
    wait_until(lambda: not thread.is_alive())


def test_a_wake_up_that_comes_late_is_none() -> None:
    carry_out()
    wait_until(lambda: workers._idle)
    worker = workers._idle[0]
    worker.wake.release()
    wait_until(lambda: not worker.is_alive())
    assert carry_out()[0] is not worker


def test_nothing_is_kept_alive() -> None:
    class Argument:
        def call(self) -> None:
            pass

    argument = Argument()
    gone = weakref.ref(argument)
    workers.start(argument.call, "test")
    del argument

    def collected() -> bool:
        gc.collect()
        return gone() is None

    wait_until(collected)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_call_that_raises_takes_its_thread_with_it() -> None:
    thread, _ = carry_out()
    wait_until(lambda: workers._idle)
    workers.start(lambda: 1 / 0, "test")
    wait_until(lambda: not thread.is_alive())
    assert carry_out()[0] is not thread


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_threads_of_its_own() -> None:
    carry_out()
    wait_until(lambda: workers._idle)
    with workers._guard:
        pid = os.fork()
        if pid == 0:
            carry_out()  # else it waits for a lock, or a thread, that only the parent has
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_no_thread_when_the_interpreter_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.is_finalizing", lambda: True)
    with pytest.raises(RuntimeError, match="ending"):
        workers.start(print, "test")
