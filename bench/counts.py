"""What is counted: threads for many clients, exchanges when many need the session at its expiry."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import project
from measure import HERE, Row, environment
from supabase_auth import SyncGoTrueClient

from supabase_nb import AuthClient, FileStorage, MemoryStorage
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

_THREADS, _KERNELS = 16, 8
#: Of an access token: longer than it takes until all have got the new one, also on a busy machine.
_LIFETIME = 5
_EXCHANGES = "token.refresh_token"


class SharedFiles(FileStorage):
    """What supabase_auth is given so that kernels share a session: the same files by its own names."""

    get_item, set_item, remove_item = FileStorage.get, FileStorage.set, FileStorage.remove


def ours(url: str, key: str, folder: str) -> AuthClient:
    return AuthClient(url, headers={"apikey": key}, storage=FileStorage(folder), auto_refresh=False)


def theirs(url: str, key: str, folder: str) -> SyncGoTrueClient:
    return SyncGoTrueClient(
        url=url, headers={"apikey": key}, storage=SharedFiles(folder), auto_refresh_token=False
    )


MAKERS: dict[str, Callable[..., Any]] = {"ours": ours, "theirs": theirs}


def rows(quick: bool) -> list[Row]:
    many, kernels = (50, 3) if quick else (1_000, _KERNELS)
    threads = {whose: _threads_of_crowd(whose, many) for whose in MAKERS}
    with running_server(access_token_lifetime=_LIFETIME) as server, tempfile.TemporaryDirectory() as folder:
        of_threads = {whose: _client(server, whose, f"{folder}/threads of {whose}") for whose in MAKERS}
        of_kernels = {whose: _client(server, whose, f"{folder}/kernels of {whose}") for whose in MAKERS}
        time.sleep(_LIFETIME + 1)  # all access tokens have expired
        in_threads = {whose: _exchanges_of_threads(server, client) for whose, client in of_threads.items()}
        for client in of_kernels.values():
            client.close()
        in_kernels = {
            whose: _exchanges_of_kernels(server, whose, f"{folder}/kernels of {whose}", kernels)
            for whose in MAKERS
        }
    together = "and call `get_session` at the same moment; all get a session"
    refreshes = "refresh requests when the token expires"
    found = [
        (f"threads for {many:,} clients in one kernel", threads, "each with a session to refresh"),
        (f"{refreshes}: {_THREADS} threads", in_threads, f"they share one client {together}"),
        (f"{refreshes}: {kernels} kernels", in_kernels, f"they share the stored session {together}"),
    ]
    return [
        Row(
            what,
            "supabase_auth" + " with file storage" * (counts is in_kernels),
            "1",
            f"{counts['ours']:,} against {counts['theirs']:,}",
            counts["ours"] == 1,
            note=note,
        )
        for what, counts, note in found
    ]


def _threads_of_crowd(whose: str, count: int) -> int:
    command = [sys.executable, str(HERE / "counts.py"), "crowd", whose, str(count)]
    return int(subprocess.check_output(command, env=environment()))


def _client(server: DemoServer, whose: str, folder: str) -> Any:
    """A client with a session in its storage."""
    client = MAKERS[whose](server.auth_url, server.anon_key, folder)
    wire = server.sign_in()
    client.set_session(wire["access_token"], wire["refresh_token"])
    return client


def _exchanges_of_threads(server: DemoServer, client: Any) -> int:
    before = server.stats().get(_EXCHANGES, 0)
    barrier = threading.Barrier(_THREADS)

    def need(_: int) -> Any:
        barrier.wait()
        return client.get_session()

    with ThreadPoolExecutor(_THREADS) as threads:
        assert all(threads.map(need, range(_THREADS))), "a thread got no session"
    client.close()
    return server.stats()[_EXCHANGES] - before


def _exchanges_of_kernels(server: DemoServer, whose: str, folder: str, count: int) -> int:
    before = server.stats().get(_EXCHANGES, 0)
    command = [sys.executable, str(HERE / "counts.py"), "kernel", whose, server.auth_url, server.anon_key]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    kernels = [subprocess.Popen([*command, folder], env=environment(), **pipes) for _ in range(count)]
    assert [kernel.stdout.readline() for kernel in kernels] == ["ready\n"] * count
    for kernel in kernels:
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    assert [kernel.communicate()[0] for kernel in kernels] == ["True\n"] * count
    return server.stats()[_EXCHANGES] - before


def crowd(whose: str, count: str) -> None:
    """Print how many threads so many clients keep, each of a project of its own."""
    transport, clients = project.transport(), []
    before = threading.active_count()
    for number in range(int(count)):
        url = f"https://project{number}.example.com/auth/v1"
        client: Any
        if whose == "ours":
            client = AuthClient(url, storage=MemoryStorage(), transport=transport)
        else:
            client = SyncGoTrueClient(url=url, http_client=httpx.Client(transport=transport))
        client.set_session(project.access_token(), project.REFRESH_TOKEN)
        clients.append(client)
    # Threads that only worked on a call are gone when the number hasn't changed for two seconds.
    steady, last = 0, -1
    while steady < 8:
        time.sleep(0.25)
        now = threading.active_count()
        steady, last = (steady + 1 if now == last else 0), now
    print(last - before, flush=True)
    os._exit(0)


def kernel(whose: str, url: str, key: str, folder: str) -> None:
    """Print whether this kernel got the session that others need at the same moment."""
    client = MAKERS[whose](url, key, folder)
    print("ready", flush=True)
    sys.stdin.readline()
    print(client.get_session() is not None, flush=True)


if __name__ == "__main__":
    {"crowd": crowd, "kernel": kernel}[sys.argv[1]](*sys.argv[2:])
