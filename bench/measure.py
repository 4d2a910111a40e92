"""Two things measured in turn, in the same run; and a row of the table."""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
#: The clocks, by the names that the table gives them.
CPU, WALL, COUNT = "CPU time", "wall time", "counted"


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        what: What was measured.
        against: What it was measured against.
        goal: What it should be at most, in words.
        found: What it is.
        spread: The quartiles over the rounds; empty for what was counted.
        clock: `CPU`, `WALL` or `COUNT`.
        met: Whether the goal is met; ``None``: there is none.
        note: What a reader must know to judge it.
    """

    what: str
    against: str
    goal: str
    found: str
    spread: str = ""
    clock: str = COUNT
    met: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Spread:
    """The median of one figure per round, and its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        ordered = sorted(values)
        if len(ordered) < 3:
            return cls(statistics.median(ordered), ordered[0], ordered[-1])
        low, median, high = statistics.quantiles(ordered, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{self.low:.2f} to {self.high:.2f}"


def in_turn(rounds: int, *measured: Callable[[], float]) -> list[tuple[float, ...]]:
    """Measure each once per round, the order turned round each time; the first round warms up, unmeasured."""
    for once in measured:
        once()
    found = []
    for number in range(rounds):
        order = range(len(measured)) if number % 2 == 0 else reversed(range(len(measured)))
        values = {place: measured[place]() for place in order}
        found.append(tuple(values[place] for place in range(len(measured))))
    return found


def in_processes(
    rounds: int, measure: Callable[..., list[tuple[float, ...]]], *arguments: object
) -> list[tuple[float, ...]]:
    """What `measure(rounds, *arguments)` finds, the rounds shared out among fresh processes in turn.

    Where a process happens to lie in memory shifts what a call costs in it by a per cent; so no single one
    counts.
    """
    parts = max(rounds // 10, 1)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = pool.starmap(measure, [(rounds // parts, *arguments)] * parts, chunksize=1)
    return [values for part in found for values in part]


def cpu_of(call: Callable[[], object], times: int) -> Callable[[], float]:
    """Seconds of CPU time, of all threads of this process, that a call takes: the mean of so many."""

    def once() -> float:
        began = time.process_time()
        for _ in range(times):
            call()
        return (time.process_time() - began) / times

    return once


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread, and those that it starts, on one core, where the system can do that."""
    before = getattr(os, "sched_getaffinity", lambda _: set())(0)
    if before:
        time.sleep(1)  # threads that are kept for another call are gone
        os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        if before:
            os.sched_setaffinity(0, before)


def cpu_of_process(*arguments: str) -> Callable[[], float]:
    """Seconds of CPU time, user and system, that a fresh Python takes from its start to its end."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, env=environment())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    return once


def environment() -> dict[str, str]:
    """What processes of a benchmark are started with: nothing of the user's, and the modules beside this.

    Compiled modules are kept, or ours would be compiled each time and the peers', which pip has compiled, not.
    """
    users = ("SUPABASE", "JUPYTER", "PYTHONDONTWRITEBYTECODE")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(users)},
        "PYTHONPATH": str(HERE),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
