"""Threads that carry out one call after another, for as long as there is a next one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

# Seconds for which a thread waits for another call: one that is there costs half of what a new one does.
_KEPT = 0.25
#: What a thread is called between two calls.
IDLE = "supabase-nb-idle"

_guard = threading.Lock()
_idle: list[_Worker] = []


class _Worker(threading.Thread):
    """A thread, and what it is to do next."""

    def __init__(self, call: Callable[[], object], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.task: Callable[[], object] | None = call
        self.wake = threading.Lock()
        self.wake.acquire()

    def run(self) -> None:
        """Carry out what is given, until nothing has been for a while."""
        while True:
            with _guard:
                call, self.task = self.task, None
                if call is None:
                    if self in _idle:
                        _idle.remove(self)
                    return
            call()
            del call  # nothing is kept alive by a thread that waits
            with _guard:
                self.name = IDLE
                _idle.append(self)
            # Woken or not, what counts is the task: Ctrl-C may come between giving it and waking.
            self.wake.acquire(timeout=_KEPT)


def start(call: Callable[[], object], name: str) -> None:
    """Carry out a call in a daemon thread.

    Args:
        call: What to do. It handles its own exceptions.
        name: What the thread is called meanwhile.

    Raises:
        RuntimeError: No thread can be started, or the interpreter is ending.
    """
    if sys.is_finalizing():
        raise RuntimeError("the interpreter is ending")
    with _guard:
        worker = _idle.pop() if _idle else None
        if worker is not None:
            worker.name, worker.task = name, call
    if worker is None:
        _Worker(call, name).start()
    else:
        with suppress(RuntimeError):  # it is awake already
            worker.wake.release()


def _after_fork_in_child() -> None:
    """These threads are the parent's, and one of them may have held the lock."""
    global _guard
    _guard = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
