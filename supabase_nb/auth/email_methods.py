"""Methods that request an email or text message: reset a password, resend, reauthenticate.

They are methods of `AuthClient`. One-time codes and links are in `sign_in`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..models import AuthOtpResponse, AuthResponse
from ._arguments import Arguments, require, require_contact
from ._session import sign_in_requests as requests

if TYPE_CHECKING:
    from ._session.manager import SessionManager
    from .client import AuthClient


def reset_password_for_email(
    auth: AuthClient,
    email: str,
    options: Mapping[str, str] | None = None,
    *,
    redirect_to: str | None = None,
    captcha_token: str | None = None,
) -> None:
    """Send an email for resetting a forgotten password.

    Pass its code to `verify_otp` with the type ``"recovery"``, or the URL that its link leads to, to
    `sign_in_with_url`. The event is then `PASSWORD_RECOVERY`, and `update_user` sets the new password.
    For an unknown address, the response is the same.

    Args:
        email: The address.
        options: ``{"redirect_to": ..., "captcha_token": ...}``.
        redirect_to: Where the link leads; must be one of the project's redirect URLs.
        captcha_token: The result of a captcha, if the project requires one.

    Raises:
        AuthApiError: The server rejected the request.
        AuthRetryableError: ``over_email_send_rate_limit``: an email was sent a moment ago.
        TypeError: An unknown option, or a value of the wrong type.

    Source: supabase_auth's ``reset_password_for_email``.

    Example:
        ``supabase.auth.reset_password_for_email("ada@example.com")``
    """
    arguments = Arguments(
        "reset_password_for_email",
        None,
        options,
        email=email,
        redirect_to=redirect_to,
        captcha_token=captcha_token,
    )
    options = captcha_token = None
    fields = arguments.fields()
    require(fields, "email")
    return auth._run(lambda: _send_recovery(auth._manager, fields))


def resend(
    auth: AuthClient,
    credentials: Mapping[str, Any] | None = None,
    *,
    type: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    redirect_to: str | None = None,
    captcha_token: str | None = None,
) -> AuthOtpResponse:
    """Resend the email or message of a sign-up or of a change of address.

    Args:
        credentials: The arguments as a dictionary.
        type: ``"signup"`` or ``"email_change"``; for a phone ``"sms"`` or ``"phone_change"``.
        email: The address; or
        phone: the number.
        redirect_to: Where the link leads; must be one of the project's redirect URLs.
        captcha_token: The result of a captcha, if the project requires one.

    Raises:
        AuthApiError: The server rejected the request.
        AuthRetryableError: ``over_email_send_rate_limit``: an email was sent a moment ago.
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``resend``.

    Example:
        ``supabase.auth.resend({"type": "signup", "email": "ada@example.com"})``
    """
    arguments = Arguments(
        "resend",
        credentials,
        type=type,
        email=email,
        phone=phone,
        redirect_to=redirect_to,
        captcha_token=captcha_token,
    )
    credentials = captcha_token = None
    fields = arguments.fields()
    require_contact(fields)
    return auth._run(lambda: requests.send_message(auth._manager, "/resend", fields))


def reauthenticate(auth: AuthClient) -> AuthResponse:
    """Request the code that some projects require for a new password: the ``nonce`` of `update_user`.

    Returns:
        A response without user and session.

    Raises:
        AuthSessionMissing: Not signed in.
        AuthApiError: The server rejected the request.
        AuthRetryableError: ``over_email_send_rate_limit``: an email was sent a moment ago.

    Source: supabase_auth's ``reauthenticate``.

    Example:
        ``supabase.auth.reauthenticate()``
    """
    return auth._run(lambda: _reauthenticate(auth._manager))


async def _send_recovery(manager: SessionManager, fields: Mapping[str, Any]) -> None:
    await requests.send_message(manager, "/recover", fields, pkce=True, recovery=True)


async def _reauthenticate(manager: SessionManager) -> AuthResponse:
    session = await manager.get_fresh_or_raise()
    await manager.api.request_object("GET", "/reauthenticate", lambda _: True, token=session.access_secret)
    return AuthResponse(None, None)
