"""SessionState: the current snapshot, and how it is replaced.

It changes only on the owner loop, in one assignment, so that any thread can read it without a lock.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import AuthError, AuthSessionMismatch, AuthSessionMissing, with_next_step
from ...models import AuthChangeEvent, AuthEvent, Notice, Session, User
from .._api.server_clock import ServerClock
from .._blocking_call import current_call
from .change_queue import ChangeQueue
from .snapshot import Freshness, SessionSnapshot

logger = logging.getLogger("supabase_nb")

# When to refresh: this many seconds before expiry, or this share of the lifetime if that is shorter.
_MARGIN, _MARGIN_SHARE = 60.0, 0.2
_NO_REFRESH_TOKEN = (
    "There is no refresh token, so this session ends when the access token expires. "
    "To have it refreshed, restore it from both tokens."
)
_SHARED = (
    "Another program refreshes this session too. Sooner or later the auth server will end it for both. "
    "Sign in here to give this notebook a session of its own."
)


@dataclass(eq=False)
class SessionOperation:
    """A call that replaces the session: `set_session`, a sign-in or `sign_out`.

    Args:
        number: Increases with each operation. A later one supersedes earlier ones.
        abandoned: Whether the caller has stopped waiting (Ctrl-C or timeout), so that it has no effect.
        must_finish: Whether a refresh token may have been sent, so that the response must be saved.
    """

    number: int
    abandoned: bool = False
    must_finish: bool = False


class SessionState:
    """A client's current state.

    Attributes:
        on_replace: Called after each change, on the loop.
        commit_lock: For saving and applying changes one at a time.

    Args:
        clock: The server's clock.
        changes: Calls observers and subscribers.
    """

    def __init__(self, clock: ServerClock, changes: ChangeQueue) -> None:
        self.clock, self.changes = clock, changes
        self.snapshot = SessionSnapshot()
        self.events: deque[AuthEvent] = deque(maxlen=20)
        #: The user of the current or expired session.
        self.last_user: User | None = None
        self.notices: dict[str, str] = {}
        #: When the last exchange finished, on the steady clock.
        self.exchanged_at = float("-inf")
        self.on_replace: Callable[[], object] = lambda: None
        self.commit_lock = asyncio.Lock()
        self._pid = os.getpid()
        self._operations = self._latest = self._generations = 0

    def after_fork(self) -> None:
        """In a forked child: create a new lock, because a task of the parent may hold the old one."""
        self.commit_lock = asyncio.Lock()

    @property
    def forked(self) -> bool:
        """Whether this is a forked child, where the session can't be refreshed."""
        return os.getpid() != self._pid

    def check_process(self) -> None:
        """Refuse to refresh in a forked child, which would use up the parent's refresh token.

        Raises:
            AuthError: This is a forked child.
        """
        if self.forked:
            raise AuthError(
                "Only the parent process can refresh this session, and this is a forked child process. "
                "Create a client in the child, after the fork.",
                code="forked_process",
            )

    def session_id(self) -> str | None:
        """The id under which the current session is stored."""
        record = self.snapshot.record
        return None if record is None else record.id

    # -- time ---------------------------------------------------------------------------------------------

    def time_left(self, snapshot: SessionSnapshot | None = None) -> float | None:
        """Seconds until the access token expires, by the server's clock; ``None`` without a session."""
        session = (snapshot or self.snapshot).session
        return None if session is None else session.expires_at - self.clock.now()

    def freshness(self, snapshot: SessionSnapshot | None = None) -> Freshness:
        """Whether the access token can be used now."""
        record = (snapshot or self.snapshot).record
        if record is None:
            return Freshness.NONE
        left = record.session.expires_at - self.clock.now()
        if left <= 0:
            return Freshness.EXPIRED
        return Freshness.FRESH if left > _MARGIN or left > margin(record.session) else Freshness.STALE

    # -- operations that replace the session --------------------------------------------------------------

    def new_operation(self) -> SessionOperation:
        """Number an operation before it sends anything. Later ones supersede it."""
        self._operations += 1
        return SessionOperation(self._operations)

    def supersede_earlier(self, operation: SessionOperation) -> None:
        """Supersede all earlier operations."""
        self._latest = max(self._latest, operation.number)

    def is_superseded(self, operation: SessionOperation) -> bool:
        """Whether a later operation has finished, or the caller has stopped waiting."""
        return operation.abandoned or operation.number < self._latest

    def new_generation(self) -> int:
        """A number for a session that replaces another one."""
        self._generations += 1
        return self._generations

    # -- changes ------------------------------------------------------------------------------------------

    def replace(
        self, snapshot: SessionSnapshot, event: AuthChangeEvent | None = None, cause: str = ""
    ) -> None:
        """Replace the snapshot, and notify observers and subscribers.

        Args:
            snapshot: The new one.
            event: The event for subscribers; ``None``: only traits change.
            cause: The cause, as shown to the user.
        """
        before, self.snapshot = self.snapshot, snapshot
        if snapshot.session is not None or snapshot.status != "expired":
            self.last_user = snapshot.session.user if snapshot.session else None
        if event is not None:
            logger.info("%s: %s", event, cause)
        if snapshot.status != before.status:
            logger.debug("status: %s -> %s", before.status, snapshot.status)
        traits: dict[str, object] = {
            "session": snapshot.session,
            "user": snapshot.session.user if snapshot.session else None,
            "status": snapshot.status,
            "last_error": snapshot.error,
            "next_refresh_at": self._next_refresh_at(snapshot),
            "notices": self._shown_notices(snapshot),
        }
        auth_event = None
        if event is not None:
            auth_event = AuthEvent(event, self.clock.clock.wall(), cause)
            self.events.append(auth_event)
            traits["last_event"] = auth_event
        self.changes.put(traits, auth_event, snapshot.session)
        self.deliver_changes()
        self.on_replace()

    def deliver_changes(self) -> None:
        """Deliver queued changes, in the waiting call that caused them or in another thread."""
        call = current_call()
        if call is not None:
            call.deliver_soon()
        else:
            self.changes.flush_soon()

    def mark_expired(self, error: AuthError) -> None:
        """The session has ended on the server, or can't be refreshed any more."""
        self.clear_session_notices()
        ended = SessionSnapshot(status="expired", error=error, generation=self.new_generation())
        self.replace(ended, AuthChangeEvent.SIGNED_OUT, error.message)

    def apply_remote_sign_out(self) -> None:
        """Another kernel has signed out, or the stored session was removed."""
        self.clear_session_notices()
        signed_out = SessionSnapshot(generation=self.new_generation())
        self.replace(signed_out, AuthChangeEvent.SIGNED_OUT, "signed out in another notebook")

    def due_in(self, snapshot: SessionSnapshot) -> float | None:
        """Seconds until the next request to the server; ``None``: none is needed."""
        if snapshot.session is None:
            return None
        now = self.clock.clock.steady()
        if snapshot.next_try is not None:
            return snapshot.next_try - now
        if not snapshot.verified or self.clock.jumped:
            return 0.0
        left = snapshot.session.expires_at - self.clock.now()
        if not snapshot.session.refresh_token:
            return left  # without a refresh token, the session ends when the access token expires
        # At most one exchange per second, even if the clocks are wrong.
        return max(left - margin(snapshot.session), self.exchanged_at + 1.0 - now)

    def _next_refresh_at(self, snapshot: SessionSnapshot) -> float | None:
        # Without a refresh token, no refresh is scheduled.
        if snapshot.session and not snapshot.session.refresh_token and snapshot.next_try is None:
            return None
        due = self.due_in(snapshot)
        # Rounded to milliseconds, so that the same time doesn't count as a change.
        return None if due is None else round(self.clock.clock.wall() + max(due, 0.0), 3)

    # -- notices ------------------------------------------------------------------------------------------

    def _shown_notices(self, snapshot: SessionSnapshot) -> tuple[str, ...]:
        ends = snapshot.session is not None and not snapshot.session.refresh_token
        shown = self.notices | ({"no_refresh_token": _NO_REFRESH_TOKEN} if ends else {})
        if snapshot.record is not None and snapshot.record.shared:
            shown = shown | {"shared": _SHARED}
        return tuple(Notice(text, name) for name, text in shown.items())

    def set_notice(self, name: str, text: str | None) -> None:
        """Set or remove a notice. The next `replace` shows it."""
        if text is None:
            self.notices.pop(name, None)
        else:
            self.notices[name] = text

    def clear_session_notices(self) -> None:
        """Remove our notices about a session that has ended, but not those set by the user."""
        for name in ("name_taken", "sign_out", "storage"):
            self.notices.pop(name, None)


def margin(session: Session) -> float:
    """How many seconds before its expiry a session is refreshed."""
    return min(_MARGIN, _MARGIN_SHARE * session.lifetime)


def not_signed_in_error() -> AuthSessionMissing:
    """The error for a call that needs a session."""
    return AuthSessionMissing(
        "Not signed in. Restore a session with set_session, or sign in.", code="session_missing"
    )


def require_same_user(user: User, expected: str | None) -> None:
    """Refuse tokens of two users.

    Raises:
        AuthSessionMismatch: `user` is not the expected one.
    """
    if expected is not None and user.id != expected:
        raise AuthSessionMismatch(
            with_next_step("The two tokens belong to different users", "session_mismatch"),
            code="session_mismatch",
        )
