"""httpx transports for browsers (Pyodide), which have no sockets.

The package uses these itself. You need them for your own clients, such as
``httpx.AsyncClient(transport=FetchTransport(), auth=SessionAuth(supabase))``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ._network import http_library as httpx

# Headers that only the browser can set.
_FORBIDDEN_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "cookie", "host", "transfer-encoding", "user-agent"}
)
# Headers about the body as it was sent. The browser has already decoded it.
_TRANSFER_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class XHRTransport(httpx.BaseTransport):
    """Sends requests with a synchronous XMLHttpRequest, which blocks the worker. Only in a web worker.

    The server must allow the page with CORS, as Supabase does. The browser itself follows redirects, and
    removes ``Authorization`` from redirects to another origin.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request."""
        request.read()
        return _response_of_page_app(request) or _send(request)[0]


class AsyncXHRTransport(httpx.AsyncBaseTransport):
    """The same for asynchronous clients. The session sends its own requests with it.

    A response that was redirected is returned as a redirect, so that the caller can reject it.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request. Blocks everything else."""
        await request.aread()
        response = _response_of_page_app(request)
        if response is not None:
            return response
        response, url = _send(request)
        if url and httpx.URL(url).copy_with(fragment=None) != request.url.copy_with(fragment=None):
            return httpx.Response(307, headers={"location": url})
        return response


class FetchTransport(httpx.AsyncBaseTransport):
    """Sends requests with ``fetch``, without blocking.

    Not for ``transport=`` of a `Client`, because synchronous calls can't wait for it.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request. Cancelling aborts it."""
        from js import AbortController
        from pyodide.ffi import JsException

        await request.aread()
        response = _response_of_page_app(request)
        if response is not None:
            return response
        aborting = AbortController.new()
        try:
            return await asyncio.wait_for(_fetch(request, aborting.signal), _total_timeout(request))
        except asyncio.TimeoutError:
            failure = _timeout_error(request)
        except JsException:
            failure = _connect_error(request)
        finally:
            aborting.abort()  # has no effect after the response
        raise failure


def _send(request: httpx.Request) -> tuple[httpx.Response, str]:
    """Send a request whose body was read. Returns the response and its final address."""
    from js import XMLHttpRequest
    from pyodide.ffi import JsException, to_js

    failure: httpx.RequestError
    xhr = XMLHttpRequest.new()
    try:
        xhr.open(request.method, str(request.url), False)
        xhr.responseType = "arraybuffer"
        xhr.timeout = round((_total_timeout(request) or 0) * 1000)
        for name, value in _headers(request).items():
            xhr.setRequestHeader(name, value)
        xhr.send(to_js(request.content) if request.content else None)
    except JsException as error:
        failure = _timeout_error(request) if error.name == "TimeoutError" else _connect_error(request)
    else:
        lines = (line.partition(":") for line in xhr.getAllResponseHeaders().splitlines())
        pairs = [(name, value.strip()) for name, _, value in lines]
        body = xhr.response.to_bytes() if xhr.response else b""
        return _response(xhr.status, pairs, body), xhr.responseURL
    raise failure


async def _fetch(request: httpx.Request, signal: Any) -> httpx.Response:
    from js import Object, fetch
    from pyodide.ffi import to_js

    options: dict[str, Any] = {"method": request.method, "headers": _headers(request), "signal": signal}
    if request.content:
        options["body"] = request.content
    response = await fetch(str(request.url), to_js(options, dict_converter=Object.fromEntries))
    body = (await response.arrayBuffer()).to_bytes()
    return _response(response.status, [(name, value) for name, value in response.headers.entries()], body)


def _headers(request: httpx.Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name not in _FORBIDDEN_HEADERS}


def _total_timeout(request: httpx.Request) -> float | None:
    """The timeout of the whole request in seconds; ``None``: no limit."""
    timeout = request.extensions.get("timeout") or {}
    connect, read = timeout.get("connect"), timeout.get("read")
    return None if connect is None or read is None else connect + read


def _response(status: int, headers: list[tuple[str, str]], body: bytes) -> httpx.Response:
    # As bytes, because a proxy's own headers may be in any encoding.
    kept = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in headers
        if name.lower() not in _TRANSFER_HEADERS
    ]
    return httpx.Response(status, headers=kept, content=body)


def _timeout_error(request: httpx.Request) -> httpx.RequestError:
    return httpx.TimeoutException(f"{request.url.host} did not respond in time", request=request)


def _connect_error(request: httpx.Request) -> httpx.RequestError:
    # A browser reports both in the same way.
    text = f"{request.url.host} could not be reached, or it does not allow requests from this page (CORS)"
    return httpx.ConnectError(text, request=request)


# -- servers in the page itself ---------------------------------------------------------------------------

#: Scheme, host and port -> the ASGI application in this process that serves them.
apps_in_page: dict[tuple[str, str, int | None], Any] = {}


def _response_of_page_app(request: httpx.Request) -> httpx.Response | None:
    """The response of a server in this page; ``None``: the address is elsewhere."""
    app = apps_in_page.get((request.url.scheme, request.url.host, request.url.port))
    return None if app is None else call_app(app, request)


def call_app(app: Any, request: httpx.Request) -> httpx.Response:
    """Send a request whose body was read to an ASGI application, synchronously."""
    from ._runtime.threadless_loop import ThreadlessLoop

    received: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        received.append(message)

    url = request.url
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 0),
        "server": (url.host, url.port),
    }
    loop = ThreadlessLoop()
    try:
        loop.run_until_complete(app(scope, receive, send))
    finally:
        loop.close()
    body = b"".join(message.get("body", b"") for message in received[1:])
    return httpx.Response(received[0]["status"], headers=received[0]["headers"], content=body)
