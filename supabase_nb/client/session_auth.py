"""`SessionAuth`: requests of anyone's httpx client as the user, and the transport of our own client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from typing import TYPE_CHECKING, Any

import httpx

from .._urls import check_url
from ..auth import AuthClient
from ..auth.token_source import NO_TOKEN
from ..tokens import Secret, without
from . import redirects
from .token_provider import SessionTokens, TokenProvider, header_of

if TYPE_CHECKING:
    from .client import Client


# Headers that describe a body as it was sent.
_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding")


class SessionAuth(httpx.Auth):
    """Sends requests as the user of a session: ``httpx.Client(auth=SessionAuth(supabase))``, async too.

    Each request carries the newest access token. One that would leave with a token about to expire waits for
    the refresh; one that is answered 401 is sent again, once, with a new token, if its body is in memory.
    Any number of requests, threads and tasks share one refresh.

    The token and the project's key go to the project's own origin, and to those named here. Requests to other
    addresses carry neither, and a redirect to another origin takes neither along.

    Args:
        session: A `Client`, or its ``auth``.
        origins: Further addresses that may be told the token, such as ``https://api.example.com``.

    Raises:
        AuthError: An origin is no address, or would be told in the clear.

    In a request it may raise `AuthRetryableError` (the token has expired, and the auth server cannot be
    reached) and `AuthSessionMissing` (the session has ended). With nobody signed in, no token is sent.
    """

    def __init__(self, session: Client | AuthClient, *, origins: Iterable[str] = ()) -> None:
        own: SessionTokens | None = getattr(session, "_bearer", None)
        if own is not None and not origins:
            self._tokens: TokenProvider = own
        else:
            auth = getattr(session, "auth", session)
            if not isinstance(auth, AuthClient):
                raise TypeError(f"SessionAuth takes a Client, or its auth; not {type(session).__name__}.")
            key = own.key if own is not None else NO_TOKEN
            others = [check_url(url) for url in origins]
            self._tokens = SessionTokens(auth, key, (session.url, *others))
        self._shared_as: tuple[Any, ...] | None = None

    @classmethod
    def _of(cls, provider: TokenProvider, shared_as: tuple[Any, ...]) -> SessionAuth:
        made = cls.__new__(cls)
        made._tokens, made._shared_as = provider, shared_as
        return made

    def __repr__(self) -> str:
        return f"SessionAuth({self._shared_as[0] if self._shared_as else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._shared_as is None:
            raise TypeError(
                "A session is not pickled. To use it in tasks of a Dask cluster, share it first: "
                "auth = supabase_nb.distributed.share(supabase, cluster)"
            )
        from ..distributed import on_worker

        return on_worker, self._shared_as

    # The two flows differ in how they wait, and in nothing else.

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """For `httpx.Client`."""
        token = self._sign(request)
        if token is None:
            token = self._tokens.fetch()
            self._sign(request, token)
        response = yield request
        if response.status_code == 401 and _repeatable(request, token, response):
            refreshed = self._tokens.refresh(token)
            if refreshed is not None:
                self._sign(request, refreshed)
                response = yield request
                if response.status_code == 401:
                    self._tokens.refused(refreshed)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """For `httpx.AsyncClient`: nothing blocks its loop."""
        token = self._sign(request)
        if token is None:
            token = await self._tokens.fetch_async()
            self._sign(request, token)
        response = yield request
        if response.status_code == 401 and _repeatable(request, token, response):
            refreshed = await self._tokens.refresh_async(token)
            if refreshed is not None:
                self._sign(request, refreshed)
                response = yield request
                if response.status_code == 401:
                    self._tokens.refused(refreshed)

    def _sign(self, request: httpx.Request, token: Secret | None = None) -> Secret | None:
        """Put a token into a request: this one, or the current one, which is returned.

        `NO_TOKEN`: the address may not be sent one, or no one is signed in. ``None``: call `fetch`.
        """
        provider, url, headers = self._tokens, request.url, request.headers
        if (url.scheme, url.host, url.port) not in provider.origins:
            return NO_TOKEN
        token = provider.current() if token is None else token
        if token is None:
            return None
        key = provider.key
        header = header_of(token, key)
        redirects.sign(request)
        if key is not NO_TOKEN:
            headers["apikey"] = key.reveal()
        if header is not NO_TOKEN:
            headers["Authorization"] = header.reveal()
        return token


def _repeatable(request: httpx.Request, token: Secret, response: httpx.Response) -> bool:
    """Whether a 401 is about the token, so that it is worth sending the request again with another one.

    A body that is streamed is gone. And after a redirect to another origin no token was refused.
    """
    if token is NO_TOKEN or not isinstance(request.stream, httpx.ByteStream):
        return False
    carried: str | None = response.request.headers.get("Authorization")
    return carried is not None and carried == request.headers.get("Authorization")


class SessionTransport(httpx.BaseTransport):
    """Sends what is for the project as its user. Here nothing can override that, and no redirect escapes it.

    A request is signed in a copy: whoever holds it, its response or a traceback holds no token, and a
    redirect elsewhere starts from a request that has none.

    Args:
        auth: As whom.
        pool: What sends.
    """

    def __init__(self, auth: SessionAuth, pool: httpx.BaseTransport) -> None:
        self._auth, self._pool = auth, pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, signed where it is for the project."""
        failure: BaseException
        try:
            return self._send(request)
        except BaseException as error:  # noqa: BLE001  (raised anew: the frames below hold headers)
            failure = error.with_traceback(None)
        failure.__cause__ = failure.__context__ = None
        if isinstance(failure, httpx.RequestError):
            failure.request = request
        raise failure

    def _send(self, request: httpx.Request) -> httpx.Response:
        signed = httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        flow = self._auth.sync_auth_flow(signed)
        sent = next(flow)
        while True:
            response = self._pool.handle_request(sent)
            # Until httpx, which does not know the signed copy, puts its own request here.
            response.request = sent
            try:
                sent = flow.send(response)
                response.read()
            except StopIteration:
                return _without_token(response, signed)
            except BaseException:
                response.close()
                raise

    def close(self) -> None:
        """Drop the connections."""
        self._pool.close()


def _without_token(response: httpx.Response, signed: httpx.Request) -> httpx.Response:
    """An error's response without the token and key of its request: its text becomes that of an exception."""
    if response.status_code < 400 and "x-relay-error" not in response.headers:
        return response
    headers = (signed.headers.get(name, "").removeprefix("Bearer ") for name in ("Authorization", "apikey"))
    secrets = [Secret(value) for value in headers if value]
    text = response.read().decode("utf-8", "surrogateescape")
    clean = without(text, secrets)
    if clean == text:
        return response
    response.close()
    kept = [(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_BODY]
    return httpx.Response(
        response.status_code,
        headers=kept,
        content=clean.encode("utf-8", "surrogateescape"),
        extensions=response.extensions,
    )
