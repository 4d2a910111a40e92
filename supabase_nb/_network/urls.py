"""Validates and normalizes the URLs of projects."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from ..errors import AuthError

_EXAMPLE_URL = "A project's URL looks like https://abcd.supabase.co (Project Settings, API)."
#: The host of a hosted project.
PROJECT_HOST = re.compile(r"([a-z0-9-]+)\.supabase\.co")


def strip_quotes(text: str) -> str:
    """A copied URL or key without the spaces and quotation marks around it."""
    return text.strip().strip("\"'").strip()


def normalize_project_url(url: str) -> str:
    """The project's URL, also from a dashboard page, ``…/rest/v1`` or a bare host.

    Raises:
        AuthError: It can't be parsed, or is a dashboard page without a project
            (``invalid_url``).
    """
    text = strip_quotes(url) if isinstance(url, str) else ""
    if PROJECT_HOST.fullmatch(text.rstrip("/")):
        return f"https://{text.rstrip('/')}"
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = None
    if parts is None:
        raise AuthError(f"This is not a project's URL. {_EXAMPLE_URL}", code="invalid_url")
    if parts.hostname in ("supabase.com", "www.supabase.com", "app.supabase.com", "app.supabase.io"):
        page = re.match(r"(?:/dashboard)?/project/([a-z0-9]+)(?:/|$)", parts.path)
        if page:
            return f"https://{page[1]}.supabase.co"
        raise AuthError(
            f"This is a page of Supabase's website, not a project's URL. {_EXAMPLE_URL}", code="invalid_url"
        )
    return re.sub(r"/(?:auth|rest|storage|functions|realtime|graphql)/v1(?:/[^?#]*)?$", "", text)


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
        raise AuthError(
            f"{problem} A valid URL looks like https://abcd.supabase.co (Project Settings, API).",
            code="invalid_url",
        )
    if parts.scheme == "http" and not allow_http and not is_this_machine(host):
        raise AuthError(
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
