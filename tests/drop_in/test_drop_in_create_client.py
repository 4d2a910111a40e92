"""`create_client` accepts the same arguments as supabase-py's, including `ClientOptions`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import made
import pytest
from waiting import wait_until

from supabase_nb import AuthError, Client, ClientOptions, FileStorage, MemoryStorage, create_client
from supabase_nb.storage import default_storage

supabase: Any = pytest.importorskip("supabase")
URL, KEY = "https://abcd.supabase.co", "sb_publishable_abc"


@pytest.fixture
def make() -> Iterator[Callable[..., Client]]:
    made_clients = []

    def create(*args: Any, **options: Any) -> Client:
        client = create_client(*args, **options)
        made_clients.append(client)
        return client

    yield create
    for client in made_clients:
        client.close()


def test_names_of_supabase_py(make: Callable[..., Client]) -> None:
    client = make(supabase_url=URL, supabase_key=KEY)
    assert (client.url, client.key) == (client.supabase_url, client.supabase_key) == (URL, KEY)
    assert make(URL, supabase_key=KEY).key == KEY


CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "no URL": ({"supabase_key": KEY}, "not a project's URL"),
    "no key": ({"supabase_url": URL}, "key is missing"),
    "both names": ({"url": URL, "supabase_url": URL, "key": KEY}, "Pass either url or supabase_url"),
    "a dictionary": ({"url": URL, "key": KEY, "options": {"schema": "x"}}, r"ClientOptions\(schema="),
}


@pytest.mark.parametrize("name", CALLS)
def test_options_that_cannot_be_used_are_refused(name: str) -> None:
    options, says = CALLS[name]
    with pytest.raises((TypeError, AuthError), match=says) as refused:
        create_client(**options)
    assert KEY not in str(refused.value)


THEIRS: dict[str, Callable[..., Any]] = {"ours": ClientOptions, "theirs": supabase.ClientOptions}


@pytest.fixture(params=THEIRS)
def options(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Their class of options, and ours."""
    return THEIRS[request.param]


def test_a_session_is_stored_unless_options_say_otherwise(
    make: Callable[..., Client], options: Callable[..., Any]
) -> None:
    assert isinstance(make(URL, KEY, options()).auth.storage, type(default_storage()))
    assert isinstance(make(URL, KEY, options(persist_session=False)).auth.storage, MemoryStorage)


def test_a_storage_of_ours_in_their_options(
    make: Callable[..., Client], options: Callable[..., Any], tmp_path: Path
) -> None:
    storage = FileStorage(tmp_path)
    assert make(URL, KEY, options=options(storage=storage)).auth.storage is storage


def test_schema_and_headers_of_options(make: Callable[..., Client], options: Callable[..., Any]) -> None:
    answers = made.Answers(**{"GET /rest/v1/trips": [], "POST /auth/v1/token": made.session()})
    headers = {**options().headers, "x-team": "maps"}
    given = options(schema="private", headers=headers, persist_session=False)
    client = make(URL, KEY, given, transport=answers)
    client.table("trips").select("*").execute()
    client.auth.sign_in_with_password({"email": "a@b.c", "password": "pw"})
    data, auth = answers.asked
    assert data.headers["accept-profile"] == "private"
    assert [request.headers["x-team"] for request in (data, auth)] == ["maps", "maps"]
    assert "supabase-py" not in auth.headers.get("x-client-info", "")


def test_auto_refresh_of_options(make: Callable[..., Client], options: Callable[..., Any]) -> None:
    now = int(time.time())
    due = made.jwt(iat=now - 3590, exp=now + 10)
    asked = {}
    for on in (False, True):
        asked[on] = made.Answers(**{"GET /auth/v1/user": made.user(), "POST /auth/v1/token": made.session()})
        given = options(auto_refresh_token=on, persist_session=False)
        make(URL, KEY, given, transport=asked[on]).auth.set_session(due, "abcdefghijkl")
    wait_until(lambda: asked[True].count("POST /auth/v1/token"))
    assert asked[False].count("POST /auth/v1/token") == 0


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "implicit": (lambda kind: kind(flow_type="implicit"), "flow_type"),
    "authorization": (lambda kind: kind(headers={"authorization": "Bearer planted"}), "set_auth"),
    "storage": (lambda kind: kind(storage=object()), "SessionStorage"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_with_another_meaning_here_are_refused(name: str, options: Callable[..., Any]) -> None:
    make_options, says = REFUSED[name]
    with pytest.raises(TypeError, match=says) as refused:
        create_client(URL, KEY, make_options(options))
    assert "planted" not in str(refused.value)


def test_options_that_we_do_not_have_are_refused_when_they_are_set() -> None:
    with httpx.Client() as http, pytest.raises(TypeError, match="httpx_client"):
        create_client(URL, KEY, supabase.ClientOptions(httpx_client=http))
    with pytest.raises(TypeError, match="postgrest_client_timeout"):
        create_client(URL, KEY, supabase.ClientOptions(postgrest_client_timeout=5))
