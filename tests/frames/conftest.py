"""A client of a test project."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tables import KEY, URL, Api

from supabase_nb import Client, MemoryStorage


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.database.close()


@pytest.fixture
def supabase(api: Api) -> Iterator[Client]:
    with Client(URL, KEY, storage=MemoryStorage(), transport=api) as client:
        yield client
