"""Which project to work with: its URL and key, from arguments or from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import AuthError

#: Where the key of a project is looked for, in this order.
KEY_VARIABLES = ("SUPABASE_KEY", "SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY")
URL_VARIABLE = "SUPABASE_URL"


@dataclass(frozen=True)
class Project:
    """One Supabase project.

    Args:
        url: Its URL, ``https://abcd.supabase.co``.
        key: Its publishable (anon) key.
        auth_url: The auth server's base, where it is not ``{url}/auth/v1``.
    """

    url: str
    key: str
    auth_url: str | None = None

    def __repr__(self) -> str:
        return f"Project({self.url!r})"


def resolve_project(
    url: str | None = None,
    key: str | None = None,
    *,
    auth_url: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Project:
    """Settle on a project: what is given goes before what the environment says.

    Args:
        url: The project's URL; otherwise ``SUPABASE_URL``.
        key: Its key; otherwise the first of `KEY_VARIABLES` that is set.
        auth_url: The auth server's base, for set-ups of one's own.
        environ: The environment; the process's by default.

    Raises:
        AuthError: The URL or the key is given nowhere.
    """
    environ = os.environ if environ is None else environ
    url = (url or environ.get(URL_VARIABLE) or "").strip()
    key = (key or next((environ[name] for name in KEY_VARIABLES if environ.get(name)), "")).strip()
    if not url:
        raise AuthError(
            f"No project is named. Give its URL, or set {URL_VARIABLE}; "
            "`%supabase_connect --demo` needs no project.",
            code="no_url",
        )
    if not key:
        raise AuthError(
            f"The project's key is missing. Give it with --key, or set {KEY_VARIABLES[1]} "
            "(Project Settings, API keys: the publishable or anon key).",
            code="no_key",
        )
    return Project(url, key, auth_url or None)
