"""The benchmarks run, and their counts are as promised. Times are measured by `make bench`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "bench" / "run.py"


def measure(group: str) -> dict[str, str]:
    """What was found, by what was measured."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SUPABASE")}
    command = [sys.executable, str(RUN), "--quick", group]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [re.split(r" \| ", line.strip("| ")) for line in done.stdout.splitlines() if "**" in line]
    return {row[0]: row[3].strip("*") for row in rows}


@pytest.mark.parametrize(("group", "rows"), [("start", 3), ("calls", 2), ("frames", 2)])
def test_ratios_are_measured(group: str, rows: int) -> None:
    found = measure(group)
    assert len(found) == rows
    assert all(float(ratio) > 0 for ratio in found.values())


def test_one_thread_for_all_clients_and_one_exchange_at_an_expiry() -> None:
    found = measure("counts")
    assert found["threads for 50 clients in one kernel"] == "1 against 50"
    # On a busy machine some of the others come when it is over.
    assert re.fullmatch(
        "1 against (1[0-6]|[2-9])", found["refresh requests when the token expires: 16 threads"]
    )
    assert re.fullmatch("1 against [23]", found["refresh requests when the token expires: 3 kernels"])


@pytest.mark.browser
def test_live_displays_send_no_messages() -> None:
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("no Chromium of the system's")
    (found,) = measure("messages").values()
    assert found.startswith("0 against")


def test_an_unknown_group_is_named() -> None:
    done = subprocess.run([sys.executable, str(RUN), "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no group nothing" in done.stderr
