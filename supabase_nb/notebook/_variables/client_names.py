"""The names of the variables that hold clients. Displays show them if there are several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.getipython import get_ipython

from ...client import Client
from .calling_scope import DEFAULT_NAME

if TYPE_CHECKING:
    from ...auth import AuthClient


def client_name(auth: AuthClient) -> str | None:
    """The variable that holds this client, if there are several clients or it isn't the default name."""
    shell = get_ipython()
    names: dict[int, str] = {}
    for name, value in list(shell.user_ns.items()) if shell else ():
        if not isinstance(value, Client) or name.startswith("_"):
            continue
        if value.auth is auth or not value.auth.closed:
            names.setdefault(id(value.auth), name)
    if id(auth) not in names:
        return None
    name = names[id(auth)]
    return name if len(names) > 1 or name != DEFAULT_NAME else None
