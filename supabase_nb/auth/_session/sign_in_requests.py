"""The requests of the sign-in methods. The sessions that they return become current."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ... import errors
from ..._models.base import optional_text
from ..._secrets.tokens import Secret
from ...models import AuthChangeEvent, AuthOtpResponse, AuthResponse, SessionResponse, User
from .._pkce import RECOVERY, VerifierStore

if TYPE_CHECKING:
    from .manager import SessionManager


async def sign_in(manager: SessionManager, path: str, body: Mapping[str, Any], cause: str) -> SessionResponse:
    """Send a sign-in, and make its session current.

    Args:
        manager: The session's manager.
        path: The endpoint's path.
        body: The request body.
        cause: The cause, as shown to the user.
    """
    operation = manager.state.new_operation()
    session = await manager.api.session(*await prepare_request(manager, path, body))
    await manager.session_setter.use_issued(session, AuthChangeEvent.SIGNED_IN, cause, operation)
    return SessionResponse(session.user, session)


async def sign_in_or_confirm(
    manager: SessionManager,
    path: str,
    body: Mapping[str, Any],
    cause: str,
    *,
    pkce: bool = False,
    recovery: bool = False,
) -> AuthResponse:
    """The same for a sign-in that may return a user without a session, who must confirm first.

    Args:
        manager: The session's manager.
        path: The endpoint's path.
        body: The request body.
        cause: The cause, as shown to the user.
        pkce: Whether a link in a mail will lead to a code.
        recovery: Whether this is for a forgotten password.
    """
    operation = manager.state.new_operation()
    found = await manager.api.session_or_user(*await prepare_request(manager, path, body, pkce=pkce))
    if found is None or isinstance(found, User):
        return AuthResponse(found, None)
    await manager.session_setter.use_issued(found, sign_in_event(recovery=recovery), cause, operation)
    return SessionResponse(found.user, found)


async def send_message(
    manager: SessionManager,
    path: str,
    body: Mapping[str, Any],
    *,
    pkce: bool = False,
    recovery: bool = False,
) -> AuthOtpResponse:
    """Request an email or text message.

    Args:
        manager: The session's manager.
        path: The endpoint's path.
        body: The request body.
        pkce: Whether a link in the mail will lead to a code.
        recovery: Whether this is for a forgotten password.
    """
    where, sent = await prepare_request(manager, path, body, pkce=pkce, recovery=recovery)
    return await manager.api.request_object(
        "POST", where, lambda answer: AuthOtpResponse(optional_text(answer, "message_id")), body=sent
    )


async def exchange_code(manager: SessionManager, fields: Mapping[str, Any]) -> SessionResponse:
    """Exchange the code of a PKCE flow for a session, and make it current.

    Args:
        manager: The session's manager.
        fields: ``auth_code``, ``redirect_to``, and ``code_verifier`` unless it is the stored one.
    """
    verifiers, purpose = verifier_store(manager), ""
    given = fields.get("code_verifier")
    verifier: Secret = given or Secret("")
    if not given:
        verifier, purpose = await manager.store.run(verifiers.read)
    if not verifier:
        raise errors.AuthError(
            "This code belongs to a sign-in that another client started, or that is already complete. "
            "Start again with sign_in_with_oauth or sign_in_with_otp.",
            code="no_code_verifier",
        )
    operation = manager.state.new_operation()
    body = {**fields, "code_verifier": verifier}
    session = await manager.api.session(*await prepare_request(manager, "/token?grant_type=pkce", body))
    try:
        event = sign_in_event(recovery=purpose == RECOVERY)
        await manager.session_setter.use_issued(session, event, "signed in with a code", operation)
    finally:
        if not given:
            await manager.store.run(verifiers.discard)
    return SessionResponse(session.user, session)


def provider_query(fields: Mapping[str, Any], challenge: Mapping[str, str]) -> str:
    """The query of a provider's page; ``query_params`` is for the provider itself."""
    own = {name: value for name, value in fields.items() if name != "query_params" and value is not None}
    return urlencode({**(fields.get("query_params") or {}), **own, **challenge})


def verifier_store(manager: SessionManager) -> VerifierStore:
    """The store of the verifier, next to the session."""
    return VerifierStore(manager.store.storage, manager.store.key)


async def prepare_request(
    manager: SessionManager,
    path: str,
    fields: Mapping[str, Any],
    *,
    pkce: bool = False,
    recovery: bool = False,
) -> tuple[str, dict[str, object]]:
    """The path and JSON body for the given fields."""
    body = dict(fields)
    redirect_to, captcha_token = body.pop("redirect_to", None), body.pop("captcha_token", None)
    if captcha_token is not None:
        body["gotrue_meta_security"] = {"captcha_token": captcha_token}
    if redirect_to is not None:
        path += f"{'&' if '?' in path else '?'}redirect_to={quote(redirect_to, safe='')}"
    if pkce:
        purpose = RECOVERY if recovery else ""
        body |= await manager.store.run(lambda: verifier_store(manager).create_challenge(purpose))
    return path, body


def sign_in_event(*, recovery: bool) -> AuthChangeEvent:
    """The event of a sign-in."""
    return AuthChangeEvent.PASSWORD_RECOVERY if recovery else AuthChangeEvent.SIGNED_IN
