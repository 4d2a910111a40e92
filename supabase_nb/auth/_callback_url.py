"""Parses callback URLs, to which links and providers send the browser."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from .. import errors
from .._secrets.masking import safe_text
from .._secrets.tokens import Secret

# The secrets in such a URL.
_SECRET_FIELDS = (
    "access_token",
    "code",
    "provider_refresh_token",
    "provider_token",
    "refresh_token",
    "token_hash",
)


def parse_callback(address: Secret) -> dict[str, Secret]:
    """A callback URL's parameters, after ``?`` and ``#``."""
    try:
        parts = urlsplit(address.reveal().strip().strip("\"'<>"))
        found = parse_qs(parts.query) | parse_qs(parts.fragment.lstrip("/?"))
    except ValueError:
        return {}
    return {name: Secret(values[0]) for name, values in found.items()}


def callback_error(fields: Mapping[str, Secret]) -> errors.AuthApiError | None:
    """The error in a callback URL's parameters, if any."""
    if not any(fields.get(name) for name in ("error_description", "error_code", "error")):
        return None
    secrets = [value for name, value in fields.items() if name in _SECRET_FIELDS]
    said, code, kind = (
        safe_text(fields[name].reveal(), secrets=secrets) if name in fields else ""
        for name in ("error_description", "error_code", "error")
    )
    code = code or kind
    message = errors.with_next_step(f"The sign-in failed: {said or code.replace('_', ' ')}", code)
    if code == "otp_expired":
        return errors.AuthInvalidCredentials(message, code=code)
    return errors.AuthImplicitGrantRedirectError(message, {"error": kind, "code": code}, code=code)


def no_credentials_error() -> errors.AuthError:
    """The error for a callback URL without tokens or a code."""
    return errors.AuthError(
        "This URL contains neither a code nor tokens. Copy the whole URL, including everything "
        "after the ? or #.",
        code="no_credentials",
    )
