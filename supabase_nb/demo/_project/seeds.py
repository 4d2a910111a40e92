"""The contents of a new demo project: its users, and the rows of its tables."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from .filters import Column, Table
from .postgrest import Database

USERS = {
    "ada@example.com": {"name": "Ada Lovelace", "home": "London"},
    "grace@example.com": {"name": "Grace Hopper", "home": "New York"},
    "alan@example.com": {"name": "Alan Turing", "home": "Manchester"},
}
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
#: Hourly data of a weather station: far more rows than one response contains.
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


def user_id(email: str) -> str:
    """The id of a seeded user, which is the same on every demo server."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{email}"))


def tables() -> Database:
    """The demo's tables."""
    database = Database()
    rows = enumerate(_ROWS, 1)
    database.create(_TRIPS, [(number, user_id(owner), *rest) for number, (owner, *rest) in rows])
    database.create(READINGS)
    first = 1
    for email, count in _READINGS_OF.items():
        database.insert(READINGS.name, readings(user_id(email), count, first))
        first += count
    return database


def readings(owner: str, count: int, first: int = 1) -> Iterator[tuple[Any, ...]]:
    """This many hours of weather, the same each time: a daily wave on top of a yearly one."""
    start = datetime(2023, 1, 1)
    for hour in range(count):
        season, day = math.sin(hour / 8766 * math.tau - 1.9), math.sin(hour / 24 * math.tau - 2.2)
        weather = math.sin(hour * hour % 997)
        celsius = round(11 + 8 * season + 4 * day + 2 * weather, 1)
        note = "frost" if celsius < 0 else "" if hour % 50 == 0 else None
        at = (start + timedelta(hours=hour)).isoformat() + "+00:00"
        wet = None if hour % 97 == 0 else weather > 0.6
        yield first + hour, owner, at, f"{celsius:g}", wet, note
