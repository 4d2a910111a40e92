"""SessionSnapshot: the state of a client's session at one moment."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from ...errors import AuthError
from ...models import Session, Status
from .session_record import SessionRecord


class Freshness(Enum):
    """Whether an access token can be used, by the server's clock."""

    NONE = "none"  #: there is no session
    FRESH = "fresh"  #: use it
    STALE = "stale"  #: still valid, but refresh it first because it is about to expire
    EXPIRED = "expired"  #: the server rejects it


class SessionSnapshot(NamedTuple):
    """A client's session at one moment. Never changed, only replaced.

    Args:
        record: The current session, if there is one, as it is stored: with its used refresh tokens' hashes.
        status: Its status, as the trait `status` shows it.
        verified: Whether the server has confirmed it since it was read from storage.
        saved: Whether it is stored.
        name_taken: Another kernel has since stored another user's session under this client's name.
        error: The last error, until something succeeds.
        next_try: When to try again after a failure, on the steady clock.
        failures: How many attempts have failed in a row.
        outage_since: When the first of them failed, on the steady clock.
        not_before: No request before this time, as requested by the server, on the steady clock.
        generation: Changes when the session ends or is replaced by another one, but not with a refresh.
    """

    record: SessionRecord | None = None
    status: Status = "signed_out"
    verified: bool = True
    saved: bool = True
    name_taken: bool = False
    error: AuthError | None = None
    next_try: float | None = None
    failures: int = 0
    outage_since: float = 0.0
    not_before: float = float("-inf")
    generation: int = 0

    @property
    def session(self) -> Session | None:
        """The current session, if there is one."""
        return None if self.record is None else self.record.session
