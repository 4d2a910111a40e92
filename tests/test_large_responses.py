"""Responses without an end: reading stops, the connection is given back, the session is unchanged."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
import made
import pytest

from supabase_nb import AuthClient, AuthRetryableError, AuthUnknownError, MemoryStorage

URL = "https://abcd.supabase.co/auth/v1"


class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A user, and then spaces for ever. `step` is called before each chunk of them."""

    def __init__(self, chunk: bytes, step: threading.Event | None = None) -> None:
        self.chunk, self.step = chunk, step
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield json.dumps(made.user()).encode()
        while not self.closed.is_set():
            if self.step is not None:
                self.step.wait(0.05)
            yield self.chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk

    def close(self) -> None:
        self.closed.set()

    async def aclose(self) -> None:
        self.closed.set()


class Answering(httpx.BaseTransport):
    def __init__(self, stream: Endless) -> None:
        self.stream = stream

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self.stream)


class AnsweringAsync(httpx.AsyncBaseTransport):
    def __init__(self, stream: Endless) -> None:
        self.stream = stream

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self.stream)


@pytest.mark.parametrize("kind", [Answering, AnsweringAsync])
def test_a_response_that_is_far_too_long_is_read_no_further(kind: type) -> None:
    stream = Endless(b" " * 65536)
    auth = AuthClient(URL, storage=MemoryStorage(), transport=kind(stream), auto_refresh=False)
    with pytest.raises(AuthUnknownError, match="too long to come from"):
        auth.set_session(made.jwt(), "abcdefghijkl")
    assert stream.closed.wait(10)
    assert (auth.status, auth.session) == ("signed_out", None)


def test_a_given_transport_whose_response_never_ends_is_read_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call gives up in time, and so does the thread that reads."""
    for module in ("auth_api", "threaded_transport"):
        monkeypatch.setattr(f"supabase_nb.auth._api.{module}.REQUEST_TIMEOUT", 0.3)
    monkeypatch.setattr("supabase_nb.auth._session.retry.FOREGROUND_TIMEOUT", 0.5)
    stream = Endless(b" ", threading.Event())
    auth = AuthClient(URL, storage=MemoryStorage(), transport=Answering(stream), auto_refresh=False)
    with pytest.raises(AuthRetryableError):
        auth.set_session(made.jwt(), "abcdefghijkl")
    assert stream.closed.wait(10)
