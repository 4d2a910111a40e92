"""What all our widgets have in common: how they are published, and how they leave a page."""

from __future__ import annotations

from typing import Any

import anywidget


class BaseWidget(anywidget.AnyWidget):
    """A widget that `publish_widget` shows."""

    def mimebundle(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What shows this widget in a front end, as data and metadata."""
        data, metadata = self._repr_mimebundle_() or ({}, {})
        return data, metadata

    def close(self) -> None:
        """Leave every page, with the layout that each widget has; can be called repeatedly."""
        layout = self.layout
        super().close()
        if layout is not None:
            layout.close()
