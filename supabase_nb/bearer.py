"""What the requests of one client carry: the newest access token, or what `set_auth` put in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

import httpx

from . import tokens
from .errors import AuthError, AuthInvalidJwt, AuthSessionMissing
from .state import margin
from .tokens import Secret

if TYPE_CHECKING:
    from .auth import AuthClient
    from .keeper import Keeper

Origin = tuple[str, str, int | None]

#: In place of a token, or of a key, where there is none. There is only this one: `is` tells.
NOTHING = Secret("")
_NOTICE = "set_auth"
# Seconds for which a look at what is in force holds, unless the wall clock is set back: reading the server's
# time, which takes two clocks, shows in what a request costs.
_LOOK = 1.0
# Seconds. A request that is refused for another reason than its token's age must not cost an exchange each.
_REFUSED_FOR = 60.0


class Refused:
    """A new token that was refused. For a minute no other is asked for on its account.

    Args:
        token: The token.
    """

    def __init__(self, token: Secret) -> None:
        self._token = token
        self._until = time.monotonic() + _REFUSED_FOR

    def is_of(self, token: Secret) -> bool:
        """Whether this token is meant, and the minute not over."""
        return token == self._token and time.monotonic() < self._until


class AtHand(NamedTuple):
    """A token that may go out at once, until the time is over or something else is in force.

    Args:
        held: What was in force: `Source.held`.
        since: From when on the wall clock, in Unix seconds.
        until: Until when; no later than `since`: only this once.
        token: The token; `NOTHING`: nobody is signed in.
        header: What ``Authorization`` says then; `NOTHING`: it is left out.
    """

    held: object
    since: float
    until: float
    token: Secret
    header: Secret

    @classmethod
    def of(cls, held: object, token: Secret, key: Secret, wall: float, left: float) -> AtHand:
        """What was found at `wall`, and how many seconds it may go out from then on."""
        return cls(held, wall, wall + min(left, _LOOK), token, header_of(token, key))


#: Not at hand: what is in force must be looked at.
NEVER = AtHand(None, 0.0, 0.0, NOTHING, NOTHING)


def header_of(token: Secret, key: Secret) -> Secret:
    """What ``Authorization`` says with this token and this key of the project; `NOTHING`: it is left out."""
    # A project's older key is a token itself, the one of nobody; those of today are not.
    told = token if token is not NOTHING or not tokens.is_jwt(key) else key
    return NOTHING if told is NOTHING else Secret("Bearer " + told.reveal())


class Source(Protocol):
    """Where the token comes from."""

    @property
    def held(self) -> object:
        """What is in force; another object for every other token."""


class Carried(Protocol):
    """What `SessionAuth` asks, in the kernel and on a cluster's workers alike."""

    #: Who may be told the token.
    origins: frozenset[Origin]
    #: This machine's clock, in Unix seconds.
    wall: Callable[[], float]

    @property
    def key(self) -> Secret:
        """The project's public key; `NOTHING` where it is not known."""

    @property
    def source(self) -> Source:
        """Where the token comes from now."""

    def at_hand(self) -> AtHand | None:
        """The newest token, without waiting; ``None``: it takes `fetch`."""

    def fetch(self) -> Secret:
        """The newest token, refreshed first if it is about to expire. Waits."""

    def renewed(self, seen: Secret) -> Secret | None:
        """Another token than `seen`, which a server refused; ``None`` where none can be had. Waits."""

    def refused(self, token: Secret) -> None:
        """This token was refused although it was new: renewing it again would not help."""


class _Override(NamedTuple):
    """What `set_auth` put in the session's place."""

    held: Secret


class Bearer:
    """The token of an `AuthClient`'s session, for addresses of the project.

    Reading it takes no lock: a request sees the newest token, even while observers are still being told.

    Args:
        auth: Whose session.
        key: The project's public key.
        origins: Addresses that may be told the token; others never are.

    """

    def __init__(self, auth: AuthClient, key: Secret, origins: Iterable[str]) -> None:
        self.auth = auth
        self.key = key or NOTHING
        self.origins = frozenset(origin_of(url) for url in origins)
        self.wall = auth._keeper.clock.clock.wall
        self.source: Keeper | _Override = auth._keeper
        self._keeper = auth._keeper
        self._restored = False
        self._refused = Refused(NOTHING)
        self._listeners: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"Bearer({self.auth!r})"

    def at_hand(self) -> AtHand | None:
        """The newest token if it may go out now; ``None``: ask `fetch`."""
        source, key, wall = self.source, self.key, self.wall()
        if isinstance(source, _Override):
            return AtHand.of(source.held, source.held, key, wall, _LOOK)
        held = source.held
        session = held.session
        if session is None:
            known = self._restored and held.status != "expired"
            return AtHand.of(held, NOTHING, key, wall, _LOOK) if known else None
        left = session.expires_at - margin(session) - source.clock.now()
        if left > 0:
            return AtHand.of(held, session._access_token, key, wall, left)
        if (source.time_left(held) or 0.0) <= 0:
            return None
        # About to expire: worth a wait, unless that has just failed (the background goes on), or can't help.
        if held.error is None and session.refresh_token:
            return None
        return AtHand.of(held, session._access_token, key, wall, 0.0)

    def fetch(self) -> Secret:
        """The session's token, restored from storage and refreshed first where that is due.

        Raises:
            AuthRetryableError: It has expired and the server cannot be reached now.
            AuthSessionMissing: The session has ended for good. Nothing goes out as somebody else.
        """
        session = self._keeper.current()
        self._restored = True
        if session is not None:
            return session._access_token
        held = self._keeper.held
        if held.status == "expired":
            why = held.error.message if held.error else ""
            code = held.error.code if held.error else None
            raise AuthSessionMissing(
                f"The session has ended, so nothing was sent. {why} (To go on without a user, sign out.)",
                code=code,
            )
        return NOTHING

    def renewed(self, seen: Secret) -> Secret | None:
        """What a request that was refused with `seen` may be sent with again. One exchange for all.

        Raises:
            AuthError: In a forked child: the session is its parent's to refresh.
        """
        if self.overridden or self._refused.is_of(seen):
            return None
        try:
            return self._keeper.renew(seen)._access_token
        except AuthError:
            if self._keeper.forked:
                raise  # the refusal alone would not say that only the parent process can refresh
            # The refusal that the caller gets says enough; the session's status says the rest.
            return None

    def refused(self, token: Secret) -> None:
        """A token that has just been renewed was refused too: it is not its age."""
        self._refused = Refused(token)

    # -- set_auth -----------------------------------------------------------------------------------------

    @property
    def overridden(self) -> bool:
        """Whether `set_auth` is in force."""
        return isinstance(self.source, _Override)

    def override(self, token: str | Secret | None) -> None:
        """Carry this token instead of the session's; ``None``: the session's again.

        Raises:
            AuthInvalidJwt: It does not have a token's shape. What was in force stays.
        """
        secret = None if token is None else tokens.clean(token)
        token = None
        if secret is not None and not tokens.is_jwt(secret):
            raise AuthInvalidJwt(
                "This is not an access token. Copy it again, whole, three parts with dots between.",
                code="bad_jwt",
            )
        self.source = self._keeper if secret is None else _Override(secret)
        text = "set_auth is in force: requests carry another token than the session's."
        self.auth.set_notice(_NOTICE, text if secret is not None else None)
        for listener in list(self._listeners):
            listener()

    # -- being told ---------------------------------------------------------------------------------------

    def newest(self) -> Secret:
        """The token without a look at its age; `NOTHING` when there is none. Takes no lock, never waits."""
        source = self.source
        if isinstance(source, _Override):
            return source.held
        session = source.held.session
        return session._access_token if session is not None else NOTHING

    def listen(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener()` whenever another token is carried; first at once. Returns what ends it."""
        self._listeners.append(listener)
        subscription = self.auth.on_auth_state_change(lambda event, session: listener())

        def stop() -> None:
            subscription.unsubscribe()
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop


def origin_of(url: str | httpx.URL) -> Origin:
    """Scheme, host and port; the port is ``None`` where it is the scheme's own."""
    parts = httpx.URL(url)
    return parts.scheme, parts.host, parts.port
