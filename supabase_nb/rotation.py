"""One exchange for everybody who needs it, through outages, up to the server's final answer."""

from __future__ import annotations

import logging
import threading
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from . import errors, workers
from .backoff import asked_to_wait, patiently, pause_after
from .errors import (
    FINAL_CODES,
    AuthApiError,
    AuthError,
    AuthRetryableError,
    AuthSessionMissing,
    AuthStorageError,
    AuthUnknownError,
)
from .held import Held
from .models import AuthChangeEvent, Session, User
from .record import StoredSession
from .refresh import refresher
from .state import SessionState
from .tokens import Secret
from .uninterrupted import uninterrupted

logger = logging.getLogger("supabase_nb")

# Access tokens with such a lifetime are of no use; pauses between exchanges that bring them. In seconds.
_TOO_SHORT, _FIRST_USELESS_PAUSE, _LONGEST_USELESS_PAUSE = 1.0, 2.0, 60.0
# An exchange whose caller was interrupted is joined only for so many seconds from its start.
_YOUNG = 2.0
# Between tries to save, in seconds.
_SAVE_PAUSE = 5.0


@dataclass(eq=False)
class _Flight:
    """One exchange under way, for everybody who has seen the same access token."""

    era: int
    seen: Secret
    done: threading.Event = field(default_factory=threading.Event)
    session: Session | None = None
    error: AuthError | None = None
    began: float = 0.0
    abandoned: bool = False  # the call that waited for it was interrupted
    locked: bool = False  # it has the lock of the storage
    shares_lock: bool = False  # with an abandoned one that it replaces, whose request hangs


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
        return patiently(lambda deadline: self._renew(seen, deadline), self.clock.clock)

    def _renew(self, seen: Secret, deadline: float) -> Session:
        while True:
            found = uninterrupted(lambda: self._board(seen))
            self.delivery.flush()
            if isinstance(found, Session):
                return found
            patience = self._until(deadline)
            young = found.began + _YOUNG - self.clock.clock.steady()
            # An abandoned one is looked at again when it is no longer young.
            wait = min(patience, young) if found.abandoned and young > 0 else patience
            try:
                done = found.done.wait(wait)
            except BaseException:
                found.abandoned = True
                raise
            if done:
                break
            if wait == patience:
                raise AuthRetryableError(
                    "The refresh takes longer than usual and continues in the background. Try again shortly."
                )
        self.delivery.flush()
        if found.session is None:
            raise errors.again(found.error or nobody())
        return found.session

    def _until(self, deadline: float) -> float:
        """How long to wait, in seconds; the last try gets a moment too."""
        return max(deadline - self.clock.clock.steady(), 0.1)

    def _board(self, seen: Secret) -> Session | _Flight:
        """The session, if it is another already; else the exchange under way, or a new one."""
        with self._lock:
            held, flight = self.held, self._flight
            if held.session is None:
                raise nobody()
            if held.session.access_token != seen.reveal():
                return held.session
            if self.forked:
                raise AuthError(
                    "This session belongs to the parent process, which alone refreshes it: this process was "
                    "forked from there. Create a client in the child process, after the fork.",
                    code="forked_process",
                )
            hangs = False
            if flight is not None and flight.era == held.era and flight.seen == seen:
                old = self.clock.clock.steady() - flight.began >= _YOUNG
                hangs = flight.abandoned and flight.locked and old
                if not hangs:
                    return flight
            if held.error is not None and held.not_before > self.clock.clock.steady():
                raise errors.again(held.error)
            flight = self._open_flight(seen)
            flight.shares_lock = hangs
            try:
                workers.start(lambda: self._fly(flight), "supabase-nb-exchange")
            except RuntimeError:  # no more threads, or the interpreter is ending
                self._flight = None
            else:
                return flight
        raise AuthRetryableError("No thread could be started to refresh in. Nothing is lost: try again.")

    # -- in the background --------------------------------------------------------------------------------

    def due_in(self) -> float | None:
        """Seconds until `work` has something to do (for the refresher)."""
        if self.forked or not self.background:
            return None
        if self.delivery.overdue:
            return 0.0
        held = self.held
        if self._flight is not None or held.session is None:
            return None
        waits = []
        if not held.detached:
            if self._stored_version() != self._version:
                return 0.0
            if not held.saved:
                waits.append(self._saved_at + _SAVE_PAUSE - self.clock.clock.steady())
        due = self._due_in(held)
        if due is not None:
            waits.append(due)
        return min(waits, default=None)

    def work(self) -> None:
        """See what other kernels did, refresh what is due (for the refresher, in a thread of its own)."""
        if self._stored_version() != self._version:
            self.catch_up()
        held = self.held
        if not held.saved and not held.detached:
            self._save_again()
        flight = unsure = None
        with self._lock:
            held = self.held
            due = self._due_in(held)
            if due is not None and due <= 0 and self._flight is None:
                unverified = not held.verified or self.clock.jumped
                if unverified and self._usable_without_refresh(held):
                    unsure = held
                elif held.session is not None:
                    flight = self._open_flight(Secret(held.session.access_token))
        self.delivery.flush_soon()
        if flight is not None:
            self._fly(flight)
        elif unsure is not None:
            self._verify(unsure)
        self.delivery.flush_soon()

    def _usable_without_refresh(self, held: Held) -> bool:
        """Whether the access token is fresh, or still valid where nothing can refresh it."""
        if held.session is not None and not held.session.refresh_token:
            return (self.time_left(held) or 0.0) > 0
        return self.fresh(held)

    def _save_again(self) -> None:
        now = self.clock.clock.steady()
        if now - self._saved_at >= _SAVE_PAUSE:
            self._saved_at = now
            with self.exclusively():
                self.catch_up(locked=True)

    def _verify(self, held: Held) -> None:
        """Ask whether a session that came from storage still holds, or what time it is."""
        session = held.session
        assert session is not None
        try:
            user = self.api.get_user(Secret(session.access_token))
        except AuthError as error:
            failure = error
        else:
            with self._lock:
                if self.held.session is session:
                    self._hold(replace(_settled(self.held), session=session.with_user(user), status="active"))
            return
        flight = None
        final = failure.code == "bad_jwt" and not session.refresh_token
        final = final or (isinstance(failure, AuthApiError) and failure.code in FINAL_CODES)
        with self._lock:
            if self.held.session is not session:
                return
            if failure.code == "bad_jwt" and session.refresh_token and self._flight is None:
                # Expired after all, or signed with a key that is gone: the refresh token will tell.
                self._hold(replace(self.held, verified=True, next_try=None))
                flight = self._open_flight(Secret(session.access_token))
        if flight is not None:
            self._fly(flight)
        elif final:
            with self.exclusively():
                self.catch_up(locked=True)
                if self.held.session is session:
                    self._end(failure, held.era)
        else:
            self._failed(failure, held.era)

    # -- the exchange -------------------------------------------------------------------------------------

    def _open_flight(self, seen: Secret) -> _Flight:
        """Under the lock."""
        self._flight = flight = _Flight(self.held.era, seen, began=self.clock.clock.steady())
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
            with self._lock:
                replaced = self._flight is not flight
                if not replaced:
                    self._flight = None
            if flight.error is not None and not replaced:
                self._failed(flight.error, flight.era)
            with self._lock:
                if not replaced and flight.era == self.held.era and self.held.status == "refreshing":
                    self._hold(replace(self.held, status="active"))
            # Whoever waits delivers what is queued.
            flight.done.set()
            refresher.reconsider()
            self.delivery.flush_soon()

    def _attempt(self, flight: _Flight) -> Session:
        with nullcontext() if flight.shares_lock else self.exclusively():
            flight.locked = True
            self.catch_up(locked=True)
            held = self.held
            if held.session is None:
                raise errors.again(held.error or nobody())
            overtaken = held.era != flight.era or held.session.access_token != flight.seen.reveal()
            if overtaken and self.fresh(held):
                return held.session
            return self._exchange_held(held)

    def _exchange_held(self, held: Held, *, last: bool = False) -> Session:
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
            self._end(missing, held.era)
            raise missing
        try:
            session = self.exchange(sent, held.session.user.id)
        except AuthApiError as error:
            refused = error
        else:
            return self._put_in_force(session, held)
        if refused.code in FINAL_CODES:
            stored, trouble = self._read()
            if stored and not last and not held.detached and stored.session.refresh_token != sent.reveal():
                # Another kernel is ahead. For 10 s after the family was revoked the server still takes its
                # last active token (``tests/wire/rotation.json``, family 4): at once.
                self.reconcile(stored, trouble, locked=True)
                if self.held.session is not None and self.held.session is not held.session:
                    return self._exchange_held(self.held, last=True)
            self._end(refused, held.era)
        raise refused

    def exchange(self, refresh_token: Secret, user_id: str | None) -> Session:
        """Send a refresh token.

        Raises:
            AuthSessionMismatch: The answer is another user's.
        """
        session = self.api.refresh(refresh_token)
        self._exchanged = self.clock.clock.steady()
        same_user(session.user, user_id)
        return session

    def _put_in_force(self, session: Session, held: Held) -> Session:
        with self._lock:
            if self.held.era != held.era:
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
                if stored and held.saved and not record.knows(Secret(stored.session.refresh_token)):
                    # The lock was broken (its holder stopped for too long): what was saved since counts.
                    self.reconcile(stored, None, locked=True)
                    if self.held.session is not None and not self.held.detached:
                        return self.held.session
                failure = None if self.held.detached else self._write(record)
            now = Held(
                session,
                "active",
                record,
                saved=failure is None,
                detached=self.held.detached,
                error=failure,
                era=held.era,
            )
            if session.lifetime <= _TOO_SHORT:
                now = self._paused(now, held.failures, failure)
            self._hold(now, AuthChangeEvent.TOKEN_REFRESHED, "refreshed")
        return session

    def _paused(self, now: Held, failures: int, failure: AuthStorageError | None) -> Held:
        """The state after tokens that are of no use: the next exchange waits, longer each time."""
        pause = min(_FIRST_USELESS_PAUSE * 2 ** min(failures, 10), _LONGEST_USELESS_PAUSE)
        lifetime = now.session.lifetime if now.session else 0.0
        useless = AuthUnknownError(
            f"The auth server issues access tokens that are valid for {max(lifetime, 0.0):.0f} s. "
            "Check the server's clock and the project's JWT expiry (JWT_EXP)."
        )
        again = self.clock.clock.steady() + pause
        return replace(now, error=failure or useless, next_try=again, not_before=again, failures=failures + 1)

    def _failed(self, error: AuthError, era: int) -> None:
        """Keep the session and say when the next try is."""
        with self._lock:
            held = self.held
            if era != held.era or held.session is None or isinstance(error, AuthSessionMissing):
                return
            now = self.clock.clock.steady()
            outage = held.outage if held.failures else now
            usable = (self.time_left(held) or 0.0) > 0
            self._hold(
                replace(
                    held,
                    status="active" if usable and not self.background else "retrying",
                    error=error,
                    next_try=now + pause_after(error, held.failures, now - outage),
                    failures=held.failures + 1,
                    outage=outage,
                    not_before=now + asked_to_wait(error),
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
