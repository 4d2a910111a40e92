"""What the requests of one client carry: the newest access token, or what `set_auth` put in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import httpx

from . import tokens
from .errors import AuthError, AuthInvalidJwt, AuthSessionMissing
from .state import margin
from .tokens import Secret

if TYPE_CHECKING:
    from .auth import AuthClient
    from .held import Held

Origin = tuple[str, str, int | None]

#: In place of a token, or of a key, where there is none. There is only this one: `is` tells.
NOTHING = Secret("")
_NOTICE = "set_auth"
# Seconds for which a look at the server's time holds, unless the wall clock is set back: reading two
# clocks at each request shows in what a request costs.
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


class Carried(Protocol):
    """What `SessionAuth` asks, in the kernel and on a cluster's workers alike."""

    #: Who may be told the token.
    origins: frozenset[Origin]

    @property
    def key(self) -> Secret:
        """The project's public key; `NOTHING` where it is not known."""

    def at_hand(self) -> Secret | None:
        """The newest token, without waiting; `NOTHING` when there is none; ``None``: it takes `fetch`."""

    def fetch(self) -> Secret:
        """The newest token, refreshed first if it is about to expire. Waits."""

    def renewed(self, seen: Secret) -> Secret | None:
        """Another token than `seen`, which a server refused; ``None`` where none can be had. Waits."""

    def refused(self, token: Secret) -> None:
        """This token was refused although it was new: renewing it again would not help."""


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
        self._keeper = auth._keeper
        self._wall = auth._keeper.clock.clock.wall
        self._override: Secret | None = None
        self._restored = False
        # What was in force; from when until when, on the wall clock, it needs no other look; and its token.
        self._looked: tuple[Held | None, float, float, Secret] = (None, 0.0, 0.0, NOTHING)
        self._refused = Refused(NOTHING)
        self._listeners: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"Bearer({self.auth!r})"

    def at_hand(self) -> Secret | None:
        """The newest token if it may go out now; `NOTHING`; or ``None``: ask `fetch`."""
        if self._override is not None:
            return self._override
        keeper, looked, wall = self._keeper, self._looked, self._wall()
        held = keeper.held
        if looked[0] is held and looked[1] <= wall < looked[2]:
            return looked[3]
        session = held.session
        if session is None:
            return NOTHING if self._restored and held.status != "expired" else None
        left = session.expires_at - margin(session) - keeper.clock.now()
        if left > 0:
            # In one piece: threads read this while others write it.
            self._looked = (held, wall, wall + min(left, _LOOK), session._access_token)
            return session._access_token
        if (keeper.time_left(held) or 0.0) <= 0:
            return None
        # About to expire: worth a wait, unless that has just failed (the background goes on), or can't help.
        return session._access_token if held.error is not None or not session.refresh_token else None

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
        """What a request that was refused with `seen` may be sent with again. One exchange for all."""
        if self._override is not None or self._refused.is_of(seen):
            return None
        try:
            return self._keeper.renew(seen)._access_token
        except AuthError:
            # The refusal that the caller gets says enough; the session's status says the rest.
            return None

    def refused(self, token: Secret) -> None:
        """A token that has just been renewed was refused too: it is not its age."""
        self._refused = Refused(token)

    # -- set_auth -----------------------------------------------------------------------------------------

    @property
    def overridden(self) -> bool:
        """Whether `set_auth` is in force."""
        return self._override is not None

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
        self._override = secret
        text = "set_auth is in force: requests carry another token than the session's."
        self.auth.set_notice(_NOTICE, text if secret is not None else None)
        for listener in list(self._listeners):
            listener()

    # -- being told ---------------------------------------------------------------------------------------

    def newest(self) -> Secret:
        """The token without a look at its age; `NOTHING` when there is none. Takes no lock, never waits."""
        session = self._keeper.held.session
        return self._override or (session._access_token if session is not None else NOTHING)

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
