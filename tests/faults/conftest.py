from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from faults.kernel_process import KernelProcess

from supabase_nb.demo import DemoServer


@pytest.fixture
def start_kernel(server: DemoServer, tmp_path: Path) -> Iterator[Callable[..., KernelProcess]]:
    """Starts kernels as processes that share a storage."""
    with ExitStack() as stack:

        def start(url: str | None = None, **options: Any) -> KernelProcess:
            return stack.enter_context(
                KernelProcess(url or server.auth_url, tmp_path / "sessions", **options)
            )

        yield start
