"""Sends a request for rows. Retries temporary failures, and parses numbers exactly."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..._network import http_library as httpx
from ...errors import AuthRetryableError

if TYPE_CHECKING:
    from ..client import Client

#: Marks our own requests, for which a full page needs no warning.
OWN_REQUEST = "supabase_nb.frame"
_MAX_ATTEMPTS, _FIRST_PAUSE, _LONGEST_PAUSE = 6, 0.5, 30.0
_TEMPORARY_STATUSES = frozenset({408, 429, 502, 503, 504, 520, 521, 522, 523, 524})


class Page:
    """Rows, and the server's count, if it was requested.

    Args:
        content: The rows as JSON.
        total: The count.
    """

    def __init__(self, content: bytes, total: int | None) -> None:
        self._content, self.total = content, total

    def rows(self) -> list[Any]:
        """The rows. They need much more memory than their text, so don't keep them."""
        try:
            found = json.loads(self._content, parse_float=_number)
        except json.JSONDecodeError:
            raise
        except ValueError:  # more digits than Python allows for an int
            found = json.loads(self._content, parse_float=_number, parse_int=Decimal)
        return found if isinstance(found, list) else [found]


class Stopped(Exception):
    """Reading was stopped."""


class PageSource:
    """Sends the requests for a query.

    Args:
        client: The client that sends them.
        url: The table's address.
        headers: The query's headers.
        stop: Set when reading is stopped.
    """

    def __init__(self, client: Client, url: str, headers: Mapping[str, str], stop: threading.Event) -> None:
        self._client, self._url, self._stop = client, url, stop
        self._headers = {**headers, "accept": "application/json"}

    def page(
        self,
        parameters: Sequence[tuple[str, str]],
        *,
        count: bool = False,
        method: str = "GET",
        body: Any = None,
    ) -> Page:
        """Request rows.

        Raises:
            postgrest.APIError: The server rejected the request.
            httpx.TransportError: The server can't be reached.
            Stopped: Reading was stopped.
        """
        headers = {**self._headers, "prefer": "count=exact,timezone=UTC" if count else "timezone=UTC"}
        for tries_left in reversed(range(_MAX_ATTEMPTS if method != "POST" else 1)):
            if self._stop.is_set():
                raise Stopped
            pause = _FIRST_PAUSE * 2 ** (_MAX_ATTEMPTS - 1 - tries_left) * random.uniform(0.5, 1.0)
            try:
                response = self._client.http.request(
                    method,
                    self._url,
                    params=list(parameters),
                    headers=headers,
                    json=body,
                    extensions={OWN_REQUEST: True},
                )
            except (httpx.TransportError, AuthRetryableError):
                if not tries_left:
                    raise
            else:
                if response.status_code not in _TEMPORARY_STATUSES or not tries_left:
                    return _read(response)
                pause = max(pause, _retry_after(response))
            self._stop.wait(pause)
        raise Stopped


def _read(response: httpx.Response) -> Page:
    total = _total(response)
    if response.status_code == 204 or (response.status_code == 416 and total is not None):
        return Page(b"[]", total)  # a function without a result, or an offset after the last row
    if not response.is_success:
        raise _error_from_response(response)
    if response.request.method == "HEAD":
        return Page(b"[]", total)
    if "json" not in response.headers.get("content-type", ""):
        raise _error_from_response(response)  # a captive portal's page
    return Page(response.content, total)


def _number(text: str) -> float | Decimal:
    """Parse a number with a fraction: as a float if that is exact, or else as a decimal."""
    value = float(text)
    if len(text) <= 16 or repr(value) == text:  # a float preserves 15 digits
        return value
    exact = Decimal(text)
    return value if Decimal(repr(value)) == exact else exact


def _total(response: httpx.Response) -> int | None:
    match = re.search(r"/(\d+)$", response.headers.get("content-range", ""))
    return int(match[1]) if match else None


def _error_from_response(response: httpx.Response) -> Exception:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "message" not in body:
        body = {
            "message": f"The server answered with HTTP {response.status_code}.",
            "code": str(response.status_code),
        }
    from postgrest.exceptions import APIError

    return APIError({name: body.get(name) for name in ("message", "code", "hint", "details")})


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), _LONGEST_PAUSE) if text.isdecimal() else 0.0
