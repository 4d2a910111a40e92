"""How requests to the auth server leave the owner loop: a pool of connections, or a given transport."""

from __future__ import annotations

import asyncio
import time

from ... import _http as httpx
from ..._pool import open_connections
from ..._threads import daemon_threads
from .endpoints import LARGEST_RESPONSE, REQUEST_TIMEOUT


class AsyncPool(httpx.AsyncBaseTransport):
    """Connections to each host, opened at the first request, with the environment's proxies."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str], httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        here = (request.url.scheme, request.url.host)
        if here not in self._opened:
            # Certificates are read from files.
            made = await asyncio.get_running_loop().run_in_executor(
                daemon_threads, lambda: open_connections(request.url, httpx.AsyncHTTPTransport)
            )
            self._opened.setdefault(here, made)
        return await self._opened[here].handle_async_request(request)

    async def aclose(self) -> None:
        """Drop the connections."""
        while self._opened:
            await self._opened.popitem()[1].aclose()


class _InThreads(httpx.AsyncBaseTransport):
    """A synchronous transport, each request in a thread. One that hangs is abandoned at the time-out.

    It belongs to the code that made it, so it is not closed here.
    """

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, and read the response."""

        def send() -> httpx.Response:
            response = self._transport.handle_request(request)
            try:
                consumed = response.is_stream_consumed
                content = response.content if consumed else _read(response)
            finally:
                response.close()
            decoded = {"content-encoding", "content-length", "transfer-encoding"}
            headers = [item for item in response.headers.multi_items() if item[0] not in decoded]
            return httpx.Response(response.status_code, headers=headers, content=content)

        return await asyncio.get_running_loop().run_in_executor(daemon_threads, send)


def _read(response: httpx.Response) -> bytes:
    """The body; not more of it than the endpoints take, and not longer than they wait."""
    received, began = bytearray(), time.monotonic()
    for chunk in response.iter_bytes():
        received += chunk
        if len(received) > LARGEST_RESPONSE or time.monotonic() - began > REQUEST_TIMEOUT:
            break
    return bytes(received)


class _NotClosed(httpx.AsyncBaseTransport):
    """An asynchronous transport that is not ours to close."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        return await self._transport.handle_async_request(request)


def in_threads(transport: httpx.BaseTransport | httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """A given transport as one for the owner loop."""
    if isinstance(transport, httpx.BaseTransport):
        return _InThreads(transport)
    return _NotClosed(transport)
