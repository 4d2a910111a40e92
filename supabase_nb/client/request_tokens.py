"""What the requests of a client carry: its session's access token, or what `set_auth` put in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from .. import _http, redaction, tokens
from ..auth.session_token import NO_TOKEN, TokenSource
from ..errors import AuthInvalidJwt
from ..tokens import Secret
from .redirect_guard import Origin

if TYPE_CHECKING:
    from ..auth import AuthClient

_NOTICE = "set_auth"
# Seconds. A request that is refused for another reason than its token's age must not cost an exchange each.
_REFUSED_FOR = 60.0


class Refused:
    """A new token that was refused. For a minute no other is requested because of it.

    Args:
        token: The token.
    """

    def __init__(self, token: Secret) -> None:
        self._token = token
        self._until = time.monotonic() + _REFUSED_FOR

    def is_of(self, token: Secret) -> bool:
        """Whether this token is meant, and the minute not over."""
        return token == self._token and time.monotonic() < self._until


def header_of(token: Secret, key: Secret) -> Secret:
    """What ``Authorization`` says with this token and this key of the project; `NO_TOKEN`: it is left out."""
    # A project's older key is a token itself, of no user; those of today are not.
    sent = token if token is not NO_TOKEN or not tokens.is_jwt(key) else key
    return NO_TOKEN if sent is NO_TOKEN else Secret("Bearer " + sent.reveal())


class TokenProvider(Protocol):
    """What `SessionAuth` asks for tokens, in the kernel and on a cluster's workers alike."""

    #: Addresses that may be sent the token.
    origins: frozenset[Origin]

    @property
    def key(self) -> Secret:
        """The project's public key; `NO_TOKEN` where it is not known."""

    def current(self) -> Secret | None:
        """The newest token, if it can be sent without waiting; ``None``: call `fetch`."""

    def fetch(self) -> Secret:
        """The newest token, refreshed first if it is about to expire. Waits."""

    async def fetch_async(self) -> Secret:
        """The same, awaited."""

    def refresh(self, seen: Secret) -> Secret | None:
        """Another token than `seen`, which a server refused; ``None`` if there is none. Waits."""

    async def refresh_async(self, seen: Secret) -> Secret | None:
        """The same, awaited."""

    def refused(self, token: Secret) -> None:
        """This token was refused although it was new: refreshing it again would not help."""


class SessionTokens:
    """The token of an `AuthClient`'s session, or the one that `set_auth` has put in its place.

    Args:
        auth: Whose session.
        key: The project's public key.
        origins: Addresses that may be sent the token; others never are.
    """

    def __init__(self, auth: AuthClient, key: Secret, origins: Iterable[str]) -> None:
        self.auth = auth
        self.key = key or NO_TOKEN
        self.origins = frozenset(origin_of(url) for url in origins)
        self._source = TokenSource(auth)
        self._override: Secret | None = None
        self._refused = Refused(NO_TOKEN)
        self._listeners: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"SessionTokens({self.auth!r})"

    def current(self) -> Secret | None:
        """The newest token if it can be sent now; ``None``: call `fetch`."""
        return self._override or self._source.current()

    def fetch(self) -> Secret:
        """The session's token; see `TokenSource.fetch`."""
        return self._override or self._source.fetch()

    async def fetch_async(self) -> Secret:
        """The same, awaited."""
        return self._override or await self._source.fetch_async()

    def refresh(self, seen: Secret) -> Secret | None:
        """What a request that was refused with `seen` may be sent with again; see `TokenSource.refresh`."""
        if self.overridden or self._refused.is_of(seen):
            return None
        return self._source.refresh(seen)

    async def refresh_async(self, seen: Secret) -> Secret | None:
        """The same, awaited."""
        if self.overridden or self._refused.is_of(seen):
            return None
        return await self._source.refresh_async(seen)

    def refused(self, token: Secret) -> None:
        """A token that has just been refreshed was refused too: it is not its age."""
        self._refused = Refused(token)

    # -- set_auth -----------------------------------------------------------------------------------------

    @property
    def overridden(self) -> bool:
        """Whether `set_auth` is in force."""
        return self._override is not None

    def override(self, token: str | Secret | None) -> None:
        """Send this token instead of the session's; ``None``: the session's again.

        Raises:
            AuthInvalidJwt: It does not look like a token. What was in force stays.
        """
        secret = None if token is None else tokens.clean(token)
        token = None
        if secret is not None and not tokens.is_jwt(secret):
            raise AuthInvalidJwt(
                "This is not an access token. Copy the whole token: three parts, separated by dots.",
                code="bad_jwt",
            )
        if secret is not None:
            redaction.remember_pair(secret, Secret(""))
        self._override = secret
        (_overriding.discard if secret is None else _overriding.add)(self)
        self.auth.set_notice(_NOTICE, None if secret is None else _sent_as(secret))
        for listener in list(self._listeners):
            listener()

    # -- changes ------------------------------------------------------------------------------------------

    def newest(self) -> Secret:
        """The token without a look at its age; `NO_TOKEN` when there is none. Never waits."""
        return self._override or self._source.newest()

    def margin(self) -> float | None:
        """How many seconds before its expiry the session's token is refreshed; ``None``: not signed in."""
        return self._source.margin()

    def listen(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener()` whenever requests carry another token; first at once. Returns what ends it."""
        self._listeners.append(listener)
        unsubscribe = self._source.on_change(listener)

        def stop() -> None:
            unsubscribe()
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop


#: Those that send another token than their session's.
_overriding: WeakSet[SessionTokens] = WeakSet()


def stop_set_auth(auth: AuthClient) -> None:
    """End each `set_auth` of the clients that have this session."""
    for one in list(_overriding):
        if one.auth is auth:
            one.override(None)
    auth.set_notice(_NOTICE, None)  # of a client that is gone


def _sent_as(token: Secret) -> str:
    claims = tokens.read_claims(token)
    who = tokens.text_claim(claims, "email") or tokens.text_claim(claims, "phone") or "another user"
    return f"Requests are sent as {who} (set_auth)."


def origin_of(url: str) -> Origin:
    """Scheme, host and port; the port is ``None`` where it is the scheme's own."""
    parts = _http.URL(url)
    return parts.scheme, parts.host, parts.port
