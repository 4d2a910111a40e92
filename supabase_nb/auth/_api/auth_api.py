"""AuthAPI: requests to the auth server. Every response becomes a value or one of our errors.

Tokens are wrapped in `Secret`. Exceptions of the HTTP library are never passed on, because their frames hold
headers and bodies, and errors are raised where no local variable holds a token.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from ... import errors
from ..._network.urls import check_url
from ..._runtime.environment import IN_BROWSER
from ..._secrets import log_masking, tokens
from ..._secrets.credential_checks import check_header
from ..._secrets.tokens import Secret
from ..._version import __version__
from ...models import Session, User
from .responses import (
    Response,
    connection_error,
    error_from_response,
    invalid_url_error,
    needs_second_confirmation,
    parse_object,
    parse_session_or_user,
    timeout_error,
    unexpected_response_error,
)
from .server_clock import ServerClock
from .timeouts import CONNECT_TIMEOUT, LARGEST_RESPONSE, READ_TIMEOUT, REQUEST_TIMEOUT, in_time

if TYPE_CHECKING:
    from ..._network import http_library as httpx
    from ..._network.connection_pool import Pool

_T = TypeVar("_T")

_HEADERS = {
    "X-Supabase-Api-Version": "2024-01-01",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"supabase-nb/{__version__}",
}


class AuthAPI:
    """An auth server.

    Attributes:
        closed: Whether `close` was called.

    Args:
        url: Its base URL, ``https://abcd.supabase.co/auth/v1``.
        headers: Sent with every request, including ``apikey``.
        clock: Learns the server's time from each response.
        transport: An httpx transport, sync or async; by default, our own connection pool.
        allow_http: Also send tokens over plain ``http://`` to other machines, although others could read
            them.

    Raises:
        AuthError: ``url`` is not a valid URL, tokens would be sent unencrypted, or a header is not valid.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: ServerClock,
        headers: Mapping[str, Secret] | None = None,
        transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None,
        allow_http: bool = False,
    ) -> None:
        self.url = check_url(url, allow_http=allow_http)
        self.clock = clock
        self._headers = dict(headers or {})
        for name, value in self._headers.items():
            check_header(name, value)
        self.uses_secret_key = tokens.is_secret(self._headers.get("apikey", Secret("")))
        self._custom_transport = transport
        self._transport: httpx.AsyncBaseTransport | None = None
        self._pool: Pool | None = None
        self.closed = False

    # -- the endpoints ------------------------------------------------------------------------------------

    async def get_user(self, access_token: Secret) -> User:
        """``GET /user``: verifies the token with the server (``tests/wire/sessions-es256.json``)."""
        return _read_user(await self._request("GET", "/user", token=access_token))

    async def update_user(
        self, access_token: Secret, attributes: Mapping[str, object], redirect_to: str | None = None
    ) -> User:
        """``PUT /user`` (``tests/wire/users.json``)."""
        path = "/user" if redirect_to is None else f"/user?redirect_to={quote(redirect_to, safe='')}"
        return _read_user(await self._request("PUT", path, token=access_token, body=attributes))

    async def refresh(
        self, refresh_token: Secret, claims: Mapping[str, Any] | None, known_user: User | None = None
    ) -> Session:
        """``POST /token?grant_type=refresh_token`` (``tests/wire/rotation.json``).

        A session of a client of the OAuth server can be refreshed only at ``/oauth/token``, for that client.

        Args:
            refresh_token: The refresh token.
            claims: The access token's claims, which name the client, if any.
            known_user: The session's user, if known.
        """
        client_id = tokens.text_claim(claims, "client_id")
        if client_id is not None:
            body = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client_id}
            return await self._refresh_oauth_client(body, known_user)
        session = await self.session("/token?grant_type=refresh_token", {"refresh_token": refresh_token})
        if not session.refresh_token:
            raise unexpected_response_error()
        return session

    async def _refresh_oauth_client(self, body: Mapping[str, object], known_user: User | None) -> Session:
        try:
            return await self.oauth_client_session(body, known_user)
        except errors.AuthApiError as error:
            if error.code not in ("invalid_client", "invalid_credentials"):
                raise
            refused = error
        # The app's secret is missing (``tests/wire/oauth-server.json``), so trying again doesn't help.
        code = "oauth_client_refused"
        message = errors.with_next_step("The auth server refreshes this session only for its app", code)
        raise errors.AuthApiError(message, status=refused.status, code=code)

    async def oauth_client_session(
        self, body: Mapping[str, object], known_user: User | None = None
    ) -> Session:
        """``POST /oauth/token``: a session of a client of the OAuth server.

        The response has no user. The result has the known user, updated from the token's claims. If the user
        isn't known, the server is asked, and if that fails, only the claims are used, so that the new tokens
        aren't lost.

        Args:
            body: The request body.
            known_user: The session's user, if known.
        """
        session = await self.session_or_user("/oauth/token", body, from_oauth_server=True)
        if not isinstance(session, Session) or not session.refresh_token:
            raise unexpected_response_error()
        if known_user is not None:
            return session.with_user(User.from_wire({**known_user.to_wire(), **session.user.to_wire()}))
        try:
            return session.with_user(await self.get_user(session.access_secret))
        except errors.AuthError:
            return session

    async def session(self, path: str, body: Mapping[str, object], token: Secret | None = None) -> Session:
        """A ``POST`` whose response is a session: sign-ins, refreshes, second factors.

        Args:
            path: The endpoint's path.
            body: The request body.
            token: The session's access token, if any.
        """
        found = await self.session_or_user(path, body, token)
        if not isinstance(found, Session):
            raise unexpected_response_error()
        return found

    async def session_or_user(
        self,
        path: str,
        body: Mapping[str, object],
        token: Secret | None = None,
        *,
        from_oauth_server: bool = False,
    ) -> Session | User | None:
        """The same, for requests that may have to be confirmed first.

        Args:
            path: The endpoint's path.
            body: The request body.
            token: The session's access token, if any.
            from_oauth_server: Whether the OAuth server responds. It sends no user: use the token's claims.

        Returns:
            A user without a session: of a sign-up that must be confirmed. ``None``: one of two addresses is
            confirmed (``tests/wire/recover.json``).
        """
        steady = self.clock.clock.steady
        sent = steady()
        response = await self._request("POST", path, token=token, body=body)
        found = parse_session_or_user(response, self.clock.now(), from_oauth_server=from_oauth_server)
        if found is None and not needs_second_confirmation(response):
            raise unexpected_response_error(response.status)
        if isinstance(found, Session):
            self.clock.learn_issued(found.issued_at, sent, steady())
        return found

    async def request_object(
        self,
        method: str,
        path: str,
        parse: Callable[[Mapping[str, Any]], _T | None],
        *,
        token: Secret | None = None,
        body: Mapping[str, object] | None = None,
    ) -> _T:
        """Send a request whose response is a JSON object, but not a session.

        Args:
            method: The HTTP method.
            path: The endpoint's path.
            parse: Parses the response, or returns ``None`` if it isn't the expected one.
            token: The session's access token, if any.
            body: The request body.
        """
        response = await self._request(method, path, token=token, body=body)
        found = parse_object(response, parse)
        if found is None:
            raise unexpected_response_error(response.status)
        return found

    async def logout(self, access_token: Secret, scope: str) -> None:
        """``POST /logout`` (``tests/wire/sign-out.json``)."""
        response = await self._request("POST", f"/logout?scope={scope}", token=access_token)
        if response.status != 204 and not isinstance(response.json(), dict):
            raise unexpected_response_error(response.status)

    async def jwks(self) -> Mapping[str, Any]:
        """``GET /.well-known/jwks.json``: the public keys."""
        keys = (await self._request("GET", "/.well-known/jwks.json")).json()
        if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
            del keys  # may contain anything, and this frame can appear in a traceback with local variables
            raise unexpected_response_error()
        return keys

    def close(self) -> None:
        """Close the connections when no request is running."""
        self.closed = True
        if self._pool is not None:
            self._pool.close()

    # -- requests ---------------------------------------------------------------------------------------

    async def _request(
        self,
        method: str,
        path: str,
        *,
        token: Secret | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Response:
        if token is not None and not tokens.is_jwt(token):
            raise errors.AuthInvalidJwt("This is not an access token. " + errors.NEXT_STEPS["bad_jwt"])
        sent = self.clock.clock.steady()
        try:
            # The HTTP library limits each step, but not the number of steps of a slow response.
            response = await in_time(REQUEST_TIMEOUT, self._send(method, path, token, body))
        except asyncio.TimeoutError:
            response = timeout_error(self.url)
        if isinstance(response, Exception):
            raise response
        self.clock.learn(response.headers.get("date"), sent, self.clock.clock.steady())
        if 200 <= response.status < 300:
            return response
        raise error_from_response(response, self.url, self.clock.now())

    async def _send(
        self, method: str, path: str, token: Secret | None, body: Mapping[str, object] | None
    ) -> Response | Exception:
        """Send and receive. Failures are returned, not raised, because the frames below hold tokens."""
        from ..._network import http_library as httpx

        content = None
        if body is not None:
            try:
                content = json.dumps(body, default=_reveal, allow_nan=False).encode()
            except (TypeError, ValueError, RecursionError) as error:
                return TypeError(f"This can't be sent as JSON: {error}")
        headers = _HEADERS | {name: value.reveal() for name, value in self._headers.items()}
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        if content is not None:
            headers["Content-Type"] = "application/json;charset=UTF-8"
        try:
            request = httpx.Request(
                method, _parse_url(self.url + path), headers=headers, content=content, extensions=_timeouts()
            )
            response = await self._get_transport().handle_async_request(request)
            try:
                received = bytearray()
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > LARGEST_RESPONSE:
                        return errors.AuthUnknownError(
                            "The response is too long to come from an auth server."
                        )
            finally:
                await response.aclose()
            sent = [*self._headers.values(), *_secrets_in(body), *([] if token is None else [token])]
            return Response(response.status_code, response.headers, bytes(received), sent)
        except errors.AuthError as error:
            return errors.copy_error(error)  # without these frames
        except httpx.HTTPError as error:
            return connection_error(error, self.url)
        except (httpx.InvalidURL, UnicodeError):
            return invalid_url_error(self.url)
        except Exception as error:  # noqa: BLE001  (raised anew, without these frames)
            kind = type(error).__name__
        return errors.AuthUnknownError(f"The request could not be sent ({kind}). Check the URL and the key.")

    def _get_transport(self) -> httpx.AsyncBaseTransport:
        """The transport: the given one, or our own connection pool."""
        if self._transport is None:
            log_masking.install()
            self._transport = self._async_transport()
        return self._transport

    def _async_transport(self) -> httpx.AsyncBaseTransport:
        from ..._network import http_library as httpx
        from .threaded_transport import ThreadedTransport

        if self._custom_transport is not None:
            given = self._custom_transport
            return ThreadedTransport(given) if isinstance(given, httpx.BaseTransport) else given
        if IN_BROWSER:
            from ...pyodide_transports import AsyncXHRTransport

            return AsyncXHRTransport()
        from ..._network.connection_pool import Pool

        self._pool = Pool()
        # Close the pool when this object is garbage-collected, but not at interpreter exit.
        weakref.finalize(self, self._pool.close).atexit = False
        if self.closed:
            self._pool.close()  # in the meantime, by another thread
        return ThreadedTransport(self._pool)


def _timeouts() -> dict[str, object]:
    others = dict.fromkeys(("read", "write", "pool"), READ_TIMEOUT)
    return {"timeout": {"connect": CONNECT_TIMEOUT, **others}}


@lru_cache(maxsize=64)
def _parse_url(url: str) -> httpx.URL:
    from ..._network import http_library as httpx

    return httpx.URL(url)


def _read_user(response: Response) -> User:
    found = parse_session_or_user(response, 0.0)
    if not isinstance(found, User):
        raise unexpected_response_error(response.status)
    return found


def _secrets_in(value: object) -> Iterator[Secret]:
    """The secrets in a request's body."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets_in(item)


def _reveal(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"a value is a {type(value).__name__}")
