"""Validates the URLs of requests."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from . import errors


def check_url(url: str, *, allow_http: bool = False) -> str:
    """Validate a URL, and remove a trailing slash.

    Errors don't repeat the URL, because it may contain a password.

    Raises:
        AuthError: It isn't a valid URL, has a user name, password, query or fragment, or is ``http://`` for
            another machine.
    """
    address = url.strip() if isinstance(url, str) else ""
    parts, host = None, None
    try:
        parts = urlsplit(address)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        pass
    problem = ""
    if parts is not None and "@" in parts.netloc:
        problem = "A project's URL has no user name or password. Remove everything up to the @."
    elif parts is None or not host or parts.scheme not in ("http", "https") or not _is_visible(address):
        problem = "This is not a project's URL."
    elif "?" in address or "#" in address:
        problem = "A project's URL has no query or fragment. Remove the ? or # and everything after it."
    if problem or parts is None:
        raise errors.AuthError(
            f"{problem} A valid URL looks like https://abcd.supabase.co (Project Settings, API).",
            code="invalid_url",
        )
    if parts.scheme == "http" and not allow_http and not is_this_machine(host):
        raise errors.AuthError(
            f"http://{host} would send tokens unencrypted. Use https://, or pass --allow-http or "
            "allow_http=True.",
            code="insecure_url",
        )
    return address.rstrip("/")


def _is_visible(address: str) -> bool:
    """Whether it has no spaces or invisible characters."""
    return address.isprintable() and " " not in address


def is_this_machine(host: str | None) -> bool:
    """Whether a host is this machine (a loopback name or address)."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
