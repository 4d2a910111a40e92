"""Displays a client: as a widget with a snapshot of it, or as one line in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .publishing import in_terminal, publish_line, running_cell, where_shown

if TYPE_CHECKING:
    from ..auth import AuthClient
    from .widgets import Kind


def show_panel(auth: AuthClient, *, open_form: bool = False, provider: str | None = None) -> None:
    """Show the panel, unless this execution has already shown it.

    Args:
        auth: The client.
        open_form: Open its form.
        provider: The provider that the form offers first.
    """
    shown = where_shown(auth)
    if in_terminal():
        publish_line(auth)
    elif not shown.whole or shown.run != running_cell()[1]:
        _show(auth, "token_entry" if open_form else "panel", open_form=open_form, provider=provider)
    elif open_form:
        from .widgets import display_of

        display_of(auth, "panel").open_form(provider)


def show_change(auth: AuthClient) -> None:
    """Show a magic's result: the panel, or one line if another cell already shows the panel."""
    shown = where_shown(auth)
    cell, run = running_cell()
    if in_terminal():
        publish_line(auth)
    elif not shown.cells or (cell in shown.cells and shown.run != run):
        _show(auth, "panel")
    elif shown.run != run:
        _show(auth, "line")
        shown.run, shown.whole = run, False


def _show(auth: AuthClient, kind: Kind, *, open_form: bool = False, provider: str | None = None) -> None:
    # anywidget and ipywidgets are imported for the first display.
    from .widgets import display_of

    display_of(auth, kind).show(open_form=open_form, provider=provider)
