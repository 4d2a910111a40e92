"""Sign-in methods that use a browser: providers, single sign-on, links, identities.

They are methods of `AuthClient`. The code that the browser returns with works only together with its verifier
(PKCE), which never leaves this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .. import errors
from .._models.base import optional_text
from .._secrets import tokens
from .._secrets.tokens import Secret
from ..models import (
    AuthChangeEvent,
    AuthResponse,
    IdentitiesResponse,
    OAuthResponse,
    SessionResponse,
    SSOResponse,
    UserIdentity,
)
from . import sign_in
from ._arguments import Arguments, require
from ._callback_url import callback_error, no_credentials_error, parse_callback
from ._session import sign_in_requests as requests
from ._session.session_record import TokenPair

if TYPE_CHECKING:
    from ._session.manager import SessionManager
    from .client import AuthClient


def sign_in_with_oauth(
    auth: AuthClient,
    credentials: Mapping[str, Any] | None = None,
    *,
    provider: str | None = None,
    redirect_to: str | None = None,
    scopes: str | None = None,
    query_params: Mapping[str, str] | None = None,
) -> OAuthResponse:
    """Start a sign-in with a provider such as ``"github"``. Returns the URL to open in a browser.

    Pass the URL that the browser ends up on to `sign_in_with_url`. Nothing is sent yet.

    Args:
        credentials: The arguments as a dictionary.
        provider: The provider's name, as in the project's settings.
        redirect_to: Where the browser returns to; must be one of the project's redirect URLs.
        scopes: The scopes to request from the provider, separated by spaces.
        query_params: More parameters for the provider.

    Raises:
        AuthStorageError: The verifier could not be saved.
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_in_with_oauth``.

    Example:
        ``supabase.auth.sign_in_with_oauth({"provider": "github"}).url``
    """
    arguments = Arguments(
        "sign_in_with_oauth",
        credentials,
        provider=provider,
        redirect_to=redirect_to,
        scopes=scopes,
        query_params=query_params,
    )
    fields = arguments.fields()
    require(fields, "provider")
    return auth._run(lambda: _begin_oauth(auth._manager, fields))


def get_oauth_url(
    auth: AuthClient,
    provider: str,
    *,
    redirect_to: str | None = None,
    scopes: str | None = None,
    query_params: Mapping[str, str] | None = None,
) -> str:
    """The URL that `sign_in_with_oauth` returns, as a string.

    Args:
        provider: The provider's name, as in the project's settings.
        redirect_to: Where the browser returns to; must be one of the project's redirect URLs.
        scopes: The scopes to request from the provider, separated by spaces.
        query_params: More parameters for the provider.

    Source: the auth server's ``/authorize``.

    Example:
        ``supabase.auth.get_oauth_url("github", scopes="read:user")``
    """
    return sign_in_with_oauth(
        auth, provider=provider, redirect_to=redirect_to, scopes=scopes, query_params=query_params
    ).url


def sign_in_with_sso(
    auth: AuthClient,
    credentials: Mapping[str, Any] | None = None,
    *,
    domain: str | None = None,
    provider_id: str | None = None,
    redirect_to: str | None = None,
    skip_http_redirect: bool | None = None,
    captcha_token: str | None = None,
) -> SSOResponse:
    """Start a sign-in with an organization (SAML). Returns the URL to open in a browser.

    Pass the URL that the browser ends up on to `sign_in_with_url`.

    Args:
        credentials: The arguments as a dictionary.
        domain: The organization's domain; or
        provider_id: the id of its identity provider.
        redirect_to: Where the browser returns to; must be one of the project's redirect URLs.
        skip_http_redirect: Return the URL instead of a redirect (the default).
        captcha_token: The result of a captcha, if the project requires one.

    Raises:
        AuthInvalidCredentials: Neither domain nor id was passed, or both.
        AuthApiError: The server rejected the request (``saml_provider_disabled``,
            ``sso_provider_not_found``…).
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``sign_in_with_sso``.

    Example:
        ``supabase.auth.sign_in_with_sso({"domain": "example.com"}).url``
    """
    arguments = Arguments(
        "sign_in_with_sso",
        credentials,
        domain=domain,
        provider_id=provider_id,
        redirect_to=redirect_to,
        skip_http_redirect=skip_http_redirect,
        captcha_token=captcha_token,
    )
    credentials = captcha_token = None
    fields = arguments.fields()
    if not fields.get("domain") and not fields.get("provider_id"):
        raise errors.AuthInvalidCredentials("Pass either domain or provider_id.", code="validation_failed")
    return auth._run(lambda: _begin_sso(auth._manager, fields))


def sign_in_with_url(auth: AuthClient, address: str | Secret) -> AuthResponse:
    """Sign in with the URL that a link or a provider's page led to.

    Args:
        address: The whole URL from the browser, including ``#access_token=…`` or ``?code=…``.

    Raises:
        AuthApiError: The URL or the server says that the sign-in failed.
        AuthError: It contains neither a code nor tokens.
        TypeError: The URL is not a string.

    Source: supabase_auth's ``initialize_from_url``.

    Example:
        ``supabase.auth.sign_in_with_url(url).user``
    """
    arguments = Arguments("sign_in_with_url", address=address)
    address = ""  # this frame can appear in a traceback with local variables
    fields = parse_callback(Secret(arguments.fields().get("address", "")))
    refused = callback_error(fields)
    if refused is not None:
        raise refused
    kind = fields["type"].reveal() if "type" in fields else ""
    if "access_token" in fields:
        pair = TokenPair.from_tokens(fields["access_token"], fields.get("refresh_token", ""))
        event = requests.sign_in_event(recovery=kind == "recovery")
        return auth._run(lambda: _restore(auth._manager, pair, event))
    if "code" in fields:
        return exchange_code_for_session(auth, fields["code"])
    if "token_hash" in fields:
        return sign_in.verify_otp(auth, token_hash=fields["token_hash"], type=kind or "email")
    raise no_credentials_error()


def exchange_code_for_session(
    auth: AuthClient,
    params: str | Secret | Mapping[str, Any] | None = None,
    *,
    auth_code: str | Secret | None = None,
    code_verifier: str | Secret | None = None,
    redirect_to: str | None = None,
) -> SessionResponse:
    """Sign in with the code from a callback URL (PKCE).

    Args:
        params: The code, or the arguments as a dictionary.
        auth_code: The code.
        code_verifier: The code's verifier; by default the one in storage.
        redirect_to: Where the sign-in was supposed to lead.

    Raises:
        AuthApiError: The server refused: the code was used, has expired, or has another verifier.
        AuthError: There is no verifier, because another client started the sign-in.
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``exchange_code_for_session``.

    Example:
        ``supabase.auth.exchange_code_for_session({"auth_code": code}).session``
    """
    if isinstance(params, (str, Secret)):
        auth_code, params = params, None
    arguments = Arguments(
        "exchange_code_for_session",
        params,
        auth_code=auth_code,
        code_verifier=code_verifier,
        redirect_to=redirect_to,
    )
    params = auth_code = code_verifier = None
    fields = arguments.fields()
    require(fields, "auth_code")
    for name in {"auth_code", "code_verifier"} & fields.keys():
        fields[name] = tokens.clean(fields[name])
    return auth._run(lambda: requests.exchange_code(auth._manager, fields))


# -- identities -------------------------------------------------------------------------------------------


def get_user_identities(auth: AuthClient) -> IdentitiesResponse:
    """The accounts that the user signs in with, requested from the server.

    Raises:
        AuthSessionMissing: Not signed in.

    Source: supabase_auth's ``get_user_identities``.

    Example:
        ``[identity.provider for identity in supabase.auth.get_user_identities().identities]``
    """
    return auth._run(lambda: _identities(auth._manager))


def link_identity(
    auth: AuthClient,
    credentials: Mapping[str, Any] | None = None,
    *,
    provider: str | None = None,
    redirect_to: str | None = None,
    scopes: str | None = None,
    query_params: Mapping[str, str] | None = None,
) -> OAuthResponse:
    """Start linking a provider's account to the user. Returns the URL to open in a browser.

    Pass the URL that the browser ends up on to `sign_in_with_url`. This creates a new session, and
    the current one doesn't end.

    Args:
        credentials: The arguments as a dictionary.
        provider: The provider's name, as in the project's settings.
        redirect_to: Where the browser returns to; must be one of the project's redirect URLs.
        scopes: The scopes to request from the provider, separated by spaces.
        query_params: More parameters for the provider.

    Raises:
        AuthSessionMissing: Not signed in.
        AuthApiError: The server rejected the request (``manual_linking_disabled``…).
        TypeError: An unknown key, or a value of the wrong type.

    Source: supabase_auth's ``link_identity``.

    Example:
        ``supabase.auth.link_identity({"provider": "github"}).url``
    """
    arguments = Arguments(
        "link_identity",
        credentials,
        provider=provider,
        redirect_to=redirect_to,
        scopes=scopes,
        query_params=query_params,
    )
    fields = arguments.fields()
    require(fields, "provider")
    return auth._run(lambda: _begin_linking(auth._manager, fields))


def unlink_identity(auth: AuthClient, identity: UserIdentity | Mapping[str, Any]) -> None:
    """Unlink one of the accounts that the user signs in with.

    If you unlink the email identity, the user gets the address of a remaining one and keeps the password.

    Args:
        identity: One of `get_user_identities`.

    Raises:
        AuthSessionMissing: Not signed in.
        AuthApiError: The server rejected the request (``single_identity_not_deletable``,
            ``identity_not_found``…).
        TypeError: The argument is not an identity.

    Source: supabase_auth's ``unlink_identity``.

    Example:
        ``supabase.auth.unlink_identity(supabase.auth.get_user_identities().identities[0])``
    """
    found = identity.get("identity_id") if isinstance(identity, Mapping) else None
    identity_id = getattr(identity, "identity_id", found)
    if not isinstance(identity_id, str) or not identity_id:
        raise TypeError("unlink_identity takes one of get_user_identities().identities.")
    return auth._run(lambda: _unlink(auth._manager, identity_id))


# -- requests ---------------------------------------------------------------------------------------------


async def _provider_query(manager: SessionManager, fields: Mapping[str, Any]) -> str:
    """The query parameters for a provider's page, with a new challenge."""
    challenge = await manager.store.run(requests.verifier_store(manager).create_challenge)
    return requests.provider_query(fields, challenge)


async def _begin_oauth(manager: SessionManager, fields: Mapping[str, Any]) -> OAuthResponse:
    query = await _provider_query(manager, fields)
    return OAuthResponse(fields["provider"], f"{manager.api.url}/authorize?{query}")


async def _begin_sso(manager: SessionManager, fields: dict[str, Any]) -> SSOResponse:
    # In the body, because this endpoint doesn't read it from the query.
    leads_to = {"redirect_to": fields.pop("redirect_to")} if "redirect_to" in fields else {}
    path, body = await requests.prepare_request(
        manager, "/sso", {"skip_http_redirect": True, **fields}, pkce=True
    )
    return SSOResponse(await manager.api.request_object("POST", path, _parse_url, body={**body, **leads_to}))


async def _begin_linking(manager: SessionManager, fields: Mapping[str, Any]) -> OAuthResponse:
    session = await manager.get_fresh_or_raise()
    path = f"/user/identities/authorize?{await _provider_query(manager, fields)}&skip_http_redirect=true"
    url = await manager.api.request_object("GET", path, _parse_url, token=session.access_secret)
    return OAuthResponse(fields["provider"], url)


def _parse_url(answer: Mapping[str, Any]) -> str | None:
    return optional_text(answer, "url")


async def _identities(manager: SessionManager) -> IdentitiesResponse:
    session = await manager.get_fresh_or_raise()
    return IdentitiesResponse((await manager.api.get_user(session.access_secret)).identities)


async def _unlink(manager: SessionManager, identity_id: str) -> None:
    session = await manager.get_fresh_or_raise()
    path = f"/user/identities/{quote(identity_id, safe='')}"
    await manager.api.request_object("DELETE", path, lambda _: True, token=session.access_secret)


async def _restore(manager: SessionManager, pair: TokenPair, event: AuthChangeEvent) -> SessionResponse:
    session = await manager.session_setter.set_session(pair, event, "signed in with a link")
    return SessionResponse(session.user, session)
