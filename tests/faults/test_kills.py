"""Killed at any instruction between request and notification: storage is intact, and the next start restores."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import time
from collections.abc import Callable

import made
import pytest
from faults.kernel_process import KILL_POINTS, KernelProcess

from supabase_nb import AuthClient, FileStorage
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server
from supabase_nb.storage import storage_key

StartKernel = Callable[..., KernelProcess]
MakeAuth = Callable[..., AuthClient]
#: SIGKILLs at random moments; `make soak` has more.
KILLS = int(os.environ.get("SUPABASE_NB_KILLS", "150"))


def assert_whole(storage: FileStorage, key: str) -> None:
    """Files that are whole and ours alone; nothing was set aside."""
    text = storage.get(key)
    assert text is not None
    assert {"access_token", "refresh_token", "user"} <= json.loads(text).keys()
    for file in storage.path.glob("*.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text())
    assert not list(storage.path.glob("*.damaged"))


@pytest.mark.parametrize("point", KILL_POINTS)
def test_the_next_kernel_continues_after_a_kill_during_a_refresh(
    point: str, start_kernel: StartKernel, make_auth: MakeAuth, storage: FileStorage, server: DemoServer
) -> None:
    pair = server.sign_in()
    kernel = start_kernel(auto_refresh=False)
    kernel.do("set_session", pair["access_token"], pair["refresh_token"])
    kernel.do("refresh_session")
    kernel.do("kill_at", point)
    kernel.begin("refresh_session")
    assert kernel.wait() == -signal.SIGKILL
    assert_whole(storage, storage_key(server.url))
    server.advance(30)  # beyond the reuse interval
    later = make_auth()
    assert later.get_session() is not None
    assert later.get_user().email == "ada@example.com"
    assert later.refresh_session().session is not None
    assert later.notices == (), "the killed kernel is not taken for another program"
    # The cell with the very first pair still works.
    assert later.set_session(pair["access_token"], pair["refresh_token"]).session == later.session


@pytest.mark.parametrize("point", KILL_POINTS)
def test_killed_in_set_session_the_cell_can_be_run_again(
    point: str, start_kernel: StartKernel, make_auth: MakeAuth, server: DemoServer
) -> None:
    pair = server.sign_in()
    cell = (made.expired(sub=pair["user"]["id"]), pair["refresh_token"])
    kernel = start_kernel(auto_refresh=False)
    kernel.do("kill_at", point)
    kernel.begin("set_session", *cell)
    assert kernel.wait() == -signal.SIGKILL
    server.advance(30)
    later = make_auth()
    assert later.set_session(*cell).session is not None
    assert later.get_user().email == "ada@example.com"
    assert later.refresh_session().session is not None


@pytest.mark.parametrize("version", [1, 2])
def test_killed_at_random_moments(
    version: int, start_kernel: StartKernel, make_auth: MakeAuth, storage: FileStorage
) -> None:
    """A kernel refreshes without a pause and is killed. The next one continues from the stored session."""
    # Without a reuse interval: only the parent of the active token is taken again.
    with running_server(refresh_token_version=version, reuse_interval=0) as server:
        pair = server.sign_in()
        make_auth(server.auth_url, headers={}).set_session(pair["access_token"], pair["refresh_token"])
        chance = random.Random(version)
        for _ in range(KILLS):
            kernel = start_kernel(server.auth_url, auto_refresh=False)
            assert kernel.do("get_session") is not None
            kernel.begin("refresh_without_end")
            time.sleep(chance.uniform(0.0, 0.05))
            kernel.kill()
            assert_whole(storage, storage_key(server.url))
        later = make_auth(server.auth_url, headers={})
        assert later.refresh_session().session is not None
        assert later.get_user().email == "ada@example.com"
