"""A warning if a response was cut off, and only then."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from tables import Api

from supabase_nb import Client, DataWarning


def warned(call: Any) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return caught


def test_an_answer_with_as_many_rows_as_the_server_sends(api: Api, supabase: Client) -> None:
    api.numbers(1_001)
    query = supabase.table("numbers").select("*")
    with pytest.warns(DataWarning, match=r"supabase\.frame\(query\)") as caught:
        found = query.execute()
    assert caught[0].filename == __file__
    assert len(found.data) == 1_000
    assert found.data[0] == {"id": 0, "name": "number 0"}
    assert warned(query.execute) == []  # once is enough


def test_once_for_each_table(api: Api, supabase: Client) -> None:
    from supabase_nb.demo._project.filters import Table

    api.numbers(1_000)
    api.create(Table("others", api.database._tables["numbers"].columns), [(n, "") for n in range(1_000)])
    assert len(warned(supabase.table("numbers").select("*").execute)) == 1
    assert len(warned(supabase.table("others").select("*").execute)) == 1


def test_a_count_tells_how_many_are_missing(api: Api, supabase: Client) -> None:
    api.numbers(2_500)
    query: Any = supabase.table("numbers").select("*", count="exact")  # type: ignore[arg-type]
    with pytest.warns(DataWarning, match="1,000 rows of 2,500"):
        query.execute()


def test_no_warning_where_nothing_was_cut_off(api: Api, supabase: Client) -> None:
    api.numbers(1_000)
    counted: Any = supabase.table("numbers").select("*", count="exact")  # type: ignore[arg-type]
    assert warned(counted.execute) == []
    numbers = supabase.table("numbers")
    assert warned(numbers.select("*").limit(1_000).execute) == []
    assert warned(numbers.select("*").range(0, 999).execute) == []
    assert warned(numbers.select("*").lt("id", 1_998).execute) == []
    assert warned(numbers.select("*", head=True).execute) == []
    assert warned(lambda: supabase.frame("numbers")) == []
    assert warned(lambda: supabase.http.get("/rest/v1/numbers", headers={"range": "0-999"})) == []


def test_a_limit_above_the_maximum(api: Api, supabase: Client) -> None:
    api.numbers(3_000)
    with pytest.warns(DataWarning, match="may be more"):
        supabase.table("numbers").select("*").limit(2_000).execute()


def test_the_maximum_is_learnt(api: Api, supabase: Client) -> None:
    api.database.max_rows = 300
    api.numbers(1_000)
    assert warned(supabase.table("numbers").select("*").execute) == []
    supabase.frame("numbers")
    with pytest.warns(DataWarning, match="300 rows"):
        supabase.table("numbers").select("*").execute()
