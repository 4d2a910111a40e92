"""How many exchanges an expiry costs when 16 threads, or 8 kernels, need the session at once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from measure import HERE, Row, environment
from supabase_auth import SyncGoTrueClient
from supabase_auth.helpers import decode_jwt

from supabase_nb import AuthClient, FileStorage
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

_LIFETIME = 3
_THREADS, _KERNELS = 16, 8


class Counting(httpx.HTTPTransport):
    """Counts the exchanges that pass through it."""

    def __init__(self) -> None:
        super().__init__()
        self.exchanges = 0
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            with self._lock:
                self.exchanges += 1
        return super().handle_request(request)


class PlainFile:
    """What one would give supabase_auth so that kernels share a session: it takes any such storage."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def get_item(self, key: str) -> str | None:
        file = self._folder / key
        return file.read_text() if file.exists() else None

    def set_item(self, key: str, value: str) -> None:
        # In one piece, or who reads at that moment would find nothing.
        written = self._folder / f".{key}-{os.getpid()}-{threading.get_ident()}"
        written.write_text(value)
        written.replace(self._folder / key)

    def remove_item(self, key: str) -> None:
        (self._folder / key).unlink(missing_ok=True)


def ours(url: str, key: str, folder: str, transport: httpx.BaseTransport) -> AuthClient:
    """A client of ours that is asked, with nothing going on in the background."""
    return AuthClient(
        url, headers={"apikey": key}, storage=FileStorage(folder), auto_refresh=False, transport=transport
    )


def theirs(url: str, key: str, folder: str, transport: httpx.BaseTransport) -> SyncGoTrueClient:
    return SyncGoTrueClient(
        url=url,
        headers={"apikey": key},
        storage=PlainFile(folder),
        auto_refresh_token=False,
        http_client=httpx.Client(transport=transport),
    )


MAKERS: dict[str, Callable[..., Any]] = {"ours": ours, "theirs": theirs}


def rows(quick: bool) -> list[Row]:
    threads, kernels = {}, {}
    with running_server(access_token_lifetime=_LIFETIME) as server:
        for whose in MAKERS:
            threads[whose] = _threads(server, whose)
            kernels[whose] = _kernels(server, whose)
    return [
        Row(
            f"exchanges at an expiry: {_THREADS} threads",
            "supabase_auth",
            "1 against 16",
            f"{threads['ours']} against {threads['theirs']}",
            met=threads["ours"] == 1,
            note="one client, `get_session` at the same moment in each thread, the token just expired; all "
            "got a session",
        ),
        Row(
            f"exchanges at an expiry: {_KERNELS} kernels",
            "supabase_auth with a file as its storage",
            "1 against 8",
            f"{kernels['ours']} against {kernels['theirs']}",
            met=kernels["ours"] == 1,
            note="processes that share the stored session, `get_session` at the same moment in each",
        ),
    ]


def _signed_in(server: DemoServer, whose: str, folder: str, transport: Counting) -> tuple[Any, float]:
    """A client with a session in its storage, and when that has expired (Unix seconds)."""
    client = MAKERS[whose](server.auth_url, server.anon_key, folder, transport)
    wire = server.sign_in()
    client.set_session(wire["access_token"], wire["refresh_token"])
    return client, decode_jwt(wire["access_token"])["payload"]["exp"] + 0.2


def _threads(server: DemoServer, whose: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        transport = Counting()
        client, expired = _signed_in(server, whose, folder, transport)
        time.sleep(max(0.0, expired - time.time()))
        barrier, got = threading.Barrier(_THREADS), []

        def need() -> None:
            barrier.wait()
            session = client.get_session()
            got.append(session.access_token if session else None)

        threads = [threading.Thread(target=need) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == _THREADS
        assert all(got), "a thread got no session"
        return transport.exchanges


def _kernels(server: DemoServer, whose: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        _, expired = _signed_in(server, whose, folder, Counting())
        command = [
            sys.executable,
            str(HERE / "exchanges.py"),
            whose,
            server.auth_url,
            server.anon_key,
            folder,
        ]
        processes = [
            subprocess.Popen(
                command, env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for _ in range(_KERNELS)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        time.sleep(max(0.0, expired - time.time()))
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60)[0].split() for process in processes]
        assert all(answer[1:] == ["signed", "in"] for answer in answers), answers
        return sum(int(answer[0]) for answer in answers)


def kernel() -> None:
    """One of the kernels: prints how many exchanges it made, and whether it got a session."""
    whose, url, key, folder = sys.argv[1:]
    transport = Counting()
    client = MAKERS[whose](url, key, folder, transport)
    print("ready", flush=True)
    sys.stdin.readline()
    session = client.get_session()
    print(transport.exchanges, "signed in" if session else "signed out", flush=True)


if __name__ == "__main__":
    kernel()
