"""Displays a client: a widget with its snapshot, or one line in a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from IPython.core.getipython import get_ipython
from IPython.display import display

from . import fallback
from .cell_notice import form_listeners
from .view import describe

if TYPE_CHECKING:
    from ..auth import AuthClient
    from .widgets import Kind


@dataclass
class _Shown:
    """Where a client was shown.

    Attributes:
        cells: The cells that show its panel. When run again, they show it again.
        run: The last execution that showed the panel or a line.
        whole: Whether that execution showed the panel.
    """

    cells: set[str] = field(default_factory=set)
    run: str = ""
    whole: bool = False


_shown: WeakKeyDictionary[AuthClient, _Shown] = WeakKeyDictionary()


def in_terminal() -> bool:
    """Whether this is IPython in a terminal, which can only show text."""
    from IPython.terminal.interactiveshell import TerminalInteractiveShell

    return isinstance(get_ipython(), TerminalInteractiveShell)


def show(
    auth: AuthClient, kind: Kind = "panel", *, open_form: bool = False, provider: str | None = None
) -> None:
    """Show a client: the live display with a snapshot of it, or one line of text in a terminal.

    This makes two outputs: the snapshot, for a saved notebook without a kernel, and the widget. Their style
    sheets make sure that only one of them is visible.
    """
    view = describe(auth)
    if in_terminal():
        _publish({"text/plain": fallback.line(view, color=fallback.wants_color())})
        return
    from .widgets import display_of

    if kind in ("panel", "token_entry"):
        cell, run = _here()
        shown = _shown.setdefault(auth, _Shown())
        shown.cells.add(cell)
        shown.run, shown.whole = run, True
    widget = display_of(auth, kind)
    # Send the state first, because while a cell is running the browser can't request it. It keeps the state
    # for
    # the view that it is about to draw, and doesn't redraw existing views.
    widget.push()
    if open_form:
        widget.open_form(provider)
    one_line = kind in ("badge", "line")
    publish_widget(widget.mimebundle(), fallback.plain(view), fallback.html(view, one_line=one_line))
    if open_form:
        for listener in list(form_listeners):
            listener()


def publish_widget(bundle: tuple[dict[str, Any], dict[str, Any]], plain: str, html: str) -> None:
    """Publish a snapshot, then a widget."""
    _publish({"text/plain": plain, "text/html": html})
    data, metadata = bundle
    _publish({**data, "text/plain": ""}, metadata)


def show_panel(auth: AuthClient, *, open_form: bool = False, provider: str | None = None) -> None:
    """Show the panel, unless this execution has already shown it."""
    shown = _shown.get(auth, _Shown())
    if in_terminal() or not shown.whole or shown.run != _here()[1]:
        show(auth, "token_entry" if open_form else "panel", open_form=open_form, provider=provider)
    elif open_form:
        from .widgets import display_of

        display_of(auth, "panel").open_form(provider)


def show_change(auth: AuthClient) -> None:
    """Show a magic's result: the panel, or one line if another cell already shows the panel."""
    shown = _shown.get(auth, _Shown())
    cell, run = _here()
    if in_terminal() or not shown.cells or (cell in shown.cells and shown.run != run):
        show(auth)
    elif shown.run != run:
        show(auth, "line")
        shown.run, shown.whole = run, False


def _here() -> tuple[str, str]:
    """The running cell, and this execution of it, as far as they can be identified."""
    shell: Any = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return ("", "") if shell is None else (str(shell.execution_count),) * 2
    request = kernel.get_parent()
    run = str(request.get("header", {}).get("msg_id"))
    # If the front end doesn't send the cell's id, use its code.
    code = request.get("content", {}).get("code")
    return str(request.get("metadata", {}).get("cellId") or hash(code)), run


def _publish(data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
    display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
