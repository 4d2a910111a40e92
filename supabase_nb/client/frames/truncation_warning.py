"""Warns when a response may be cut off: it has the server's maximum of rows, and no limit was requested."""

from __future__ import annotations

import re
import sys
import warnings

from ... import _http as httpx
from .pages import MARK

_SPAN = re.compile(r"(\d+)-(\d+)/(\d+|\*)")
_OTHERS = frozenset({"supabase_nb", "postgrest", "httpx"})


class DataWarning(UserWarning):
    """Rows may be missing, may have changed while loading, or may be hidden by a policy."""


class RowLimit:
    """Checks a client's responses, and warns once per table.

    Attributes:
        maximum: The most rows that the server sends per request: 1,000 by default at Supabase.
    """

    def __init__(self) -> None:
        self.maximum = 1000
        self._told: set[str] = set()

    def look(self, response: httpx.Response) -> None:
        """Check one response."""
        request, path = response.request, response.request.url.path
        if MARK in request.extensions or not response.is_success or "/rest/v1/" not in path:
            return
        span = _SPAN.fullmatch(response.headers.get("content-range", ""))
        if span is None or not (request.method == "GET" or "/rest/v1/rpc/" in path):
            return
        first, last, total = int(span[1]), int(span[2]), span[3]
        if last - first + 1 != self.maximum or total == str(last + 1) or path in self._told:
            return
        limit = request.url.params.get("limit") or _length(request.headers.get("range", ""))
        if limit is not None and limit.isdecimal() and int(limit) <= self.maximum:
            return
        self._told.add(path)
        name = path.rpartition("/")[2]
        of = f" of {int(total):,}" if total != "*" else ""
        warnings.warn(
            f"The server sent {self.maximum:,} rows{of}, its maximum per request, so there "
            f"{'are' if of else 'may be'} more in {name}. To load all of them as a DataFrame, use "
            "supabase.frame(query), without execute(). To choose a part, use .limit() or .range().",
            DataWarning,
            stacklevel=outside(),
        )


def _length(header: str) -> str | None:
    span = re.fullmatch(r"(\d+)-(\d+)", header)
    return str(int(span[2]) - int(span[1]) + 1) if span else None


def outside() -> int:
    """The `stacklevel` of the user's code that made the call."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _OTHERS:
        level, frame = level + 1, frame.f_back
    return level
