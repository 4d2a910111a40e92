"""SessionSnapshot: everything that is known of a client's session at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ...errors import AuthError
from ...models import Session, Status
from .stored_session import StoredSession


class Freshness(Enum):
    """What an access token is good for, by the server's clock."""

    NONE = "none"  #: there is no session
    FRESH = "fresh"  #: use it
    STALE = "stale"  #: still valid, but so close to its expiry that it should be refreshed first
    EXPIRED = "expired"  #: the server refuses it


class SessionSnapshot(NamedTuple):
    """A client's session at one moment. Never changed, only replaced.

    Args:
        session: The session in force, if there is one.
        status: Its status, as the trait `status` shows it.
        record: The session as stored, or to be stored: with the hashes of its spent tokens.
        verified: Whether the server has confirmed it since it was read from storage.
        saved: Whether it is stored.
        detached: Another kernel has since stored another user's session under this client's name.
        error: The last error, until something succeeds.
        next_try: When to ask the server again after a failure, on the steady clock.
        failures: How many tries have failed in a row.
        outage_since: When the first of them failed, on the steady clock.
        not_before: The server asked for no request before this time, on the steady clock.
        generation: Changes when another session takes this one's place, or it ends; not with a refresh.
    """

    session: Session | None = None
    status: Status = "signed_out"
    record: StoredSession | None = None
    verified: bool = True
    saved: bool = True
    detached: bool = False
    error: AuthError | None = None
    next_try: float | None = None
    failures: int = 0
    outage_since: float = 0.0
    not_before: float = float("-inf")
    generation: int = 0


@dataclass(eq=False)
class Request:
    """One call that replaces the session: `set_session`, a sign-in or `sign_out`.

    Args:
        number: Of two calls, the one with the higher number counts.
        withdrawn: The caller has left (Ctrl-C or time-out), so it must not be carried out.
        must_finish: A refresh token may have been sent, so it is not cancelled: its answer must be saved.
    """

    number: int
    withdrawn: bool = False
    must_finish: bool = False
