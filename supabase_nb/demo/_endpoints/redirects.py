"""Where links and providers lead: which URLs are allowed, and their parameters."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.responses import HTMLResponse, Response

from .._project.api_errors import ApiError
from .._project.project import Call
from .._project.store import Exchange

_LOOPBACK = ("127.0.0.1", "::1")


def redirect_target(call: Call, wanted: str) -> str:
    """Where to redirect: the requested URL if it is allowed, otherwise, without an error, the site URL.

    As recorded in ``oauth-provider``. Allowed are 127.0.0.1 and [::1] with any port, the site's own host,
    and what ``--redirect-urls`` lists.
    """
    site = call.project.site_url
    # Browsers treat a backslash as a slash, so the host may be another one than was parsed here.
    plain = wanted.isascii() and wanted.isprintable() and not {" ", "\\"} & set(wanted)
    try:
        target, own = urlsplit(wanted), urlsplit(site)
        always = target.scheme in ("http", "https") and target.hostname in (*_LOOPBACK, own.hostname)
        listed = "@" not in target.netloc and any(
            re.fullmatch(_glob(pattern), wanted.partition("#")[0])
            for pattern in call.project.options.redirect_urls.split(",")
        )
    except ValueError:
        return site
    return wanted if plain and (always or listed) else site


def _glob(pattern: str) -> str:
    """A pattern from the settings as a regular expression: ``*`` stops at ``.`` and ``/``."""
    parts = re.split(r"(\*\*?)", pattern.strip())
    return "".join({"**": ".*", "*": "[^./]*"}.get(part, re.escape(part)) for part in parts)


def redirect(
    location: str, status: int, headers: Mapping[str, str] | None = None, more: str = ""
) -> Response:
    """Redirect a browser."""
    text = "See Other" if status == 303 else "Found"
    page = f'<a href="{html.escape(location)}">{text}</a>.\n\n{more}'
    return HTMLResponse(page, status, {**(headers or {}), "location": location})


def with_query(target: str, more: Mapping[str, str]) -> str:
    """A URL with more parameters, sorted as the real server sorts them."""
    parts = urlsplit(target)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *more.items()]
    return urlunsplit(parts._replace(query=urlencode(sorted(query))))


def message_redirect(target: str, message: Mapping[str, str], *, query: bool, status: int = 303) -> Response:
    """Redirect a browser with a message in the fragment and, on request, in the query too."""
    if query:
        target = with_query(target, message)
    fragment = urlencode({**message, "sb": ""}).replace("%", "%25")  # as recorded: encoded twice
    return redirect(f"{target}#{fragment}", status)


def error_redirect(target: str, error: ApiError, kind: str, status: int) -> Response:
    """Redirect a browser with an error."""
    message = {"error": kind, "error_code": error.code, "error_description": error.message}
    return message_redirect(target, message, query=True, status=status)


def session_redirect(
    call: Call, target: str, session: Exchange, status: int, more: Mapping[str, str]
) -> Response:
    """Redirect a browser with a session in the fragment."""
    body, headers = call.project.session_body(session)
    names = ("access_token", "expires_at", "expires_in", "refresh_token", "token_type")
    fragment = {name: body[name] for name in names} | {"sb": "", **more}
    return redirect(f"{target}#{urlencode(sorted(fragment.items()))}", status, headers)
