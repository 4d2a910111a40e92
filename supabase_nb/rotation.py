"""One exchange for everybody who needs it, through outages, up to the server's final answer."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from . import errors
from .errors import (
    FINAL_CODES,
    AuthApiError,
    AuthError,
    AuthRetryableError,
    AuthSessionMissing,
    AuthUnknownError,
)
from .models import AuthChangeEvent, Session, User
from .record import StoredSession
from .refresh import refresher
from .state import Held, SessionState
from .storage import LOCK_TIMEOUT
from .tokens import Secret

logger = logging.getLogger("supabase_nb")

#: Foreground calls answer, or say that they cannot, within so many seconds, after so many tries.
PATIENCE, TRIES = 15.0, 3
# Background: full jitter under a cap, a lower one in the first two minutes; all in seconds.
_FIRST_PAUSE, _SHORT_CAP, _LONG_CAP, _SHORT_OUTAGE = 0.5, 4.0, 30.0, 120.0
# After a refusal that is not the auth server's own word, and between tries to save.
_REFUSED_PAUSE, _SAVE_PAUSE = 60.0, 5.0
_LONGEST_RETRY_AFTER = 3600.0

_T = TypeVar("_T")


@dataclass
class _Flight:
    """One exchange under way, for everybody who has seen the same access token."""

    word: int
    seen: Secret
    done: threading.Event = field(default_factory=threading.Event)
    session: Session | None = None
    error: AuthError | None = None


class Rotation(SessionState):
    """Renews the session that is in force."""

    _flight: _Flight | None = None
    _saved_at = float("-inf")

    def after_fork(self) -> None:
        """In the child: nobody is on the way any more."""
        super().after_fork()
        self._flight = None

    # -- in the foreground --------------------------------------------------------------------------------

    def renew(self, seen: Secret) -> Session:
        """A session whose access token is another than `seen`.

        Any number of threads, tasks and kernels that have seen the same token cause one request.

        Raises:
            AuthSessionMissing: Nobody is signed in.
            AuthApiError: The server's final answer; the session has ended.
            AuthRetryableError: An outage. The session is kept, the background goes on.
        """
        return self._patiently(lambda deadline: self._board(seen, deadline))

    def _patiently(self, action: Callable[[float], _T]) -> _T:
        """Retry a passing failure a few times, within the patience of somebody who waits."""
        steady = self.clock.clock.steady
        deadline = steady() + PATIENCE
        for attempt in range(TRIES):
            started = steady()
            try:
                return action(deadline)
            except AuthRetryableError as error:
                failure = error
            pause = _FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.0)
            pause = max(pause, failure.retry_after or 0.0)
            # A try that took long will take long again.
            if attempt + 1 == TRIES or steady() + pause + (steady() - started) > deadline:
                break
            threading.Event().wait(pause)
        raise failure

    def _board(self, seen: Secret, deadline: float) -> Session:
        with self._lock:
            session = self.held.session
            if session is None:
                raise nobody()
            if session.access_token != seen.reveal():
                return session
            if self.forked:
                raise AuthRetryableError(
                    "A forked process does not refresh its parent's session. Make a client of its own there."
                )
            flight = self._flight
            if flight is None or flight.word != self._word or flight.seen != seen:
                flight = self._open_flight(seen)
                thread = threading.Thread(
                    target=self._fly, args=(flight,), name="supabase-nb-exchange", daemon=True
                )
                thread.start()
        self.delivery.flush()
        if not flight.done.wait(max(deadline - self.clock.clock.steady(), 0.1)):
            raise AuthRetryableError(
                "The refresh takes long; it goes on in the background. Try again in a while."
            )
        self.delivery.flush()
        if flight.session is None:
            raise errors.again(flight.error or nobody())
        return flight.session

    # -- in the background --------------------------------------------------------------------------------

    def due_in(self) -> float | None:
        """Seconds until `work` has something to do (for the refresher)."""
        if self.forked or not self.background:
            return None
        held = self.held
        waits = []
        if self._flight is None and held.session is not None:
            if not held.detached and self._stored_version() != self._version:
                return 0.0
            if not held.saved and not held.detached:
                waits.append(self._saved_at + _SAVE_PAUSE - self.clock.clock.steady())
            due = self._due_in(held)
            if due is not None:
                waits.append(due)
        return min(waits, default=None)

    def work(self) -> None:
        """See what other kernels did, refresh what is due (for the refresher, in a thread of its own)."""
        held = self.held
        if held.session is not None and not held.detached:
            if self._stored_version() != self._version:
                self.reconcile(*self._read())
            elif not held.saved:
                self._save_again()
        flight = None
        with self._lock:
            held = self.held
            due = self._due_in(held)
            if held.session is not None and due is not None and due <= 0 and self._flight is None:
                if held.verified or not self.fresh(held):
                    flight = self._open_flight(Secret(held.session.access_token))
            else:
                held = Held()
        if flight is not None:
            self.delivery.flush()
            self._fly(flight)
        elif held.session is not None:
            self._verify(held)
        self.delivery.flush()

    def _save_again(self) -> None:
        self._saved_at = self.clock.clock.steady()
        with self.storage.lock(self.key, LOCK_TIMEOUT):
            self.reconcile(*self._read())

    def _verify(self, held: Held) -> None:
        """Ask whether a session that came from storage still holds."""
        session, word = held.session, self._word
        if session is None:
            return
        try:
            user = self.api.get_user(Secret(session.access_token))
        except AuthError as error:
            failure = error
        else:
            with self._lock:
                if word == self._word and self.held.session is session:
                    self._hold(replace(_settled(self.held), session=session.with_user(user), status="active"))
            return
        with self._lock:
            if word != self._word or self.held.session is not session:
                return
            if failure.code == "bad_jwt":
                # Expired after all, or signed with a key that is gone: the refresh token will tell.
                self._hold(replace(self.held, verified=True, next_try=None))
                flight = self._open_flight(Secret(session.access_token))
            else:
                flight = None
        if flight is not None:
            self._fly(flight)
        elif isinstance(failure, AuthApiError) and failure.code in FINAL_CODES:
            with self.storage.lock(self.key, LOCK_TIMEOUT):
                self.reconcile(*self._read())
                if self.held.session is session:
                    self._end(failure, word)
        else:
            self._failed(failure, word)

    # -- the exchange -------------------------------------------------------------------------------------

    def _open_flight(self, seen: Secret) -> _Flight:
        """Under the lock."""
        self._flight = flight = _Flight(self._word, seen)
        if self.held.status in ("active", "restoring"):
            self._hold(replace(self.held, status="refreshing"))
        return flight

    def _fly(self, flight: _Flight) -> None:
        try:
            flight.session = self._attempt(flight)
        except AuthError as error:
            flight.error = error
        except Exception as error:
            logger.exception("an exchange ended in an error that is ours")
            flight.error = AuthUnknownError(
                f"The refresh failed ({type(error).__name__}). Please report this."
            )
        finally:
            if flight.error is not None:
                self._failed(flight.error, flight.word)
            with self._lock:
                if self._flight is flight:
                    self._flight = None
                if flight.word == self._word and self.held.status == "refreshing":
                    self._hold(replace(self.held, status="active"))
            # Whoever waits delivers what is queued; first, so that a waiting subscriber stalls nobody.
            flight.done.set()
            refresher.reconsider()
            self.delivery.flush()

    def _attempt(self, flight: _Flight) -> Session:
        with self.storage.lock(self.key, LOCK_TIMEOUT):
            self.reconcile(*self._read())
            held = self.held
            if held.session is None:
                raise errors.again(held.error or nobody())
            overtaken = flight.word != self._word or held.session.access_token != flight.seen.reveal()
            if overtaken and self.fresh(held):
                return held.session
            return self._exchange_held(held, self._word)

    def _exchange_held(self, held: Held, word: int, *, last: bool = False) -> Session:
        """Exchange the refresh token of what is in force, and save. Inside the lock of the storage."""
        assert held.session is not None
        sent = Secret(held.session.refresh_token)
        if not sent:
            if (self.time_left(held) or 0.0) > 0:
                raise AuthSessionMissing(
                    "There is no refresh token to exchange. Restore with both tokens, or sign in.",
                    code="session_missing",
                )
            missing = AuthSessionMissing(
                "The access token has expired and there is no refresh token. Sign in again.",
                code="session_missing",
            )
            self._end(missing, word)
            raise missing
        try:
            session, received = self.exchange(sent, held.session.user.id)
        except AuthApiError as error:
            refused = error
        else:
            return self._put_in_force(session, received, held, word)
        if refused.code in FINAL_CODES:
            stored, trouble = self._read()
            if stored and not last and not held.detached and stored.session.refresh_token != sent.reveal():
                # Another kernel is ahead. For 10 s after the family was revoked the server still takes its
                # last active token (``tests/wire/rotation.json``, family 4): at once.
                self.reconcile(stored, trouble)
                if self.held.session is not None and self.held.session is not held.session:
                    return self._exchange_held(self.held, self._word, last=True)
            self._end(refused, word)
        raise refused

    def exchange(self, refresh_token: Secret, user_id: str | None) -> tuple[Session, float]:
        """Send a refresh token. Returns the session and when it was asked for (steady clock).

        Raises:
            AuthSessionMismatch: The answer is another user's.
        """
        sent = self.clock.clock.steady()
        session = self.api.refresh(refresh_token)
        self._exchanged = self.clock.clock.steady()
        same_user(session.user, user_id)
        return session, sent

    def _put_in_force(self, session: Session, received: float, held: Held, word: int) -> Session:
        with self._lock:
            if word != self._word:
                # The user has said something else meanwhile; that holds.
                if self.held.session is None:
                    raise nobody()
                return self.held.session
            record = held.record.follow(session) if held.record else StoredSession.begin(session)
            failure = None
            if not held.detached:
                stored, trouble = self._read()
                if stored is None and trouble is None and held.saved:
                    self._signed_out_elsewhere()
                    raise nobody()
                if (
                    stored
                    and held.session
                    and held.saved
                    and not record.knows(Secret(stored.session.refresh_token))
                ):
                    # The lock was broken (its holder stopped for too long): what was saved since counts.
                    self.reconcile(stored, None)
                    if self.held.session is not None and not self.held.detached:
                        return self.held.session
                failure = None if self.held.detached else self._write(record)
            now = Held(
                session,
                "active",
                record,
                received,
                saved=failure is None,
                detached=self.held.detached,
                error=failure,
            )
            self._hold(now, AuthChangeEvent.TOKEN_REFRESHED, "refreshed")
        return session

    def _failed(self, error: AuthError, word: int) -> None:
        """Keep the session and say when the next try is."""
        with self._lock:
            held = self.held
            if word != self._word or held.session is None or isinstance(error, AuthSessionMissing):
                return
            now = self.clock.clock.steady()
            outage = held.outage if held.failures else now
            if not self.background:
                usable = (self.time_left(held) or 0.0) > 0
                self._hold(replace(held, status="active" if usable else "retrying", error=error))
                return
            pause = _pause(error, held.failures, now - outage)
            self._hold(
                replace(
                    held,
                    status="retrying",
                    error=error,
                    next_try=now + pause,
                    failures=held.failures + 1,
                    outage=outage,
                )
            )


def _settled(held: Held) -> Held:
    """After a success: no failures, no error but an unsaved session's."""
    error = held.error if not held.saved else None
    return replace(held, verified=True, next_try=None, failures=0, error=error)


def same_user(user: User, expected: str | None) -> None:
    """Refuse tokens of two users.

    Raises:
        AuthSessionMismatch: `user` is not the expected one.
    """
    if expected is not None and user.id != expected:
        raise errors.AuthSessionMismatch(
            errors.with_next_step("The two tokens belong to different users", "session_mismatch"),
            code="session_mismatch",
        )


def nobody() -> AuthSessionMissing:
    """The error of whoever needs a session where there is none."""
    return AuthSessionMissing(
        "Nobody is signed in. Restore a session with set_session, or sign in.", code="session_missing"
    )


def _pause(error: AuthError, failures: int, since: float) -> float:
    """Seconds until the next try."""
    passing = isinstance(error, AuthRetryableError) or (
        isinstance(error, AuthUnknownError) and error.code != "unexpected_redirect"
    )
    if not passing:
        return _REFUSED_PAUSE
    cap = _SHORT_CAP if since < _SHORT_OUTAGE else _LONG_CAP
    pause = random.uniform(0.0, min(cap, _FIRST_PAUSE * 2 ** min(failures, 10)))
    asked = getattr(error, "retry_after", None) or 0.0
    return max(pause, min(asked, _LONGEST_RETRY_AFTER))
