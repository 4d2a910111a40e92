"""A server whose access tokens have expired when they arrive: growing pauses, and an error that says so."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import httpx
import made
import pytest
from model.kernels import VirtualClock, World
from waiting import wait_until

from supabase_nb import AuthClient, AuthUnknownError, MemoryStorage

URL = "https://abcd.supabase.co/auth/v1"


@pytest.mark.parametrize("lifetime", [-60, 0, 1])
def test_useless_tokens_are_not_requested_every_second(
    lifetime: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 0.02)
    asked: list[float] = []
    world = World(MemoryStorage(), version=1, reuse_interval=10.0, offset=0.0)

    def issue(_: httpx.Request) -> dict[str, Any]:
        asked.append(world.time)
        now = int(world.time)
        token = f"abcdefghij{len(asked):02}".replace("0", "a").replace("1", "b")
        issued = made.session(token, iat=now, exp=now + lifetime)
        return issued | {"expires_in": lifetime, "expires_at": now + lifetime}

    answers = made.Answers(**{"POST /auth/v1/token": issue})
    client = AuthClient(URL, storage=MemoryStorage(), transport=answers, clock=VirtualClock(world))
    try:
        client.set_session(made.expired(), "abcdefghijkl")

        def pass_time(until: int) -> None:
            def passed() -> bool:
                world.time += 0.25
                time.sleep(0)
                return len(asked) >= until

            wait_until(passed)

        pass_time(6)
        first, *_, last = (later - earlier for earlier, later in pairwise(asked[1:]))
        assert last >= 4 * first
        assert last >= 8
        assert isinstance(client.last_error, AuthUnknownError)
        assert "access tokens that are valid for" in client.last_error.message
    finally:
        client.close()
