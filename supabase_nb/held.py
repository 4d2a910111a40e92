"""What is in force, and what the user said last."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import AuthError
from .models import Session, Status
from .record import StoredSession


@dataclass(frozen=True)
class Held:
    """What is in force.

    Args:
        session: The session, if there is one.
        status: How it stands with it.
        record: The session with its ancestors, as stored or to be stored.
        verified: Whether the server has confirmed it since it came from storage.
        saved: Whether storage holds it.
        detached: Storage holds another user's session, so this one lives in memory only.
        error: The last error, until something succeeds.
        next_try: When to ask the server again after a failure, on the steady clock.
        failures: How many tries have failed in a row.
        outage: Since when, on the steady clock.
        not_before: The server asked not to be asked again before then, on the steady clock.
        era: Changes when another session takes its place, or none; not when it is renewed.
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
    outage: float = 0.0
    not_before: float = float("-inf")
    era: int = 0


@dataclass(eq=False)
class Word:
    """What the user said: `set_session`, a sign-in, `sign_out`.

    Args:
        number: The later, the higher.
        withdrawn: Whoever said it waits no more (Ctrl-C, or patience is over), so it is not to happen.
    """

    number: int
    withdrawn: bool = False
