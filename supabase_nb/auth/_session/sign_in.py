"""The sign-ins: what each sends, and the session that it puts in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ... import errors
from ...models import AuthChangeEvent, AuthOtpResponse, AuthResponse, SessionResponse, User
from ..pkce import RECOVERY, Pkce
from .stored_session import TokenPair

if TYPE_CHECKING:
    from .manager import SessionManager


async def sign_in(manager: SessionManager, path: str, body: Mapping[str, Any], cause: str) -> SessionResponse:
    """Send a sign-in, and put in force what the server issues.

    Args:
        manager: Keeps the session.
        path: Of the endpoint.
        body: What to send.
        cause: What was done, for people.
    """
    request = manager.state.new_request()
    session = await manager.api.session(*await _prepare(manager, path, body))
    await manager.adopter.adopt_new(session, AuthChangeEvent.SIGNED_IN, cause, request)
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
    """The same, where the answer may be a user without a session, who must confirm something first.

    Args:
        manager: Keeps the session.
        path: Of the endpoint.
        body: What to send.
        cause: What was done, for people.
        pkce: Whether a link in a mail will lead to a code.
        recovery: Whether this is for a user who has lost the password.
    """
    request = manager.state.new_request()
    found = await manager.api.session_or_user(*await _prepare(manager, path, body, pkce=pkce))
    if found is None or isinstance(found, User):
        return AuthResponse(found, None)
    await manager.adopter.adopt_new(found, event_of(recovery=recovery), cause, request)
    return SessionResponse(found.user, found)


async def send_otp(manager: SessionManager, body: Mapping[str, Any]) -> AuthOtpResponse:
    """Have a code or a link sent."""
    answer = await manager.api.post(*await _prepare(manager, "/otp", body, pkce="email" in body))
    message_id = answer.get("message_id")
    return AuthOtpResponse(message_id if isinstance(message_id, str) else None)


async def oauth_url(manager: SessionManager, fields: Mapping[str, str]) -> str:
    """Where a provider's page is, and a verifier for the code that it will lead to."""
    challenge = await manager.store.run(_pkce(manager).challenge)
    return f"{manager.api.url}/authorize?{urlencode({**fields, **challenge})}"


async def restore_from_link(
    manager: SessionManager, pair: TokenPair, event: AuthChangeEvent
) -> SessionResponse:
    """Put the session in force whose tokens an address holds."""
    session = await manager.adopter.restore_from_tokens(pair, event, "signed in with a link")
    return SessionResponse(session.user, session)


async def exchange_code(manager: SessionManager, fields: Mapping[str, Any]) -> SessionResponse:
    """Send a code with its verifier, and put in force what the server issues."""
    pkce, purpose = _pkce(manager), ""
    verifier = fields.get("code_verifier")
    if not verifier:
        verifier, purpose = await manager.store.run(pkce.verifier)
    if not verifier:
        raise errors.AuthError(
            "This code belongs to a sign-in that was not begun here, or was finished. Begin again with "
            "get_oauth_url or sign_in_with_otp.",
            code="no_code_verifier",
        )
    request = manager.state.new_request()
    body = {**fields, "code_verifier": verifier}
    session = await manager.api.session(*await _prepare(manager, "/token?grant_type=pkce", body))
    try:
        event = event_of(recovery=purpose == RECOVERY)
        await manager.adopter.adopt_new(session, event, "signed in with a code", request)
    finally:
        await manager.store.run(pkce.done)
    return SessionResponse(session.user, session)


def _pkce(manager: SessionManager) -> Pkce:
    return Pkce(manager.store.storage, manager.store.key)


async def _prepare(
    manager: SessionManager, path: str, given: Mapping[str, Any], *, pkce: bool = False
) -> tuple[str, dict[str, object]]:
    """Where to send what is given, and its JSON."""
    body = dict(given)
    redirect_to, captcha_token = body.pop("redirect_to", None), body.pop("captcha_token", None)
    if captcha_token is not None:
        body["gotrue_meta_security"] = {"captcha_token": captcha_token}
    if redirect_to is not None:
        path += f"{'&' if '?' in path else '?'}redirect_to={quote(redirect_to, safe='')}"
    challenge = await manager.store.run(_pkce(manager).challenge) if pkce else {}
    return path, {**body, **challenge}


def event_of(*, recovery: bool) -> AuthChangeEvent:
    """What subscribers are told of a sign-in."""
    return AuthChangeEvent.PASSWORD_RECOVERY if recovery else AuthChangeEvent.SIGNED_IN
