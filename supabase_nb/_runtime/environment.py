"""Where the code runs: in a browser, or on Binder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

#: Whether this is Python in a browser (Pyodide), without threads, processes or sockets.
IN_BROWSER = sys.platform == "emscripten"
HAS_THREADS = not IN_BROWSER

#: Environment variables that are set there, by Kubernetes and by BinderHub.
_MARKS = ("BINDER_SERVICE_HOST", "BINDER_LAUNCH_HOST")


def on_binder(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this process runs on Binder.

    Args:
        environ: The environment; by default the process's.
    """
    environ = os.environ if environ is None else environ
    return any(environ.get(mark) for mark in _MARKS)
