"""The embedded auth server in its own process, so that its log file can be searched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from supabase_nb.demo import DemoServer
from supabase_nb.demo.server_process import ensure_server, stop_server


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    folder = tmp_path_factory.mktemp("demo-server")
    # Ends by itself, too, should the tests be killed.
    yield ensure_server(folder, idle_timeout=900)
    stop_server(folder)
