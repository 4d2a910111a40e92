"""`Client.frame`: all rows, in a stable order, whatever the query."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import pytest
from tables import KEY, NUMBERS, Api, refused

from supabase_nb import Client, MemoryStorage
from supabase_nb.demo._project.filters import Column, Table


def ids(frame: Any) -> list[int]:
    return list(frame["id"])


@pytest.mark.parametrize("count", [1, 999, 1_000, 1_001, 4_999, 5_001, 25_000])
@pytest.mark.parametrize("as_", ["pandas", "polars", "pyarrow"])
def test_all_rows(api: Api, supabase: Client, count: int, as_: str) -> None:
    api.numbers(count)
    frame = supabase.frame("numbers", as_=as_)
    columns = frame.to_pydict() if as_ == "pyarrow" else {name: list(frame[name]) for name in ("id", "name")}
    assert columns["id"] == [2 * number for number in range(count)]
    assert columns["name"] == [f"number {number}" for number in range(count)]


@pytest.mark.parametrize("max_rows", [7, 400, 100_000])
def test_a_server_with_another_maximum(api: Api, supabase: Client, max_rows: int) -> None:
    api.database.max_rows = max_rows
    api.numbers(1_234)
    assert ids(supabase.frame("numbers")) == [2 * number for number in range(1_234)]


def test_it_says_as_whom_when_and_how_many(api: Api, supabase: Client) -> None:
    api.numbers(1_500)
    said = supabase.frame("numbers").attrs["supabase"]
    assert (said["table"], said["user"], said["rows"], said["order"]) == ("numbers", None, 1_500, "id.asc")
    assert said["at"].endswith("Z")
    assert b"1500" in supabase.frame("numbers", as_="pyarrow").schema.metadata[b"supabase"]


@pytest.mark.parametrize(
    ("limit", "offset", "expected"),
    [(0, 0, 0), (1, 0, 1), (1_000, 0, 1_000), (3_333, 0, 3_333), (3_333, 5_000, 1_000), (None, 5_999, 1)],
)
def test_limit_and_offset_are_respected(
    api: Api, supabase: Client, limit: int | None, offset: int, expected: int
) -> None:
    api.numbers(6_000)
    query = supabase.table("numbers").select("*").offset(offset)
    query = query if limit is None else query.limit(limit)
    assert ids(supabase.frame(query)) == [2 * number for number in range(offset, offset + expected)]


def test_a_range_behind_the_end_is_empty(api: Api, supabase: Client) -> None:
    api.numbers(10)
    frame = supabase.frame(supabase.table("numbers").select("id, name").range(50, 60))
    assert (len(frame), list(frame.columns)) == (0, ["id", "name"])


def test_a_range_over_several_pages(api: Api, supabase: Client) -> None:
    api.numbers(6_000)
    frame = supabase.frame(supabase.table("numbers").select("*").range(500, 4_499))
    assert ids(frame) == [2 * number for number in range(500, 4_500)]


def test_filters_are_kept(api: Api, supabase: Client) -> None:
    api.numbers(6_000)
    query = supabase.table("numbers").select("*").gte("id", 100).or_("id.lt.5000,id.gt.9000")
    expected = [number for number in range(100, 12_000, 2) if number < 5_000 or number > 9_000]
    assert ids(supabase.frame(query)) == expected


def test_the_query_is_not_changed(api: Api, supabase: Client) -> None:
    api.numbers(3_000)
    query = supabase.table("numbers").select("name", count="exact").order("name").limit(2)
    request: Any = query.request
    before = (
        str(request.path),
        str(request.params),
        dict(request.headers),
        request.http_method,
        request.json,
    )
    supabase.frame(query)
    assert before == (
        str(request.path),
        str(request.params),
        dict(request.headers),
        request.http_method,
        request.json,
    )
    assert query.execute().count == 3_000


COLOURS = Table(
    "colours",
    (
        Column("house", "integer", nullable=False),
        Column("door", "text", nullable=False),
        Column("colour", "text"),
        Column("height", "numeric"),
    ),
    key=("house", "door"),
)


def colours(api: Api) -> list[tuple[Any, ...]]:
    names = ['"red", dark', None, "a\\b", "(x)", "blue"]
    rows = [
        (house, f'd"{door}', names[(house + door) % 5], None if door == 3 else f"{(house * door) % 7}.10")
        for house in range(300)
        for door in range(10)
    ]
    api.create(COLOURS, rows)
    return rows


@pytest.mark.parametrize("tells_schema", [True, False])
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("nulls_first", [None, True, False])
def test_the_users_order_with_ties_and_nulls(
    api: Api, supabase: Client, tells_schema: bool, descending: bool, nulls_first: bool | None
) -> None:
    """Each row is there once, and in the order that the server itself gives."""
    api.tells_schema = tells_schema
    rows = colours(api)
    key = None if tells_schema else ["house", "door"]
    query = supabase.table("colours").select("*")
    query = query.order("colour", desc=descending, nullsfirst=nulls_first).order("height")
    frame = supabase.frame(query, key=key)
    api.database.max_rows = 10_000
    expected = query.order("house").order("door").execute().data
    assert len(expected) == len(rows)
    assert list(zip(frame["house"], frame["door"], strict=True)) == [
        (row["house"], row["door"]) for row in expected
    ]
    assert frame.attrs["supabase"]["order"].endswith("height.asc,house.asc,door.asc")


def test_order_columns_need_not_be_selected(api: Api, supabase: Client) -> None:
    rows = colours(api)
    query = supabase.table("colours").select("colour, paint:height").order("height", desc=True)
    frame = supabase.frame(query, key=["house", "door"])
    assert list(frame.columns) == ["colour", "paint"]
    assert len(frame) == len(rows)


@pytest.mark.parametrize("kind", ["jsonb", "text"])
def test_an_order_that_no_address_can_hold(api: Api, supabase: Client, kind: str) -> None:
    """Places in JSON, or long ones: pages begin at numbers then."""
    values = ["x" * 1_500 + str(n % 3) if kind == "text" else f"[{n % 3}]" for n in range(2_500)]
    api.create(Table("long", (Column("id", "bigint"), Column("value", kind))), list(enumerate(values)))
    frame = supabase.frame(supabase.table("long").select("*").order("value"))
    assert sorted(frame["id"]) == list(range(2_500))


def test_another_schema(api: Api, supabase: Client) -> None:
    api.numbers(2_500)
    asked = []
    api.before_schema = asked.append
    assert len(supabase.frame(supabase.schema("stats").from_("numbers").select("*"))) == 2_500
    assert {request.headers["accept-profile"] for request in [*api.asked, *asked]} == {"stats"}


def test_without_a_key_all_columns_are_the_order(api: Api, supabase: Client) -> None:
    rows = colours(api)
    frame = supabase.frame("colours")
    assert sorted(zip(frame["house"], frame["door"], strict=True)) == [row[:2] for row in rows]
    assert frame.attrs["supabase"]["order"].startswith("house.asc")


def test_an_id_that_is_not_unique(api: Api, supabase: Client) -> None:
    """A view may have an `id` many times: no row is lost for that."""
    view = Table("visits", (Column("id", "bigint"), Column("day", "integer")))
    api.create(view, [(number // 700, number) for number in range(5_000)])
    frame = supabase.frame("visits")
    assert sorted(frame["day"]) == list(range(5_000))
    assert frame.attrs["supabase"]["order"] == "id.asc,day.asc"
    frame = supabase.frame(supabase.table("visits").select("day"))
    assert sorted(frame["day"]) == list(range(5_000))
    assert frame.attrs["supabase"]["order"] == "day.asc"


def test_pages_start_after_a_row_not_at_an_offset(api: Api, supabase: Client) -> None:
    """So that the server need not count its way to each of them, and nothing shifts."""
    api.numbers(25_000)
    supabase.frame("numbers")
    pages = [request.url.params for request in api.asked if request.url.params.get("limit", "") == "1000"]
    assert len(pages) >= 24
    assert not any("offset" in page for page in pages)
    assert len(api.asked) == 1 + 6 + 24 + 1


def test_single_and_maybe_single(api: Api, supabase: Client) -> None:
    api.numbers(3)
    numbers = supabase.table("numbers").select("*")
    assert ids(supabase.frame(supabase.table("numbers").select("*").eq("id", 2).single())) == [2]
    assert ids(supabase.frame(supabase.table("numbers").select("*").eq("id", 2).maybe_single())) == [2]
    assert ids(supabase.frame(supabase.table("numbers").select("*").eq("id", 3).maybe_single())) == []
    with pytest.raises(ValueError, match=r"3 rows, but single\(\)"):
        supabase.frame(numbers.single())


@pytest.mark.parametrize("call", ["single", "maybe_single"])
def test_single_of_many_rows_reads_no_table(api: Api, supabase: Client, call: str) -> None:
    api.numbers(25_000)
    with pytest.raises(ValueError, match=rf"25,000 rows, but {call}\(\) needs"):
        supabase.frame(getattr(supabase.table("numbers").select("*"), call)())
    assert len(api.asked) == 1


def test_csv_is_read_too(api: Api, supabase: Client) -> None:
    api.numbers(1_200)
    query: Any = supabase.table("numbers").select("*").csv()
    assert len(supabase.frame(query)) == 1_200


def test_queries_of_the_asynchronous_package(api: Api, supabase: Client) -> None:
    from postgrest import AsyncPostgrestClient

    api.numbers(1_200)
    theirs = AsyncPostgrestClient(f"{supabase.url}/rest/v1", headers={}, http_client=httpx.AsyncClient())
    assert len(supabase.frame(theirs.from_("numbers").select("*").gte("id", 1_000))) == 700
    assert len(supabase.frame(theirs.from_("numbers"))) == 1_200


@pytest.mark.parametrize("get", [True, False])
def test_functions(api: Api, supabase: Client, get: bool) -> None:
    api.create(Table("rpc/numbers", NUMBERS.columns), [(number, "n") for number in range(900)])
    rows = [{"id": number, "name": "n"} for number in range(900)]

    def posted(request: Any, number: int) -> Any:
        if request.method != "POST":
            return None
        return httpx.Response(200, json=rows, headers={"content-range": f"0-899/{len(rows)}"})

    api.before = posted
    assert ids(supabase.frame(supabase.rpc("numbers", {}, get=get))) == list(range(900))
    assert len(api.asked) == 1


def test_a_function_is_called_once(api: Api, supabase: Client) -> None:
    """It may change something: only one that is called with GET is read in pages."""
    rows = [{"id": number} for number in range(1_000)]
    api.before = lambda request, number: httpx.Response(
        200, json=rows, headers={"content-range": "0-999/2000"}
    )
    with pytest.raises(ValueError, match="get=True"):
        supabase.frame(supabase.rpc("numbers", {}))
    assert len(api.asked) == 1


def test_a_function_with_many_rows(api: Api, supabase: Client) -> None:
    api.create(Table("rpc/numbers", NUMBERS.columns), [(number, "n") for number in range(2_500)])
    assert ids(supabase.frame(supabase.rpc("numbers", {}, get=True))) == list(range(2_500))


def test_a_function_of_one_value(api: Api, supabase: Client) -> None:
    api.before = lambda request, number: httpx.Response(200, json=42, headers={"content-range": "0-0/1"})
    frame = supabase.frame(supabase.rpc("answer", {}))
    assert frame.to_dict("list") == {"answer": [42]}


def test_only_queries_that_read(api: Api, supabase: Client) -> None:
    for query in (
        supabase.table("numbers").insert({"id": 1}),
        supabase.table("numbers").update({"name": "x"}).eq("id", 1),
        supabase.table("numbers").delete().eq("id", 1),
        supabase.table("numbers").select("*", head=True),
        supabase.table("numbers").select("*").explain(),
        [1, 2, 3],
        None,
    ):
        with pytest.raises(TypeError):
            supabase.frame(query)
    with pytest.raises(TypeError, match="only counts"):
        supabase.frame(supabase.table("numbers").select("*", head=True))
    assert api.asked == []


def test_an_id_that_may_not_be_read(api: Api, supabase: Client) -> None:
    """The user's own query works, so the guess at a key must not break it."""
    api.create(
        Table("secret", (Column("id", "bigint"), Column("day", "integer"))), [(n, n) for n in range(1_500)]
    )

    def refuse(request: httpx.Request, number: int) -> httpx.Response | None:
        asked = str(request.url)
        return refused(403, "42501", "permission denied for table secret") if "id" in asked else None

    api.before = refuse
    assert list(supabase.frame(supabase.table("secret").select("day"))["day"]) == list(range(1_500))


def test_a_query_of_another_project(supabase: Client) -> None:
    from postgrest import SyncPostgrestClient

    theirs = SyncPostgrestClient("https://other.supabase.co/rest/v1", headers={}, http_client=supabase.http)
    with pytest.raises(ValueError, match="another project"):
        supabase.frame(theirs.from_("numbers").select("*"))


def test_a_refusal_is_postgrests_own_error(api: Api, supabase: Client) -> None:
    from postgrest.exceptions import APIError

    with pytest.raises(APIError, match="schema cache"):
        supabase.frame("nowhere")
    api.before = lambda request, number: refused(500, "57014", "canceling statement due to statement timeout")
    with pytest.raises(APIError, match="statement timeout"):
        supabase.frame("nowhere")
    assert len(api.asked) == 2  # what will not pass is not tried again


@pytest.mark.parametrize(
    ("options", "package"), [({"as_": "polars"}, "polars"), ({"as_": "pyarrow"}, "pyarrow")]
)
def test_a_library_that_is_missing(
    supabase: Client, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], package: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        supabase.frame("numbers", **options)


def test_unknown_libraries_and_types(supabase: Client) -> None:
    with pytest.raises(ValueError, match="polars"):
        supabase.frame("numbers", as_="excel")
    with pytest.raises(ValueError, match="numpy_nullable"):
        supabase.frame("numbers", dtype_backend="arrow")
    with pytest.raises(ValueError, match="for pandas"):
        supabase.frame("numbers", as_="polars", dtype_backend="pyarrow")


def test_a_function_that_returns_objects_of_any_shape(api: Api, supabase: Client) -> None:
    rows = [{"a": 1}, {"b": "x", "a": None}, {}]
    api.before = lambda request, number: httpx.Response(200, json=rows)
    frame = supabase.frame(supabase.rpc("anything", {}))
    assert frame.astype(object).where(frame.notna(), None).to_dict("list") == {
        "a": [1, None, None],
        "b": [None, "x", None],
    }


def test_a_function_without_a_result(api: Api, supabase: Client) -> None:
    api.before = lambda request, number: httpx.Response(204)
    assert len(supabase.frame(supabase.rpc("nothing", {}))) == 0


def test_unsortable_columns_are_left_out_of_the_order(api: Api, supabase: Client) -> None:
    """An embedded table, an aggregate, JSON: the server would refuse these."""
    sent = [{"day": n % 50, "station": n, "owner": None, "sum": n, "note": []} for n in range(1_500)]

    def answer(request: httpx.Request, number: int) -> httpx.Response:
        params = request.url.params
        if "id" in params.get("order", ""):
            return refused(400, "42703", "column visits.id does not exist")
        begun, size = int(params.get("offset", 0)), min(1_000, int(params.get("limit", 1_000)))
        page = sent[begun : begun + size]
        span = f"{begun}-{begun + len(page) - 1}/{len(sent)}"
        return httpx.Response(200, json=page, headers={"content-range": span})

    api.before = answer
    for select, order in (
        ("*, owner(name), sum:amount.sum()", "day.asc,station.asc"),
        ("day, station::text, owner(name), amount.sum()", "day.asc"),
        ("*, ...owner(sum, name)", "day.asc,station.asc"),
    ):
        query = supabase.table("visits").select(select)
        assert supabase.frame(query).attrs["supabase"]["order"].startswith(order)


def test_nothing_is_imported_before() -> None:
    code = """
import sys
from supabase_nb import Client, MemoryStorage
Client("https://abcd.supabase.co", "sb_publishable_x", storage=MemoryStorage()).table("trips").select("*")
print(sorted({"pandas", "numpy", "polars", "pyarrow", "tqdm"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_schema_is_not_requested_if_the_server_never_reveals_it(api: Api, supabase: Client) -> None:
    """At hosted projects a refusal might be taken for an expired token's."""
    api.numbers(1)
    asked = []
    api.before_schema = asked.append
    supabase.frame("numbers")
    assert len(asked) == 1
    with Client("https://abcd.supabase.co", KEY, storage=MemoryStorage(), transport=api) as hosted:
        hosted.frame("numbers")
    assert len(asked) == 1


def test_progress_after_a_second(
    api: Api, supabase: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api.numbers(3_000)
    supabase.frame("numbers")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("supabase_nb.client._frames.progress._QUIET", 0)
    supabase.frame("numbers", progress=False)
    assert capsys.readouterr().err == ""
    supabase.frame("numbers")
    assert "/3000 [" in capsys.readouterr().err


@pytest.mark.parametrize("key", [3, [None], ["id", 3], ("",), object(), {"id"}])
def test_an_invalid_key_argument_is_refused_before_any_request(
    api: Api, supabase: Client, key: object
) -> None:
    api.numbers(3)
    with pytest.raises(TypeError, match="key is the name of a column, or a list of names"):
        supabase.frame("numbers", key=key)  # type: ignore[arg-type]
    assert api.asked == []
