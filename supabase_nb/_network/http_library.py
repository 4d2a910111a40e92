"""The HTTP library. Only this module imports it, so that it can be replaced here.

CONTRIBUTING says why it is httpx, and when to move to httpx2.
"""

from __future__ import annotations

import contextlib

from httpx import (
    URL,
    AsyncBaseTransport,
    AsyncClient,
    Auth,
    BaseTransport,
    Client,
    ConnectError,
    HTTPError,
    HTTPTransport,
    InvalidURL,
    ProxyError,
    Request,
    RequestError,
    Response,
    SyncByteStream,
    Timeout,
    TimeoutException,
    TransportError,
    UnsupportedProtocol,
)

__all__ = [
    "URL",
    "AsyncBaseTransport",
    "AsyncClient",
    "Auth",
    "BaseTransport",
    "Client",
    "ConnectError",
    "HTTPError",
    "HTTPTransport",
    "InvalidURL",
    "ProxyError",
    "Request",
    "RequestError",
    "Response",
    "SyncByteStream",
    "Timeout",
    "TimeoutException",
    "TransportError",
    "UnsupportedProtocol",
    "auth_classes",
]


def auth_classes() -> tuple[type, ...]:
    """Base classes for an auth object that both httpx's and, if installed, httpx2's clients accept.

    Each library checks that ``auth=`` is an instance of its own class.
    """
    classes: list[type] = [Auth]
    with contextlib.suppress(ImportError):
        import httpx2

        classes.append(httpx2.Auth)
    # After `httpx2.alias_httpx()` both are the same class.
    return tuple(dict.fromkeys(classes))
