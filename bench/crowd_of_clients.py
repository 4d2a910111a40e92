"""A process of its own with so many clients: prints what they cost as JSON. `crowds.py` starts it."""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

import httpx
import project


def ours(count: int) -> list[object]:
    from supabase_nb import AuthClient, MemoryStorage

    # Each of a project of its own, and the transport is everybody's: not ours to measure.
    transport = project.transport()
    clients: list[object] = []
    for number in range(count):
        auth = AuthClient(
            f"https://project{number}.example.com/auth/v1", storage=MemoryStorage(), transport=transport
        )
        auth.set_session(project.access_token(), project.REFRESH_TOKEN)
        clients.append(auth)
    return clients


def theirs(count: int) -> list[object]:
    from supabase_auth import SyncGoTrueClient

    transport = project.transport()
    clients: list[object] = []
    for number in range(count):
        auth = SyncGoTrueClient(
            url=f"https://project{number}.example.com/auth/v1", http_client=httpx.Client(transport=transport)
        )
        auth.set_session(project.access_token(), project.REFRESH_TOKEN)
        clients.append(auth)
    return clients


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wakeups() -> int:
    """How often a thread of this process has gone to sleep, hence woken up."""
    total = 0
    for status in Path("/proc/self/task").glob("*/status"):
        line = next(line for line in status.read_text().splitlines() if line.startswith("voluntary"))
        total += int(line.split()[1])
    return total


def main() -> None:
    make = {"ours": ours, "theirs": theirs}[sys.argv[1]]
    count, watched = int(sys.argv[2]), float(sys.argv[3])
    warm = make(1)
    gc.collect()
    before = resident()
    clients = make(count)
    gc.collect()
    grown = resident() - before
    # What set_session started is over when nothing but what stays is left.
    deadline, threads = time.monotonic() + 10, threading.active_count()
    while time.monotonic() < deadline:
        time.sleep(0.5)
        if threads == (threads := threading.active_count()):
            break
    found = {"bytes": grown, "threads": threads - 1 - (sys.argv[1] == "theirs"), "wakeups": 0.0, "busy": 0.0}
    if watched:
        woken, busy = wakeups(), time.process_time()
        time.sleep(watched)
        # Less the one of the sleep itself.
        found["wakeups"] = (wakeups() - woken - 1) * 60 / watched
        found["busy"] = (time.process_time() - busy) / watched * 100
    print(json.dumps(found), flush=True)
    del clients, warm
    os._exit(0)


if __name__ == "__main__":
    main()
