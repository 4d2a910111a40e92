"""The connection pool for a host, with the proxies and certificates from the environment."""

from __future__ import annotations

import ipaddress
import os
import urllib.request
from collections.abc import Callable, Iterator

from .._runtime.environment import IN_BROWSER
from ..errors import AuthError
from . import http_library as httpx
from .urls import is_this_machine


class Pool(httpx.BaseTransport):
    """A client's connection pool for a host, opened by the first request.

    A forked child gets its own connections, because it must not write to its parent's.
    """

    def __init__(self) -> None:
        self._opened: dict[tuple[int, str, str], httpx.BaseTransport] = {}
        self._active_requests: set[tuple[int, object]] = set()
        self._closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request."""
        process, url = os.getpid(), request.url
        request_id = (process, object())
        self._active_requests.add(request_id)
        response = None
        try:
            key = (process, url.scheme, url.host)
            transport = self._opened.get(key)
            if transport is None:
                transport = self._opened.setdefault(key, create_transport(url))
            response = transport.handle_request(request)
            if not response.is_closed:
                body = response.stream
                assert isinstance(body, httpx.SyncByteStream)
                response.stream = _Body(body, lambda: self._request_finished(request_id))
            return response
        finally:
            if response is None or response.is_closed:
                self._request_finished(request_id)

    def _request_finished(self, request_id: tuple[int, object]) -> None:
        self._active_requests.discard(request_id)
        if self._closed:
            self._close_connections()

    def close(self) -> None:
        """Close the connections when no request is running. Each later request opens its own."""
        self._closed = True
        self._close_connections()

    def _close_connections(self) -> None:
        process = os.getpid()
        if not any(request_id[0] == process for request_id in list(self._active_requests)):
            for key in [key for key in list(self._opened) if key[0] == process]:
                transport = self._opened.pop(key, None)
                if transport is not None:
                    transport.close()


class _Body(httpx.SyncByteStream):
    """A response's body. Until it is closed, its request is under way.

    Args:
        stream: The body.
        finished: Called when it is closed.
    """

    def __init__(self, stream: httpx.SyncByteStream, finished: Callable[[], object]) -> None:
        self._stream, self._finished = stream, finished

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        """Return the connection to the pool."""
        try:
            self._stream.close()
        finally:
            self._finished()


def create_transport(url: httpx.URL) -> httpx.BaseTransport:
    """Connections to a host.

    Args:
        url: An address on the host.

    Raises:
        AuthError: The environment sets an invalid proxy or certificate file.
    """
    if IN_BROWSER:
        from ..pyodide_transports import XHRTransport

        return XHRTransport()
    # Certificates are always verified. Without TLS (on this machine), they needn't be loaded.
    try:
        return httpx.HTTPTransport(verify=url.scheme == "https", proxy=proxy_of(url))
    except ImportError:
        problem = (
            "The environment sets a SOCKS proxy (ALL_PROXY or HTTPS_PROXY), which needs another package. "
            'Run pip install "httpx[socks]", then restart the kernel.'
        )
    except OSError:
        file = os.environ.get("SSL_CERT_FILE")
        problem = (
            f"The environment variable SSL_CERT_FILE is set to {file}, which is not a readable certificate "
            "file. Correct or remove it."
            if file
            else "This machine's certificates can't be read. Set SSL_CERT_FILE to a certificate file."
        )
    except (ValueError, httpx.InvalidURL):
        problem = (
            "The environment sets a proxy (ALL_PROXY, HTTPS_PROXY or HTTP_PROXY) whose address is not valid. "
            "A valid address looks like http://proxy.example.com:3128."
        )
    # Outside of the `except`, because these errors contain the proxy's password.
    raise AuthError(problem)


def proxy_of(url: httpx.URL) -> str | None:
    """The system's proxy for an address; ``None``: no proxy."""
    # httpx doesn't look for proxies if it is given a transport. Requests to this machine have no TLS, so a
    # proxy on another machine could read the tokens.
    if is_this_machine(url.host) or urllib.request.proxy_bypass(url.host):
        return None
    proxies = urllib.request.getproxies()
    if _in_network(url.host, proxies.get("no", "")):
        return None
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _in_network(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY lists an IP address or its network (``fd07::/64``)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        try:
            network = ipaddress.ip_network(entry.strip().strip("[]"), strict=False)
        except ValueError:
            continue  # a host name, which `proxy_bypass` handles
        if address in network:
            return True
    return False
