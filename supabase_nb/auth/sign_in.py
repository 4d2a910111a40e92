"""Sign-in methods: password, one-time code, anonymous, a provider's ID token.

They are methods of `AuthClient`. Each starts a new session.

They accept a dictionary, like Supabase's Python client, or keywords. Passwords and codes are wrapped at
once, so that no ``repr``, log or traceback of this package shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._secrets.tokens import Secret
from ..models import AuthOtpResponse, AuthResponse, SessionResponse
from ._arguments import Arguments, require, require_contact
from ._session import sign_in_requests as requests

if TYPE_CHECKING:
    from .client import AuthClient


def sign_up(
    auth: AuthClient,
    credentials: Mapping[str, Any] | None = None,
    *,
    email: str | None = None,
    phone: str | None = None,
    password: str | Secret | None = None,
    data: Mapping[str, Any] | None = None,
    redirect_to: str | None = None,
    channel: str | None = None,
    captcha_token: str | None = None,
) -> AuthResponse:
    """Create a user.

    Args:
        credentials: The arguments as a dictionary.
        email: The address; or
        phone: the number, with country code.
        password: The password.
        data: The user's metadata.
        redirect_to: Where the link in the confirmation email leads.
        channel: ``"sms"`` or ``"whatsapp"``, for a phone.
        captcha_token: The result of a captcha, if the project requires one.

    Returns:
        The user and the session. The session is ``None`` if the project requires a confirmed address.

    Raises:
        AuthWeakPassword: The password is too weak. ``reasons`` says why.
        AuthApiError: The server rejected the request (``user_already_exists``, ``signup_disabled``…).
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_up``.

    Example:
        ``supabase.auth.sign_up({"email": "ada@example.com", "password": password}).user``
    """
    arguments = Arguments(
        "sign_up",
        credentials,
        email=email,
        phone=phone,
        password=password,
        data=data,
        redirect_to=redirect_to,
        channel=channel,
        captcha_token=captcha_token,
    )
    credentials = password = captcha_token = None
    fields = arguments.fields()
    require_contact(fields, "password")
    body = {**fields, "data": dict(fields.get("data", {}))}
    if "phone" in body:
        body.setdefault("channel", "sms")
    return auth._run(
        lambda: requests.sign_in_or_confirm(auth._manager, "/signup", body, "signed up", pkce="email" in body)
    )


def sign_in_with_password(
    auth: AuthClient,
    credentials: Mapping[str, Any] | None = None,
    *,
    email: str | None = None,
    phone: str | None = None,
    password: str | Secret | None = None,
    data: Mapping[str, Any] | None = None,
    captcha_token: str | None = None,
) -> SessionResponse:
    """Sign in with a password.

    Args:
        credentials: The arguments as a dictionary.
        email: The address; or
        phone: the number.
        password: The password.
        data: Sent as in supabase_auth, but ignored by the auth server.
        captcha_token: The result of a captcha, if the project requires one.

    Raises:
        AuthInvalidCredentials: Wrong email or password.
        AuthApiError: The server rejected the request (``email_not_confirmed``, ``user_banned``…).
        AuthRetryableError: The server can't be reached.
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_in_with_password``.

    Example:
        ``supabase.auth.sign_in_with_password({"email": "ada@example.com", "password": password}).session``
    """
    arguments = Arguments(
        "sign_in_with_password",
        credentials,
        email=email,
        phone=phone,
        password=password,
        data=data,
        captcha_token=captcha_token,
    )
    credentials = password = captcha_token = None
    fields = arguments.fields()
    require_contact(fields, "password")
    path = "/token?grant_type=password"
    return auth._run(lambda: requests.sign_in(auth._manager, path, fields, "signed in with a password"))


def sign_in_anonymously(
    auth: AuthClient,
    credentials: Mapping[str, Any] | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    captcha_token: str | None = None,
) -> SessionResponse:
    """Sign in as a new anonymous user.

    Args:
        credentials: The arguments as a dictionary.
        data: The user's metadata.
        captcha_token: The result of a captcha, if the project requires one.

    Raises:
        AuthApiError: ``anonymous_provider_disabled``: the project does not allow it.
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_in_anonymously``.

    Example:
        ``supabase.auth.sign_in_anonymously(data={"name": "Visitor"}).user.is_anonymous``
    """
    arguments = Arguments("sign_in_anonymously", credentials, data=data, captcha_token=captcha_token)
    credentials = captcha_token = None
    fields = arguments.fields()
    body = {**fields, "data": dict(fields.get("data", {}))}
    return auth._run(lambda: requests.sign_in(auth._manager, "/signup", body, "signed in anonymously"))


def sign_in_with_otp(
    auth: AuthClient,
    credentials: Mapping[str, Any] | None = None,
    *,
    email: str | None = None,
    phone: str | None = None,
    should_create_user: bool | None = None,
    data: Mapping[str, Any] | None = None,
    redirect_to: str | None = None,
    channel: str | None = None,
    captcha_token: str | None = None,
) -> AuthOtpResponse:
    """Send a one-time code (and by email also a link), for `verify_otp` or `sign_in_with_url`.

    Args:
        credentials: The arguments as a dictionary.
        email: The address; or
        phone: the number, with country code.
        should_create_user: Whether to create the user if there is none; yes by default.
        data: The metadata of a new user.
        redirect_to: Where the link leads.
        channel: ``"sms"`` or ``"whatsapp"``, for a phone.
        captcha_token: The result of a captcha, if the project requires one.

    Returns:
        A response without user and session. For a phone, ``message_id`` is the SMS provider's id.

    Raises:
        AuthApiError: The server rejected the request (``otp_disabled``, ``over_email_send_rate_limit``…).
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_in_with_otp``.

    Example:
        ``supabase.auth.sign_in_with_otp({"email": "ada@example.com"})``
    """
    arguments = Arguments(
        "sign_in_with_otp",
        credentials,
        email=email,
        phone=phone,
        should_create_user=should_create_user,
        data=data,
        redirect_to=redirect_to,
        channel=channel,
        captcha_token=captcha_token,
    )
    credentials = captcha_token = None
    fields = arguments.fields()
    require_contact(fields)
    create_user = fields.pop("should_create_user", True)
    body = {**fields, "create_user": create_user}
    return auth._run(lambda: requests.send_message(auth._manager, "/otp", body, pkce="email" in body))


def verify_otp(
    auth: AuthClient,
    params: Mapping[str, Any] | None = None,
    *,
    email: str | None = None,
    phone: str | None = None,
    token: str | Secret | None = None,
    token_hash: str | Secret | None = None,
    type: str | None = None,
    redirect_to: str | None = None,
    captcha_token: str | None = None,
) -> AuthResponse:
    """Sign in with a one-time code.

    Args:
        params: The arguments as a dictionary.
        email: The address that the code was sent to; or
        phone: the number.
        token: The code. Spaces and dashes in it do not matter.
        token_hash: The hash from a link, instead of address and code.
        type: What the code is for: ``"email"`` (default), ``"sms"`` (default with a phone),
            ``"recovery"``, ``"invite"``, ``"email_change"``…
        redirect_to: Where the link was supposed to lead.
        captcha_token: The result of a captcha, if the project requires one.

    Returns:
        The user and the session, or neither, if a change must still be confirmed at the other address.

    Raises:
        AuthInvalidCredentials: The code is wrong, was already used, or has expired.
        AuthApiError: The server rejected the request.
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``verify_otp``.

    Example:
        ``supabase.auth.verify_otp({"email": "ada@example.com", "token": code, "type": "email"}).session``
    """
    arguments = Arguments(
        "verify_otp",
        params,
        email=email,
        phone=phone,
        token=token,
        token_hash=token_hash,
        type=type,
        redirect_to=redirect_to,
        captcha_token=captcha_token,
    )
    params = token = token_hash = captcha_token = None
    fields = arguments.fields()
    if "token_hash" not in fields:
        require_contact(fields, "token")
        fields["token"] = Secret("".join(fields["token"].reveal().replace("-", " ").split()))
    kind = fields.setdefault("type", "sms" if "phone" in fields else "email")
    recovery, cause = kind == "recovery", "signed in with a one-time code"
    return auth._run(
        lambda: requests.sign_in_or_confirm(auth._manager, "/verify", fields, cause, recovery=recovery)
    )


def sign_in_with_id_token(
    auth: AuthClient,
    credentials: Mapping[str, Any] | None = None,
    *,
    provider: str | None = None,
    token: str | Secret | None = None,
    access_token: str | Secret | None = None,
    nonce: str | Secret | None = None,
    captcha_token: str | None = None,
) -> SessionResponse:
    """Sign in with an ID token that a provider issued to your app.

    Args:
        credentials: The arguments as a dictionary.
        provider: ``"google"``, ``"apple"``, ``"azure"``, ``"facebook"`` or ``"kakao"``.
        token: The ID token.
        access_token: The provider's access token, if the ID token was issued with one.
        nonce: The nonce whose SHA-256 is in the ID token.
        captcha_token: The result of a captcha, if the project requires one.

    Raises:
        AuthApiError: The server rejected the request (``provider_disabled``…).
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_in_with_id_token``.

    Example:
        ``supabase.auth.sign_in_with_id_token({"provider": "google", "token": token}).user``
    """
    arguments = Arguments(
        "sign_in_with_id_token",
        credentials,
        provider=provider,
        token=token,
        access_token=access_token,
        nonce=nonce,
        captcha_token=captcha_token,
    )
    credentials = token = access_token = nonce = captcha_token = None
    fields = arguments.fields()
    require(fields, "provider", "token")
    fields["id_token"] = fields.pop("token")
    path = "/token?grant_type=id_token"
    return auth._run(lambda: requests.sign_in(auth._manager, path, fields, "signed in with an ID token"))
