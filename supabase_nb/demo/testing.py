"""A demo server for tests: in a thread, on a free port, with a temporary state folder."""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ._project.options import Options
from .server_handle import DemoServer


@contextmanager
def running_server(state_dir: Path | None = None, **options: Any) -> Iterator[DemoServer]:
    """Run a server during a ``with`` block.

    Args:
        state_dir: The state folder; by default a temporary one that is removed at the end.
        **options: Fields of `Options`, such as ``access_token_lifetime=5``.

    Raises:
        TypeError: An unknown option.
    """
    from ._server.run import serve

    chosen = Options(**options)
    said: queue.SimpleQueue[tuple[DemoServer, Callable[[], None]] | BaseException] = queue.SimpleQueue()

    def run(folder: Path) -> None:
        try:
            serve(chosen, folder, lambda server, stop: said.put((server, stop)))
        except BaseException as error:  # noqa: BLE001 - the starting thread raises it
            said.put(error)

    with tempfile.TemporaryDirectory(prefix="supabase-nb-") as temporary:
        folder = state_dir or Path(temporary) / "demo"
        thread = threading.Thread(target=run, args=[folder], name="supabase-nb-demo", daemon=True)
        thread.start()
        outcome = said.get(timeout=30)
        if isinstance(outcome, BaseException):
            raise outcome
        server, stop = outcome
        try:
            yield server
        finally:
            stop()
            thread.join(10)
