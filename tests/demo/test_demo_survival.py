"""The demo server's state survives `kill -9` at any moment."""

from __future__ import annotations

import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from supabase_nb.demo import DemoServer, DemoServerError, ensure_server, stop_server

REFRESH = "/auth/v1/token?grant_type=refresh_token"


class Client:
    """Refreshes all the time and saves what it gets."""

    def __init__(self, token: str) -> None:
        self.saved, self.exchanged = token, 0

    def work(self, server: DemoServer, enough: threading.Event, wanted: int) -> None:
        try:
            while True:
                session = server.request("POST", REFRESH, {"refresh_token": self.saved})
                self.saved = session["refresh_token"]
                self.exchanged += 1
                wanted -= 1
                if wanted == 0:
                    enough.set()
        except DemoServerError as error:
            if "no response" not in str(error):
                raise
        finally:
            enough.set()


@pytest.mark.parametrize("version", [1, 2])
def test_no_session_is_lost_by_a_kill(tmp_path: Path, version: int) -> None:
    """After each kill the token that a client saved last is good.

    It is the active one, or the parent of one whose answer was lost: with no reuse interval nothing else is.
    """
    chance = random.Random(version)
    server = ensure_server(tmp_path, refresh_token_version=version, reuse_interval=0)
    try:
        emails = ("ada@example.com", "grace@example.com")
        clients = [Client(server.sign_in(email)["refresh_token"]) for email in emails]
        for _ in range(6):
            enough, wanted = threading.Event(), chance.randint(5, 40)
            with ThreadPoolExecutor() as pool:
                working = [pool.submit(client.work, server, enough, wanted) for client in clients]
                assert enough.wait(60)
                os.kill(server.pid, signal.SIGKILL)
                for each in working:
                    each.result(30)
            port = server.port
            server = ensure_server(tmp_path, refresh_token_version=version, reuse_interval=0)
            assert server.port == port
        for client in clients:
            assert server.request("POST", REFRESH, {"refresh_token": client.saved})["user"]["email"] in emails
        assert server.sign_in("alan@example.com")
        assert sum(client.exchanged for client in clients) >= 30
    finally:
        stop_server(tmp_path)
