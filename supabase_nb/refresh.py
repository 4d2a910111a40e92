"""The refresher: one daemon thread per process that wakes clients when something is due."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from contextlib import suppress
from typing import Protocol

from . import workers

logger = logging.getLogger("supabase_nb")

# Seconds between looks for a rotation or sign-out by another kernel, and for having slept.
TICK = 2.0
# Between two looks at a client that is due again at once; doubled each time, up to a tick.
_SHORTEST_PAUSE = 0.1
# Workers at a time; what is due beyond that waits for the next tick.
_MOST_WORKERS = 64


class Refreshable(Protocol):
    """What the refresher asks of a client. Both are called from its thread and must not block."""

    def due_in(self) -> float | None:
        """Seconds until there is something to do; ``None``: nothing by time, or it is being done."""

    def work(self) -> None:
        """Do it. Called in a short-lived thread of its own, so one hanging server stalls nobody else."""


class Refresher:
    """Wakes each registered client when its time has come. Runs while clients are registered."""

    def __init__(self) -> None:
        # Entered by the lock itself: Ctrl-C can come into a condition's `__exit__`, before it lets go.
        self._guard = threading.Lock()
        self._wake = threading.Condition(self._guard)
        self._clients: weakref.WeakSet[Refreshable] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._working: set[int] = set()
        # Clients that were due again as soon as their work was done: how often in a row, and when they may
        # work again, on the monotonic clock.
        self._repeats: weakref.WeakKeyDictionary[Refreshable, tuple[int, float]] = weakref.WeakKeyDictionary()
        self._changed = False
        # When the thread looks again by itself, on the monotonic clock.
        self._next_look = float("inf")

    def register(self, client: Refreshable, due: float | None = 0.0) -> None:
        """Wake this client from now on; starts the thread.

        Args:
            client: Whom to wake. Known or not.
            due: When it is due, in seconds from now; ``None``: never. Only what is due before the next look
                wakes the thread.
        """
        with self._guard:
            self._clients.add(client)
            if due is not None and time.monotonic() + due < self._next_look:
                self._notify()
            if self._thread is None:
                with suppress(RuntimeError):  # the interpreter is ending: no more threads
                    threading.Thread(target=self._run, name="supabase-nb-refresher", daemon=True).start()

    def unregister(self, client: Refreshable) -> None:
        """Wake this client no more; the thread ends with the last one."""
        with self._guard:
            self._clients.discard(client)
            self._notify()

    def reconsider(self) -> None:
        """A client's time has changed."""
        with self._guard:
            self._notify()

    def _notify(self) -> None:
        self._changed = True
        self._wake.notify()

    def _run(self) -> None:
        with self._guard:
            # The thread says itself that it runs: Ctrl-C may come between starting it and noting that.
            if self._thread is not None:
                return
            self._thread = threading.current_thread()
        while True:
            with self._guard:
                clients = list(self._clients)
                self._changed, self._next_look = False, float("inf")
                if not clients:
                    self._thread = None
                    return
            due = [(wait, client) for client in clients if (wait := self._due_in(client)) is not None]
            for wait, client in due:
                if wait <= 0:
                    self._start(client)
            soonest = min((wait for wait, _ in due if wait > 0), default=TICK)
            del clients, due
            client = None  # type: ignore[assignment]  # or the last one would never be collected
            # Bounded, because a condition's wait does not count the time that the machine sleeps.
            pause = min(max(soonest, 0.01), TICK)
            with self._guard:
                if not self._changed:
                    self._next_look = time.monotonic() + pause
                    self._wake.wait(pause)

    def _due_in(self, client: Refreshable) -> float | None:
        if id(client) in self._working:
            return None
        try:
            due = client.due_in()
        except Exception:
            logger.exception("the refresher could not ask a client what is due")
            return None
        repeats, not_before = self._repeats.get(client, (0, 0.0))
        wait = not_before - time.monotonic()
        if due is None or due > 0:
            if repeats and wait <= 0:
                self._repeats.pop(client, None)  # its work led to something
            return due
        return max(due, wait)

    def _start(self, client: Refreshable) -> None:
        with self._guard:
            if len(self._working) >= _MOST_WORKERS or id(client) in self._working:
                return
            self._working.add(id(client))
            repeats, _ = self._repeats.get(client, (0, 0.0))
            pause = min(_SHORTEST_PAUSE * 2 ** min(repeats, 10), TICK)
            self._repeats[client] = (repeats + 1, time.monotonic() + pause)
        try:
            workers.start(lambda: self._work(client), "supabase-nb-refresh")
        except RuntimeError:  # no more threads, or the interpreter is ending
            with self._guard:
                self._working.discard(id(client))

    def _work(self, client: Refreshable) -> None:
        try:
            client.work()
        except Exception:
            logger.exception("a refresh ended in an error that is ours")
        finally:
            with self._guard:
                self._working.discard(id(client))
                self._notify()


refresher = Refresher()


def _after_fork_in_child() -> None:
    """The child has no refresher thread, and must not refresh: the tokens are its parent's."""
    refresher.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
