"""``/rest/v1`` follows PostgREST's rules: ranges, counts, the maximum number of rows, CSV, OpenAPI.

The expected answers are those of PostgREST's documentation and of its own tests (14).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from supabase_nb.demo import DemoServer
from supabase_nb.demo._project.filters import Column, Table
from supabase_nb.demo._project.postgrest import Answer, Database


@pytest.fixture(scope="module")
def ada(supabase_auth_server: DemoServer) -> Iterator[httpx.Client]:
    """Requests of a user with 25,000 readings and three trips."""
    server = supabase_auth_server
    token = server.sign_in()["access_token"]
    headers = {"apikey": server.anon_key, "authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{server.url}/rest/v1", headers=headers) as client:
        yield client


def test_each_user_has_their_own_readings(ada: httpx.Client, supabase_auth_server: DemoServer) -> None:
    server, found = supabase_auth_server, {}
    for name in ("ada", "grace", "alan"):
        token = server.sign_in(f"{name}@example.com")["access_token"]
        headers = {"authorization": f"Bearer {token}", "prefer": "count=exact"}
        found[name] = ada.head("/readings", headers=headers).headers["content-range"]
    assert found == {"ada": "0-999/25000", "grace": "0-999/1000", "alan": "*/0"}


@pytest.mark.parametrize(
    ("query", "headers", "status", "content_range"),
    [
        ("", {}, 200, "0-999/*"),  # the server's maximum, silently
        ("", {"prefer": "count=exact"}, 206, "0-999/25000"),
        ("?limit=5000", {}, 200, "0-999/*"),
        ("?limit=10&offset=20", {}, 200, "20-29/*"),
        ("?limit=0", {}, 200, "*/*"),
        ("?offset=24990", {}, 200, "24990-24999/*"),
        ("?offset=-4&limit=2", {}, 200, "0-1/*"),
        ("?offset=25000", {"prefer": "count=exact"}, 206, "*/25000"),
        ("?offset=25001", {}, 200, "*/*"),
        ("?offset=25001", {"prefer": "count=exact"}, 416, "*/25000"),
        ("", {"range": "0-9"}, 200, "0-9/*"),
        ("", {"range": "0-9", "range-unit": "items", "prefer": "count=exact"}, 206, "0-9/25000"),
        ("", {"range": "24990-"}, 200, "24990-24999/*"),
        ("?limit=3", {"range": "0-1"}, 200, "0-1/*"),
        ("?limit=3", {"range": "1-9"}, 200, "1-2/*"),
        ("", {"range": "nonsense"}, 200, "0-999/*"),
        ("?id=lt.11", {"prefer": "count=exact"}, 200, "0-9/10"),
        ("?id=eq.0", {"prefer": "count=exact"}, 200, "*/0"),
        ("?id=eq.0", {}, 200, "*/*"),
    ],
)
def test_ranges(
    ada: httpx.Client, query: str, headers: dict[str, str], status: int, content_range: str
) -> None:
    answer = ada.get(f"/readings{query}", headers=headers)
    assert (answer.status_code, answer.headers["content-range"]) == (status, content_range)
    span = re.match(r"(\d+)-(\d+)", content_range)
    if answer.is_success:
        assert len(answer.json()) == (int(span[2]) - int(span[1]) + 1 if span else 0)
        assert answer.headers["range-unit"] == "items"


@pytest.mark.parametrize(
    ("query", "headers", "details"),
    [
        (
            "?offset=25001",
            {"prefer": "count=exact"},
            "An offset of 25001 was requested, but there are only 25000 rows.",
        ),
        ("?limit=-1", {}, "Limit should be greater than or equal to zero."),
        (
            "",
            {"range": "5-2"},
            "The lower boundary must be lower than or equal to the upper boundary in the Range header.",
        ),
    ],
)
def test_ranges_that_cannot_be(ada: httpx.Client, query: str, headers: dict[str, str], details: str) -> None:
    answer = ada.get(f"/readings{query}", headers=headers)
    assert answer.status_code == 416
    expected = {"code": "PGRST103", "details": details, "hint": None}
    assert answer.json() == {**expected, "message": "Requested range not satisfiable"}


def test_head_has_the_headers_alone(ada: httpx.Client) -> None:
    answer = ada.head("/readings", headers={"prefer": "count=exact", "range": "0-9"})
    assert (answer.status_code, answer.headers["content-range"]) == (206, "0-999/25000")  # no range for HEAD
    assert (answer.content, answer.headers["preference-applied"]) == (b"", "count=exact")


def test_the_schema_is_for_secret_keys(ada: httpx.Client, supabase_auth_server: DemoServer) -> None:
    """Since 2026 at hosted projects, and in Supabase's own containers."""
    refused = ada.get("/")
    assert (refused.status_code, refused.json()["message"]) == (403, "Access to schema is forbidden")
    told = ada.get("/", headers={"apikey": supabase_auth_server.service_key}).json()
    properties = told["definitions"]["readings"]["properties"]
    assert properties["id"]["description"].endswith("This is a Primary Key.<pk/>")
    assert properties["taken_at"]["format"] == "timestamp with time zone"
    assert told["definitions"]["readings"]["required"] == ["id", "user_id", "taken_at"]


# -- of any table ------------------------------------------------------------------------------------------

PEOPLE = Table(
    "people",
    (
        Column("id", "bigint", nullable=False),
        Column("name", "text"),
        Column("height", "numeric"),
        Column("here", "boolean"),
        Column("seen", "timestamp with time zone"),
        Column("about", "jsonb"),
        Column("tags", "text[]"),
    ),
    key=("id",),
)
ROWS: list[tuple[Any, ...]] = [
    (1, "ann", "1.70", True, "2026-03-02T10:00:00+00:00", '{"a": 1}', '["x"]'),
    (2, "", "9.5", False, None, None, None),
    (3, 'say "hi", (now)\\', "10.25", None, "2026-03-02T10:00:00.5+00:00", "[]", "[]"),
    (4, None, None, None, None, None, None),
]


@pytest.fixture
def people() -> Iterator[Database]:
    database = Database()
    database.create(PEOPLE, ROWS)
    yield database
    database.close()


def get(database: Database, *parameters: tuple[str, str], **headers: str) -> Answer:
    return database.answer("GET", "people", parameters, headers, None)


def ids(database: Database, *parameters: tuple[str, str]) -> list[int]:
    found = httpx.Response(200, content=get(database, ("select", "id"), *parameters).body).json()
    return [row["id"] for row in found]


def test_json_holds_the_values_exactly(people: Database) -> None:
    first = get(people, ("id", "eq.1")).body.decode()
    assert first == (
        '[{"id":1,"name":"ann","height":1.70,"here":true,"seen":"2026-03-02T10:00:00+00:00",'
        '"about":{"a":1},"tags":["x"]}]'
    )
    assert b'"name":null,"height":null,"here":null' in get(people, ("id", "eq.4")).body


def test_csv_as_postgres_writes_a_row(people: Database) -> None:
    answer = get(people, ("order", "id"), accept="text/csv; version=1")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.body.decode().split("\n") == [
        "id,name,height,here,seen,about,tags",
        '1,ann,1.70,t,"2026-03-02 10:00:00+00","{""a"": 1}",{x}',
        '2,"",9.5,f,,,',
        '3,"say ""hi"", (now)\\\\",10.25,,"2026-03-02 10:00:00.5+00",[],{}',
        "4,,,,,,",
    ]
    assert get(people, ("id", "eq.9"), accept="text/csv").body == b"\n"


def test_media_types(people: Database) -> None:
    one = get(people, ("id", "eq.2"), ("select", "name"), accept="application/vnd.pgrst.object+json")
    assert one.body == b'{"name":""}'
    assert get(people, accept="application/vnd.pgrst.object+json").status == 406
    assert get(people, accept="image/png").status == 406
    assert get(people, accept="image/png, */*").status == 200


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("name", [2, 1, 3, 4]),
        ("name.desc", [4, 3, 1, 2]),
        ("name.asc.nullsfirst", [4, 2, 1, 3]),
        ("name.desc.nullslast", [3, 1, 2, 4]),
        ("height", [1, 2, 3, 4]),
        ("here,id.desc", [2, 1, 4, 3]),
        ("seen", [1, 3, 2, 4]),
    ],
)
def test_order(people: Database, order: str, expected: list[int]) -> None:
    found = ids(people, ("order", order))
    if order == "seen":  # two rows are equal in it
        found, expected = found[:2], expected[:2]
    assert found == expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([("height", "gt.2")], [2, 3]),
        ([("height", "eq.1.7")], [1]),
        ([("name", "is.null")], [4]),
        ([("name", "not.is.null"), ("here", "is.true")], [1]),
        ([("name", 'in.(ann,"say ""hi""")')], [1]),
        ([("name", "like.a*")], [1]),
        ([("or", '(name.eq."",id.gt.3)')], [2, 4]),
        ([("and", "(or(id.gt.2,id.eq.1),id.lt.4)")], [1, 3]),
        ([("or", "(id.eq.1,id.eq.2)"), ("or", "(id.eq.2,id.eq.3)")], [2]),
        ([("not.or", "(id.eq.1,id.eq.2)")], [3, 4]),
        ([("and", '(name.gt."ann",name.not.is.null)')], [3]),
        ([("or", '(name.eq."say \\"hi\\", (now)\\\\",id.eq.1)')], [1, 3]),
        ([("name", "neq.ann")], [2, 3]),  # a null is not unequal
    ],
)
def test_filters(people: Database, parameters: list[tuple[str, str]], expected: list[int]) -> None:
    assert ids(people, *parameters, ("order", "id")) == expected


def test_names_and_casts(people: Database) -> None:
    answer = get(people, ("select", 'who:name,"height",big:id::text'), ("id", "eq.1"))
    assert answer.body == b'[{"who":"ann","height":1.70,"big":"1"}]'


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ([("select", "a(b)")], "PGRST100"),
        ([("or", "id.eq.1")], "PGRST100"),
        ([("or", "(nonsense)")], "PGRST100"),
        ([("or", "(nope.eq.1)")], "42703"),
        ([("name", "is.x")], "PGRST100"),
        ([("height", "gt.tall")], "22P02"),
        ([("id", "eq.99999999999999999999")], "22P02"),
    ],
)
def test_unsupported_queries(people: Database, parameters: list[tuple[str, str]], code: str) -> None:
    answer = get(people, *parameters)
    assert answer.status == 400
    assert code.encode() in answer.body
