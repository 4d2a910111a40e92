"""``GET /rest/v1/trips``: rows that depend on who asks, and the little of PostgREST that a demo needs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from .keys import BadToken
from .project import Call, seed_id
from .wire import answer

_ROWS: list[tuple[str, str, str, str, int]] = [
    ("ada@example.com", "London", "Turin", "2026-03-02", 914),
    ("grace@example.com", "New York", "Philadelphia", "2026-03-09", 130),
    ("ada@example.com", "Turin", "Geneva", "2026-03-17", 171),
    ("alan@example.com", "Manchester", "Cambridge", "2026-04-01", 222),
    ("grace@example.com", "Philadelphia", "Boston", "2026-04-11", 436),
    ("alan@example.com", "Cambridge", "Princeton", "2026-05-05", 5512),
    ("ada@example.com", "Geneva", "London", "2026-05-20", 748),
    ("grace@example.com", "Boston", "New York", "2026-06-30", 306),
]
_COLUMNS = ("id", "user_id", "start", "destination", "day", "km")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.body = status, {"code": code, "details": None, "hint": None, "message": message}


def table(call: Call) -> Response:
    """Any table: only ``trips`` exists, and it can only be read."""
    try:
        who = _who(call)
        name = call.request.path_params["table"]
        if name != "trips":
            text = f"Could not find the table 'public.{name}' in the schema cache"
            raise _Refused(404, "PGRST205", text)
        if call.request.method not in ("GET", "HEAD"):
            status = 401 if who is None else 403
            raise _Refused(status, "42501", "permission denied for table trips")
        return _read(call, who)
    except _Refused as refused:
        headers = {"www-authenticate": "Bearer"} if refused.status == 401 else None
        return answer(refused.body, refused.status, headers)


def _who(call: Call) -> str | None:
    """The user's id; ``*`` for the service role, None for strangers.

    As at a real project the data API looks at the token only, not at whether its session still exists.
    """
    token = call.project.bearer(call.request)
    if token is None or token == call.project.keys.anon_key:
        return None
    try:
        claims = call.project.claims(token)
    except BadToken as error:
        expired = "expired" in str(error)
        code, text = (
            ("PGRST303", "JWT expired") if expired else ("PGRST301", "No suitable key or wrong key type")
        )
        raise _Refused(401, code, text) from None
    subject = claims.get("sub")
    return "*" if claims.get("role") == "service_role" else subject if isinstance(subject, str) else None


def _read(call: Call, who: str | None) -> Response:
    rows: list[dict[str, Any]] = [
        dict(zip(_COLUMNS, (index, seed_id(owner), *rest), strict=True))
        for index, (owner, *rest) in enumerate(_ROWS, 1)
        if who in ("*", seed_id(owner))  # row level security, in one line
    ]
    wanted, limit, offset = list(_COLUMNS), None, 0
    for name, value in call.request.query_params.multi_items():
        if name == "select":
            wanted = (
                list(_COLUMNS) if value in ("", "*") else [_column(part.strip()) for part in value.split(",")]
            )
        elif name == "order":
            for part in reversed(value.split(",")):
                column, _, direction = part.partition(".")
                key = _column(column)
                rows.sort(key=lambda row: row[key], reverse=direction.startswith("desc"))
        elif name in ("limit", "offset"):
            number = _number(value)
            limit, offset = (number, offset) if name == "limit" else (limit, number)
        else:
            rows = [row for row in rows if _matches(row[_column(name)], value)]
    total = len(rows)
    rows = rows[offset : None if limit is None else offset + limit]
    picked = [{name: row[name] for name in wanted} for row in rows]
    span = f"{offset}-{offset + len(rows) - 1}" if rows else "*"
    counted = "count=exact" in call.request.headers.get("prefer", "")
    headers = {"content-range": f"{span}/{total if counted else '*'}"}
    if "vnd.pgrst.object" in call.request.headers.get("accept", ""):
        if len(picked) != 1:
            raise _Refused(406, "PGRST116", "Cannot coerce the result to a single JSON object")
        return answer(picked[0], 200, headers)
    return answer(picked, 200, headers)


def _column(name: str) -> str:
    if name not in _COLUMNS:
        raise _Refused(400, "42703", f"column trips.{name[:40]} does not exist")
    return name


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise _Refused(400, "PGRST100", f'"failed to parse ({text[:20]})"')
    return int(text)


def _matches(value: Any, condition: str) -> bool:
    negated = condition.startswith("not.")
    name, _, operand = condition.removeprefix("not.").partition(".")
    if name == "in":
        items = [item.strip().strip('"') for item in operand.strip("()").split(",")]
        return (str(value) in items) != negated
    if name not in _COMPARE:
        raise _Refused(400, "PGRST100", f'"failed to parse filter ({condition[:40]})"')
    given: Any = operand
    if isinstance(value, int):
        try:
            given = float(operand)
        except ValueError:
            text = f"invalid input syntax for type integer: {json.dumps(operand[:40])}"
            raise _Refused(400, "22P02", text) from None
    return _COMPARE[name](value, given) != negated
