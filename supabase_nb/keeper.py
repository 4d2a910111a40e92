"""What the user says about a session: restore this one, start with that one, sign out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from . import errors, tokens
from .errors import (
    FINAL_CODES,
    AuthApiError,
    AuthError,
    AuthRetryableError,
    AuthSessionMissing,
    AuthStorageError,
)
from .models import AuthCallback, AuthChangeEvent, AuthEvent, Session, Status, Subscription
from .record import Pair, StoredSession
from .rotation import Rotation, nobody, same_user
from .state import Held
from .storage import LOCK_TIMEOUT
from .tokens import Secret

logger = logging.getLogger("supabase_nb")

# Signing out does not wait for a refresh under way: its answer is dropped anyway.
_SIGN_OUT_LOCK = 2.0
# How long, and how often, the server is told of a sign-out that it did not hear; seconds.
_GOODBYE_FOR, _GOODBYE_PAUSE = 24 * 3600.0, 15.0


@dataclass(frozen=True)
class Goodbye:
    """A sign-out that the server has not heard of yet."""

    session: Session
    scope: str
    at: float
    until: float


class Keeper(Rotation):
    """Keeps one session, and carries out the user's words about it."""

    _goodbyes: tuple[Goodbye, ...] = ()
    _restored = False

    def restore(self) -> Session | None:
        """Read storage, if nothing is in force. Asks no server; the background verifies."""
        if self.held.session is not None:
            return self.held.session
        word = self._word
        stored, trouble = self._read()
        with self._lock:
            if word == self._word and self.held.session is None:
                if trouble is not None:
                    self._hold(replace(self.held, error=trouble))
                elif stored is not None:
                    self.clock.hint(stored.clock_offset, not_before=stored.session.issued_at)
                    status: Status = "restoring" if self.background else "active"
                    # Somebody was told before that there was no session.
                    event = AuthChangeEvent.SIGNED_IN if self._restored else None
                    held = Held(stored.session, status, stored, verified=not self.background)
                    self._hold(held, event, "found in storage")
            self._restored = True
        self.announce()
        return self.held.session

    def current(self) -> Session | None:
        """The session, refreshed first if it is about to expire (`get_session`).

        Raises:
            AuthRetryableError: It has expired and the server cannot be reached now.
        """
        session = self.restore()
        held = self.held
        if session is None or held.session is None or self.fresh(held):
            return held.session
        expired = (self.time_left(held) or 0.0) <= 0
        if not held.session.refresh_token and not expired:
            return held.session
        try:
            return self.renew(Secret(held.session.access_token))
        except AuthError as error:
            failure = error
        self.announce()
        if self.held.session is None or not expired:
            return self.held.session
        raise failure

    def begin(self, session: Session, event: AuthChangeEvent, cause: str) -> Session:
        """Put a session in force that the server has just given out (the ways in)."""
        word = self._new_word()
        received = self.clock.clock.steady()
        with self.storage.lock(self.key, LOCK_TIMEOUT):
            failure = self._commit(StoredSession.begin(session), event, cause, word, received)
        self.announce()
        if failure is not None:
            raise failure
        return session

    def enter(
        self,
        pair: Pair,
        event: AuthChangeEvent = AuthChangeEvent.TOKEN_REFRESHED,
        cause: str = "session restored",
    ) -> Session:
        """`set_session`: rules 1 to 5, and "run it again"."""
        word = self._new_word()
        if pair.refresh_token and not tokens.is_opaque(pair.refresh_token):
            raise AuthApiError(
                "This is not a refresh token. Copy it again, whole, from where you are signed in.",
                code="validation_failed",
            )
        if not pair.refresh_token and not self._valid(pair):
            raise AuthSessionMissing(
                "The access token has expired (or cannot be read) and there is no refresh token. "
                "Restore with both tokens of a session, or sign in.",
                code="session_missing",
            )
        try:
            return self._patiently(lambda _: self._enter(pair, word, event, cause))
        finally:
            self.announce()

    def _valid(self, pair: Pair) -> bool:
        exp = tokens.expiry(pair.claims)
        return tokens.is_jwt(pair.access_token) and exp is not None and exp > self.clock.now()

    def _enter(self, pair: Pair, word: int, event: AuthChangeEvent, cause: str) -> Session:
        with self.storage.lock(self.key, LOCK_TIMEOUT):
            stored, trouble = self._read()
            if trouble is not None and trouble.code == "storage_open_to_others":
                raise trouble
            known = [record for record in (stored, self.held.record) if record is not None]
            later = next((record for record in known if record.is_later_than(pair)), None)
            refused: AuthApiError | None = None
            try:
                session, received = self._present(pair) if later is None else self._present(_pair_of(later))
            except AuthApiError as error:
                refused = error
            if refused is not None and later is None:
                # A spent token that nothing here could tell, but the server names its session: ours is later.
                later = _named(refused, pair, known)
                if later is not None:
                    try:
                        session, received = self.exchange(
                            Secret(later.session.refresh_token), later.session.user.id
                        )
                    except AuthApiError as error:
                        refused = error
                    else:
                        refused = None
            if refused is None:
                record = _lineage(session, pair, later, known)
                failure = self._commit(
                    record,
                    event,
                    "continued from storage" if later else cause,
                    word,
                    received,
                    notice="Continued from storage: a later rotation of this session was there."
                    if later
                    else None,
                )
        if refused is not None:
            self._refuse(refused, pair, later)
        if failure is not None:
            raise failure
        return session

    def _present(self, pair: Pair) -> tuple[Session, float | None]:
        """Rules 2 and 3: verify a valid pair, exchange an expired one."""
        if self._valid(pair):
            try:
                user = self.api.get_user(pair.access_token)
            except AuthApiError as error:
                if not _says_expired(error):
                    raise
            else:
                same_user(user, pair.user_id)
                exp = tokens.expiry(pair.claims) or 0.0
                session = Session(
                    pair.access_token,
                    pair.refresh_token,
                    expires_at=exp,
                    expires_in=max(exp - self.clock.now(), 0.0),
                    user=user,
                    _claims=pair.claims,
                )
                return session, None
        if not pair.refresh_token:
            raise AuthSessionMissing(
                "The server says that the access token has expired, and there is no refresh token. "
                "Restore with both tokens of a session, or sign in.",
                code="session_missing",
            )
        return self.exchange(pair.refresh_token, pair.user_id)

    def _commit(
        self,
        record: StoredSession,
        event: AuthChangeEvent,
        cause: str,
        word: int,
        received: float | None,
        *,
        notice: str | None = None,
    ) -> AuthStorageError | None:
        """Save, and put in force what the user's word led to, unless a later one has been carried out."""
        with self._lock:
            if word < self._word:
                return None
            self._word = word
            failure = self._write(record)
            self.notices.pop("detached", None)
            self.note("storage", notice)
            held = Held(record.session, "active", record, received, saved=failure is None, error=failure)
            self._hold(held, event, cause)
        return failure

    def _refuse(self, error: AuthApiError, pair: Pair, later: StoredSession | None) -> None:
        """Rule 5, unless the dead pair is the current session's own: then that one has ended too."""
        held, code = self.held, error.code
        if held.session is not None and code in FINAL_CODES:
            dead = {pair.session_id, error.session_id, later.session.session_id if later else None} - {None}
            if held.session.session_id in dead or held.session.refresh_token == pair.refresh_token.reveal():
                self._end(error, self._word)
        if code == "user_not_found":
            raise errors.UserDoesntExist(error.message, status=error.status, code=code)
        if code == "session_not_found":
            raise AuthSessionMissing(error.message, status=error.status, code=code)
        raise error

    def change_user(self, token: Secret, attributes: Mapping[str, object]) -> Session:
        """`update_user`: the server changes the user, the session keeps its tokens."""
        user = self.api.update_user(token, attributes)
        with self.storage.lock(self.key, LOCK_TIMEOUT):
            self.reconcile(*self._read())
            with self._lock:
                held = self.held
                if held.session is None or held.record is None:
                    raise nobody()
                same_user(user, held.session.user.id)
                session = held.session.with_user(user)
                record = held.record.follow(session)
                failure = None if held.detached else self._write(record)
                changed = replace(held, session=session, record=record, saved=failure is None, error=failure)
                self._hold(changed, AuthChangeEvent.USER_UPDATED, "user changed")
        self.announce()
        if failure is not None:
            raise failure
        return session

    def subscribe(self, callback: AuthCallback) -> Subscription:
        """A subscriber whose first event says what is known now."""
        with self._lock:
            first = AuthEvent(AuthChangeEvent.INITIAL_SESSION, self.clock.clock.wall(), "subscribed")
            return self.delivery.subscribe(callback, first, self.held.session)

    def leave(self, scope: str) -> None:
        """`sign_out`: here at once, whatever the network does; then the server is told.

        Raises:
            AuthStorageError: What is stored could not be removed.
        """
        self.restore()
        with self._lock:
            # From now on no answer of an exchange under way counts.
            self._words = self._word = self._words + 1
        with self.storage.lock(self.key, _SIGN_OUT_LOCK), self._lock:
            held = self.held
            failure = self._forget(held)
            self.drop_notices()
            event = AuthChangeEvent.SIGNED_OUT if held.session else None
            self._hold(Held(error=failure), event, "signed out")
        self.announce()
        if held.session is not None:
            now = self.clock.clock.steady()
            goodbye = Goodbye(held.session, scope, now + _GOODBYE_PAUSE, now + _GOODBYE_FOR)
            if not self._tell(goodbye, expired=(self.time_left(held) or 0.0) <= 0):
                with self._lock:
                    self._goodbyes = (*self._goodbyes, goodbye)
                    self.note("goodbye", "Signed out here. The server could not be told yet.")
                    self._hold(self.held)
                self.announce()
        if failure is not None:
            raise failure

    def hand_over(self, cause: str) -> None:
        """Let go of the session, which goes on elsewhere: here it is gone, and no server is told."""
        with self.storage.lock(self.key, _SIGN_OUT_LOCK), self._lock:
            self._words = self._word = self._words + 1
            failure = self._forget(self.held)
            self.drop_notices()
            event = AuthChangeEvent.SIGNED_OUT if self.held.session else None
            self._hold(Held(error=failure), event, cause)
        self.announce()

    def _tell(self, goodbye: Goodbye, *, expired: bool = False) -> bool:
        """Tell the server of a sign-out. ``False``: it could not be reached."""
        token = Secret(goodbye.session.access_token)
        for _ in range(2):
            try:
                if expired:
                    # The server refuses a logout with an expired token.
                    token = Secret(self.api.refresh(Secret(goodbye.session.refresh_token)).access_token)
                self.api.logout(token, goodbye.scope)
            except AuthRetryableError:
                return False
            except AuthError as error:
                if _says_expired(error) and not expired and goodbye.session.refresh_token:
                    expired = True
                    continue
                # Gone already (``tests/wire/sign-out.json``: "logout: again"), or not to be told at all.
                logger.info("the server took no notice of the sign-out: %s", error)
            return True
        return True

    def due_in(self) -> float | None:
        """Seconds until `work` has something to do (for the refresher)."""
        due = super().due_in()
        if not self._goodbyes or self.forked:
            return due
        wait = min(goodbye.at for goodbye in self._goodbyes) - self.clock.clock.steady()
        return wait if due is None else min(due, wait)

    def work(self) -> None:
        """Say what is left to be said to the server; then as the refresher always does."""
        self._say_goodbyes()
        super().work()

    def _say_goodbyes(self) -> None:
        now = self.clock.clock.steady()
        for goodbye in [goodbye for goodbye in self._goodbyes if goodbye.at <= now]:
            told = self._tell(goodbye)
            with self._lock:
                rest = tuple(g for g in self._goodbyes if g is not goodbye)
                if not told and now < goodbye.until:
                    rest = (*rest, replace(goodbye, at=now + _GOODBYE_PAUSE))
                self._goodbyes = rest
                if not rest:
                    self.note("goodbye", None)
                    self._hold(self.held)


def _pair_of(record: StoredSession) -> Pair:
    return Pair(record.session._access_token, record.session._refresh_token, record.session.claims)


def _named(error: AuthError, pair: Pair, known: list[StoredSession]) -> StoredSession | None:
    """The known session that a refusal is about, if its refresh token is another than the refused one."""
    if error.code not in FINAL_CODES or error.session_id is None:
        return None
    for record in known:
        if (
            record.session.session_id == error.session_id
            and record.session.refresh_token
            and record.session.refresh_token != pair.refresh_token.reveal()
        ):
            return record
    return None


def _lineage(
    session: Session, pair: Pair, later: StoredSession | None, known: list[StoredSession]
) -> StoredSession:
    """The record to save: with the ancestors that are known of this session."""
    spent = pair.refresh_token if pair.refresh_token.reveal() != session.refresh_token else None
    base = later or next((r for r in known if r.session.session_id == session.session_id), None)
    return base.follow(session, spent=spent) if base else StoredSession.begin(session, spent=spent)


def _says_expired(error: AuthError) -> bool:
    """``bad_jwt`` … "token is expired" (``tests/wire/sessions-es256.json``, "get user: expired")."""
    return error.status in (401, 403) and "expired" in error.message and error.code not in FINAL_CODES
