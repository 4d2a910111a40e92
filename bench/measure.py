"""Measures things in turn, in the same run; and a row of the table."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One row of the table. The spread is the quartiles over the rounds; it is empty for what was counted."""

    what: str
    against: str
    goal: str
    found: str
    met: bool
    spread: str = ""
    note: str = ""

    @classmethod
    def of_ratios(cls, what: str, against: str, ratios: Sequence[float], goal: float, note: str) -> Row:
        """A row for the median of one ratio per round, which should be at most `goal`."""
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
        spread = f"{low:.2f} to {high:.2f}"
        return cls(what, against, f"<= {goal:.2f}", f"{median:.2f}", median <= goal, spread, note)


def in_turn(rounds: int, *measured: Callable[[], float]) -> list[tuple[float, ...]]:
    """Measure each once per round, in alternating order, after one round that doesn't count."""
    for once in measured:
        once()
    found = []
    for number in range(rounds):
        order = range(len(measured)) if number % 2 == 0 else reversed(range(len(measured)))
        values = {place: measured[place]() for place in order}
        found.append(tuple(values[place] for place in range(len(measured))))
    return found


def cpu_of(call: Callable[[], object], times: int) -> Callable[[], float]:
    """Seconds of CPU time, of all threads of this process, that a call takes: the mean of so many."""

    def once() -> float:
        began = time.process_time()
        for _ in range(times):
            call()
        return (time.process_time() - began) / times

    return once


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
