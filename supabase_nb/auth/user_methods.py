"""The methods about the user: get_user, update_user, get_claims.

They are methods of `AuthClient`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._secrets import tokens
from .._secrets.tokens import Secret
from ..models import ClaimsResponse, SessionResponse, UserResponse
from ._arguments import Arguments
from .session_methods import session_response

if TYPE_CHECKING:
    from .client import AuthClient


def get_user(auth: AuthClient, jwt: str | Secret | None = None) -> UserResponse:
    """Request the user from the server.

    The result is the user itself. As in supabase-py, it also has the user as ``.user``.

    Args:
        jwt: An access token; by default the session's.

    Raises:
        AuthSessionMissing: Not signed in.
        AuthApiError: The server rejected the request.
        AuthRetryableError: The server can't be reached.
        TypeError: The token is not a string.

    Source: supabase_auth's ``get_user``.

    Example:
        ``supabase.auth.get_user().user.email``
    """
    arguments = Arguments("get_user", jwt=jwt)
    jwt = None  # this frame can appear in a traceback with local variables
    fields = arguments.fields()
    return auth._run(lambda: _get_user(auth, fields.get("jwt")))


async def _get_user(auth: AuthClient, token: Secret | None) -> UserResponse:
    return UserResponse.of(await auth._manager.api.get_user(await _given_or_current_token(auth, token)))


async def _given_or_current_token(auth: AuthClient, token: Secret | None) -> Secret:
    """The given token, or the session's."""
    return tokens.clean(token) or Secret((await auth._manager.get_fresh_or_raise()).access_token)


def update_user(
    auth: AuthClient,
    attributes: Mapping[str, object] | None = None,
    options: Mapping[str, str] | None = None,
    *,
    email: str | None = None,
    phone: str | None = None,
    password: str | Secret | None = None,
    current_password: str | Secret | None = None,
    nonce: str | Secret | None = None,
    data: Mapping[str, Any] | None = None,
    channel: str | None = None,
    redirect_to: str | None = None,
) -> SessionResponse:
    """Change the user: ``{"data": {...}}``, ``{"password": ...}``, ``{"email": ...}``.

    The event is `USER_UPDATED`. The tokens don't change.

    Args:
        attributes: The attributes as a dictionary.
        options: ``{"email_redirect_to": ...}``.
        email: The new address. The server may require it to be confirmed first.
        phone: The new number, with country code.
        password: The new password.
        current_password: The old password, if the project requires it.
        nonce: The code from `reauthenticate`, if the project requires one.
        data: Metadata to add or change.
        channel: ``"sms"`` or ``"whatsapp"``, for a phone.
        redirect_to: Where the link in the confirmation email leads.

    Raises:
        AuthSessionMissing: Not signed in.
        AuthWeakPassword: The password is too weak. ``reasons`` says why.
        AuthApiError: The server rejected the request.
        TypeError: An unknown attribute, or a value of the wrong type.

    Source: supabase_auth's ``update_user``.

    Example:
        ``supabase.auth.update_user(data={"city": "London"}).user.user_metadata["city"]``
    """
    arguments = Arguments(
        "update_user",
        attributes,
        options,
        email=email,
        phone=phone,
        password=password,
        current_password=current_password,
        nonce=nonce,
        data=data,
        channel=channel,
        redirect_to=redirect_to,
    )
    attributes = password = current_password = nonce = None
    fields = arguments.fields()
    leads_to = fields.pop("redirect_to", None)
    return auth._run(lambda: session_response(auth._manager.update_user(fields, leads_to)))


def get_claims(
    auth: AuthClient, jwt: str | Secret | None = None, jwks: Mapping[str, Any] | None = None
) -> ClaimsResponse:
    """Verify the access token with the project's public keys (cached for 10 minutes). Returns its claims.

    If these keys can't verify the token, the auth server does, with one `get_user` request per call. This
    applies to tokens signed with a shared secret (HS256) or a newer key, to unreadable keys, and if the
    package ``cryptography`` is missing.

    Args:
        jwt: An access token; by default the session's.
        jwks: Public keys to try first, ``{"keys": [...]}``.

    Returns:
        ``claims``, ``headers`` and ``signature``, as attributes and keys.

    Raises:
        AuthInvalidJwt: The signature is wrong, or the token has expired.
        AuthSessionMissing: Not signed in.
        AuthApiError: The server rejected the token for another reason (``user_not_found``…).
        AuthRetryableError: The server has to verify the token, but can't be reached.
        TypeError: The token is not a string, or the keys are not a dictionary.

    Source: supabase_auth's ``get_claims``.

    Example:
        ``supabase.auth.get_claims().claims["exp"]``: Unix seconds, by the server's clock.
    """
    arguments = Arguments("get_claims", jwt=jwt, jwks=jwks)
    jwt = None  # this frame can appear in a traceback with local variables
    fields = arguments.fields()
    return auth._run(lambda: _get_claims(auth, fields.get("jwt"), fields.get("jwks")))


async def _get_claims(
    auth: AuthClient, token: Secret | None, jwks: Mapping[str, Any] | None
) -> ClaimsResponse:
    return await auth._verifier.verify(await _given_or_current_token(auth, token), jwks)
