"""Detects Binder, whose machines are shared and temporary."""

from __future__ import annotations

import os
from collections.abc import Mapping

#: Environment variables that are set there, by Kubernetes and by BinderHub.
_MARKS = ("BINDER_SERVICE_HOST", "BINDER_LAUNCH_HOST")


def on_binder(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this process runs on Binder.

    Args:
        environ: The environment; by default the process's.
    """
    environ = os.environ if environ is None else environ
    return any(environ.get(mark) for mark in _MARKS)
