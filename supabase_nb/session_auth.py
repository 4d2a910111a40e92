"""`SessionAuth`: requests of anyone's httpx client as the user, and the transport of our own client."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import httpx

from . import redirects
from .api import LOOPBACK, check_url
from .auth import AuthClient
from .bearer import NEVER, NOTHING, Bearer, Carried, header_of
from .tasks import shared
from .tokens import Secret

if TYPE_CHECKING:
    from .client import Client


_T = TypeVar("_T")


@dataclass(frozen=True)
class _Wait(Generic[_T]):
    """Something that takes time; equal ones are waited for together."""

    call: Callable[..., _T]
    arguments: tuple[Secret, ...] = ()

    def __call__(self) -> _T:
        return self.call(*self.arguments)


class SessionAuth(httpx.Auth):
    """Sends requests as the user of a session: ``httpx.Client(auth=SessionAuth(supabase))``, async too.

    Each request carries the newest access token. One that would leave with a token about to expire waits for
    the refresh; one that is answered 401 is sent again, once, with a renewed token, if its body is in memory.
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

    # What the last request carried.
    _at_hand = NEVER

    def __init__(self, session: Client | AuthClient, *, origins: Iterable[str] = ()) -> None:
        own: Bearer | None = getattr(session, "_bearer", None)
        if own is not None and not origins:
            self._carried: Carried = own
        else:
            auth = getattr(session, "auth", session)
            if not isinstance(auth, AuthClient):
                raise TypeError(f"SessionAuth takes a Client, or its auth; not {type(session).__name__}.")
            key = own.key if own is not None else NOTHING
            others = [check_url(url) for url in origins]
            self._carried = Bearer(auth, key, (session.url, *others))
        self._shared_as: tuple[Any, ...] | None = None

    @classmethod
    def _of(cls, carried: Carried, shared_as: tuple[Any, ...]) -> SessionAuth:
        made = cls.__new__(cls)
        made._carried, made._shared_as = carried, shared_as
        return made

    def __repr__(self) -> str:
        return f"SessionAuth({self._shared_as[0] if self._shared_as else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._shared_as is None:
            raise TypeError(
                "A session is not pickled. To use it in tasks of a Dask cluster, share it first: "
                "auth = supabase_nb.distributed.share(supabase, cluster)"
            )
        from .distributed import on_worker

        return on_worker, self._shared_as

    # The two flows differ in how they wait, and in nothing else.

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """For `httpx.Client`."""
        token = self._sign(request)
        if token is None:
            token = self._carried.fetch()
            self._sign(request, token)
        response = yield request
        if response.status_code == 401 and _repeatable(request, token, response):
            renewed = self._carried.renewed(token)
            if renewed is not None:
                self._sign(request, renewed)
                response = yield request
                if response.status_code == 401:
                    self._carried.refused(renewed)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """For `httpx.AsyncClient`: what waits, waits in a thread, so the loop goes on."""
        token = self._sign(request)
        if token is None:
            token = await shared(_Wait(self._carried.fetch))
            self._sign(request, token)
        response = yield request
        if response.status_code == 401 and _repeatable(request, token, response):
            renewed = await shared(_Wait(self._carried.renewed, (token,)))
            if renewed is not None:
                self._sign(request, renewed)
                response = yield request
                if response.status_code == 401:
                    self._carried.refused(renewed)

    def _sign(self, request: httpx.Request, token: Secret | None = None) -> Secret | None:
        """Put a token into a request: this one, or the one at hand, which is returned.

        `NOTHING`: the address may not be told, or nobody is signed in. ``None``: it takes a `fetch`.
        """
        carried, url, headers = self._carried, request.url, request.headers
        if (url.scheme, url.host, url.port) not in carried.origins:
            return NOTHING
        if token is not None:
            header = header_of(token, carried.key)
        else:
            held, since, until, token, header = self._at_hand
            if held is not carried.source.held or not since <= carried.wall() < until:
                found = carried.at_hand()
                if found is None:
                    return None
                # In one piece: threads read this while others write it.
                self._at_hand = found
                token, header = found.token, found.header
        redirects.sign(request)
        key = carried.key
        if key is not NOTHING:
            headers["apikey"] = key.reveal()
        if header is not NOTHING:
            headers["Authorization"] = header.reveal()
        return token


def _repeatable(request: httpx.Request, token: Secret, response: httpx.Response) -> bool:
    """Whether a 401 is about the token, so that it is worth sending the request again with another one.

    A body that is streamed is gone. And after a redirect to another origin no token was refused.
    """
    if token is NOTHING or not isinstance(request.stream, httpx.ByteStream):
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
                return response
            except BaseException:
                response.close()
                raise

    def close(self) -> None:
        """Drop the connections."""
        self._pool.close()


class Pool(httpx.BaseTransport):
    """One connection pool for all that a client sends to a host, opened at the first request.

    A forked child gets connections of its own: it must not write into its parent's.
    """

    def __init__(self) -> None:
        self._opened: dict[tuple[int, str, str], httpx.HTTPTransport] = {}
        self._under_way: set[tuple[int, object]] = set()
        self._closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        process, url = os.getpid(), request.url
        # A connection that is being made can't be closed yet: whoever makes it does so when it has answered.
        mark = (process, object())
        self._under_way.add(mark)
        try:
            here = (process, url.scheme, url.host)
            transport = self._opened.get(here)
            if transport is None:
                # Certificates are verified, always; without TLS (this machine) there's no need to load them.
                opened = httpx.HTTPTransport(verify=url.scheme == "https", proxy=proxy_of(url))
                transport = self._opened.setdefault(here, opened)
            response = transport.handle_request(request)
            if self._closed:
                response.read()
            return response
        finally:
            self._under_way.discard(mark)
            if self._closed:
                self._drop(process)

    def close(self) -> None:
        """Drop the connections, once nothing is under way; from now on each request has one of its own."""
        self._closed = True
        self._drop(os.getpid())

    def _drop(self, process: int) -> None:
        if not any(mark[0] == process for mark in list(self._under_way)):
            for here in [here for here in list(self._opened) if here[0] == process]:
                transport = self._opened.pop(here, None)
                if transport is not None:
                    transport.close()


def proxy_of(url: httpx.URL) -> str | None:
    """The proxy that the system names for an address; ``None``: straight there."""
    # A client with a transport of its own no longer looks for a proxy. What is for this machine has no TLS:
    # a proxy, on another one, would read the tokens.
    if url.host in LOOPBACK or urllib.request.proxy_bypass(url.host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(url.scheme) or proxies.get("all")
