"""Showing a client where we are: a widget beside its snapshot, or one line in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from . import fallback
from .view import describe

if TYPE_CHECKING:
    from ..auth import AuthClient
    from .widgets import Display


def in_terminal() -> bool:
    """Whether this is IPython in a terminal: nothing but text is shown there."""
    from IPython.terminal.interactiveshell import TerminalInteractiveShell

    return isinstance(get_ipython(), TerminalInteractiveShell)


def show(auth: AuthClient, widget: Callable[[], Display]) -> None:
    """Show a client: the live display with a snapshot of it, or one line of text in a terminal.

    Two outputs. The first is the snapshot, which is what a saved notebook still has when nobody is behind it.
    The second is the widget; its style sheet and the snapshot's see to it that one of the two is seen.
    """
    view = describe(auth)
    if in_terminal():
        _publish({"text/plain": fallback.line(view, color=fallback.wants_color())})
        return
    publish(widget(), fallback.plain(view), fallback.html(view))


def publish(widget: Display, plain: str, html: str) -> None:
    """Show a widget behind its snapshot."""
    # First the news, which the browser keeps for the view that it is about to draw: while a cell runs it gets
    # no other answer, and what is on screen already would be drawn a second time.
    widget.push()
    _publish({"text/plain": plain, "text/html": html})
    data, metadata = widget.mimebundle()
    _publish({**data, "text/plain": ""}, metadata)


def _publish(data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
    display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
