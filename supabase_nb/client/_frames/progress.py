"""A progress bar, shown after a second."""

from __future__ import annotations

import time
from typing import Any

_QUIET = 1.0


class Progress:
    """Counts rows, and shows a tqdm bar after a second: a widget in notebooks, a line in terminals.

    Args:
        name: The name of the table.
        shown: Whether to show the bar.
    """

    pause = 0.1  # seconds between checks

    def __init__(self, name: str, *, shown: bool) -> None:
        self._name, self._shown, self._begun = name, shown, time.monotonic()
        self._rows = self._total = 0
        self._bar: Any = None

    def begin(self, total: int) -> None:
        """Set the total number of rows."""
        self._total = total

    def restart(self) -> None:
        """Start again from zero."""
        self._rows = 0

    def add(self, rows: int) -> None:
        """Count more rows. Called in any thread."""
        self._rows += rows

    def show(self) -> None:
        """Show or update the bar, after a second."""
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
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
