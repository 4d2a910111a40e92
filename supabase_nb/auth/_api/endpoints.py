"""The auth server's endpoints, one method each; every response becomes a value or one of our errors.

Tokens pass through here, so: they travel in `Secret`s, an exception of the HTTP library never leaves (its
frames hold headers and bodies), and errors are raised where no local variable holds a token.
"""

from __future__ import annotations

import asyncio
import json
import os
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ... import errors, logs, tokens
from ..._urls import check_url
from ...models import Session, User
from ...tokens import Secret
from .._loop import owner_loop
from .responses import (
    Response,
    half_confirmed,
    not_a_url,
    outage,
    read,
    refusal,
    timed_out,
    unexpected_response,
)
from .server_clock import ServerClock

if TYPE_CHECKING:
    from ... import _http as httpx

#: Seconds to connect, and to wait for an answer (design: "time-outs and retries"); and for all of a request.
CONNECT_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT = 5.0, 10.0, 15.0
_API_VERSION = "2024-01-01"
LARGEST_RESPONSE = 4 * 1024 * 1024


class AuthAPI:
    """One auth server.

    Args:
        url: Its base, ``https://abcd.supabase.co/auth/v1``.
        headers: Sent with every request; ``apikey`` among them.
        clock: Learns the server's time from each answer.
        transport: An httpx transport that sends the requests, sync or async; by default a pool of our own.
        allow_http: Send tokens over plain ``http://`` to other machines too: readable on the way.

    Raises:
        AuthError: ``url`` is not a valid URL, or tokens would travel in the clear.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: ServerClock,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None,
        allow_http: bool = False,
    ) -> None:
        self.url = check_url(url, allow_http=allow_http)
        self.clock = clock
        self.uses_secret_key = tokens.is_secret(Secret((headers or {}).get("apikey", "")))
        self._headers = {name: Secret(value) for name, value in (headers or {}).items()}
        self._transport = transport
        self._http: httpx.AsyncClient | None = None
        self._under_way: Counter[httpx.AsyncClient] = Counter()
        self._pid = 0

    # -- the endpoints ------------------------------------------------------------------------------------

    async def get_user(self, access_token: Secret) -> User:
        """``GET /user``: verifies the token with the server (``tests/wire/sessions-es256.json``)."""
        return _user(await self._request("GET", "/user", token=access_token))

    async def update_user(
        self, access_token: Secret, attributes: Mapping[str, object], redirect_to: str | None = None
    ) -> User:
        """``PUT /user`` (``tests/wire/users.json``)."""
        path = "/user" if redirect_to is None else f"/user?redirect_to={quote(redirect_to, safe='')}"
        return _user(await self._request("PUT", path, token=access_token, body=attributes))

    async def refresh(self, refresh_token: Secret) -> Session:
        """``POST /token?grant_type=refresh_token`` (``tests/wire/rotation.json``)."""
        session = await self.session("/token?grant_type=refresh_token", {"refresh_token": refresh_token})
        if not session.refresh_token:
            raise unexpected_response()
        return session

    async def session(self, path: str, body: Mapping[str, object]) -> Session:
        """A ``POST`` that is promised to be answered with a session: the sign-ins and the exchange."""
        found = await self.session_or_user(path, body)
        if not isinstance(found, Session):
            raise unexpected_response()
        return found

    async def session_or_user(self, path: str, body: Mapping[str, object]) -> Session | User | None:
        """The same, where something may have to be confirmed first.

        Returns:
            A user without a session: of a sign-up that must be confirmed. ``None``: one of two addresses is
            confirmed (``tests/wire/recover.json``).
        """
        steady = self.clock.clock.steady
        sent = steady()
        response = await self._request("POST", path, body=body)
        found = read(response, self.clock.now())
        if found is None and not half_confirmed(response):
            raise unexpected_response(response.status)
        if isinstance(found, Session):
            self.clock.learn_issued(found.issued_at, sent, steady())
        return found

    async def post(self, path: str, body: Mapping[str, object]) -> Any:
        """A ``POST`` whose answer holds no token (a mail is sent). Returns its JSON."""
        response = await self._request("POST", path, body=body)
        found = response.json()
        if not isinstance(found, dict):
            del found  # this frame may appear in a traceback with locals
            raise unexpected_response(response.status)
        return found

    async def logout(self, access_token: Secret, scope: str) -> None:
        """``POST /logout`` (``tests/wire/sign-out.json``)."""
        response = await self._request("POST", f"/logout?scope={scope}", token=access_token)
        if response.status != 204 and not isinstance(response.json(), dict):
            raise unexpected_response(response.status)

    async def jwks(self) -> Mapping[str, Any]:
        """``GET /.well-known/jwks.json``: the public keys."""
        keys = (await self._request("GET", "/.well-known/jwks.json")).json()
        if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
            del keys  # it may hold anything: this frame may appear in a traceback with locals
            raise unexpected_response()
        return keys

    def close(self) -> None:
        """Drop the connections, once no request is under way; the next one makes new ones."""
        http, self._http = self._http, None
        if http is not None and self._pid == os.getpid():
            owner_loop.start_soon(lambda: self._close_if_unused(http))

    async def _close_if_unused(self, http: httpx.AsyncClient) -> None:
        if http is not self._http and not self._under_way[http]:
            del self._under_way[http]
            await http.aclose()

    # -- how they are sent --------------------------------------------------------------------------------

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
            # The HTTP library bounds each step, but not how many a slow server makes of one response.
            response = await asyncio.wait_for(self._transmit(method, path, token, body), REQUEST_TIMEOUT)
        except asyncio.TimeoutError:
            response = timed_out(self.url)
        if isinstance(response, BaseException):
            raise response
        self.clock.learn(response.headers.get("date"), sent, self.clock.clock.steady())
        if 200 <= response.status < 300:
            return response
        raise refusal(response, self.url, self.clock.now())

    async def _transmit(
        self, method: str, path: str, token: Secret | None, body: Mapping[str, object] | None
    ) -> Response | errors.AuthError:
        """Send and receive. Failures are handed back, not raised: the frames below hold tokens."""
        from ... import _http as httpx

        headers = {name: value.reveal() for name, value in self._headers.items()}
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json;charset=UTF-8"
            content = json.dumps(body, default=_plain).encode()
        http: httpx.AsyncClient | None = None
        try:
            http = self._client()
            self._under_way[http] += 1
            request = http.build_request(method, self.url + path, headers=headers, content=content)
            response = await http.send(request, stream=True)
            try:
                received = bytearray()
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > LARGEST_RESPONSE:
                        return errors.AuthUnknownError("The response is far too long for an auth server's.")
            finally:
                await response.aclose()
            sent = [*self._headers.values(), *_secrets(body), *([] if token is None else [token])]
            return Response(response.status_code, response.headers, bytes(received), sent)
        except errors.AuthError as error:
            return errors.copy_error(error)  # without these frames
        except httpx.HTTPError as error:
            return outage(error, self.url)
        except (httpx.InvalidURL, UnicodeError):
            return not_a_url(self.url)
        except Exception as error:  # noqa: BLE001  (raised anew, without these frames)
            kind = type(error).__name__
        finally:
            if http is not None:
                self._under_way[http] -= 1
                await self._close_if_unused(http)
        return errors.AuthUnknownError(f"The request could not be sent ({kind}). Check the URL and the key.")

    def _client(self) -> httpx.AsyncClient:
        if self._http is None or self._pid != os.getpid():
            from ... import _http as httpx
            from .async_transport import AsyncPool, in_threads

            logs.install()
            given = self._transport
            transport = AsyncPool() if given is None else in_threads(given)
            self._http = httpx.AsyncClient(
                headers={"X-Supabase-Api-Version": _API_VERSION, "Accept": "application/json"},
                timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
                transport=transport,
                follow_redirects=False,  # the next address would be handed the tokens
            )
            self._pid = os.getpid()
            # A client that is dropped takes its connections with it; when the interpreter ends, they go.
            weakref.finalize(self, _close, self._http, self._pid).atexit = False
        return self._http


def _user(response: Response) -> User:
    found = read(response, 0.0)
    if not isinstance(found, User):
        raise unexpected_response(response.status)
    return found


def _close(http: httpx.AsyncClient, pid: int) -> None:
    if os.getpid() == pid:
        owner_loop.start_soon(http.aclose)


def _secrets(value: object) -> Iterator[Secret]:
    """The secrets in a request's body."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)


def _plain(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} cannot be sent")
