"""Displays a client: as a widget with a snapshot of it, or as one line in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .publishing import in_terminal, placement_of, publish_line, running_cell

if TYPE_CHECKING:
    from ...auth import AuthClient
    from .widgets import Kind


def show_panel(auth: AuthClient, *, open_form: bool = False, provider: str | None = None) -> None:
    """Show the panel, unless this execution has already shown it.

    Args:
        auth: The client.
        open_form: Open its form.
        provider: The provider that the form offers first.
    """
    placement = placement_of(auth)
    if in_terminal():
        publish_line(auth)
    elif not placement.showed_panel or placement.last_execution != running_cell()[1]:
        _show(auth, "token_entry" if open_form else "panel", open_form=open_form, provider=provider)
    elif open_form:
        from .widgets import display_of

        display_of(auth, "panel").open_form(provider)


def show_change(auth: AuthClient) -> None:
    """Show a magic's result: the panel, or one line if another cell already shows the panel."""
    placement = placement_of(auth)
    cell, execution = running_cell()
    if in_terminal():
        publish_line(auth)
    elif not placement.panel_cells or (
        cell in placement.panel_cells and placement.last_execution != execution
    ):
        _show(auth, "panel")
    elif placement.last_execution != execution:
        _show(auth, "line")
        placement.last_execution, placement.showed_panel = execution, False


def _show(auth: AuthClient, kind: Kind, *, open_form: bool = False, provider: str | None = None) -> None:
    # anywidget and ipywidgets are imported for the first display.
    from .widgets import display_of

    display_of(auth, kind).show(open_form=open_form, provider=provider)
