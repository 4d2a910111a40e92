"""Finds a project's URL and key in arguments, the environment or a ``.env`` file."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from .._network.urls import check_url, normalize_project_url, strip_quotes
from .._secrets import tokens
from .._secrets.credential_checks import refuse_token_for_key
from .._secrets.tokens import Secret
from ..errors import AuthError

#: Environment variables for the key, in order of precedence.
KEY_VARIABLES = ("SUPABASE_KEY", "SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY")
URL_VARIABLE = "SUPABASE_URL"
DOTENV = ".env"


class Project(NamedTuple):
    """The URL and key of a Supabase project.

    Args:
        url: Its URL, ``https://abcd.supabase.co``.
        key: Its publishable (anon) key.
        auth_url: The auth server's base URL, if it isn't ``{url}/auth/v1``.
        url_from: Where the URL was found: ``"argument"``, or the variable and its file.
        key_from: Where the key was found.
    """

    url: str
    key: str
    auth_url: str | None = None
    url_from: str = "argument"
    key_from: str = "argument"

    def __repr__(self) -> str:
        return f"Project({self.url!r})"

    @property
    def origin(self) -> str:
        """Where the URL and key were found, as text; empty if both were arguments."""
        if self.url_from == self.key_from == "argument":
            return ""
        return f"URL: {self.url_from}; key: {self.key_from}"


def resolve_project(
    url: str | None = None,
    key: str | None = None,
    *,
    auth_url: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    allow_secret_key: bool = False,
) -> Project:
    """Find the project's URL and key.

    Each of them comes from the first of these places that has it: the argument, the environment, the nearest
    ``.env`` from the folder upward. Empty variables are ignored.

    Args:
        url: The project's URL; otherwise ``SUPABASE_URL``.
        key: Its key; otherwise the first of `KEY_VARIABLES` that is set.
        auth_url: The auth server's base URL, for self-hosted setups.
        environ: The environment; by default the process's.
        folder: Where to start looking for ``.env``; the working directory by default.
        allow_secret_key: Accept a service-role or secret key.

    Raises:
        AuthError: The URL or the key isn't found (``no_url``, ``no_key``), the key bypasses Row Level
            Security (``secret_key``) or is another project's (``wrong_project``), or the URL isn't valid
            (``invalid_url``).
    """
    environ = os.environ if environ is None else environ
    sources = [] if url and key else list(_sources(environ, Path(folder) if folder is not None else None))
    url, url_from = _first_value(url, (URL_VARIABLE,), sources)
    found, key_from = _first_value(key, KEY_VARIABLES, sources)
    secret, key, found = Secret(found), "", ""
    del environ, sources  # they hold keys, and this frame can appear in a traceback with local variables
    if not url:
        raise AuthError(
            f"No project URL was found. Pass one, or set {URL_VARIABLE} (in the environment or a {DOTENV}); "
            "`%supabase_connect --demo` needs no project.",
            code="no_url",
        )
    if not secret:
        raise AuthError(
            f"No key for the project was found. Pass --key, or set {KEY_VARIABLES[1]} in the environment "
            f"or a {DOTENV} (Project Settings, API keys: the publishable or anon key).",
            code="no_key",
        )
    url = normalize_project_url(url)
    for address in filter(None, (url, auth_url)):
        check_url(address, allow_http=True)  # the client decides whether to accept http://
    check_key(secret, url, allow_secret_key=allow_secret_key, found=key_from)
    return Project(url, secret.reveal(), auth_url or None, url_from, key_from)


def check_key(key: Secret, url: str, *, allow_secret_key: bool = False, found: str = "argument") -> None:
    """Refuse a secret key, another project's key, or a token.

    Args:
        key: The key.
        url: The project's URL.
        allow_secret_key: Accept a key that bypasses Row Level Security.
        found: Where the key was found, for the message.

    Raises:
        AuthError: ``secret_key``, ``wrong_project`` or ``token_for_key``.
    """
    refuse_token_for_key(key)
    claims = tokens.read_claims(key)
    place = "" if found == "argument" else f" ({found})"
    if tokens.is_secret(key) and not allow_secret_key:
        raise AuthError(
            f"This is a secret key{place}: it bypasses Row Level Security, so anyone with access to this "
            "kernel or notebook could read and change every user's data, and queries would not show "
            "what the user may see. Use the publishable (anon) key, or pass --allow-secret-key or "
            "allow_secret_key=True.",
            code="secret_key",
        )
    ref = tokens.text_claim(claims, "ref")
    host = urlsplit(url).hostname or ""
    if ref and host.endswith(".supabase.co") and host != f"{ref}.supabase.co":
        raise AuthError(
            f"This key{place} is from another project. Use the URL and the key of the same project.",
            code="wrong_project",
        )


def _sources(environ: Mapping[str, str], folder: Path | None) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The places where variables can be set, in order of precedence, each with a description."""
    yield "", environ
    try:
        start = (folder or Path.cwd()).absolute()
    except FileNotFoundError:
        return  # the working directory was deleted
    for parent in (start, *start.parents):
        file = parent / DOTENV
        if file.is_file():
            from dotenv import dotenv_values

            try:
                values = dotenv_values(stream=io.StringIO(_text(file)))
            except OSError:
                return  # it can't be read
            where = f" in {os.path.relpath(file, start)}"
            yield where, {name: value for name, value in values.items() if value}
            return


def _text(file: Path) -> str:
    """The text of a file, also if PowerShell wrote it, or if a comment has another encoding."""
    data = file.read_bytes()
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if utf_16 else "utf-8-sig", "replace")


def _first_value(
    given: str | None, names: tuple[str, ...], sources: list[tuple[str, Mapping[str, str]]]
) -> tuple[str, str]:
    """The first value, and where it was found."""
    if value := strip_quotes(given or ""):
        return value, "argument"
    for where, values in sources:
        for name in names:
            # `docker run --env-file` keeps quotes.
            if value := strip_quotes(values.get(name) or ""):
                return value, f"{name}{where}"
    return "", "nowhere"
