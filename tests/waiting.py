"""Waiting for a condition, with a limit, so that a test fails instead of hanging."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any


def wait_until(happened: Callable[[], object], timeout: float = 20.0) -> None:
    end = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        threading.Event().wait(0.02)


def kill(child: Any) -> None:
    """End what pexpect started. Its own `close` gives a process a tenth of a second to go."""
    child.kill(signal.SIGKILL)
    child.wait()
    child.close()
