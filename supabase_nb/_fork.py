"""What a forked child must do before it uses an object of its parent's."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """An object with locks or threads that a fork would leave in a wrong state."""

    def after_fork(self) -> None:
        """In the child: renew what the parent's threads had locked."""


_objects: weakref.WeakSet[Forkable] = weakref.WeakSet()


def renew_after_fork(target: Forkable) -> None:
    """Call `target.after_fork()` in each forked child, as long as the object lives."""
    _objects.add(target)


def _in_child() -> None:
    for target in list(_objects):
        target.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
