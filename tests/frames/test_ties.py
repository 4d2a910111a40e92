"""Ties: a server may return rows that are equal in the order in another sequence for each page."""

from __future__ import annotations

import random
import urllib.parse
from typing import Any

import httpx
import pytest
from tables import Api, refused

from supabase_nb import Client
from supabase_nb.client._truncation_warning import DataWarning
from supabase_nb.demo._project.filters import Column, Table

VISITS = Table("visits", (Column("id", "bigint"), Column("item", "text")))


def any_sequence(rows: list[dict[str, Any]], *, unordered: str = "") -> Any:
    """Answers as Postgres does: in the order that was asked for, ties in any sequence.

    Args:
        rows: The table's rows.
        unordered: A column of type `json`, which has no order.
    """

    def answer(request: httpx.Request, number: int) -> httpx.Response:
        params = request.url.params
        columns = [term.partition(".")[0] for term in params.get("order", "").split(",") if term]
        if "id" in columns:
            return refused(400, "42703", "column visits.id does not exist")
        if unordered in columns:
            return refused(400, "42883", "could not identify an ordering operator for type json")
        found = random.Random(number).sample(rows, len(rows))
        found.sort(key=lambda row: [str(row[name]) for name in columns])
        begun, size = int(params.get("offset", 0)), min(10, int(params.get("limit", 10)))
        page = found[begun : begun + size]
        span = f"{begun}-{begun + len(page) - 1}/{len(rows)}"
        return httpx.Response(206, json=page, headers={"content-range": span})

    return answer


def test_a_column_whose_name_is_part_of_the_orders(api: Api, supabase: Client) -> None:
    rows = [{"first_name": f"n{n // 30}", "name": f"a{n % 7}", "a": n} for n in range(90)]
    api.before = any_sequence(rows)
    frame = supabase.frame(supabase.table("visits").select("*").order("first_name", desc=True))
    assert sorted(frame["a"]) == list(range(90))
    assert frame.attrs["supabase"]["order"] == "first_name.desc,name.asc,a.asc"


@pytest.mark.parametrize("value", [lambda n: {"n": n}, lambda n: [n], lambda n: {"n": n} if n else None])
def test_rows_that_differ_in_json_only(api: Api, supabase: Client, value: Any) -> None:
    rows = [{"level": n // 45, "payload": value(n)} for n in range(90)]
    api.before = any_sequence(rows)
    frame = supabase.frame("visits")
    assert sorted(map(str, frame["payload"])) == sorted(str(row["payload"]) for row in rows)


@pytest.mark.parametrize("first", [{"n": 0}, None])
def test_json_that_has_no_order_is_said(api: Api, supabase: Client, first: Any) -> None:
    rows = [{"level": n, "payload": {"n": n} if n else first} for n in range(90)]
    api.before = any_sequence(rows, unordered="payload")
    with pytest.warns(DataWarning, match=r"payload.*may be missing or repeated.*key="):
        frame = supabase.frame("visits")
    assert sorted(frame["level"]) == list(range(90))
    assert "payload" in frame.attrs["supabase"]["note"]
    assert frame.attrs["supabase"]["order"] == "level.asc"


@pytest.mark.parametrize(("first", "last"), [(0, 24), (5, 39), (0, 94), (3, 97), (0, 99), (0, 9)])
def test_the_first_rows_by_an_id_that_is_not_unique(
    api: Api, supabase: Client, first: int, last: int
) -> None:
    """No row is passed over, and another taken in its place."""
    api.database.max_rows = 10
    api.create(VISITS, [(n // 4, f"x{n:02}") for n in range(100)])
    frame = supabase.frame(supabase.table("visits").select("*").range(first, last))
    assert sorted(frame["item"]) == [f"x{n:02}" for n in range(first, last + 1)]
    assert frame.attrs["supabase"]["note"] == ""


@pytest.mark.parametrize(
    ("long", "limit"), [(range(25, 35), None), (range(14, 90), 18), (range(14, 90), 60), (range(80, 90), 85)]
)
def test_an_order_that_becomes_too_long_for_an_address(
    api: Api, supabase: Client, long: range, limit: int | None
) -> None:
    """Places of some rows only: the first pages began behind a row."""
    api.database.max_rows = 10
    values = [f"{'ж' * 30_000}{n:02}" if n in long else f"a{n:02}" for n in range(90)]
    columns = (Column("id", "bigint", nullable=False), Column("value", "text"))
    api.create(Table("long", columns, key=("id",)), list(enumerate(values)))
    longest: list[int] = []

    def measure(request: httpx.Request, number: int) -> None:
        longest.append(len(str(request.url)))

    api.before = measure
    query = supabase.table("long").select("id").order("value")
    frame = supabase.frame(query if limit is None else query.limit(limit))
    assert sorted(frame["id"]) == sorted(sorted(range(90), key=values.__getitem__)[:limit])
    assert max(longest) < 8_000


@pytest.mark.parametrize(
    ("select", "made"),
    [
        ("*, ...owner(name, years:age)", ["name", "years"]),
        ("*, ...owner(city(name))", ["city"]),
        ("*, profile->>city", ["city"]),
        ("*, profile->>city::text", ["city"]),
        ("*, amount.sum()", ["sum"]),
        ("*, profile->address->>street", ["street"]),
        ("*, town:profile->>city", ["town"]),
        ("*, label:owner(name)", ["label"]),
        ('*, "a b":day', ["a b"]),
        ("*, day2:day::text", ["day2"]),
    ],
)
def test_what_select_adds_is_no_column_to_order_by(
    api: Api, supabase: Client, select: str, made: list[str]
) -> None:
    """The server would refuse it. All others are in the order."""
    added = {name: {} if name in ("city", "label") and "(" in select else "x" for name in made}
    rows = [{"day": n // 30, "station": n, **added} for n in range(90)]
    answer = any_sequence(rows)

    def strict(request: httpx.Request, number: int) -> httpx.Response:
        if any(name in request.url.params.get("order", "") for name in made):
            return refused(400, "42703", "column visits.… does not exist")
        found: httpx.Response = answer(request, number)
        return found

    api.before = strict
    frame = supabase.frame(supabase.table("visits").select(select))
    assert sorted(frame["station"]) == list(range(90))
    assert frame.attrs["supabase"]["order"] == "day.asc,station.asc"


def test_names_of_all_letters(api: Api, supabase: Client) -> None:
    """Quoted where needed, in the order and in what pages begin behind."""
    api.database.max_rows = 10
    table = Table(
        "odd", tuple(Column(name, "integer") for name in ("id", "Größe", "a b", "order", "x.y", "a,b"))
    )
    api.create(table, [(n, n % 7, n % 3, n % 2, n % 5, 0) for n in range(60)])
    for name in ("Größe", "a b", "order"):
        frame = supabase.frame(supabase.table("odd").select("id").order(name))
        assert sorted(frame["id"]) == list(range(60)), name
    asked = {urllib.parse.unquote(str(request.url)) for request in api.asked}
    assert any("Größe" in url for url in asked)
