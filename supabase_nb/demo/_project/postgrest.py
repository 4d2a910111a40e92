"""Tables that follow PostgREST's rules: ranges, counts, the maximum of rows, JSON and CSV.

The rules are those of PostgREST 14: "Pagination and Count", "Resource Representation" and "OpenAPI" in its
documentation.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from .filters import INTEGERS, NUMBERS, Column, Refused, Table, condition, ordered, selected

#: The user who may read everything.
SERVICE = "*"
_MEDIA = re.compile(r"application/(?:json|vnd\.pgrst\.(?:object|array)(?:\+json)?)|text/csv|\*/\*")
_QUOTED = re.compile(r'^$|[\s"\\(),]')
# Parameters that describe the response. All others are filters.
_SHAPE = ("select", "order", "limit", "offset")


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Database:
    """Tables in memory.

    Args:
        max_rows: The maximum number of rows in a response, like ``db-max-rows`` (at Supabase: 1,000).
    """

    def __init__(self, max_rows: int = 1000) -> None:
        self.max_rows = max_rows
        self._tables: dict[str, Table] = {}
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.create_collation(
            "by_value", lambda a, b: (Decimal(a) > Decimal(b)) - (Decimal(a) < Decimal(b))
        )

    def close(self) -> None:
        """Close the database, which deletes its tables."""
        self._db.close()

    def create(self, table: Table, rows: Iterable[Sequence[Any]] = ()) -> None:
        """Add a table. Values are int, str, bool or None; for numbers and JSON, their text."""
        kinds = []
        for column in table.columns:
            kind = "INTEGER" if column.type in (*INTEGERS, "boolean") else "TEXT"
            kinds.append(f'"{column.name}" {kind}{" COLLATE by_value" if column.type in NUMBERS else ""}')
        key = f", PRIMARY KEY ({', '.join(table.key)})" if table.key else ""
        with self._lock:
            self._db.execute(f'CREATE TABLE "{table.name}" ({", ".join(kinds)}{key})')
            self._tables[table.name] = table
        self.insert(table.name, rows)

    def insert(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows, with values in the order of the columns."""
        marks = ", ".join("?" * len(self._tables[name].columns))
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)
            self._db.execute("COMMIT")

    def delete(self, name: str, **equal: Any) -> None:
        """Delete the rows that have these values."""
        where = " AND ".join(f'"{column}" = ?' for column in equal)
        with self._lock:
            self._db.execute(f'DELETE FROM "{name}" WHERE {where}', list(equal.values()))

    # -- reading -------------------------------------------------------------------------------------------

    def answer(
        self,
        method: str,
        name: str,
        parameters: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        who: str | None,
    ) -> Answer:
        """Respond to ``GET`` or ``HEAD`` for a table.

        Args:
            method: The request's method.
            name: The table's name.
            parameters: The query parameters, in order.
            headers: The request's headers, with lowercase names.
            who: The user's id, `SERVICE`, or ``None`` for requests without a user.
        """
        try:
            return self._answer(method, name, parameters, headers, who)
        except Refused as refused:
            headers = {"content-type": "application/json; charset=utf-8", **refused.headers}
            if refused.status == 401:
                headers["www-authenticate"] = "Bearer"
            return Answer(refused.status, headers, json.dumps(refused.body).encode())

    def _answer(
        self,
        method: str,
        name: str,
        parameters: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        who: str | None,
    ) -> Answer:
        table = self._tables.get(name)
        if table is None:
            text = f"Could not find the table 'public.{name}' in the schema cache"
            raise Refused(404, "PGRST205", text)
        if method not in ("GET", "HEAD") or (who is None and not table.anon):
            status = 401 if who is None else 403
            raise Refused(status, "42501", f"permission denied for table {name}")
        media = _media(headers.get("accept", "*/*"))
        given = dict(parameters)
        first, end = _range(given, headers.get("range", "") if method == "GET" else "")
        end = min(end, first + self.max_rows)
        columns = list(selected(table, given.get("select", "")))
        where, values = _where(table, parameters, who)
        order = f"ORDER BY {ordered(table, given['order'])}" if given.get("order") else ""
        source = f'FROM "{name}" {where}'
        counted = re.search(r"count=(exact|planned|estimated)", headers.get("prefer", ""))
        total: int | None = None
        with self._lock:
            if counted:
                total = self._db.execute(f"SELECT count(*) {source}", values).fetchone()[0]
            page = f"{source} {order} LIMIT {end - first} OFFSET {first}"
            write = self._csv if media == "text/csv" else self._json
            count, body = write(columns, page, values)
        if total is not None and first > total:
            details = f"An offset of {first} was requested, but there are only {total} rows."
            text = "Requested range not satisfiable"
            raise Refused(416, "PGRST103", text, details, content_range=f"*/{total}")
        if media == "object":
            if count != 1:
                text = "Cannot coerce the result to a single JSON object"
                raise Refused(406, "PGRST116", text, f"The result contains {count} rows")
            body = body[1:-1]
        span = f"{first}-{first + count - 1}" if count else "*"
        sent = {
            "content-type": f"{'text/csv' if media == 'text/csv' else 'application/json'}; charset=utf-8",
            "content-range": f"{span}/{'*' if total is None else total}",
            "range-unit": "items",
        }
        if counted:
            sent["preference-applied"] = counted[0]
        return Answer(
            206 if total is not None and count < total else 200, sent, b"" if method == "HEAD" else body
        )

    def _json(
        self, columns: list[tuple[str, Column, bool]], page: str, values: list[Any]
    ) -> tuple[int, bytes]:
        pairs = ", ".join(
            f"{_literal(name)}, {_json_of(column, as_text)}" for name, column, as_text in columns
        )
        sql = f"SELECT count(*), json_group_array(json_object({pairs})) FROM (SELECT * {page})"
        count, text = self._db.execute(sql, values).fetchone()
        return count, text.encode("utf-8", "replace")

    def _csv(
        self, columns: list[tuple[str, Column, bool]], page: str, values: list[Any]
    ) -> tuple[int, bytes]:
        """A row as Postgres writes it: nothing for null, two quotes for an empty string."""
        names = ", ".join(f'"{column.name}"' for _, column, _ in columns)
        rows = self._db.execute(f"SELECT {names} {page}", values).fetchall()
        kinds = [column.type for _, column, _ in columns]
        lines = [",".join(_csv_of(*pair) for pair in zip(kinds, row, strict=True)) for row in rows]
        header = ",".join(name for name, _, _ in columns) if rows else ""
        return len(rows), (header + "\n" + "\n".join(lines)).encode("utf-8", "replace")

    def openapi(self) -> dict[str, Any]:
        """The schema of the tables, as returned by the root."""
        return {
            "swagger": "2.0",
            "definitions": {name: _definition(table) for name, table in self._tables.items()},
        }


def _media(accept: str) -> str:
    for part in accept.split(","):
        kind = part.strip().partition(";")[0]
        if _MEDIA.fullmatch(kind):
            return "object" if "object" in kind else "text/csv" if kind == "text/csv" else "json"
    raise Refused(406, "PGRST107", f"None of these media types are available: {accept[:80]}")


def _range(given: Mapping[str, str], header: str) -> tuple[int, int]:
    """The positions of the first row and of the one after the last."""
    unlimited = 1 << 62
    text = "Requested range not satisfiable"
    offset = max(0, _number(given.get("offset", "0")))
    limit = _number(given["limit"]) if "limit" in given else None
    if limit is not None and limit < 0:
        raise Refused(416, "PGRST103", text, "Limit should be greater than or equal to zero.")
    first, end = offset, unlimited if limit is None else offset + limit
    match = re.fullmatch(r"([0-9]{1,18})-([0-9]{0,18})", header, re.ASCII)
    if match:
        last = int(match[2]) + 1 if match[2] else unlimited
        if int(match[1]) >= last:
            details = (
                "The lower boundary must be lower than or equal to the upper boundary in the Range header."
            )
            raise Refused(416, "PGRST103", text, details)
        first, end = max(first, int(match[1])), min(end, last)
    return first, max(first, end)


def _number(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII):
        raise Refused(400, "PGRST100", f'"failed to parse ({text[:20]})"')
    return int(text)


def _where(table: Table, parameters: Sequence[tuple[str, str]], who: str | None) -> tuple[str, list[Any]]:
    parts: list[str] = []
    values: list[Any] = []
    if table.owner and who != SERVICE:  # Row Level Security, in one line
        parts, values = [f'"{table.owner}" = ?'], [who]
    for name, text in parameters:
        if name not in _SHAPE:
            sql, given = condition(table, name, text)
            parts.append(sql)
            values += given
    return (f"WHERE {' AND '.join(parts)}" if parts else ""), values


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _json_of(column: Column, as_text: bool) -> str:
    name = f'"{column.name}"'
    if column.type == "boolean":
        truth = f"CASE {name} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"
        return truth if as_text else f"json({truth})"
    if as_text:
        return f"CAST({name} AS TEXT)"
    return f"json({name})" if _is_json(column.type) or column.type in NUMBERS else name


def _is_json(kind: str) -> bool:
    return kind in ("json", "jsonb") or kind.endswith("[]")


def _csv_of(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == "boolean":
        return "t" if value else "f"
    text = str(value)
    if kind.startswith("timestamp"):
        text = text.replace("T", " ").replace("+00:00", "+00")
    elif kind.endswith("[]"):
        text = "{" + ",".join(map(str, json.loads(text))) + "}"
    if _QUOTED.search(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'
    return text


def _definition(table: Table) -> dict[str, Any]:
    properties: dict[str, dict[str, str]] = {}
    for column in table.columns:
        kind = column.type
        said = {"format": {"bigint": "int64", "integer": "int32", "smallint": "int32"}.get(kind, kind)}
        if kind not in ("json", "jsonb"):
            swagger = (
                {"boolean": "boolean"} | dict.fromkeys(INTEGERS, "integer") | dict.fromkeys(NUMBERS, "number")
            )
            said["type"] = "array" if kind.endswith("[]") else swagger.get(kind, "string")
        if column.name in table.key:
            said["description"] = "Note:\nThis is a Primary Key.<pk/>"
        properties[column.name] = said
    needed = [column.name for column in table.columns if not column.nullable]
    return {"type": "object", "required": needed, "properties": properties}
