"""A progress bar, for what takes longer than a second."""

from __future__ import annotations

import time
from typing import Any

_QUIET = 1.0


class Progress:
    """Counts rows, and shows them with tqdm once it takes long: a widget in notebooks, a line in terminals.

    Args:
        name: What is read.
        shown: Whether it may be shown.
    """

    pause = 0.1  # seconds between two looks

    def __init__(self, name: str, *, shown: bool) -> None:
        self._name, self._shown, self._begun = name, shown, time.monotonic()
        self._rows = self._total = 0
        self._bar: Any = None

    def begin(self, total: int) -> None:
        """So many rows there are."""
        self._total = total

    def restart(self) -> None:
        """It is read again."""
        self._rows = 0

    def add(self, rows: int) -> None:
        """So many more are there; called in any thread."""
        self._rows += rows

    def show(self) -> None:
        """Show it, if it takes long."""
        if self._bar is None and self._shown and time.monotonic() - self._begun > _QUIET:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                self._shown = False
                return
            self._bar = tqdm(total=self._total, desc=self._name, unit=" rows", leave=False)
        if self._bar is not None:
            self._bar.update(self._rows - self._bar.n)

    def end(self) -> None:
        """Take it away."""
        if self._bar is not None:
            self._bar.close()
