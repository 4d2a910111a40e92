"""Showing a client where we are: a widget beside its snapshot, or one line in a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from IPython.core.getipython import get_ipython
from IPython.display import display

from . import fallback
from .notice import form_listeners
from .view import describe

if TYPE_CHECKING:
    from ..auth import AuthClient
    from .widgets import Kind


@dataclass
class _Shown:
    """Where a client was shown.

    Attributes:
        cells: The cells that show its panel. Run again, they show it again.
        run: The run of a cell that showed the panel, or one line, last.
        whole: Whether that run showed the panel.
    """

    cells: set[str] = field(default_factory=set)
    run: str = ""
    whole: bool = False


_shown: WeakKeyDictionary[AuthClient, _Shown] = WeakKeyDictionary()


def in_terminal() -> bool:
    """Whether this is IPython in a terminal: nothing but text is shown there."""
    from IPython.terminal.interactiveshell import TerminalInteractiveShell

    return isinstance(get_ipython(), TerminalInteractiveShell)


def show(
    auth: AuthClient, kind: Kind = "panel", *, open_form: bool = False, provider: str | None = None
) -> None:
    """Show a client: the live display with a snapshot of it, or one line of text in a terminal.

    Two outputs. The first is the snapshot, which is what a saved notebook still shows without a kernel.
    The second is the widget; its style sheet and the snapshot's see to it that one of the two is seen.
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
    # First the news, which the browser keeps for the view that it is about to draw: while a cell runs it gets
    # no other answer, and what is on screen already would be drawn a second time.
    widget.push()
    if open_form:
        widget.open_form(provider)
    one_line = kind in ("badge", "line")
    publish_widget(widget.mimebundle(), fallback.plain(view), fallback.html(view, one_line=one_line))
    if open_form:
        for listener in list(form_listeners):
            listener()


def publish_widget(bundle: tuple[dict[str, Any], dict[str, Any]], plain: str, html: str) -> None:
    """Publish a snapshot, and then what shows a widget, as data and metadata."""
    _publish({"text/plain": plain, "text/html": html})
    data, metadata = bundle
    _publish({**data, "text/plain": ""}, metadata)


def show_panel(auth: AuthClient, *, open_form: bool = False, provider: str | None = None) -> None:
    """Show the panel, unless this run of the cell has shown it: it is live, and follows."""
    shown = _shown.get(auth, _Shown())
    if in_terminal() or not shown.whole or shown.run != _here()[1]:
        show(auth, "token_entry" if open_form else "panel", open_form=open_form, provider=provider)
    elif open_form:
        from .widgets import display_of

        display_of(auth, "panel").open_form(provider)


def show_change(auth: AuthClient) -> None:
    """Show what a magic has changed: the panel, or one line where another cell shows the panel already."""
    shown = _shown.get(auth, _Shown())
    cell, run = _here()
    if in_terminal() or not shown.cells or (cell in shown.cells and shown.run != run):
        show(auth)
    elif shown.run != run:
        show(auth, "line")
        shown.run, shown.whole = run, False


def _here() -> tuple[str, str]:
    """The cell that runs, and this run of it, as far as they can be told apart."""
    shell: Any = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return ("", "") if shell is None else (str(shell.execution_count),) * 2
    request = kernel.get_parent()
    run = str(request.get("header", {}).get("msg_id"))
    # Front ends name the cell. Where they don't, its code tells it from others.
    code = request.get("content", {}).get("code")
    return str(request.get("metadata", {}).get("cellId") or hash(code)), run


def _publish(data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
    display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
