"""Which variable of the notebook holds a client: displays say so where it isn't plain."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from IPython.core.getipython import get_ipython

if TYPE_CHECKING:
    from ..auth import AuthClient

#: The variable that `%supabase_connect` fills when no --name is given.
DEFAULT_NAME = "supabase"


def name_of(auth: AuthClient) -> str | None:
    """The variable that holds this client, if there are several clients or it has a name of its own."""
    shell = get_ipython()
    if shell is None or "supabase_nb.notebook.client" not in sys.modules:
        return None
    from ..client import Client
    from .client import Displays

    names: dict[int, str] = {}
    for name, value in list(shell.user_ns.items()):
        if name.startswith("_") or not isinstance(value, (Client, Displays)):
            continue
        if value.auth is auth or not value.auth.closed:
            names.setdefault(id(value.auth), name)
    if id(auth) not in names:
        return None
    name = names[id(auth)]
    return name if len(names) > 1 or name != DEFAULT_NAME else None
