"""Publishes displays as outputs of the running cell, and records which cells show a client's panel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from IPython.core.getipython import get_ipython
from IPython.display import display

from . import fallback
from .view import describe

if TYPE_CHECKING:
    from ...auth import AuthClient


@dataclass
class Placement:
    """Which cells show a client, and what the last execution showed.

    Attributes:
        panel_cells: The cells that show its panel. When run again, they show it again.
        last_execution: The last execution that showed the panel or a line.
        showed_panel: Whether that execution showed the panel.
    """

    panel_cells: set[str] = field(default_factory=set)
    last_execution: str = ""
    showed_panel: bool = False


_placements: WeakKeyDictionary[AuthClient, Placement] = WeakKeyDictionary()


def placement_of(auth: AuthClient) -> Placement:
    """Which cells show this client."""
    return _placements.setdefault(auth, Placement())


def in_terminal() -> bool:
    """Whether this is IPython in a terminal, which can only show text."""
    from IPython.terminal.interactiveshell import TerminalInteractiveShell

    return isinstance(get_ipython(), TerminalInteractiveShell)


def publish_line(auth: AuthClient) -> None:
    """Publish one line about a client, for a terminal."""
    _publish({"text/plain": fallback.line(describe(auth), color=fallback.wants_color())})


def publish_widget(bundle: tuple[dict[str, Any], dict[str, Any]], plain: str, html: str) -> None:
    """Publish a snapshot, then a widget.

    The snapshot is for a saved notebook without a kernel. Its style sheet and the widget's make sure that
    only one of the two outputs is visible.
    """
    _publish({"text/plain": plain, "text/html": html})
    data, metadata = bundle
    _publish({**data, "text/plain": ""}, metadata)


def running_cell() -> tuple[str, str]:
    """Ids of the running cell and of this execution of it; empty if unknown."""
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
