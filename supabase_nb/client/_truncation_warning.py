"""Warns when a response may be cut off: it has the server's maximum of rows, and no limit was requested."""

from __future__ import annotations

import re
import sys
import warnings

from .._network import http_library as httpx
from ._frames.page_request import OWN_REQUEST

_CONTENT_RANGE = re.compile(r"(\d+)-(\d+)/(\d+|\*)")
_INTERNAL_PACKAGES = frozenset({"supabase_nb", "postgrest", "httpx"})


class DataWarning(UserWarning):
    """Rows may be missing, may have changed while loading, or may be hidden by a policy."""


class RowLimit:
    """Checks a client's responses, and warns once per table.

    Attributes:
        maximum: The most rows that the server sends per request: 1,000 by default at Supabase.
    """

    def __init__(self) -> None:
        self.maximum = 1000
        self._warned: set[str] = set()

    def check(self, response: httpx.Response) -> None:
        """Check one response."""
        request, path = response.request, response.request.url.path
        if OWN_REQUEST in request.extensions or not response.is_success or "/rest/v1/" not in path:
            return
        content_range = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if content_range is None or not (request.method == "GET" or "/rest/v1/rpc/" in path):
            return
        first, last, total = int(content_range[1]), int(content_range[2]), content_range[3]
        if last - first + 1 != self.maximum or total == str(last + 1) or path in self._warned:
            return
        limit = request.url.params.get("limit") or _length(request.headers.get("range", ""))
        if limit is not None and limit.isdecimal() and int(limit) <= self.maximum:
            return
        self._warned.add(path)
        name = path.rpartition("/")[2]
        of = f" of {int(total):,}" if total != "*" else ""
        warnings.warn(
            f"The server sent {self.maximum:,} rows{of}, its maximum per request, so there "
            f"{'are' if of else 'may be'} more in {name}. To load all of them as a DataFrame, use "
            "supabase.frame(query), without execute(). To choose a part, use .limit() or .range().",
            DataWarning,
            stacklevel=caller_stacklevel(),
        )


def _length(header: str) -> str | None:
    content_range = re.fullmatch(r"(\d+)-(\d+)", header)
    return str(int(content_range[2]) - int(content_range[1]) + 1) if content_range else None


def caller_stacklevel() -> int:
    """The `stacklevel` of the user's code that made the call."""
    level, frame = 1, sys._getframe(1)
    while (
        frame.f_back is not None
        and str(frame.f_globals.get("__name__")).partition(".")[0] in _INTERNAL_PACKAGES
    ):
        level, frame = level + 1, frame.f_back
    return level
