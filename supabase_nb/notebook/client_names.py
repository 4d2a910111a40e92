"""The names of the variables that hold clients. Displays show them if there are several."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from IPython.core.getipython import get_ipython

from .calling_scope import DEFAULT_NAME

if TYPE_CHECKING:
    from ..auth import AuthClient
    from ..client import Client
    from .client import Displays


def name_of(auth: AuthClient) -> str | None:
    """The variable that holds this client, if there are several clients or it isn't the default name."""
    names: dict[int, str] = {}
    for name, client in _clients():
        if client.auth is auth or not client.auth.closed:
            names.setdefault(id(client.auth), name)
    if id(auth) not in names:
        return None
    name = names[id(auth)]
    return name if len(names) > 1 or name != DEFAULT_NAME else None


def _clients() -> Iterator[tuple[str, Client | Displays]]:
    """The notebook's clients, by variable."""
    shell = get_ipython()
    if shell is None or "supabase_nb.notebook.client" not in sys.modules:
        return
    from ..client import Client
    from .client import Displays

    for name, value in list(shell.user_ns.items()):
        if isinstance(value, (Client, Displays)) and not name.startswith("_"):
            yield name, value
