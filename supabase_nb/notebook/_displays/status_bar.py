"""Sends the state of this kernel's clients to the status bar: see labextension/static/status_bar.js.

The kernel uses a comm without opening it, so that front ends without our extension ignore its messages.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, TypedDict
from weakref import WeakValueDictionary

import comm

from ..text import word

if TYPE_CHECKING:
    from ...auth import AuthClient

#: The comm's name and id. A kernel has only one.
COMM_NAME = "supabase-nb.status-bar"
#: Of several clients, the one whose status comes first here is shown.
STATUS_PRIORITY = ("expired", "retrying", "signed_out", "restoring", "refreshing", "active")

_log = logging.getLogger("supabase_nb")


class StatusView(TypedDict):
    """The contents of the status bar, without the user's name. Empty text: hidden."""

    status: str
    text: str
    details: str


class StatusBar:
    """The status bar of a kernel."""

    def __init__(self) -> None:
        self._clients: WeakValueDictionary[str, AuthClient] = WeakValueDictionary()
        self._comm: Any = None
        self._lock = threading.Lock()

    def add(self, name: str, auth: AuthClient) -> None:
        """Show the client in the variable `name`, instead of a previous one."""
        self._clients[name] = auth
        auth.observe(self._send, ["status", "closed"])
        if self._comm is None:
            self._comm = comm.create_comm(target_name=COMM_NAME, comm_id=COMM_NAME, primary=False)
            self._comm.on_msg(self._send)  # a reloaded page
            comm.get_comm_manager().register_comm(self._comm)
        self._send()

    def clear(self) -> None:
        """Clear the status bar."""
        self._clients.clear()
        self._send()

    def _send(self, _: object = None) -> None:
        try:
            with self._lock:  # in order, from any thread that changes a status
                view = status_view(
                    {name: auth.status for name, auth in self._clients.items() if not auth.closed}
                )
                self._comm.send(view)
        except Exception:  # noqa: BLE001 - the session is more important than a status bar
            _log.debug("the status bar could not be updated", exc_info=True)


def status_view(statuses: dict[str, str]) -> StatusView:
    """What to show for the clients in these variables."""
    names = sorted(statuses, key=lambda name: STATUS_PRIORITY.index(statuses[name]))
    if not names:
        return {"status": "", "text": "", "details": ""}
    details = [f"{name}: {word(f'status.{statuses[name]}')}" for name in names]
    status = statuses[names[0]]
    key = "status_bar.one" if len(names) == 1 else "status_bar.several"
    text = word(key, status=word(f"status.{status}"), count=len(names))
    return {"status": status, "text": text, "details": "\n".join(details)}


status_bar = StatusBar()
