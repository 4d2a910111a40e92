"""Empty frames: no rows, no match for the filters, or no permission, as far as the server reveals it."""

from __future__ import annotations

import warnings

import pytest
from tables import NUMBERS, Api

from supabase_nb import Client, DataWarning, MemoryStorage
from supabase_nb.demo import DemoServer


def client(server: DemoServer, email: str | None = None) -> Client:
    made = Client(server.url, server.anon_key, storage=MemoryStorage())
    if email:
        given = server.sign_in(email)
        made.auth.set_session(given["access_token"], given["refresh_token"])
    return made


def test_not_signed_in(server: DemoServer) -> None:
    with client(server) as supabase, pytest.warns(DataWarning, match="you aren't signed in") as caught:
        frame = supabase.frame(supabase.table("trips").select("day, km"))
    assert caught[0].filename == __file__
    assert list(frame.columns) == ["day", "km"]
    assert "you aren't signed in" in frame.attrs["supabase"]["note"]


def test_signed_in_and_no_row_is_visible(server: DemoServer) -> None:
    with client(server, "alan@example.com") as supabase:
        with pytest.warns(
            DataWarning, match=r"alan@example\.com may read: it is empty, or no Row Level Security policy"
        ):
            supabase.frame("readings")
        with pytest.warns(DataWarning, match="no Row Level Security policy"):  # not even without the filter
            supabase.frame(supabase.table("readings").select("*").eq("rain", True))


def test_the_filters_match_nothing(server: DemoServer) -> None:
    with client(server, "ada@example.com") as supabase, warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = supabase.frame(supabase.table("trips").select("*").gt("km", 10_000))
    assert (len(frame), list(frame.columns)[:2]) == (0, ["id", "user_id"])
    said = "Of the 3 rows that ada@example.com may read, none match the filters."
    assert frame.attrs["supabase"]["note"] == said


def test_a_secret_key_sees_all_there_is(server: DemoServer) -> None:
    with (
        Client(server.url, server.service_key, storage=MemoryStorage(), allow_secret_key=True) as supabase,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        assert len(supabase.frame("readings")) == 26_000
        assert len(supabase.frame(supabase.table("trips").select("*").lt("km", 0))) == 0


def test_a_table_without_read_permission(api: Api, supabase: Client) -> None:
    """That is another thing than no rows, and an error."""
    from dataclasses import replace

    from postgrest.exceptions import APIError

    api.create(replace(NUMBERS, anon=False), [(1, "x")])
    with pytest.raises(APIError, match="permission denied") as caught:
        supabase.frame("numbers")
    assert caught.value.code == "42501"
    assert "You aren't signed in" in str(caught.value.hint)
