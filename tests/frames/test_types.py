"""Values are exact, and have the types that users expect."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables import KEY, URL, Api

from supabase_nb import Client, MemoryStorage
from supabase_nb.demo._project.filters import Column, Table

BIG = 2**63 - 1
#: Postgres' type -> values as its JSON has them, as Python values.
VALUES: dict[str, tuple[str, list[Any], list[Any]]] = {
    "small": ("integer", [1, 2, None], [1, 2, None]),
    "whole": ("bigint", [BIG, -BIG, 2**53 + 1], [BIG, -BIG, 2**53 + 1]),
    "gaps": ("bigint", [BIG, None, 2**53 + 1], [BIG, None, 2**53 + 1]),
    "money": ("numeric", ["19.90", "0.05", "-3"], [19.9, 0.05, -3]),
    "exact": (
        "numeric",
        ["12345678901234567.89", "0.1", None],
        [Decimal("12345678901234567.89"), Decimal("0.1"), None],
    ),
    "huge": (
        "numeric",
        ["123456789012345678901234567890", "1", None],
        [Decimal(10**29 * 12345 // 10**4 + 0)] * 3,
    ),
    "measured": (
        "double precision",
        ["0.1", "1e-300", "1.7976931348623157e+308"],
        [0.1, 1e-300, 1.7976931348623157e308],
    ),
    "half": ("double precision", ["0.30000000000000004", None, "2"], [0.30000000000000004, None, 2.0]),
    "yes": ("boolean", [True, False, True], [True, False, True]),
    "maybe": ("boolean", [True, None, False], [True, None, False]),
    "text": ("text", ["007", "", None], ["007", "", None]),
    "words": ("text", ["NA", "null", "NaN"], ["NA", "null", "NaN"]),
    "odd": ("text", ['say "hi",\n(now)', "back\\slash", " "], ['say "hi",\n(now)', "back\\slash", " "]),
    "numbers": ("text", ["1", "2.50", "1e5"], ["1", "2.50", "1e5"]),
    "truth": ("text", ["t", "f", "true"], ["t", "f", "true"]),
    "not_a_day": ("text", ["2026-02-31", "2026-02-30", None], ["2026-02-31", "2026-02-30", None]),
    "script": ("text", ["2026-03-02T10:00:00.000Z", None, "x"], ["2026-03-02T10:00:00.000Z", None, "x"]),
    "uuid": (
        "uuid",
        ["3d21f9ee-d85e-5a10-bda2-dff7da80567a", None, None],
        ["3d21f9ee-d85e-5a10-bda2-dff7da80567a", None, None],
    ),
    "day": ("date", ["2026-03-02", "0044-03-15", None], [date(2026, 3, 2), date(44, 3, 15), None]),
    "at": (
        "timestamp with time zone",
        ["2026-03-02T10:00:00+00:00", "2026-03-02T10:00:00.000001+00:00", None],
        [
            datetime(2026, 3, 2, 10, tzinfo=timezone.utc),
            datetime(2026, 3, 2, 10, 0, 0, 1, timezone.utc),
            None,
        ],
    ),
    "local": (
        "timestamp without time zone",
        ["1500-01-01T00:00:00", "9999-12-31T23:59:59.12", None],
        [datetime(1500, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 120_000), None],
    ),
    "forever": (
        "timestamp with time zone",
        ["infinity", "2026-03-02T10:00:00+00:00", None],
        ["infinity", "2026-03-02T10:00:00+00:00", None],
    ),
    "document": ("jsonb", ['{"a": [1, null]}', "[]", None], [{"a": [1, None]}, [], None]),
    "tags": ("text[]", ['["a", null]', "[]", None], [["a", None], [], None]),
    "nothing": ("text", [None, None, None], [None, None, None]),
}
VALUES["huge"] = (*VALUES["huge"][:2], [Decimal("123456789012345678901234567890"), Decimal(1), None])
TABLE = Table(
    "kinds",
    (Column("id", "bigint", nullable=False), *(Column(name, kind) for name, (kind, *_) in VALUES.items())),
    key=("id",),
)


@pytest.fixture(params=[True, False], ids=["schema", "no schema"])
def kinds(api: Api, request: pytest.FixtureRequest) -> bool:
    """A table of all types, over several pages."""
    api.tells_schema = request.param
    api.database.max_rows = 2
    rows = list(zip(*(given for _, given, _ in VALUES.values()), strict=True))
    api.create(TABLE, [(number, *row) for number, row in enumerate(rows)])
    return bool(request.param)


def plain(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return value
    if isinstance(value, np.ndarray):
        return value.tolist()
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if isinstance(value, np.generic) else value


def same(name: str, found: list[Any], *, json_as_text: bool) -> None:
    expected = VALUES[name][2]
    if name == "day":
        found = [value.date() if isinstance(value, datetime) else value for value in found]
    if json_as_text and name == "document":
        found = [None if value is None else json.loads(value) for value in found]
    assert found == expected, name
    if name not in ("money", "half", "exact", "huge", "day"):
        assert [type(value) for value in found] == [type(value) for value in expected], name


def test_pandas(kinds: bool, supabase: Client) -> None:
    frame = supabase.frame("kinds")
    for name in VALUES:
        same(name, [plain(value) for value in frame[name]], json_as_text=False)
    dtypes = {name: str(frame[name].dtype) for name in VALUES}
    text = str(pd.Series(["a"]).dtype)
    assert dtypes | {"nothing": ""} == {
        **dict.fromkeys(["small", "gaps"], "Int64"),
        "whole": "int64",
        **dict.fromkeys(["money", "measured", "half"], "float64"),
        **dict.fromkeys(["exact", "huge", "document", "tags"], "object"),
        "yes": "bool",
        "maybe": "boolean",
        **dict.fromkeys(
            ["text", "words", "odd", "numbers", "truth", "not_a_day", "script", "uuid", "forever"], text
        ),
        **dict.fromkeys(["day", "local"], "datetime64[us]"),
        "at": "datetime64[us, UTC]",
        "nothing": "",
    }


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_dtype_backend(kinds: bool, supabase: Client, backend: str) -> None:
    frame = supabase.frame("kinds", dtype_backend=backend)
    for name in VALUES:
        same(name, [plain(value) for value in frame[name]], json_as_text=backend == "pyarrow")
    wanted = {
        "numpy_nullable": ["Int64", "Int64", "boolean", "Float64"],
        "pyarrow": ["int64[pyarrow]", "int64[pyarrow]", "bool[pyarrow]", "double[pyarrow]"],
    }
    assert [str(frame[name].dtype) for name in ("small", "whole", "yes", "measured")] == wanted[backend]


def test_polars(kinds: bool, supabase: Client) -> None:
    import polars as pl

    frame = supabase.frame("kinds", as_="polars")
    for name in VALUES:
        same(name, frame[name].to_list(), json_as_text=True)
    assert frame.schema["at"] == pl.Datetime("us", "UTC")
    assert frame.schema["exact"] == pl.Decimal(38, 2)
    assert frame.schema["tags"] == pl.List(pl.String)


def test_pyarrow(kinds: bool, supabase: Client) -> None:
    import pyarrow as pa

    table = supabase.frame("kinds", as_="pyarrow")
    for name, values in table.to_pydict().items():
        if name != "id":
            same(name, values, json_as_text=True)
    assert table.schema.field("day").type == pa.date32()
    assert table.schema.field("exact").type == pa.decimal128(38, 2)


@pytest.mark.parametrize("nulls", [False, True])
def test_the_smallest_bigint_is_an_integer(api: Api, supabase: Client, nulls: bool) -> None:
    table = Table("limits", (Column("id", "bigint", nullable=False), Column("n", "bigint")), key=("id",))
    api.create(table, [(1, -(2**63)), (2, BIG), *([(3, None)] if nulls else [])])
    frame = supabase.frame("limits")
    assert str(frame["n"].dtype) == ("Int64" if nulls else "int64")
    assert frame["n"].dropna().tolist() == [-(2**63), BIG]
    assert str(supabase.frame("limits", as_="polars")["n"].dtype) == "Int64"
    assert str(supabase.frame("limits", as_="pyarrow")["n"].type) == "int64"


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**200])
def test_arrays_of_integers_of_more_than_64_bits_are_exact(api: Api, supabase: Client, value: int) -> None:
    table = Table("arrays", (Column("id", "bigint", nullable=False), Column("n", "jsonb")), key=("id",))
    api.create(table, [(1, json.dumps([value, 1])), (2, None)])
    assert supabase.frame("arrays")["n"].tolist() == [[value, 1], None]
    texts = [json.dumps([value, 1]), None]
    assert supabase.frame("arrays", as_="polars")["n"].to_list() == texts
    assert supabase.frame("arrays", as_="pyarrow")["n"].to_pylist() == texts
    assert supabase.frame("arrays", dtype_backend="pyarrow")["n"].tolist()[0] == texts[0]


@pytest.mark.parametrize("as_", ["pandas", "polars", "pyarrow"])
def test_nothing_keeps_its_columns(api: Api, supabase: Client, as_: str) -> None:
    """And their types, where the server tells them."""
    api.tells_schema = True
    api.create(TABLE)
    with pytest.warns(UserWarning, match="no rows"):
        frame = supabase.frame("kinds", as_=as_)
    names = frame.column_names if as_ == "pyarrow" else list(frame.columns)
    assert names == ["id", *VALUES]
    kinds = [
        str(frame[name].type if as_ == "pyarrow" else frame[name].dtype) for name in ("whole", "yes", "at")
    ]
    assert (
        kinds
        == {
            "pandas": ["int64", "bool", "datetime64[us, UTC]"],
            "polars": ["Int64", "Boolean", "Datetime(time_unit='us', time_zone='UTC')"],
            "pyarrow": ["int64", "bool", "timestamp[us, tz=UTC]"],
        }[as_]
    )


def test_pages_of_different_kinds(api: Api, supabase: Client) -> None:
    """What the first page looks like is no promise for the others."""
    api.database.max_rows = 1
    columns = {
        "number": ("numeric", ["1", "2.5", "9007199254740993", None], [1, Decimal("2.5"), 2**53 + 1, None]),
        "moment": ("text", ["2026-03-02T10:00:00.5+00:00", "2026-03-02", "later", None], None),
        "whole": ("numeric", ["1", "2.5", None, "3"], [1, 2.5, None, 3]),
        "float": ("double precision", ["1.5", "2", '"NaN"', "7"], [1.5, 2, None, 7]),
        "any": ("jsonb", ["1", '"x"', "true", '{"a": 1}'], [1, "x", True, {"a": 1}]),
        "days": ("text", ["2026-03-02", None, "2026-03-03T00:00:00", "2026-03-02"], None),
    }
    table = Table(
        "pages", (Column("id", "bigint"), *(Column(name, kind) for name, (kind, *_) in columns.items()))
    )
    given = zip(*(values for _, values, _ in columns.values()), strict=True)
    api.create(table, [(number, *row) for number, row in enumerate(given)])
    frame = supabase.frame("pages")
    for name, (_, values, expected) in columns.items():
        assert [plain(value) for value in frame[name]] == (expected or values), name
    for as_ in ("polars", "pyarrow"):
        other = supabase.frame("pages", as_=as_)
        assert (
            other["moment"].to_pylist()
            if as_ == "pyarrow"
            else other["moment"].to_list() == columns["moment"][1]
        )


def test_aliases_casts_and_types(api: Api, supabase: Client) -> None:
    api.tells_schema = True
    api.create(TABLE, [(1, *(given[0] for _, given, _ in VALUES.values()))])
    frame = supabase.frame(supabase.table("kinds").select("when:at, words, big:whole::text"))
    assert list(frame.columns) == ["when", "words", "big"]
    assert (str(frame["when"].dtype), frame["words"][0], frame["big"][0]) == (
        "datetime64[us, UTC]",
        "NA",
        str(BIG),
    )


def test_text_stays_text_where_the_server_tells_types(api: Api, supabase: Client) -> None:
    """Without types, a column of nothing but times is taken for times."""
    api.create(
        Table("logs", (Column("id", "bigint"), Column("line", "text"))), [(1, "2026-03-02"), (2, None)]
    )
    assert str(supabase.frame("logs")["line"].dtype) == "datetime64[us]"
    api.tells_schema = True
    with Client(URL, KEY, storage=MemoryStorage(), transport=api) as later:
        assert list(later.frame("logs")["line"])[:1] == ["2026-03-02"]
