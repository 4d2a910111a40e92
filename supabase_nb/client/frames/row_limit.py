"""A warning where an answer was cut off: as many rows as the server sends at most, and no limit asked for."""

from __future__ import annotations

import re
import sys
import warnings

from ... import _http as httpx
from .pages import MARK

_SPAN = re.compile(r"(\d+)-(\d+)/(\d+|\*)")
_OTHERS = frozenset({"supabase_nb", "postgrest", "httpx"})


class DataWarning(UserWarning):
    """Rows may be incomplete, changed while they were read, or hidden by a policy."""


class RowLimit:
    """Looks at a client's answers, and warns once for each table.

    Attributes:
        maximum: The most rows of one answer: 1,000 at Supabase, unless the project's settings say otherwise.
    """

    def __init__(self) -> None:
        self.maximum = 1000
        self._told: set[str] = set()

    def look(self, response: httpx.Response) -> None:
        """An answer has come; nothing of it is changed."""
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
            f"This answer has {self.maximum:,} rows{of}: as many as the server sends at most, so there "
            f"{'are' if of else 'may be'} more in {name}. For all of them as a DataFrame: "
            "supabase.frame(query), without execute(). To choose a part: .limit() or .range().",
            DataWarning,
            stacklevel=outside(),
        )


def _length(header: str) -> str | None:
    span = re.fullmatch(r"(\d+)-(\d+)", header)
    return str(int(span[2]) - int(span[1]) + 1) if span else None


def outside() -> int:
    """The `stacklevel` of the code that called in."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _OTHERS:
        level, frame = level + 1, frame.f_back
    return level
