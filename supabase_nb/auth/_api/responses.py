"""Interprets the auth server's responses: a value, an outage or an error."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ... import errors
from ..._secrets import tokens
from ..._secrets.masking import safe_text
from ..._secrets.tokens import Secret
from ...models import Session, User

if TYPE_CHECKING:
    from ..._network import http_library as httpx

_T = TypeVar("_T")

_RETRYABLE = frozenset({408, 409, 425, 429})


#: Messages of servers without error codes (until mid-2024) -> the code that newer servers send with them.
#: The first one that the message contains applies.
_CODES_BY_TEXT = {
    "invalid refresh token: already used": "refresh_token_already_used",
    "invalid refresh token: session expired": "session_expired",
    "invalid refresh token: no valid session": "session_not_found",
    "invalid refresh token: user banned": "user_banned",
    "invalid refresh token": "refresh_token_not_found",  # also "Refresh Token Not Found" and "Revoked"
    "refresh token not found": "refresh_token_not_found",
    "session from session_id claim in jwt does not exist": "session_not_found",
    "session not found": "session_not_found",
    "user from sub claim in jwt does not exist": "user_not_found",
    "user not found": "user_not_found",
    "user is banned": "user_banned",
    "user banned": "user_banned",
    "invalid login credentials": "invalid_credentials",
    "email not confirmed": "email_not_confirmed",
    "token has expired or is invalid": "otp_expired",
    "email link is invalid or has expired": "otp_expired",
    "requires a bearer token": "no_authorization",
    "token is expired": "bad_jwt",
    "invalid jwt": "bad_jwt",
    "invalid token": "bad_jwt",
    "already registered": "user_already_exists",
    "signups not allowed for this instance": "signup_disabled",
    "new password should be different": "same_password",
    "password should be at least": "weak_password",
}


class Response:
    """A response. The body is a function, so that no repr or traceback shows it.

    Args:
        status: The HTTP status.
        headers: The headers.
        body: The body.
        request_secrets: The request's secrets, which the server's text may repeat.
    """

    __slots__ = ("body", "headers", "request_secrets", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str], body: bytes, request_secrets: Iterable[Secret] = ()
    ) -> None:
        self.status = status
        self.headers = headers
        self.body: Callable[[], bytes] = lambda: body
        self.request_secrets = tuple(request_secrets)

    def redacted(self, text: str) -> str:
        """Make text from this response safe to show. Used for every server text in an error."""
        return safe_text(text, secrets=self.request_secrets)

    def json(self) -> Any:
        """The body's JSON, or ``None`` if it isn't JSON."""
        try:
            return json.loads(self.body())
        except (ValueError, RecursionError):
            return None

    def __repr__(self) -> str:
        return f"Response({self.status})"


def parse_session_or_user(
    response: Response, now: float, *, from_oauth_server: bool = False
) -> Session | User | None:
    """The value in a 200; ``None`` if it isn't the expected one.

    Args:
        response: The response.
        now: The server's time in Unix seconds.
        from_oauth_server: Whether the OAuth server responded. It sends no user: use the token's claims.
    """
    wire = response.json()
    try:
        if isinstance(wire, dict) and "access_token" in wire:
            if from_oauth_server:
                wire = {**wire, "user": _user_from_claims(wire["access_token"])}
                wire.pop("id_token", None)
            return Session.from_wire(wire, now=now)
        # PUT /user and sign-up return the user itself; some versions wrap it.
        if isinstance(wire, dict) and isinstance(wire.get("user"), dict):
            wire = wire["user"]
        return User.from_wire(wire)
    except (ValueError, RecursionError):
        return None


def parse_object(response: Response, parse: Callable[[Mapping[str, Any]], _T | None]) -> _T | None:
    """Parse a JSON object with `parse`; ``None`` if it isn't the expected one."""
    wire = response.json()
    return parse(wire) if isinstance(wire, dict) else None


def _user_from_claims(access_token: object) -> dict[str, Any]:
    """The user's fields in an access token's claims."""
    claims = tokens.read_claims(tokens.clean(access_token)) or {}
    names = ("aud", "role", "email", "phone", "app_metadata", "user_metadata", "is_anonymous")
    return {"id": claims.get("sub"), **{name: claims[name] for name in names if name in claims}}


def needs_second_confirmation(response: Response) -> bool:
    """Whether a 200 means that a change of address must be confirmed at the other address too."""
    wire = response.json()
    return isinstance(wire, dict) and wire.get("code") == "200"


def unexpected_response_error(status: int = 200) -> errors.AuthUnknownError:
    """The error for a 200 with unexpected contents."""
    return errors.AuthUnknownError(
        f"Unexpected response (HTTP {status}): this does not look like a Supabase Auth server. Is a proxy or "
        "a login page in between? Check the network and the project's URL.",
        status=status,
    )


def timeout_error(url: str) -> errors.AuthRetryableError:
    """The error for a timeout."""
    return errors.AuthRetryableError(
        f"{host_of(url)} did not respond in time. The session is unchanged; check the network and the "
        "project's URL.",
        code="network",
    )


def invalid_url_error(url: str) -> errors.AuthError:
    """The error for a URL that the HTTP library rejects."""
    return errors.AuthError(f"{host_of(url)} is not a valid URL. Check it.")


def host_of(url: str) -> str:
    """Host and port, for messages."""
    return urlsplit(url).netloc


def connection_error(error: httpx.HTTPError, url: str) -> errors.AuthError:
    """The error for a request without a response."""
    from ..._network import http_library as httpx

    host = host_of(url)
    if isinstance(error, httpx.TimeoutException):
        return timeout_error(url)
    if isinstance(error, httpx.ProxyError):
        what = f"The proxy refused to connect to {host}"
    elif isinstance(error, httpx.ConnectError) and "CERTIFICATE" in str(error).upper():
        ignored = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)]
        unused = f" ({ignored[0]} is not used here)" if ignored else ""
        return errors.AuthRetryableError(
            f"The certificate of {host} could not be verified. If your network has its own certificate "
            f"authority, set the environment variable SSL_CERT_FILE to its file{unused} and connect again.",
            code="network",
        )
    elif isinstance(error, httpx.UnsupportedProtocol):
        return invalid_url_error(url)
    else:
        what = f"{host} could not be reached"
    return errors.AuthRetryableError(
        f"{what}. The session is unchanged; check the network and the project's URL.", code="network"
    )


def error_from_response(response: Response, url: str, now: float) -> errors.AuthError:
    """The error for an error response, of the auth server (in both formats) or of something else."""
    status = response.status
    if 300 <= status < 400:
        return errors.AuthUnknownError(
            f"{host_of(url)} redirects this request to another address. "
            f"{errors.NEXT_STEPS['unexpected_redirect']}",
            status=status,
            code="unexpected_redirect",
        )
    body = response.json()
    body = body if isinstance(body, dict) else {}
    code = next((c for c in (body.get("error_code"), body.get("code")) if isinstance(c, str) and c), None)
    said = next(
        (
            m
            for name in ("message", "msg", "error_description", "error")
            if isinstance(m := body.get(name), str)
        ),
        "",
    )
    said, code = response.redacted(said), code and response.redacted(code)
    if status in _RETRYABLE or status >= 500:
        wait = retry_after(response.headers.get("retry-after"), now)
        busy = said or {429: "Too many requests"}.get(status, "The auth server has a problem")
        return errors.AuthRetryableError(
            errors.with_next_step(
                f"{busy.rstrip('.')} (HTTP {status}). The session is unchanged; try again later", code
            ),
            status=status,
            code=code,
            retry_after=wait,
        )
    # The auth server's own format. A gateway's response has no ``msg``.
    from_auth_server = isinstance(body.get("msg"), str)
    if code is None:
        code = _code_by_text(body)
    if code is None:
        if status in (401, 403) and "key" in said.lower():
            said += ". Check the project's key"
        elif status == 404 and not from_auth_server:
            said = f"{host_of(url)} has no auth server at this address. Check the project's URL"
        message = (
            f"{said.rstrip('.') or 'The request was rejected, but not by an auth server'} (HTTP {status})."
        )
        return errors.AuthApiError(message, status=status)
    message = errors.with_next_step(said or code.replace("_", " "), code)
    kind: type[errors.AuthError] = {
        "invalid_credentials": errors.AuthInvalidCredentials,
        "otp_expired": errors.AuthInvalidCredentials,
    }.get(code, errors.AuthApiError)
    if code == "weak_password":
        details = body.get("weak_password")
        reasons = details.get("reasons") if isinstance(details, dict) else None
        return errors.AuthWeakPassword(
            message,
            status=status,
            code=code,
            reasons=[response.redacted(str(r)) for r in reasons] if isinstance(reasons, list) else [],
        )
    error = kind(message, status=status, code=code)
    # The id of the rejected session (``tests/wire/rotation.json``, family 4). It is not a token.
    session_id = response.headers.get("sb-auth-session-id")
    error.session_id = session_id and response.redacted(session_id)
    return error


def _code_by_text(body: Mapping[str, object]) -> str | None:
    """The code for an error of an older server without error codes."""
    for name in ("msg", "error_description"):
        text = body.get(name)
        if isinstance(text, str):
            text = text.lower()
            for part, code in _CODES_BY_TEXT.items():
                if part in text:
                    return code
    # RFC 6749, section 5.2 (``tests/wire/oauth-server.json``).
    error = body.get("error")
    return error if error in ("invalid_grant", "invalid_client") else None


def retry_after(value: str | None, now: float) -> float | None:
    """A ``Retry-After`` header in seconds; ``None`` if it is neither seconds nor a date.

    Args:
        value: The header.
        now: The server's time in Unix seconds.
    """
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def says_expired(error: errors.AuthError) -> bool:
    """Whether the access token has expired (``tests/wire/sessions-es256.json``, "get user: expired")."""
    return error.status in (401, 403) and "expired" in error.message and error.code not in errors.FINAL_CODES
