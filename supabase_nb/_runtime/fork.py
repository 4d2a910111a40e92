"""Resets objects in a forked child process."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """An object with locks or threads, which are invalid after a fork."""

    def after_fork(self) -> None:
        """In a forked child: replace locks and threads."""


_objects: weakref.WeakSet[Forkable] = weakref.WeakSet()


def renew_after_fork(target: Forkable) -> None:
    """Call `target.after_fork()` in each forked child, while the object exists."""
    _objects.add(target)


def _in_child() -> None:
    for target in list(_objects):
        target.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
