"""The HTTP library that we use. Only this module imports it, so that moving to another one is a change here.

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
    "Timeout",
    "TimeoutException",
    "TransportError",
    "UnsupportedProtocol",
    "auth_classes",
]


def auth_classes() -> tuple[type, ...]:
    """Base classes of an auth object that httpx's clients accept, and httpx2's where it is installed.

    Each of the two checks that ``auth=`` is an instance of its own class.
    """
    classes: list[type] = [Auth]
    with contextlib.suppress(ImportError):
        import httpx2

        classes.append(httpx2.Auth)
    # After `httpx2.alias_httpx()` both are the same class.
    return tuple(dict.fromkeys(classes))
