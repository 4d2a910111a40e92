"""The base class of our widgets: publishing them, and removing them from pages."""

from __future__ import annotations

from typing import Any

import anywidget


class BaseWidget(anywidget.AnyWidget):
    """A widget that `publish_widget` shows."""

    def mimebundle(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The data and metadata that display this widget in a front end."""
        data, metadata = self._repr_mimebundle_() or ({}, {})
        return data, metadata

    def close(self) -> None:
        """Close the widget and its layout. Can be called repeatedly."""
        layout = self.layout
        super().close()
        if layout is not None:
            layout.close()
