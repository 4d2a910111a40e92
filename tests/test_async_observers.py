"""Coroutine functions as subscribers and observers: they are awaited."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
from collections.abc import Callable

import pytest
from waiting import wait_until

from supabase_nb import AuthClient
from supabase_nb.demo import DemoServer


class Called:
    """A coroutine function in each form that Python has."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def method(self, event: object, session: object) -> None:
        await asyncio.sleep(0)
        self.events.append(str(event))

    async def __call__(self, event: object, session: object) -> None:
        await self.method(event, session)

    def forms(self) -> list[Callable[..., object]]:
        return [
            self.method,
            functools.partial(self.method),
            self,
            lambda event, session: self(event, session),
        ]


@pytest.mark.parametrize("form", range(4))
def test_without_an_event_loop_a_subscriber_is_awaited_before_the_call_returns(
    form: int, auth: AuthClient, server: DemoServer
) -> None:
    called = Called()
    auth.on_auth_state_change(called.forms()[form])
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    assert called.events == ["INITIAL_SESSION", "TOKEN_REFRESHED"]
    gc.collect()  # a coroutine that was never awaited would warn, and warnings are errors here


def test_in_a_notebook_it_runs_in_the_kernels_event_loop(auth: AuthClient, server: DemoServer) -> None:
    pair = server.sign_in()

    async def cell() -> list[object]:
        seen: list[object] = []

        async def subscriber(event: object, session: object) -> None:
            seen.append(asyncio.get_running_loop() is loop and str(event))

        loop = asyncio.get_running_loop()
        auth.on_auth_state_change(subscriber)
        await auth.aio.set_session(pair["access_token"], pair["refresh_token"])
        # A change that another thread causes arrives here too.
        await asyncio.to_thread(auth.refresh_session)
        while len(seen) < 3:
            await asyncio.sleep(0)
        return seen

    assert asyncio.run(cell()) == ["INITIAL_SESSION", "TOKEN_REFRESHED", "TOKEN_REFRESHED"]


def test_one_that_raises_is_logged_and_the_others_are_called(
    auth: AuthClient, server: DemoServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(event: object, session: object) -> None:
        await asyncio.sleep(0)
        raise ValueError("of my own")

    called = Called()
    auth.on_auth_state_change(broken)
    auth.on_auth_state_change(called)
    pair = server.sign_in()
    with caplog.at_level(logging.ERROR, "supabase_nb"):
        auth.set_session(pair["access_token"], pair["refresh_token"])
    assert called.events == ["INITIAL_SESSION", "TOKEN_REFRESHED"]
    assert "ValueError" in caplog.text


def test_after_its_event_loop_is_closed_it_is_still_awaited(auth: AuthClient, server: DemoServer) -> None:
    called = Called()

    async def subscribe() -> None:
        auth.on_auth_state_change(called.method)
        while not called.events:
            await asyncio.sleep(0)

    asyncio.run(subscribe())
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    wait_until(lambda: called.events == ["INITIAL_SESSION", "TOKEN_REFRESHED"])


def test_a_coroutine_function_may_observe_a_trait(auth: AuthClient, server: DemoServer) -> None:
    seen: list[str] = []

    async def observer(change: dict[str, str]) -> None:
        await asyncio.sleep(0)
        seen.append(change["new"])

    auth.observe(observer, "status")
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    assert seen[-1] == "active"
