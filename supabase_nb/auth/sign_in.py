"""The sign-in methods: password, one-time code, link, provider, anonymous.

They are methods of `AuthClient`, which each puts a session in force.

Where Supabase's Python client takes a dictionary of credentials, so do these; keywords say the same.
Passwords and codes are wrapped as they enter: no ``repr``, log or traceback of ours shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from .. import errors, tokens
from ..models import AuthChangeEvent, AuthOtpResponse, AuthResponse, SessionResponse, User
from ..redaction import shown
from ..tokens import Secret
from ._arguments import Given, require, require_contact
from ._session.stored_session import TokenPair
from .pkce import RECOVERY, Pkce

if TYPE_CHECKING:
    from ._session.manager import SessionManager
    from .client import AuthClient

# The secrets in an address that a link or a provider's page leads to.
_SECRET_IN_URL = (
    "access_token",
    "code",
    "provider_refresh_token",
    "provider_token",
    "refresh_token",
    "token_hash",
)


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
    """Make a new user.

    Args:
        credentials: The same as a dictionary.
        email: The address; or
        phone: the number, with its country's code.
        password: The password.
        data: The user's metadata.
        redirect_to: Where the link in the confirmation mail leads.
        channel: ``"sms"`` or ``"whatsapp"``, for a phone.
        captcha_token: What a captcha gave, where the project asks for one.

    Returns:
        The user and the session; no session when the project wants the address confirmed first.

    Raises:
        AuthWeakPassword: ``reasons`` says in what.
        AuthApiError: The server refused (``user_already_exists``, ``signup_disabled``…).
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_up``.

    Example:
        ``supabase.auth.sign_up({"email": "ada@example.com", "password": password}).user``
    """
    given = Given(
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
    fields = given.fields()
    require_contact(fields, "password")
    body = {**fields, "data": dict(fields.get("data", {}))}
    if "phone" in body:
        body.setdefault("channel", "sms")
    return auth._run(
        lambda: _sign_in_or_confirm(auth._manager, "/signup", body, "signed up", pkce="email" in body)
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
        credentials: The same as a dictionary.
        email: The address; or
        phone: the number.
        password: The password.
        data: Sent along, as supabase_auth does; the auth server makes nothing of it.
        captcha_token: What a captcha gave, where the project asks for one.

    Raises:
        AuthInvalidCredentials: Wrong e-mail or password.
        AuthApiError: The server refused (``email_not_confirmed``, ``user_banned``…).
        AuthRetryableError: The server cannot be reached now.
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_in_with_password``.

    Example:
        ``supabase.auth.sign_in_with_password({"email": "ada@example.com", "password": password}).session``
    """
    given = Given(
        "sign_in_with_password",
        credentials,
        email=email,
        phone=phone,
        password=password,
        data=data,
        captcha_token=captcha_token,
    )
    credentials = password = captcha_token = None
    fields = given.fields()
    require_contact(fields, "password")
    path = "/token?grant_type=password"
    return auth._run(lambda: _sign_in(auth._manager, path, fields, "signed in with a password"))


def sign_in_anonymously(
    auth: AuthClient,
    credentials: Mapping[str, Any] | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    captcha_token: str | None = None,
) -> SessionResponse:
    """Sign in as a new user without a name.

    Args:
        credentials: The same as a dictionary.
        data: The user's metadata.
        captcha_token: What a captcha gave, where the project asks for one.

    Raises:
        AuthApiError: ``anonymous_provider_disabled``: the project does not allow it.
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_in_anonymously``.

    Example:
        ``supabase.auth.sign_in_anonymously(data={"name": "Visitor"}).user.is_anonymous``
    """
    given = Given("sign_in_anonymously", credentials, data=data, captcha_token=captcha_token)
    credentials = captcha_token = None
    fields = given.fields()
    body = {**fields, "data": dict(fields.get("data", {}))}
    return auth._run(lambda: _sign_in(auth._manager, "/signup", body, "signed in anonymously"))


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
    """Have a one-time code, and by mail a link, sent; `verify_otp` or `sign_in_with_url` takes it.

    Args:
        credentials: The same as a dictionary.
        email: The address; or
        phone: the number, with its country's code.
        should_create_user: Whether a stranger becomes a new user; yes by default.
        data: The metadata of a new user.
        redirect_to: Where the link leads.
        channel: ``"sms"`` or ``"whatsapp"``, for a phone.
        captcha_token: What a captcha gave, where the project asks for one.

    Returns:
        Neither user nor session: these come with the code. ``message_id`` is the SMS provider's.

    Raises:
        AuthApiError: The server refused (``otp_disabled``, ``over_email_send_rate_limit``…).
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_in_with_otp``.

    Example:
        ``supabase.auth.sign_in_with_otp({"email": "ada@example.com"})``
    """
    given = Given(
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
    fields = given.fields()
    require_contact(fields)
    body = {**fields, "create_user": fields.pop("should_create_user", True)}
    return auth._run(lambda: _send_otp(auth._manager, body))


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
        params: The same as a dictionary.
        email: The address that the code was sent to; or
        phone: the number.
        token: The code. Spaces and dashes in it do not matter.
        token_hash: What a link holds instead of a code; then without address and code.
        type: What it was sent for: ``"email"`` (default), ``"sms"`` (default with a phone),
            ``"recovery"``, ``"invite"``, ``"email_change"``…
        redirect_to: Where a link would lead.
        captcha_token: What a captcha gave, where the project asks for one.

    Returns:
        The user and the session; neither, when the other address has to confirm a change too.

    Raises:
        AuthInvalidCredentials: The code is wrong, spent or too old.
        AuthApiError: The server refused.
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``verify_otp``.

    Example:
        ``supabase.auth.verify_otp({"email": "ada@example.com", "token": code, "type": "email"}).session``
    """
    given = Given(
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
    fields = given.fields()
    if "token_hash" not in fields:
        require_contact(fields, "token")
        fields["token"] = Secret("".join(fields["token"].reveal().replace("-", " ").split()))
    kind = fields.setdefault("type", "sms" if "phone" in fields else "email")
    recovery, cause = kind == "recovery", "signed in with a one-time code"
    return auth._run(lambda: _sign_in_or_confirm(auth._manager, "/verify", fields, cause, recovery=recovery))


# -- by an address that one is sent back to -----------------------------------------------------------


def get_oauth_url(
    auth: AuthClient,
    provider: str,
    *,
    redirect_to: str | None = None,
    scopes: str | None = None,
    query_params: Mapping[str, str] | None = None,
) -> str:
    """The address to open in a browser to sign in with a provider such as ``"github"``.

    `sign_in_with_url` takes the address that one is sent back to. It holds a code that is of use only
    together with the verifier that is made here and kept in storage (PKCE).

    Args:
        provider: The provider's name, as in the project's settings.
        redirect_to: Where to be sent back to; must be among the project's redirect URLs.
        scopes: What to ask of the provider, separated by spaces.
        query_params: Further parameters for the provider.

    Source: the auth server's ``/authorize``.

    Example:
        ``supabase.auth.get_oauth_url("github", scopes="read:user")``
    """
    params = {"provider": provider, "redirect_to": redirect_to, "scopes": scopes}
    fields = {name: value for name, value in params.items() if value} | dict(query_params or {})
    return auth._run(lambda: _oauth_url(auth._manager, fields))


def sign_in_with_url(auth: AuthClient, address: str | Secret) -> AuthResponse:
    """Sign in with the address that a link or a provider's page sent one back to.

    Args:
        address: Copied from the browser, whole: with its ``#access_token=…`` or its ``?code=…``.

    Raises:
        AuthApiError: The address says that the sign-in failed, or the server does.
        AuthError: There is nothing in it to sign in with.

    Source: supabase_auth's ``initialize_from_url``.

    Example:
        ``supabase.auth.sign_in_with_url(address).user``
    """
    secret, address = Secret(address), ""
    fields = _fields(secret)
    if fields.get("error_description") or fields.get("error_code") or fields.get("error"):
        raise _failed(fields)
    kind = fields["type"].reveal() if "type" in fields else ""
    if "access_token" in fields:
        pair = TokenPair.of(fields["access_token"], fields.get("refresh_token", ""))
        event = _event(recovery=kind == "recovery")
        return auth._run(lambda: _restore(auth._manager, pair, event))
    if "code" in fields:
        return exchange_code_for_session(auth, fields["code"])
    if "token_hash" in fields:
        return verify_otp(auth, token_hash=fields["token_hash"], type=kind or "email")
    raise errors.AuthError(
        "There is nothing in this address to sign in with. Copy the whole address, with everything after "
        "the ? and the #.",
        code="no_credentials",
    )


def exchange_code_for_session(
    auth: AuthClient,
    params: str | Secret | Mapping[str, Any] | None = None,
    *,
    auth_code: str | Secret | None = None,
    code_verifier: str | Secret | None = None,
    redirect_to: str | None = None,
) -> SessionResponse:
    """Sign in with the code of an address (PKCE).

    Args:
        params: The code; or a dictionary of what follows.
        auth_code: The code.
        code_verifier: By default the one that was made for it and is kept in storage.
        redirect_to: Where the sign-in was to lead.

    Raises:
        AuthApiError: The server refused: the code is spent, too old, or of another verifier.
        AuthError: There is no verifier: the sign-in was not begun here.
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``exchange_code_for_session``.

    Example:
        ``supabase.auth.exchange_code_for_session({"auth_code": code}).session``
    """
    if isinstance(params, (str, Secret)):
        auth_code, params = params, None
    given = Given(
        "exchange_code_for_session",
        params,
        auth_code=auth_code,
        code_verifier=code_verifier,
        redirect_to=redirect_to,
    )
    params = auth_code = code_verifier = None
    fields = given.fields()
    require(fields, "auth_code")
    for name in {"auth_code", "code_verifier"} & fields.keys():
        fields[name] = tokens.clean(fields[name])
    return auth._run(lambda: _exchange_code(auth._manager, fields))


# -- how they are sent ------------------------------------------------------------------------------------


async def _sign_in(
    manager: SessionManager, path: str, body: Mapping[str, Any], cause: str
) -> SessionResponse:
    """Send a sign-in, and put in force what the server issues.

    Args:
        manager: Keeps the session.
        path: Of the endpoint.
        body: What to send.
        cause: What was done, for people.
    """
    request = manager.state.new_request()
    session = await manager.api.session(*await _prepare(manager, path, body))
    await manager.adopt_new(session, AuthChangeEvent.SIGNED_IN, cause, request)
    return SessionResponse(session.user, session)


async def _sign_in_or_confirm(
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
    await manager.adopt_new(found, _event(recovery=recovery), cause, request)
    return SessionResponse(found.user, found)


async def _send_otp(manager: SessionManager, body: Mapping[str, Any]) -> AuthOtpResponse:
    answer = await manager.api.post(*await _prepare(manager, "/otp", body, pkce="email" in body))
    message_id = answer.get("message_id")
    return AuthOtpResponse(message_id if isinstance(message_id, str) else None)


async def _oauth_url(manager: SessionManager, fields: Mapping[str, str]) -> str:
    challenge = await manager.store.run(_pkce(manager).challenge)
    return f"{manager.api.url}/authorize?{urlencode({**fields, **challenge})}"


async def _restore(manager: SessionManager, pair: TokenPair, event: AuthChangeEvent) -> SessionResponse:
    session = await manager.restore_from_tokens(pair, event, "signed in with a link")
    return SessionResponse(session.user, session)


async def _exchange_code(manager: SessionManager, fields: Mapping[str, Any]) -> SessionResponse:
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
        event = _event(recovery=purpose == RECOVERY)
        await manager.adopt_new(session, event, "signed in with a code", request)
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


def _event(*, recovery: bool) -> AuthChangeEvent:
    return AuthChangeEvent.PASSWORD_RECOVERY if recovery else AuthChangeEvent.SIGNED_IN


def _fields(address: Secret) -> dict[str, Secret]:
    """The parameters after the ``?`` and the ``#``."""
    try:
        parts = urlsplit(address.reveal().strip().strip("\"'<>"))
        found = parse_qs(parts.query) | parse_qs(parts.fragment.lstrip("/?"))
    except ValueError:
        return {}
    return {name: Secret(values[0]) for name, values in found.items()}


def _failed(fields: Mapping[str, Secret]) -> errors.AuthApiError:
    secrets = [value for name, value in fields.items() if name in _SECRET_IN_URL]
    said, code, kind = (
        shown(fields[name].reveal(), secrets=secrets) if name in fields else ""
        for name in ("error_description", "error_code", "error")
    )
    code = code or kind
    message = errors.with_next_step(f"The sign-in failed: {said or code.replace('_', ' ')}", code)
    if code == "otp_expired":
        return errors.AuthInvalidCredentials(message, code=code)
    return errors.AuthImplicitGrantRedirectError(message, {"error": kind, "code": code}, code=code)
