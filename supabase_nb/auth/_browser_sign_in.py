"""BrowserSignIn: a sign-in in the user's browser, whose verifier stays in this process.

`begin_with_provider` and `begin_with_oauth_server` create one. Open its `url` in a browser, listen at
`redirect_to`, and pass the URL that the browser ends up on to `finish`. Several can be open at once, in
one process or in several, because each has its own verifier and nonce.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from .. import errors
from .._models.base import optional_text
from .._secrets.tokens import Secret
from ..models import AuthChangeEvent, SessionResponse
from ._callback_url import callback_error, no_credentials_error, parse_callback
from ._pkce import challenge_for, new_verifier
from ._session import sign_in_requests as requests

if TYPE_CHECKING:
    from ._session.manager import SessionManager
    from .client import AuthClient

# The auth server drops our `state`, but keeps the query of `redirect_to`. In their logs, Jupyter servers mask
# parameters whose names contain "state".
_NONCE = "supabase_nb_state"
_CLIENT_NAME = "supabase-nb"
#: How long the auth server keeps an unfinished sign-in, in seconds.
LIFETIME = 300.0

_ExchangeCode = Callable[["SessionManager", Secret], Coroutine[Any, Any, SessionResponse]]


class BrowserSignIn:
    """A sign-in that the user completes in a browser.

    Attributes:
        url: The URL to open. It contains no secret.
        redirect_to: Where the browser returns to.

    Args:
        auth: The client.
        url: The URL to open.
        redirect_to: Where the browser returns to.
        nonce: The parameter that the returned URL must have, and its value.
        exchange: Exchanges the code for a session.
    """

    def __init__(
        self, auth: AuthClient, url: str, redirect_to: str, nonce: tuple[str, Secret], exchange: _ExchangeCode
    ) -> None:
        self.url, self.redirect_to = url, redirect_to
        self._auth, self._nonce, self._exchange = auth, nonce, exchange

    @property
    def nonce(self) -> Secret:
        """The value that the returned URL must contain."""
        return self._nonce[1]

    def __repr__(self) -> str:
        return f"BrowserSignIn(redirect_to={self.redirect_to!r})"

    def finish(self, address: str | Secret) -> SessionResponse:
        """Sign in with the URL that the browser ended up on.

        Args:
            address: The whole URL.

        Raises:
            AuthApiError: The URL (``access_denied``…) or the server says that the sign-in failed.
            AuthError: The URL belongs to another sign-in (``state_mismatch``), or contains no code.
        """
        secret, address = Secret(address), ""
        fields = parse_callback(secret)
        if not self._has_nonce(secret, fields):
            raise errors.AuthError(
                "This URL belongs to another sign-in. Start again, and finish in the window that opens.",
                code="state_mismatch",
            )
        refused = callback_error(fields)
        if refused is not None:
            try:
                raise refused
            finally:
                del refused  # otherwise its traceback and this frame would keep each other alive
        code = fields.get("code")
        if not code:
            raise no_credentials_error()
        return self._auth._run(lambda: self._exchange(self._auth._manager, code))

    def _has_nonce(self, address: Secret, fields: Mapping[str, Secret]) -> bool:
        """Whether the URL has the right nonce.

        If `redirect_to` isn't among the project's redirect URLs, the server redirects to the site URL
        instead, without the nonce. Such a URL can still be pasted: then only the verifier decides.
        """
        name, nonce = self._nonce
        found = fields.get(name)
        if found is None:
            return not is_address_of(address.reveal(), self.redirect_to)
        return secrets.compare_digest(found.reveal().encode(), nonce.reveal().encode())


def is_address_of(address: str, redirect_to: str) -> bool:
    """Whether a URL is `redirect_to` with other parameters."""
    try:
        found, wanted = urlsplit(address.strip()), urlsplit(redirect_to)
    except ValueError:
        return False
    return (found.scheme, found.netloc, found.path or "/") == (
        wanted.scheme,
        wanted.netloc,
        wanted.path or "/",
    )


def begin_with_provider(
    auth: AuthClient,
    provider: str,
    redirect_to: str,
    *,
    scopes: str | None = None,
    query_params: Mapping[str, str] | None = None,
) -> BrowserSignIn:
    """Start a sign-in with a provider such as ``"github"``. Nothing is sent or stored.

    Args:
        auth: The client.
        provider: The provider's name, as in the project's settings.
        redirect_to: Where the browser returns to: one of the project's redirect URLs, or
            ``http://127.0.0.1`` with any port.
        scopes: The scopes to request from the provider, separated by spaces.
        query_params: More parameters for the provider.
    """
    verifier, nonce = new_verifier(), Secret(secrets.token_urlsafe(24))
    parts = urlsplit(redirect_to)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), (_NONCE, nonce.reveal())])
    fields = {
        "query_params": query_params,
        "provider": provider,
        "redirect_to": urlunsplit(parts._replace(query=query)),
        "scopes": scopes or None,
    }

    async def exchange(manager: SessionManager, code: Secret) -> SessionResponse:
        return await requests.exchange_code(manager, {"auth_code": code, "code_verifier": verifier})

    url = f"{auth.url}/authorize?{requests.provider_query(fields, challenge_for(verifier))}"
    return BrowserSignIn(auth, url, redirect_to, (_NONCE, nonce), exchange)


def begin_with_oauth_server(
    auth: AuthClient,
    redirect_to: str,
    *,
    client_id: str | None = None,
    client_name: str = _CLIENT_NAME,
    scope: str = "email",
) -> BrowserSignIn:
    """Start a sign-in as a client of the project's OAuth 2.1 server (``tests/wire/oauth-server.json``).

    Args:
        auth: The client.
        redirect_to: Where the browser returns to, exactly as registered, including the port.
        client_id: The id of a registered client; by default a new one is registered for this URL.
        client_name: The name of a new client, which is shown to the user.
        scope: The scopes to request, separated by spaces.

    Raises:
        AuthApiError: ``feature_disabled``: the project has no OAuth server.
        AuthError: ``oauth_registration_disabled``: the server doesn't register new clients. Pass
            ``client_id``.
    """
    verifier, state = new_verifier(), Secret(secrets.token_urlsafe(24))
    known = auth._run(lambda: _client_id(auth._manager, client_id, client_name, redirect_to))
    fields = {
        "response_type": "code",
        "client_id": known,
        "redirect_uri": redirect_to,
        "scope": scope,
        "state": state.reveal(),
        **challenge_for(verifier),
    }

    async def exchange(manager: SessionManager, code: Secret) -> SessionResponse:
        operation = manager.state.new_operation()
        session = await manager.api.oauth_client_session(
            {
                "grant_type": "authorization_code",
                "client_id": known,
                "code": code,
                "code_verifier": verifier,
                "redirect_uri": redirect_to,
            }
        )
        cause = "signed in at the project's OAuth server"
        await manager.session_setter.use_issued(session, AuthChangeEvent.SIGNED_IN, cause, operation)
        return SessionResponse(session.user, session)

    url = f"{auth.url}/oauth/authorize?{urlencode(fields)}"
    return BrowserSignIn(auth, url, redirect_to, ("state", state), exchange)


async def _client_id(manager: SessionManager, given: str | None, name: str, redirect_to: str) -> str:
    """The given client id, or that of a newly registered client."""
    discovery = "/.well-known/oauth-authorization-server"
    registers = await manager.api.request_object(
        "GET", discovery, lambda answer: "registration_endpoint" in answer
    )
    if given is not None:
        return given
    if not registers:
        raise errors.AuthError(
            "The project's OAuth server doesn't allow dynamic client registration. Register a client in the "
            "project's settings and pass its client_id.",
            code="oauth_registration_disabled",
        )
    asked = {
        "client_name": name,
        "redirect_uris": [redirect_to],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    }
    return await manager.api.request_object(
        "POST", "/oauth/clients/register", lambda answer: optional_text(answer, "client_id"), body=asked
    )
