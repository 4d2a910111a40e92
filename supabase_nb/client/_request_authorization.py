"""Adds the newest access token and the key to requests, for `SessionAuth` and our own client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from .._network import http_library as httpx
from .._secrets.masking import mask_all_forms
from .._secrets.tokens import Secret
from ..auth._session_token import NO_TOKEN
from . import _redirect_guard
from ._token_provider import TokenProvider, bearer_token

# Headers that describe a body's encoding.
_BODY_HEADERS = (b"content-encoding", b"content-length", b"transfer-encoding")


class RequestAuthorizer:
    """The auth flow for httpx and httpx2. It uses only what both have in common, and imports neither.

    Args:
        provider: The tokens.
    """

    def __init__(self, provider: TokenProvider) -> None:
        self._tokens = provider

    # The two flows differ only in how they wait.

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """For a synchronous client."""
        token = self._authorize(request)
        if token is None:
            token = self._tokens.fetch()
            self._authorize(request, token)
        response = yield request
        if response.status_code == 401 and _can_retry(request, token, response):
            refreshed = self._tokens.refresh(token)
            if refreshed is not None:
                self._authorize(request, refreshed)
                response = yield request
                if response.status_code == 401:
                    self._tokens.mark_rejected(refreshed)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """For an asynchronous client. Doesn't block its event loop."""
        token = self._authorize(request)
        if token is None:
            token = await self._tokens.fetch_async()
            self._authorize(request, token)
        response = yield request
        if response.status_code == 401 and _can_retry(request, token, response):
            refreshed = await self._tokens.refresh_async(token)
            if refreshed is not None:
                self._authorize(request, refreshed)
                response = yield request
                if response.status_code == 401:
                    self._tokens.mark_rejected(refreshed)

    def _authorize(self, request: Any, token: Secret | None = None) -> Secret | None:
        """Add the given or current token to a request, and return it.

        `NO_TOKEN`: the address must not receive it, or you aren't signed in. ``None``: call `fetch`.
        """
        provider, url, headers = self._tokens, request.url, request.headers
        origin = url.scheme, url.host, url.port
        if origin not in provider.origins:
            return NO_TOKEN
        token = provider.token_if_ready() if token is None else token
        if token is None:
            return None
        key = provider.key
        bearer = bearer_token(token, key)
        _redirect_guard.mark_authorized(request, origin)
        if key is not NO_TOKEN:
            headers["apikey"] = key.reveal()
        if bearer is not NO_TOKEN:
            headers["Authorization"] = "Bearer " + bearer.reveal()
        return token


def _can_retry(request: Any, token: Secret, response: Any) -> bool:
    """Whether to send the request again after a 401, with another token.

    A streamed body can't be sent again, and a 401 after a redirect to another origin isn't about the token.
    """
    if token is NO_TOKEN or not _is_in_memory(request):
        return False
    carried: str | None = response.request.headers.get("Authorization")
    return carried is not None and carried == request.headers.get("Authorization")


def _is_in_memory(request: Any) -> bool:
    """Whether a request's body can be sent again."""
    try:
        request.content  # noqa: B018
    except RuntimeError:  # each library has its own `RequestNotRead`
        return False
    return True


class SessionTransport(httpx.BaseTransport):
    """Authorizes requests to the project in the transport, where nothing can override the headers.

    It authorizes a copy of the request, so that the original, its response and tracebacks contain no token,
    and a redirect is built from a request without one.

    Args:
        authorizer: Authorizes the requests.
        pool: Sends them.
    """

    def __init__(self, authorizer: RequestAuthorizer, pool: httpx.BaseTransport) -> None:
        self._authorizer, self._pool = authorizer, pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, authorized if it is for the project."""
        failure: BaseException
        try:
            return self._send(request)
        except BaseException as error:  # noqa: BLE001  (raised anew: the frames below hold headers)
            failure = error.with_traceback(None)
        failure.__cause__ = failure.__context__ = None
        raise failure

    def _send(self, request: httpx.Request) -> httpx.Response:
        authorized = httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        if _is_in_memory(request):
            authorized.read()
        flow = self._authorizer.sync_auth_flow(authorized)
        sent = next(flow)
        while True:
            response = self._pool.handle_request(sent)
            # The client replaces this with its own request. It doesn't know the authorized copy.
            response.request = sent
            try:
                sent = flow.send(response)
                response.read()
            except StopIteration:
                return _redact_error_response(response, authorized)
            except BaseException:
                response.close()
                raise

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def _redact_error_response(response: httpx.Response, authorized: httpx.Request) -> httpx.Response:
    """An error response whose text, used in exceptions, doesn't repeat the request's token or key."""
    if response.status_code < 400 and "x-relay-error" not in response.headers:
        return response
    headers = (
        authorized.headers.get(name, "").removeprefix("Bearer ") for name in ("Authorization", "apikey")
    )
    secrets = [Secret(value) for value in headers if value]
    text = response.read().decode("utf-8", "surrogateescape")
    clean = mask_all_forms(text, secrets)
    if clean == text:
        return response
    response.close()
    # As bytes, because a proxy's own headers may be in any encoding.
    kept = [(name, value) for name, value in response.headers.raw if name.lower() not in _BODY_HEADERS]
    return httpx.Response(
        response.status_code,
        headers=kept,
        content=clean.encode("utf-8", "surrogateescape"),
        extensions=response.extensions,
    )
