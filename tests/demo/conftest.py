from __future__ import annotations

from collections.abc import Iterator

import pytest

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server


@pytest.fixture
def server() -> Iterator[DemoServer]:
    """A new server for each test."""
    with running_server() as running:
        yield running
