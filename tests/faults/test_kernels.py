"""Kernels that share a session: one refresh and one state, whatever happens to one of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from faults.kernel_process import KernelError, KernelProcess
from faults.proxy import FaultProxy, drop, hang, hang_after
from waiting import wait_until

from supabase_nb import AuthClient, AuthRetryableError, AuthSessionMissing, FileStorage, MemoryStorage
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

StartKernel = Callable[..., KernelProcess]
MakeAuth = Callable[..., AuthClient]
REFRESHES = "token.refresh_token"


def exchanges(server: DemoServer) -> int:
    return server.stats().get(REFRESHES, 0)


@pytest.fixture
def kernels(start_kernel: StartKernel, server: DemoServer) -> list[KernelProcess]:
    """Eight kernels with one session."""
    pair = server.sign_in()
    first, *others = (start_kernel(auto_refresh=False) for _ in range(8))
    first.do("set_session", pair["access_token"], pair["refresh_token"])
    for kernel in others:
        assert kernel.do("get_session")["access_token"] == pair["access_token"]
    return [first, *others]


def test_eight_kernels_with_sixteen_threads_each_cause_one_exchange(
    kernels: list[KernelProcess], server: DemoServer
) -> None:
    seen = kernels[0].do("held_session")["access_token"]
    before, moment = exchanges(server), time.time() + 0.5
    for kernel in kernels:
        kernel.begin("renew_at", moment, 16, seen)
    found = [token for kernel in kernels for token in kernel.result()]
    assert len(found) == 8 * 16
    assert len(set(found)) == 1
    assert seen not in found
    assert exchanges(server) == before + 1


def test_changes_in_one_kernel_show_in_the_others(start_kernel: StartKernel, server: DemoServer) -> None:
    """Within seconds, and without asking: by the refresher."""
    pair = server.sign_in()
    one, other = start_kernel(), start_kernel()
    one.do("set_session", pair["access_token"], pair["refresh_token"])
    other.do("get_session")
    rotated = one.do("refresh_session")
    wait_until(lambda: other.do("held_session")["refresh_token"] == rotated["refresh_token"])
    assert ("TOKEN_REFRESHED", "refreshed in another notebook") in other.do("events")
    one.do("sign_out", "local")
    wait_until(lambda: other.do("held_session") is None)
    assert other.do("events")[-1] == ("SIGNED_OUT", "signed out in another notebook")
    assert other.do("status") == "signed_out"


@pytest.mark.parametrize("lifetime", [5])
def test_two_kernels_make_at_most_four_exchanges_in_two_and_a_half_lifetimes(
    lifetime: int, start_kernel: StartKernel
) -> None:
    """cases.md's 52 s of 20 s tokens, four times as fast; `make soak` runs it in full."""
    with running_server(access_token_lifetime=lifetime) as server:
        pair = server.sign_in()
        two = [start_kernel(server.auth_url) for _ in range(2)]
        two[0].do("set_session", pair["access_token"], pair["refresh_token"])
        two[1].do("get_session")
        for kernel in two:
            kernel.begin("use_for", 2.6 * lifetime, lifetime / 20)
        for kernel in two:
            asked, refused = kernel.result()
            assert asked > 10
            assert refused == 0
        assert 2 <= exchanges(server) <= 4


# -- the lock -----------------------------------------------------------------------------------------------


def test_a_killed_holder_frees_the_lock(
    start_kernel: StartKernel, proxy: FaultProxy, server: DemoServer
) -> None:
    pair = server.sign_in()
    holder, other = (start_kernel(proxy.auth_url, auto_refresh=False) for _ in range(2))
    holder.do("set_session", pair["access_token"], pair["refresh_token"])
    other.do("get_session")
    proxy.next(hang)
    holder.begin("refresh_session")
    proxy.wait_for(1)
    other.begin("refresh_session")
    holder.kill()
    assert other.result()["refresh_token"] != pair["refresh_token"]
    assert proxy.count() == 2


def test_a_waiting_kernel_uses_what_the_lock_holder_saved(
    start_kernel: StartKernel, proxy: FaultProxy, server: DemoServer
) -> None:
    pair = server.sign_in()
    holder, other = (start_kernel(proxy.auth_url, auto_refresh=False) for _ in range(2))
    holder.do("set_session", pair["access_token"], pair["refresh_token"])
    other.do("get_session")
    proxy.next(hang_after)
    holder.begin("refresh_session")
    proxy.wait_for(1)
    other.begin("refresh_session")
    proxy.recover()
    assert holder.result() == other.result()
    assert proxy.count() == 1


def test_a_hanging_lock_holder_does_not_block_others_forever(
    start_kernel: StartKernel,
    proxy: FaultProxy,
    server: DemoServer,
    make_auth: MakeAuth,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGSTOP during an exchange. The other kernel continues without the lock, and both end with one session."""
    monkeypatch.setattr("supabase_nb.auth._session.storage_sync.LOCK_TIMEOUT", 1.0)
    pair = server.sign_in()
    holder = start_kernel(proxy.auth_url, auto_refresh=False)
    holder.do("set_session", pair["access_token"], pair["refresh_token"])
    other = make_auth(proxy.auth_url)
    other.get_session()
    proxy.next(hang_after)
    holder.begin("refresh_session")
    proxy.wait_for(1)
    holder.send_signal(signal.SIGSTOP)
    proxy.recover()
    renewed = other.refresh_session().session
    assert renewed is not None
    # From now on it does not wait for that holder again, and neither needs the other.
    again = other.refresh_session().session
    assert again is not None
    holder.send_signal(signal.SIGCONT)
    found = holder.result()
    assert found["refresh_token"] == again.refresh_token
    assert other.get_user().email == "ada@example.com"
    assert other.refresh_session().session is not None


def test_patience_ends_while_another_kernel_is_busy(
    start_kernel: StartKernel,
    proxy: FaultProxy,
    server: DemoServer,
    make_auth: MakeAuth,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call raises an error in time and changes nothing. Later, it works."""
    monkeypatch.setattr("supabase_nb.auth._session.retry.FOREGROUND_TIMEOUT", 0.5)
    pair = server.sign_in()
    holder, other = start_kernel(proxy.auth_url, auto_refresh=False), make_auth(proxy.auth_url)
    holder.do("set_session", pair["access_token"], pair["refresh_token"])
    proxy.next(hang_after)
    holder.begin("refresh_session")
    proxy.wait_for(1)
    with pytest.raises(AuthRetryableError):
        other.set_session(pair["access_token"], pair["refresh_token"])
    assert other.session is None
    proxy.recover()
    rotated = holder.result()
    session = other.set_session(pair["access_token"], pair["refresh_token"]).session
    assert session is not None
    assert session.refresh_token == rotated["refresh_token"]


def test_a_broken_lock_does_not_undo_a_later_save(
    proxy: FaultProxy, server: DemoServer, make_auth: MakeAuth
) -> None:
    """A holder that comes back late finds a later rotation in storage: that one holds."""

    class Unlocked(MemoryStorage):
        def lock(self, key: str, timeout: float = 0) -> Any:
            return nullcontext(False)

    storage = Unlocked()
    pair = server.sign_in()
    late, other = (make_auth(proxy.auth_url, storage=storage) for _ in range(2))
    late.set_session(pair["access_token"], pair["refresh_token"])
    other.get_session()
    proxy.next(hang_after)
    thread = threading.Thread(target=late.refresh_session)
    thread.start()
    proxy.wait_for(1)
    other.refresh_session()
    newest = other.refresh_session().session
    proxy.recover()
    thread.join(20)
    assert late.session == newest == other.session
    assert late.refresh_session().session is not None


# -- other people, other words ------------------------------------------------------------------------------


def test_another_users_session_under_the_same_name_is_kept_apart(
    server: DemoServer, make_auth: MakeAuth, storage: FileStorage
) -> None:
    """The session continues in memory with a notice, and the other one's stored session doesn't change."""
    ada, grace = make_auth(auto_refresh=True), make_auth()
    mine, theirs = server.sign_in(), server.sign_in("grace@example.com")
    ada.set_session(mine["access_token"], mine["refresh_token"])
    grace.set_session(theirs["access_token"], theirs["refresh_token"])
    wait_until(lambda: bool(ada.notices))
    assert "another user's session" in ada.notices[0]
    assert ada.user is not None
    assert ada.user.email == "ada@example.com"
    ada.refresh_session()
    assert ada.get_user().email == "ada@example.com"
    ada.sign_out("local")
    assert grace.get_user().email == "grace@example.com"
    assert make_auth().get_session() == grace.session


def test_signing_out_ends_the_session_that_another_kernel_rotated(
    server: DemoServer, make_auth: MakeAuth, storage: FileStorage
) -> None:
    pair = server.sign_in()
    one, other = make_auth(), make_auth()
    one.set_session(pair["access_token"], pair["refresh_token"])
    other.get_session()
    rotated = other.refresh_session().session
    assert rotated is not None
    one.sign_out("local")
    assert make_auth().get_session() is None
    with pytest.raises(AuthSessionMissing):
        make_auth().set_session(rotated.access_token, rotated.refresh_token)
    with pytest.raises(AuthSessionMissing, match="Not signed in"):
        other.refresh_session()


# -- fork ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_forked_child_does_not_refresh(kind: str, server: DemoServer, tmp_path: Path) -> None:
    """`multiprocessing` forks in the middle of an exchange; the child neither hangs nor sends."""
    script = Path(__file__).with_name("forking.py")
    run = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",
            str(script),
            server.auth_url,
            kind,
            str(tmp_path / "sessions"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        input=json.dumps(server.sign_in()),
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["child:kept", "child:AuthError", "parent:renewed"]
    assert run.stderr == ""


def test_a_kernel_reports_errors(start_kernel: StartKernel, proxy: FaultProxy) -> None:
    kernel = start_kernel(proxy.auth_url, auto_refresh=False)
    proxy.always(drop)
    with pytest.raises(KernelError, match="AuthRetryableError"):
        kernel.do("set_session", "nonsense", "abcdefghijkl")
