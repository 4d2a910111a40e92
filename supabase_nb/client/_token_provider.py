"""The token of a client's requests: the session's access token, or the one passed to `set_auth`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from .._network import http_library as httpx
from .._secrets import masking, tokens
from .._secrets.tokens import Secret
from ..auth._session_token import NO_TOKEN, SessionAccessToken
from ..errors import AuthInvalidJwt
from ._redirect_guard import Origin

if TYPE_CHECKING:
    from ..auth import AuthClient

_NOTICE = "set_auth"
# Seconds. Requests that are rejected for another reason must not cause a refresh each.
_REJECTED_FOR = 60.0


class RejectedToken:
    """A new token that was rejected. For a minute, this doesn't cause another refresh.

    Args:
        token: The token.
    """

    def __init__(self, token: Secret) -> None:
        self._token = token
        self._until = time.monotonic() + _REJECTED_FOR

    def matches(self, token: Secret) -> bool:
        """Whether this token was rejected less than a minute ago."""
        return token == self._token and time.monotonic() < self._until


def bearer_token(token: Secret, key: Secret) -> Secret:
    """What to send as ``Authorization: Bearer``: the token or, without one, a legacy (JWT) key.

    `NO_TOKEN`: no header. Newer keys are not bearer tokens.
    """
    return token if token is not NO_TOKEN or not tokens.is_jwt(key) else key


class TokenProvider(Protocol):
    """Where `SessionAuth` gets tokens from, in the kernel and on a cluster's workers."""

    #: Origins that the token may be sent to.
    origins: frozenset[Origin]

    @property
    def key(self) -> Secret:
        """The project's public key; `NO_TOKEN` if unknown."""

    def token_if_ready(self) -> Secret | None:
        """The newest token, if it can be sent without waiting; ``None``: call `fetch`."""

    def fetch(self) -> Secret:
        """The newest token, refreshed first if it is about to expire. Waits."""

    async def fetch_async(self) -> Secret:
        """The same as a coroutine."""

    def refresh(self, old_token: Secret) -> Secret | None:
        """A newer token than `old_token`, which a server rejected; ``None`` if there is none. Waits."""

    async def refresh_async(self, old_token: Secret) -> Secret | None:
        """The same as a coroutine."""

    def mark_rejected(self, token: Secret) -> None:
        """A new token was rejected, so refreshing again would not help."""


class SessionTokenProvider:
    """The token of an `AuthClient`'s session, or the one passed to `set_auth`.

    Args:
        auth: The client.
        key: The project's public key.
        origins: The only origins that the token is sent to.
    """

    def __init__(self, auth: AuthClient, key: Secret, origins: Iterable[str]) -> None:
        self.auth = auth
        self.key = key or NO_TOKEN
        self.origins = frozenset(origin_of(url) for url in origins)
        self._source = SessionAccessToken(auth)
        self._override: Secret | None = None
        self._rejected = RejectedToken(NO_TOKEN)
        self._listeners: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"SessionTokenProvider({self.auth!r})"

    def token_if_ready(self) -> Secret | None:
        """The newest token if it can be sent now; ``None``: call `fetch`."""
        return self._override or self._source.token_if_ready()

    def fetch(self) -> Secret:
        """The session's token; see `SessionAccessToken.fetch`."""
        return self._override or self._source.fetch()

    async def fetch_async(self) -> Secret:
        """The same as a coroutine."""
        return self._override or await self._source.fetch_async()

    def refresh(self, old_token: Secret) -> Secret | None:
        """A newer token than `old_token`, which was rejected; see `SessionAccessToken.refresh`."""
        if self.is_overridden or self._rejected.matches(old_token):
            return None
        return self._source.refresh(old_token)

    async def refresh_async(self, old_token: Secret) -> Secret | None:
        """The same as a coroutine."""
        if self.is_overridden or self._rejected.matches(old_token):
            return None
        return await self._source.refresh_async(old_token)

    def mark_rejected(self, token: Secret) -> None:
        """A token that has just been refreshed was rejected too."""
        self._rejected = RejectedToken(token)

    # -- set_auth -----------------------------------------------------------------------------------------

    @property
    def is_overridden(self) -> bool:
        """Whether a token was passed to `set_auth`."""
        return self._override is not None

    def override(self, token: str | Secret | None) -> None:
        """Send this token instead of the session's; ``None``: return to the session's.

        Raises:
            AuthInvalidJwt: The argument doesn't look like a token. Nothing changes.
        """
        secret = None if token is None else tokens.clean(token)
        token = None
        if secret is not None and not tokens.is_jwt(secret):
            raise AuthInvalidJwt(
                "This is not an access token. Copy the whole token: three parts, separated by dots.",
                code="bad_jwt",
            )
        if secret is not None:
            masking.remember_pair(secret, Secret(""))
        self._override = secret
        (_with_override.discard if secret is None else _with_override.add)(self)
        self.auth.set_notice(_NOTICE, None if secret is None else _notice_text(secret))
        for listener in list(self._listeners):
            listener()

    # -- changes ------------------------------------------------------------------------------------------

    def last_token(self) -> Secret:
        """The newest token, even if it has expired; `NO_TOKEN` if there is none. Never waits."""
        return self._override or self._source.last_token()

    def margin(self) -> float | None:
        """How many seconds before its expiry the session's token is refreshed; ``None``: not signed in."""
        return self._source.margin()

    def on_change(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener()` now and whenever the token changes. Returns a function that ends this."""
        self._listeners.append(listener)
        unsubscribe = self._source.on_change(listener)

        def stop() -> None:
            unsubscribe()
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop


#: Providers that send the token of `set_auth` instead of their session's.
_with_override: WeakSet[SessionTokenProvider] = WeakSet()


def stop_set_auth(auth: AuthClient) -> None:
    """End each `set_auth` of the clients that have this session."""
    for provider in list(_with_override):
        if provider.auth is auth:
            provider.override(None)
    auth.set_notice(_NOTICE, None)  # left by a client that was garbage-collected


def _notice_text(token: Secret) -> str:
    claims = tokens.read_claims(token)
    who = tokens.text_claim(claims, "email") or tokens.text_claim(claims, "phone") or "another user"
    return f"Requests are sent as {who} (set_auth)."


def origin_of(url: str) -> Origin:
    """Scheme, host and port; the port is ``None`` if it is the scheme's default."""
    parts = httpx.URL(url)
    return parts.scheme, parts.host, parts.port
