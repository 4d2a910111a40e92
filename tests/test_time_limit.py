"""A call ends in time, even if it sends several requests, or another kernel has the session's lock."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from faults.proxy import FaultProxy, hang
from waiting import wait_until

from supabase_nb import AuthClient, AuthRetryableError, MemoryStorage
from supabase_nb.demo import DemoServer
from supabase_nb.demo._project.options import PASSWORD

URL = "https://abcd.supabase.co/auth/v1"
MakeAuth = Callable[..., AuthClient]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supabase_nb.auth.client.CALL_TIMEOUT", 0.5)


def plain(auth: AuthClient) -> Any:
    return auth.get_claims()


def awaited(auth: AuthClient) -> Any:
    return asyncio.run(auth.aio.get_claims())


@pytest.mark.parametrize("call", [plain, awaited])
def test_one_call_of_several_requests(
    call: Callable[[AuthClient], Any], make_auth: MakeAuth, server: DemoServer, proxy: FaultProxy
) -> None:
    auth = make_auth(proxy.auth_url)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    proxy.always(hang)
    with pytest.raises(AuthRetryableError, match="timed out") as caught:
        call(auth)
    assert caught.value.__context__ is None
    assert auth.status == "active"
    proxy.recover()
    assert call(auth).claims["email"] == "ada@example.com"


def test_what_was_sent_before_another_kernels_lock_takes_effect_later(
    auth: AuthClient, lock_session: Callable[..., Any]
) -> None:
    auth.sign_in_with_password(email="ada@example.com", password=PASSWORD)
    with lock_session(auth), pytest.raises(AuthRetryableError, match="may still take effect"):
        auth.update_user(data={"city": "Rome"})
    wait_until(lambda: auth.user is not None and auth.user.user_metadata.get("city") == "Rome")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_an_awaited_call_is_cancelled_by_a_signal_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Jupyter's kernel does it for a cell that is interrupted."""
    monkeypatch.setattr("supabase_nb.auth.client.CALL_TIMEOUT", 60.0)
    monkeypatch.setattr("supabase_nb.auth._api.auth_api.REQUEST_TIMEOUT", 60.0)
    arrived, answer, ended = threading.Event(), threading.Event(), threading.Event()

    def send(request: httpx.Request) -> httpx.Response:
        arrived.set()
        answer.wait(20)
        return httpx.Response(503)

    async def call() -> None:
        task = asyncio.ensure_future(auth.aio.sign_in_anonymously())
        signal.signal(signal.SIGUSR1, lambda *_: task.cancel())
        with pytest.raises(asyncio.CancelledError):
            await task
        ended.set()

    def interrupt() -> None:
        arrived.wait(20)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        before_the_answer.append(ended.wait(15))
        answer.set()

    before_the_answer: list[bool] = []
    auth = AuthClient(URL, storage=MemoryStorage(), transport=httpx.MockTransport(send), auto_refresh=False)
    former = signal.getsignal(signal.SIGUSR1)
    interrupting = threading.Thread(target=interrupt)
    try:
        interrupting.start()
        asyncio.run(call())
    finally:
        signal.signal(signal.SIGUSR1, former)
        interrupting.join()
        auth.close()
    assert before_the_answer == [True]


class SlowStorage(MemoryStorage):
    """Answers after the time limit of a call."""

    blocks = True

    def __init__(self, *, prompts: bool) -> None:
        super().__init__()
        self.prompts = prompts

    def get(self, key: str) -> str | None:
        threading.Event().wait(0.6)
        return super().get(key)


def test_a_call_waits_for_a_user_who_unlocks_the_keyring(make_auth: MakeAuth) -> None:
    assert make_auth(storage=SlowStorage(prompts=True)).get_session() is None
    with pytest.raises(AuthRetryableError, match="timed out"):
        make_auth(storage=SlowStorage(prompts=False)).get_session()
