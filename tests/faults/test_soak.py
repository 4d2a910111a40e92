"""Real time and real processes, for what the other tests simulate faster. Only with `make soak`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest
from faults.kernel_process import KernelProcess
from waiting import wait_until

from supabase_nb import AuthClient
from supabase_nb.demo.testing import running_server

pytestmark = [
    pytest.mark.skipif("SUPABASE_NB_SOAK" not in os.environ, reason="long: for `make soak`"),
    pytest.mark.timeout(300),
]
MakeAuth = Callable[..., AuthClient]
REFRESHES = "token.refresh_token"


@pytest.mark.parametrize("kernels", [2, 8])
def test_kernels_for_52_seconds_of_20_second_tokens(
    kernels: int, start_kernel: Callable[..., KernelProcess]
) -> None:
    with running_server(access_token_lifetime=20) as server:
        pair = server.sign_in()
        started = [start_kernel(server.auth_url) for _ in range(kernels)]
        started[0].do("set_session", pair["access_token"], pair["refresh_token"])
        for kernel in started:
            kernel.do("get_session")
            kernel.begin("use_for", 52.0, 0.5)
        refused = sum(kernel.result(120)[1] for kernel in started)
        assert refused == 0
        assert server.stats()[REFRESHES] <= 4


@pytest.mark.parametrize("seconds", [13, 19, 27])
def test_an_outage_when_the_refresh_is_due(seconds: int, make_auth: MakeAuth) -> None:
    with running_server(access_token_lifetime=10) as server:
        auth = make_auth(server.auth_url, headers={}, auto_refresh=True)
        pair = server.sign_in()
        auth.set_session(pair["access_token"], pair["refresh_token"])
        threading.Event().wait(7.0)
        server.outage(seconds)
        recovery = time.monotonic() + seconds
        before = auth.session
        wait_until(lambda: auth.session != before and auth.status == "active", timeout=seconds + 20)
        assert time.monotonic() - recovery <= 5.0


@pytest.mark.parametrize("shift", [7200.0, -7200.0])
def test_28_seconds_with_a_wrong_clock(shift: float, make_auth: MakeAuth) -> None:
    from test_keeping_alive import ShiftedClock

    with running_server(access_token_lifetime=20) as server:
        auth = make_auth(server.auth_url, headers={}, auto_refresh=True, clock=ShiftedClock(shift))
        pair = server.sign_in()
        auth.set_session(pair["access_token"], pair["refresh_token"])
        for _ in range(28):
            session = auth.get_session()
            assert session is not None
            server.request("GET", "/auth/v1/user", token=session.access_token)
            threading.Event().wait(1.0)
        assert server.stats()[REFRESHES] <= 1 + 1
