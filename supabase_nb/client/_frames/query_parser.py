"""Reads a query of Supabase's query builder, without sending or changing it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..client import Client

_AGGREGATE = re.compile(r"(?:^|[.:])(?:count|sum|avg|min|max)\(\)")
_COLUMN = re.compile(r'(?:("[^"]+"|[\w$ -]+):)?("[^"]+"|[\w$ -]+)')
_NAME = re.compile(r'"?((?:[\w$ ]|-(?!>))+)')
_ALIASED = re.compile(r'(?:"[^"]+"|[\w$ -]+):(?!:)')
_OBJECT = "application/vnd.pgrst.object"


@dataclass(frozen=True)
class Query:
    """The contents of a query.

    Args:
        url: The address, without parameters.
        method: GET, or POST for a function.
        select: The columns, in PostgREST's syntax.
        order: The order, in the same syntax; empty: none.
        limit: The maximum number of rows; ``None``: all.
        offset: How many rows to skip at the start.
        filters: All other parameters, in order.
        headers: The query's headers, such as the schema's.
        body: A function's arguments.
        rows: The minimum and maximum number of rows: ``single()`` and ``maybe_single()``.
    """

    url: str
    method: str
    select: str
    order: str
    limit: int | None
    offset: int
    filters: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: Any = None
    rows: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The table's name, or the function's."""
        return self.url.rpartition("/")[2]

    @property
    def is_function(self) -> bool:
        """Whether it calls a database function."""
        return self.url.rpartition("/")[0].endswith("/rpc")

    @property
    def aggregates(self) -> bool:
        """Whether it uses aggregate functions."""
        return any(_AGGREGATE.search(part) for part in split(self.select))

    def columns(self) -> dict[str, str] | None:
        """The selected columns: name in the response -> name in the table.

        ``None``: the selection has a star, an embedded table, a cast or similar.
        """
        named, others = self._parts()
        return None if others else named

    def may_order_by(self, name: str) -> bool:
        """Whether a column of the response is the table's column with the same name."""
        named, others = self._parts()
        if name in named or "*" not in others:
            return named.get(name) == name
        return not any(name in _names_of(other) for other in others)

    def _parts(self) -> tuple[dict[str, str], list[str]]:
        """The selected columns, and the other parts of the selection."""
        named, others = {}, []
        for part in map(str.strip, split(self.select)):
            match = _COLUMN.fullmatch(part)
            if match is None:
                others.append(part)
            else:
                named[(match[1] or match[2]).strip('"')] = match[2].strip('"')
        return named, others


def _names_of(part: str) -> list[str]:
    """The possible names in the response of a part of `select` that isn't a plain column."""
    found = [name.strip() for name in _NAME.findall(part.partition("::")[0])]
    if part.startswith("..."):
        return found  # a spread: its columns are in the parentheses
    if ("->" in part or part.endswith("()")) and not _ALIASED.match(part):
        return found[-1:]
    return found[:1]


def parse_query(client: Client, query: Any) -> Query:
    """Read a table's name or a query.

    Only this function accesses postgrest's query builder, through public attributes.

    Raises:
        TypeError: The argument is something else, or a query that changes rows.
        ValueError: It belongs to another project.
    """
    if isinstance(query, str):
        query = client.table(query)
    if not hasattr(query, "request") and hasattr(query, "select"):
        query = query.select("*")
    request = getattr(query, "request", None)
    if request is None or not hasattr(request, "params") or not hasattr(request, "http_method"):
        kind = type(query).__name__
        raise TypeError(
            f'frame takes a table\'s name or a query, as supabase.table("trips").select("*"); not {kind}.'
        )
    method, url = str(getattr(request.http_method, "value", request.http_method)), str(request.path)
    base = f"{client.url}/rest/v1/"
    if not url.startswith(base):
        raise ValueError("This query was built for another project. Build it with this client's table().")
    if method == "HEAD":
        raise TypeError("This query only counts rows (head=True). Leave that out, or call execute().")
    if method != "GET" and not (method == "POST" and url.startswith(f"{base}rpc/")):
        raise TypeError("frame only reads. Call execute() to insert, update or delete rows.")
    headers = {name.lower(): text for name, text in request.headers.items()}
    accept = headers.pop("accept", "")
    if "pgrst.plan" in accept:
        raise TypeError("explain() returns a plan, not rows. Call execute() instead.")
    rows = None
    if accept.startswith(_OBJECT):
        rows = (1, 1)
    elif "MaybeSingle" in type(query).__name__:
        rows = (0, 1)
    headers.pop("authorization", None)
    headers.pop("prefer", None)
    parameters = [(name, str(text)) for name, text in request.params.multi_items()]
    shape = dict(parameters)
    filters = tuple(pair for pair in parameters if pair[0] not in ("select", "order", "limit", "offset"))
    return Query(
        url,
        method,
        shape.get("select", "*"),
        shape.get("order", ""),
        _number(shape.get("limit")),
        max(0, _number(shape.get("offset")) or 0),
        filters,
        headers,
        request.json if method == "POST" else None,
        rows,
    )


def split(text: str) -> list[str]:
    """Split at commas that are neither quoted nor in parentheses."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        if not quoted and letter in "()":
            depth += 1 if letter == "(" else -1
        if letter == "," and not quoted and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
