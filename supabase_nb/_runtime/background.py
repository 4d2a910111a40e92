"""Runs work in the background: in a daemon thread, or in a browser on the page's event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .environment import HAS_THREADS


def run_in_background(call: Callable[..., object], *args: Any, name: str) -> None:
    """Call a function in a daemon thread; in a browser, on the page's event loop when it is idle.

    Raises:
        RuntimeError: The interpreter is shutting down, or there are too many threads.
    """
    if HAS_THREADS:
        threading.Thread(target=call, args=args, name=name, daemon=True).start()
    else:
        from .threadless_loop import page_loop

        page_loop().call_soon(call, *args)
