"""``/rest/v1/trips``: rows that depend on the user, with PostgREST's Python client and with plain requests."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from supabase_nb.demo import DemoServer


def get(server: DemoServer, query: str = "", token: str | None = None, **headers: str) -> httpx.Response:
    headers = {"apikey": server.anon_key, **headers}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return httpx.get(f"{server.url}/rest/v1/trips{query}", headers=headers)


def test_each_user_sees_their_own(supabase_auth_server: DemoServer) -> None:
    server = supabase_auth_server
    seen = {}
    for name in ("ada", "grace", "alan"):
        session = server.sign_in(f"{name}@example.com")
        rows = get(server, token=session["access_token"]).json()
        assert {row["user_id"] for row in rows} == {session["user"]["id"]}
        seen[name] = len(rows)
    assert seen == {"ada": 3, "grace": 3, "alan": 2}
    assert len(get(server, token=server.service_key).json()) == 8
    assert get(server).json() == get(server, token=server.anon_key).json() == []
    stranger = server.request("POST", "/auth/v1/signup", {})
    assert get(server, token=stranger["access_token"]).json() == []


@pytest.mark.parametrize(
    ("query", "starts"),
    [
        ("?select=start", ["London", "Turin", "Geneva"]),
        ("?order=km", ["Turin", "Geneva", "London"]),
        ("?order=km.desc", ["London", "Geneva", "Turin"]),
        ("?order=day.desc&limit=1", ["Geneva"]),
        ("?limit=1&offset=1", ["Turin"]),
        ("?destination=eq.Turin", ["London"]),
        ("?km=gt.200", ["London", "Geneva"]),
        ("?km=not.gt.200", ["Turin"]),
        ("?start=in.(Turin,Geneva)", ["Turin", "Geneva"]),
        ("?km=gte.171&km=lt.914", ["Turin", "Geneva"]),
    ],
)
def test_queries(supabase_auth_server: DemoServer, query: str, starts: list[str]) -> None:
    token = supabase_auth_server.sign_in()["access_token"]
    assert [row["start"] for row in get(supabase_auth_server, query, token).json()] == starts


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?select=nope", 400, "42703"),
        ("?order=nope", 400, "42703"),
        ("?nope=eq.1", 400, "42703"),
        ("?km=1", 400, "PGRST100"),
        ("?km=eq.x", 400, "22P02"),
        ("?limit=x", 400, "PGRST100"),
    ],
)
def test_bad_queries(supabase_auth_server: DemoServer, query: str, status: int, code: str) -> None:
    token = supabase_auth_server.sign_in()["access_token"]
    answer = get(supabase_auth_server, query, token)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_bad_token_is_rejected(server: DemoServer) -> None:
    token = server.sign_in()["access_token"]
    answer = get(server, token=token[:-4] + "AAAA")
    assert (answer.status_code, answer.json()["code"]) == (401, "PGRST301")
    server.expire()
    answer = get(server, token=token)
    assert (answer.status_code, answer.json()["message"]) == (401, "JWT expired")


def test_the_token_is_all_that_counts(server: DemoServer) -> None:
    """As at a project: a signed-out session's access token reads data until it expires."""
    token = server.sign_in()["access_token"]
    server.request("POST", "/auth/v1/logout", token=token)
    assert len(get(server, token=token).json()) == 3


def test_it_is_read_only_and_the_only_table(supabase_auth_server: DemoServer) -> None:
    server = supabase_auth_server
    headers = {"apikey": server.anon_key, "Authorization": f"Bearer {server.sign_in()['access_token']}"}
    answer = httpx.post(f"{server.url}/rest/v1/trips", json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    answer = httpx.get(f"{server.url}/rest/v1/cars", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "PGRST205")


def test_with_supabases_own_client(supabase_auth_server: DemoServer) -> None:
    postgrest: Any = pytest.importorskip("postgrest")
    server = supabase_auth_server
    token = server.sign_in()["access_token"]
    headers = {"apikey": server.anon_key, "Authorization": f"Bearer {token}"}
    with httpx.Client(headers=headers) as http:
        client = postgrest.SyncPostgrestClient(f"{server.url}/rest/v1", headers=headers, http_client=http)
        trips = client.table("trips")
        assert len(trips.select("*").execute().data) == 3
        counted = trips.select("start", count="exact").order("km", desc=True).limit(2).execute()
        assert (counted.count, [row["start"] for row in counted.data]) == (3, ["London", "Geneva"])
        assert trips.select("*").eq("destination", "Turin").single().execute().data["km"] == 914
        with pytest.raises(postgrest.exceptions.APIError, match="Cannot coerce"):
            trips.select("*").single().execute()
