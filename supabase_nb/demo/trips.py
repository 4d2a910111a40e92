"""``/rest/v1``: the tables of the demo, whose rows depend on who asks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from .database import SERVICE, Answer, Database
from .filters import Column, Table
from .keys import BadToken
from .project import Call, seed_id
from .wire import answer

_TRIPS = Table(
    "trips",
    (
        Column("id", "bigint", nullable=False),
        Column("user_id", "uuid", nullable=False),
        Column("start", "text"),
        Column("destination", "text"),
        Column("day", "date"),
        Column("km", "integer"),
    ),
    key=("id",),
    owner="user_id",
)
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
#: An hourly weather station: far more rows than one answer holds.
READINGS = Table(
    "readings",
    (
        Column("id", "bigint", nullable=False),
        Column("user_id", "uuid", nullable=False),
        Column("taken_at", "timestamp with time zone", nullable=False),
        Column("celsius", "double precision"),
        Column("rain", "boolean"),
        Column("note", "text"),
    ),
    key=("id",),
    owner="user_id",
)
_READINGS_OF = {"ada@example.com": 25_000, "grace@example.com": 1_000}


def tables() -> Database:
    """The demo's tables."""
    database = Database()
    rows = enumerate(_ROWS, 1)
    database.create(_TRIPS, [(number, seed_id(owner), *rest) for number, (owner, *rest) in rows])
    database.create(READINGS)
    first = 1
    for email, count in _READINGS_OF.items():
        database.insert(READINGS.name, readings(seed_id(email), count, first))
        first += count
    return database


def readings(owner: str, count: int, first: int = 1) -> Iterator[tuple[Any, ...]]:
    """So many hours of weather, the same each time: a wave a day on a wave a year."""
    start = datetime(2023, 1, 1)
    for hour in range(count):
        season, day = math.sin(hour / 8766 * math.tau - 1.9), math.sin(hour / 24 * math.tau - 2.2)
        weather = math.sin(hour * hour % 997)
        celsius = round(11 + 8 * season + 4 * day + 2 * weather, 1)
        note = "frost" if celsius < 0 else "" if hour % 50 == 0 else None
        at = (start + timedelta(hours=hour)).isoformat() + "+00:00"
        wet = None if hour % 97 == 0 else weather > 0.6
        yield first + hour, owner, at, f"{celsius:g}", wet, note


def table(call: Call) -> Response:
    """A table: it can only be read."""
    request = call.request
    try:
        who = _who(call)
    except BadToken as error:
        expired = "expired" in str(error)
        code, text = (
            ("PGRST303", "JWT expired") if expired else ("PGRST301", "No suitable key or wrong key type")
        )
        body = {"code": code, "details": None, "hint": None, "message": text}
        return answer(body, 401, {"www-authenticate": "Bearer"})
    name, headers = request.path_params["table"], {key.lower(): text for key, text in request.headers.items()}
    return _response(
        call.project.tables.answer(request.method, name, request.query_params.multi_items(), headers, who)
    )


def root(call: Call) -> Response:
    """The tables' types: since 2026 a project tells them to secret keys only."""
    if call.request.headers.get("apikey") != call.project.keys.service_key:
        hint = "Accessing the schema via the Data API is only allowed using a secret API key."
        return answer({"message": "Access to schema is forbidden", "hint": hint}, 403)
    return answer(call.project.tables.openapi())


def _response(found: Answer) -> Response:
    return Response(found.body, found.status, found.headers)


def _who(call: Call) -> str | None:
    """The user's id; `SERVICE` for the service role, None for strangers.

    As at a real project the data API looks at the token only, not at whether its session still exists.
    """
    token = call.project.bearer(call.request)
    if token is None and call.request.headers.get("apikey") == call.project.keys.service_key:
        return SERVICE
    if token is None or token == call.project.keys.anon_key:
        return None
    claims = call.project.claims(token)
    subject = claims.get("sub")
    if claims.get("role") == "service_role":
        return SERVICE
    return subject if isinstance(subject, str) else None
