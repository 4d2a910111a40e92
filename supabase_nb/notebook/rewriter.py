"""The widget without a view that changes a cell's text in the browser."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from .assets import read_esm


class CellRewriter(anywidget.AnyWidget):
    """Lets the browser carry out one rewriting, then closes.

    Args:
        cell_id: Which cell; ``None``: whichever the edits fit.
        edits: See `rewrite.edits_for`. They hold no token: traits are saved with notebooks.
    """

    _esm = read_esm("rewrite.mjs")

    cell = traitlets.Unicode(None, allow_none=True, read_only=True).tag(sync=True)
    edits: traitlets.List[Any] = traitlets.List(read_only=True).tag(sync=True)

    def __init__(self, cell_id: str | None, edits: list[dict[str, Any]]) -> None:
        self.set_trait("cell", cell_id)
        self.set_trait("edits", edits)
        super().__init__()
        self.on_msg(self._on_message)

        # Where no browser answers, the last few wait for one; more would only pile up.
        _open.append(self)
        for forgotten in _open[:-_AT_MOST]:
            forgotten.close()

    def _on_message(self, _: object, content: object, buffers: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the page's memory; harmless twice."""
        if self in _open:
            _open.remove(self)
            layout = self.layout
            super().close()
            layout.close()


_AT_MOST = 4
_open: list[CellRewriter] = []


def close_rewriters() -> None:
    """Close those that no browser has answered."""
    for rewriter in list(_open):
        rewriter.close()
