"""Rewriting a cell in the browser, so that no token stays in it or in the file that it is saved to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .literals import Literal, pattern, rewritten

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

logger = logging.getLogger("supabase_nb")


def edits_for(cell: str, literals: Sequence[Literal]) -> list[dict[str, Any]]:
    """What the browser has to change: where, what stands there (a pattern, no token), what is to stand there.

    Positions count UTF-16 units, as JavaScript does.
    """
    secrets = [literal.value for literal in literals]
    spans = [(cell[literal.start : literal.end], literal) for literal in literals]
    # What is written may differ from the value (escapes): then all of the literal is a secret.
    secrets += [
        literal.value.__class__(text) for text, literal in spans if literal.value.reveal() not in text
    ]
    return [
        {
            "start": _units(cell[:start]),
            "end": _units(cell[:end]),
            "pattern": pattern(cell[start:end], secrets),
            "text": text,
        }
        for start, end, text in rewritten(cell, list(literals))
    ]


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def rewrite_cell(
    shell: InteractiveShell, cell: str, literals: Sequence[Literal], *, cell_id: str | None, running: bool
) -> None:
    """Take the literals out of the cell that people see.

    Two ways at once. A widget without a view changes the cell through JupyterLab's model, failed cells too,
    and clears their undo. `set_next_input` does it where there are no widgets, if the cell succeeds.

    Args:
        shell: The shell; in a terminal there is no cell.
        cell: The cell's text, as it was written.
        literals: The tokens in it.
        cell_id: Which cell, if that is known.
        running: Whether this is the cell that runs.
    """
    if getattr(shell, "kernel", None) is None:
        return
    if running:
        new = cell
        for start, end, text in reversed(rewritten(cell, list(literals))):
            new = new[:start] + text + new[end:]
        shell.set_next_input(new, replace=True)
    try:
        from .rewriter import CellRewriter

        CellRewriter(cell_id, edits_for(cell, literals))
    except Exception as error:  # noqa: BLE001 - a broken widget stack must not keep the cell from running
        logger.debug("no widget to rewrite the cell with: %s", type(error).__name__)
