"""The error of a magic that was called incorrectly."""

from __future__ import annotations

from IPython.core.error import UsageError


class SupabaseUsageError(UsageError):
    """A magic was called incorrectly. The message says what to write instead."""

    def _render_traceback_(self, *_: object) -> list[str]:
        # IPython hides the traceback only of UsageError itself, not of subclasses.
        return [f"UsageError: {self}"]
