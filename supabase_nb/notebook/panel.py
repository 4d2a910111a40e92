"""Shows a client: the live display, with a snapshot for saved notebooks; in a terminal, a line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .show import show

if TYPE_CHECKING:
    from ..auth import AuthClient
    from .widgets import Display


def show_panel(auth: AuthClient) -> None:
    """Show a client's panel."""

    def panel() -> Display:
        from .widgets import display_of  # not in a terminal: widgets take a while to import

        return display_of(auth, "panel")

    show(auth, panel)
