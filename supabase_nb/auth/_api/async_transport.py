"""Sends requests from the owner loop, with our own connections or a given transport."""

from __future__ import annotations

import time

from ... import _http as httpx
from ..._pool import open_connections
from ..._threads import in_thread
from .limits import LARGEST_RESPONSE, REQUEST_TIMEOUT


async def open_in_thread(url: str) -> httpx.AsyncHTTPTransport:
    """Connections to a host, with the environment's proxies. Opened in a thread, which reads certificates."""
    return await in_thread(lambda: open_connections(httpx.URL(url), httpx.AsyncHTTPTransport))


class _InThreads(httpx.AsyncBaseTransport):
    """Runs each request of a synchronous transport in a thread. A hanging one is abandoned at the timeout.

    The transport belongs to the code that created it, so it isn't closed here.
    """

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and read the response."""

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

        return await in_thread(send)


def _read(response: httpx.Response) -> bytes:
    """The body, within the limits of size and time."""
    received, began = bytearray(), time.monotonic()
    for chunk in response.iter_bytes():
        received += chunk
        if len(received) > LARGEST_RESPONSE or time.monotonic() - began > REQUEST_TIMEOUT:
            break
    return bytes(received)


def in_threads(transport: httpx.BaseTransport | httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """Adapt a given transport to the owner loop."""
    return _InThreads(transport) if isinstance(transport, httpx.BaseTransport) else transport
