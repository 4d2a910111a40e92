"""ThreadedTransport: sends the owner loop's requests with a synchronous transport, each in a thread."""

from __future__ import annotations

import time

from ..._network import http_library as httpx
from ..._runtime.thread_executor import in_thread
from .timeouts import LARGEST_RESPONSE, REQUEST_TIMEOUT


class ThreadedTransport(httpx.AsyncBaseTransport):
    """Runs each request of a synchronous transport in a thread. A hanging one is abandoned at the timeout.

    Args:
        transport: The transport. It belongs to the code that created it, so it isn't closed here.
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
            decoded = {b"content-encoding", b"content-length", b"transfer-encoding"}
            # As bytes, because a proxy's own headers may be in any encoding.
            headers = [item for item in response.headers.raw if item[0].lower() not in decoded]
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
