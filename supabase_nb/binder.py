"""Binder: a machine that is lent for an hour or two, by strangers, and forgets everything."""

from __future__ import annotations

import os
from collections.abc import Mapping

#: What is set there: the first by Kubernetes, the second by BinderHub.
_MARKS = ("BINDER_SERVICE_HOST", "BINDER_LAUNCH_HOST")


def on_binder(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this process runs on Binder.

    Args:
        environ: The environment; by default the process's.
    """
    environ = os.environ if environ is None else environ
    return any(environ.get(mark) for mark in _MARKS)
