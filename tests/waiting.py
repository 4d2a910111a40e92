"""Waiting for what happens by itself; bounded, so that a test fails instead of hanging."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_until(happened: Callable[[], object], timeout: float = 20.0) -> None:
    end = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        threading.Event().wait(0.02)
