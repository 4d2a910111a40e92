"""What the user says about a session: restore this one, start with that one, sign out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, NoReturn

from . import errors, tokens
from .backoff import patiently
from .errors import (
    FINAL_CODES,
    AuthApiError,
    AuthError,
    AuthRetryableError,
    AuthSessionMissing,
    AuthStorageError,
)
from .events import running_loop
from .held import Held, Word
from .leaving import Leaving, says_expired
from .models import AuthCallback, AuthChangeEvent, AuthEvent, Session, Subscription, User
from .record import Pair, StoredSession
from .rotation import nobody, same_user
from .tokens import Secret
from .uninterrupted import uninterrupted

logger = logging.getLogger("supabase_nb")


class _Known(NamedTuple):
    """What there is beside a pair that somebody supplied."""

    stored: StoredSession | None
    held: StoredSession | None  # what is in force
    records: list[StoredSession]  # both, if they are two
    later: StoredSession | None  # which of these is a later rotation of the pair's session
    best: Pair  # the tokens to go on with: those of the later one, or the pair itself


class Keeper(Leaving):
    """Keeps one session, and carries out the user's words about it."""

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
        if not expired:
            waiting = held.next_try is not None and held.next_try > self.clock.clock.steady()
            if waiting or not held.session.refresh_token:
                return held.session
        try:
            return self.renew(Secret(held.session.access_token))
        except AuthError as error:
            failure = error
        self.announce()
        if self.held.session is None or not expired:
            return self.held.session
        raise failure

    def begin(
        self, session: Session, event: AuthChangeEvent, cause: str, word: Word | None = None
    ) -> Session:
        """Put a session in force that the server has just issued (a sign-in).

        Raises:
            AuthError: ``superseded``: a call later than `word` has been carried out meanwhile.
            AuthStorageError: It is in force, but could not be saved.
        """
        word = word or self.new_word()

        def commit() -> AuthStorageError | None:
            with self.exclusively():
                return self._commit(StoredSession.begin(session), event, cause, word, issued=True)

        try:
            failure = uninterrupted(commit, afterwards=self.announce)
        finally:
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
        word = self.new_word()
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

        def attempt(deadline: float) -> Session:
            try:
                return uninterrupted(
                    lambda: self._enter(pair, word, event, cause, deadline),
                    patience=self._until(deadline),
                    withdraw=lambda: self._withdraw(word),
                    afterwards=self.announce,
                )
            except TimeoutError:
                pass
            raise AuthRetryableError("It takes too long. Nothing is lost: try again in a while.")

        try:
            return patiently(attempt, self.clock.clock)
        finally:
            self.announce()

    def _valid(self, pair: Pair) -> bool:
        exp = tokens.expiry(pair.claims)
        return tokens.is_jwt(pair.access_token) and exp is not None and exp > self.clock.now()

    def _enter(self, pair: Pair, word: Word, event: AuthChangeEvent, cause: str, deadline: float) -> Session:
        # Outside the lock: to verify changes nothing, and other kernels need not wait for it.
        ahead = self._known(pair)
        said = self._ask(ahead.best, limited=False)
        with self.exclusively(self._until(deadline)):
            stored, _, known, later, best = self._known(pair, ahead)
            if best.access_token != ahead.best.access_token:
                said = self._ask(best, limited=True)
            if word.withdrawn:
                raise nobody()  # nobody waits: no refresh token is spent
            refused: AuthApiError | None = None
            try:
                session = self._present(best, said)
            except AuthApiError as error:
                refused = error
            if refused is not None and later is None:
                # A spent token that nothing here could tell, but the server names its session: ours is later.
                later = _named(refused, pair, known)
                if later is not None:
                    try:
                        session = self.exchange(Secret(later.session.refresh_token), later.session.user.id)
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
                    stored,
                    notice="Continued from storage: a later rotation of this session was there."
                    if later
                    else None,
                    issued=session.access_token != best.access_token.reveal(),
                )
            else:
                self._refuse(refused, pair, later, stored)
        if failure is not None:
            raise failure
        return session

    def _known(self, pair: Pair, before: _Known | None = None) -> _Known:
        stored, trouble = self._read()
        if trouble is not None and trouble.code == "storage_open_to_others":
            raise trouble
        held = self.held.record
        if before is not None and stored is before.stored and held is before.held:
            return before
        known = [record for record in (stored, held if held is not stored else None) if record is not None]
        later = next((record for record in known if record.is_later_than(pair)), None)
        return _Known(stored, held, known, later, pair if later is None else _pair_of(later))

    def _ask(self, pair: Pair, *, limited: bool) -> User | AuthApiError | None:
        """What the server says of a valid access token: whose it is, or its refusal. `AuthAPI.get_user`."""
        if not self._valid(pair):
            return None
        try:
            return self.api.get_user(pair.access_token, limited=limited)
        except AuthApiError as error:
            return error

    def _present(self, pair: Pair, said: User | AuthApiError | None) -> Session:
        """Rules 2 and 3: a valid pair is as the server `said`, an expired one is exchanged."""
        if isinstance(said, AuthApiError):
            if not says_expired(said):
                raise said
        elif said is not None:
            same_user(said, pair.user_id)
            exp = tokens.expiry(pair.claims) or 0.0
            return Session(
                pair.access_token,
                pair.refresh_token,
                expires_at=exp,
                expires_in=max(exp - self.clock.now(), 0.0),
                user=said,
                _claims=pair.claims,
            )
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
        word: Word,
        stored: StoredSession | None = None,
        *,
        notice: str | None = None,
        issued: bool,
    ) -> AuthStorageError | None:
        """Save and put in force what a call of the user led to.

        Args:
            record: What to save.
            event: What to tell subscribers.
            cause: Why, for people.
            word: The call.
            stored: What storage holds.
            notice: A sentence to show with the session.
            issued: Whether the server has issued these tokens for this call.

        Raises:
            AuthError: ``superseded``: a later call, or a sign-out, has been carried out meanwhile. The server
                is told to end what it has issued.
        """
        with self._lock:
            if word.withdrawn or word.number < self._word:
                in_force = self.held.session
                if in_force is not None and in_force.session_id == record.session.session_id:
                    return None  # the later call restored the same session
                if issued:
                    self._sign_out_later(record.session, "local")
                raise AuthError(
                    "A later sign-out or sign-in replaced this call, so its session is not in use. "
                    "Call it again if you want this session.",
                    code="superseded",
                )
            self._word = word.number
            self._drop_goodbyes(record.session)
            failure = self._write(record, stored)
            self.notices.pop("detached", None)
            self.note("storage", notice)
            held = Held(
                record.session,
                "active",
                record,
                saved=failure is None,
                error=failure,
                era=self._new_era(),
            )
            self._hold(held, event, cause)
        return failure

    def _refuse(
        self, error: AuthApiError, pair: Pair, later: StoredSession | None, stored: StoredSession | None
    ) -> NoReturn:
        """Rule 5, unless the dead pair is the current session's own: then that one has ended too."""
        code = error.code
        if code in FINAL_CODES:
            dead = {pair.session_id, error.session_id, later.session.session_id if later else None} - {None}
            ours = self.held.record or stored
            if ours is not None and (
                ours.session.session_id in dead or ours.session._refresh_token == pair.refresh_token
            ):
                if self.held.session is not None:
                    self._end(error, self.held.era)
                else:
                    self._forget(replace(self.held, session=ours.session))
        if code == "user_not_found":
            raise errors.UserDoesntExist(error.message, status=error.status, code=code)
        if code == "session_not_found":
            raise AuthSessionMissing(error.message, status=error.status, code=code)
        raise error

    def change_user(self, token: Secret, attributes: Mapping[str, object]) -> Session:
        """`update_user`: the server changes the user, the session keeps its tokens."""
        user = self.api.update_user(token, attributes)

        def change() -> tuple[Session, AuthStorageError | None]:
            with self.exclusively():
                self.catch_up(locked=True)
                with self._lock:
                    held = self.held
                    if held.session is None or held.record is None:
                        raise nobody()
                    same_user(user, held.session.user.id)
                    session = held.session.with_user(user)
                    record = held.record.follow(session)
                    failure = None if held.detached else self._write(record)
                    changed = replace(
                        held, session=session, record=record, saved=failure is None, error=failure
                    )
                    self._hold(changed, AuthChangeEvent.USER_UPDATED, "user changed")
            return session, failure

        session, failure = uninterrupted(change, afterwards=self.announce)
        self.announce()
        if failure is not None:
            raise failure
        return session

    def subscribe(self, callback: AuthCallback) -> Subscription:
        """A subscriber whose first event says what is known now."""
        loop = running_loop()

        def subscribe() -> Subscription:
            with self._lock:
                first = AuthEvent(AuthChangeEvent.INITIAL_SESSION, self.clock.clock.wall(), "subscribed")
                return self.delivery.subscribe(callback, first, self.held.session, loop)

        return uninterrupted(subscribe, afterwards=self.announce)


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
