"""SessionManager: what a client's methods do with its session; has a store, a refresher, a sign-out queue.

`set_session` from top to bottom: `restore_from_tokens` -> `_restore` -> `_verify` or `_exchange` ->
`_commit`, or `_refuse`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar

from ... import errors, tokens
from ..._fork import renew_after_fork
from ...errors import (
    FINAL_CODES,
    AuthApiError,
    AuthError,
    AuthRetryableError,
    AuthSessionMissing,
    AuthStorageError,
)
from ...models import AuthCallback, AuthChangeEvent, AuthEvent, Session, Status, Subscription, User
from ...storage import SessionStorage
from ...tokens import Secret
from .._api.endpoints import AuthAPI
from .._loop import Runtime, owner_loop
from .delivery import Change, Delivery
from .refresher import TokenRefresher, same_user, time_until
from .retry import retry
from .scheduler import scheduler
from .session_store import Found, SessionStore
from .sign_out import SignOut, says_expired
from .snapshot import Freshness, Request, SessionSnapshot
from .state import SessionState, not_signed_in
from .stored_session import StorageDamaged, StoredSession, TokenPair

logger = logging.getLogger("supabase_nb")

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Known:
    """What is known of a pair's session before the server is asked.

    Args:
        version: Of what is stored.
        in_force: The session in force.
        found: What is stored.
        records: Every session that the pair may belong to: stored ones, and the one in force.
        later: The one of these that is a later rotation of the pair's session.
        best: The tokens to continue with: those of the later rotation, or the pair itself.
    """

    version: object
    in_force: StoredSession | None
    found: Found
    records: tuple[StoredSession, ...]
    later: StoredSession | None
    best: TokenPair


class SessionManager:
    """Keeps one client's session.

    Args:
        api: The auth server.
        storage: Where sessions are stored.
        key: The key of this client's name in the storage.
        project: A prefix for the project's records there.
        set_traits: Shows a change.
        older_keys: `storage.older_storage_keys`.
        runtime: What it runs on.
        schedule: Has `work` called when something is due.
    """

    def __init__(
        self,
        api: AuthAPI,
        storage: SessionStorage,
        key: str,
        project: str,
        set_traits: Callable[[Change], BaseException | None],
        *,
        older_keys: Mapping[str, str] | None = None,
        runtime: Runtime = owner_loop,
        schedule: Callable[[SessionManager], object] = scheduler.register,
    ) -> None:
        self.api, self.clock, self.runtime = api, api.clock, runtime
        self.delivery = Delivery(set_traits)
        self.state = SessionState(self.clock, self.delivery)
        self.store = SessionStore(storage, key, project, self.clock, runtime, older_keys=older_keys)
        self.refresher = TokenRefresher(api, self.state, self.store, runtime)
        self.signing_out = SignOut(api, self.state, self.store, self.refresher, runtime)
        self.state.on_replace = self._schedule
        self._scheduled_by = schedule
        self._restored = False
        renew_after_fork(self)

    def _schedule(self) -> None:
        if self.refresher.background and not self.state.forked:
            self._scheduled_by(self)

    def after_fork(self) -> None:
        """In the child: the parent's tasks aren't there, and only the parent refreshes its session."""
        self.state.after_fork()
        self.refresher.attempt, self.refresher.background = None, False

    # -- the session in force -----------------------------------------------------------------------------

    @property
    def snapshot(self) -> SessionSnapshot:
        """What is in force now."""
        return self.state.snapshot

    def session_if_fresh(self) -> Session | None:
        """The session, if it can be used without asking anyone. Takes no lock."""
        snapshot = self.state.snapshot
        return snapshot.session if self.state.freshness(snapshot) is Freshness.FRESH else None

    async def get_fresh(self) -> Session | None:
        """The session, refreshed first if it is about to expire (`get_session`).

        Raises:
            AuthRetryableError: It has expired and the server can't be reached now.
        """
        await self.restore()
        snapshot = self.state.snapshot
        freshness = self.state.freshness(snapshot)
        if snapshot.session is None or freshness is Freshness.FRESH:
            return snapshot.session
        expired = freshness is Freshness.EXPIRED
        if not expired:
            waiting = snapshot.next_try is not None and snapshot.next_try > self.clock.clock.steady()
            if waiting or not snapshot.session.refresh_token:
                return snapshot.session
        try:
            return await self.refresher.refresh(Secret(snapshot.session.access_token))
        except AuthError as error:
            failure = error
        session = self.state.snapshot.session
        if session is None or not expired:
            return session
        raise failure

    async def get_fresh_or_raise(self) -> Session:
        """The same, where a session is needed.

        Raises:
            AuthSessionMissing: Not signed in.
        """
        session = await self.get_fresh()
        if session is None:
            raise not_signed_in()
        return session

    async def refresh(self) -> Session:
        """Exchange the refresh token now (`refresh_session`).

        Raises:
            AuthStorageError: Refreshed, but not saved.
        """
        session = await self.restore()
        if session is None:
            raise not_signed_in()
        session = await self.refresher.refresh(Secret(session.access_token), asked=True)
        failure = self.state.snapshot.error
        if isinstance(failure, AuthStorageError):
            raise errors.copy_error(failure)
        return session

    async def restore(self) -> Session | None:
        """Read storage, if no session is in force. Asks no server; the background verifies.

        Raises:
            AuthStorageError: A session may be stored, but can't be read. (Damaged data was set aside.)
        """
        if self.state.snapshot.session is None:
            trouble = await self._restore_stored()
            session = self.state.snapshot.session
            if trouble is not None and not isinstance(trouble, StorageDamaged) and session is None:
                raise trouble
        return self.state.snapshot.session

    async def _restore_stored(self) -> AuthStorageError | None:
        async with self.state.commit:
            before = self.state.snapshot
            if before.session is not None:
                return None
            found = await self.store.run(self.store.read)
            if found.trouble is not None:
                self.state.replace(replace(before, error=found.trouble))
            elif found.record is not None:
                session = found.record.session
                self.clock.hint(found.record.clock_offset, not_before=session.issued_at)
                status: Status = "restoring" if self.refresher.background else "active"
                # Someone was told before that there was no session.
                event = AuthChangeEvent.SIGNED_IN if self._restored else None
                verified = not self.refresher.background
                restored = SessionSnapshot(
                    session, status, found.record, verified, generation=self.state.new_generation()
                )
                self.state.replace(restored, event, "found in storage")
            self._restored = True
            return found.trouble

    # -- set_session --------------------------------------------------------------------------------------

    async def restore_from_tokens(
        self,
        pair: TokenPair,
        event: AuthChangeEvent = AuthChangeEvent.TOKEN_REFRESHED,
        cause: str = "session restored",
    ) -> Session:
        """`set_session`: rules 1 to 5 of the reference page, and a later rotation is continued."""
        request = self.state.new_request()
        if pair.refresh_token and not tokens.is_opaque(pair.refresh_token):
            raise AuthApiError(
                "This is not a refresh token. Copy it again, whole, from where you are signed in.",
                code="validation_failed",
            )
        if not pair.refresh_token and not self._is_valid(pair):
            raise AuthSessionMissing(
                "The access token has expired (or cannot be read) and there is no refresh token. "
                "Restore with both tokens of a session, or sign in.",
                code="session_missing",
            )
        return await retry(
            lambda deadline: self._within(
                deadline, request, self._restore(pair, request, event, cause, deadline)
            ),
            self.clock.clock,
        )

    async def _within(
        self, deadline: float, request: Request, coroutine: Coroutine[Any, Any, Session]
    ) -> Session:
        """Wait for a task that may send a refresh token.

        If the caller leaves, it is cancelled; but once a refresh token may have been sent it ends by itself,
        and what comes of it is stored, but not put in force.
        """
        task = self.runtime.start(coroutine)
        try:
            await asyncio.wait((task,), timeout=time_until(deadline, self.clock.clock.steady()))
        finally:
            if not task.done():
                request.withdrawn = True
                if not request.must_finish:
                    task.cancel()
        if request.withdrawn:
            raise AuthRetryableError("Timed out. The session is unchanged; try again in a while.")
        return task.result()

    async def _restore(
        self, pair: TokenPair, request: Request, event: AuthChangeEvent, cause: str, deadline: float
    ) -> Session:
        # Without the lock: this changes nothing, and other kernels need not wait for it.
        known = await self._look_up(pair)
        answer = await self._verify(known.best)
        session_id = known.later.id if known.later else pair.session_id
        patience = time_until(deadline, self.clock.clock.steady())
        async with self.refresher.exclusively(session_id, patience):
            before, known = known, await self._look_up_again(pair, known)
            if known.best.access_token != before.best.access_token:
                answer = await self._verify(known.best)
            request.must_finish = True
            refused: AuthApiError | None = None
            try:
                session = await self._accept_or_exchange(known.best, answer)
            except AuthApiError as error:
                refused = error
            if refused is not None and known.later is None:
                # A spent token that nothing here could tell, but the server names its session: ours is later.
                later = _named_by(refused, pair, known.records)
                if later is not None:
                    known = replace(known, later=later)
                    try:
                        session = await self.refresher.exchange(
                            later.session._refresh_token, later.session.user.id
                        )
                    except AuthApiError as error:
                        refused = error
                    else:
                        refused = None
            if refused is not None:
                await self._refuse(refused, pair, known)
            continued = known.later is not None
            return await self._commit(
                _record_of(session, pair, known),
                event,
                "continued from storage" if continued else cause,
                request,
                known.found.record,
                notice="Resumed your saved session; its tokens are newer than the ones you passed."
                if continued
                else None,
                issued=session.access_token != known.best.access_token.reveal(),
            )

    def _is_valid(self, pair: TokenPair) -> bool:
        exp = tokens.expiry(pair.claims)
        return tokens.is_jwt(pair.access_token) and exp is not None and exp > self.clock.now()

    async def _look_up(self, pair: TokenPair) -> _Known:
        def look() -> tuple[object, Found]:
            # The version first: what comes after it is seen at the next look.
            return self.store.version(pair.session_id), self.store.find(pair)

        version, found = await self.store.run(look)
        if found.trouble is not None and found.trouble.code == "storage_open_to_others":
            raise found.trouble
        in_force = self.state.snapshot.record
        records = tuple(record for record in (found.record, *found.others, in_force) if record is not None)
        later = next((record for record in records if record.is_later_than(pair)), None)
        return _Known(version, in_force, found, records, later, pair if later is None else later.pair)

    async def _look_up_again(self, pair: TokenPair, known: _Known) -> _Known:
        """The same, read anew only if it may have changed."""
        version = await self.store.run(lambda: self.store.version(pair.session_id))
        same = version is not None and version == known.version
        if same and known.in_force is self.state.snapshot.record:
            return known
        return await self._look_up(pair)

    async def _verify(self, pair: TokenPair) -> User | AuthApiError | None:
        """What the server says of a valid access token: its user, or a refusal; ``None``: it has expired."""
        if not self._is_valid(pair):
            return None
        try:
            return await self.api.get_user(pair.access_token)
        except AuthApiError as error:
            return error

    async def _accept_or_exchange(self, pair: TokenPair, answer: User | AuthApiError | None) -> Session:
        """Rules 2 and 3: a valid pair is accepted as the server said, an expired one is exchanged."""
        if isinstance(answer, AuthApiError):
            if not says_expired(answer):
                raise answer
        elif answer is not None:
            same_user(answer, pair.user_id)
            exp = tokens.expiry(pair.claims) or 0.0
            return Session(
                pair.access_token,
                pair.refresh_token,
                expires_at=exp,
                expires_in=max(exp - self.clock.now(), 0.0),
                user=answer,
                _claims=pair.claims,
            )
        if not pair.refresh_token:
            raise AuthSessionMissing(
                "The server says that the access token has expired, and there is no refresh token. "
                "Restore with both tokens of a session, or sign in.",
                code="session_missing",
            )
        return await self.refresher.exchange(pair.refresh_token, pair.user_id)

    async def _commit(
        self,
        record: StoredSession,
        event: AuthChangeEvent,
        cause: str,
        request: Request,
        stored: StoredSession | None = None,
        *,
        notice: str | None = None,
        issued: bool,
    ) -> Session:
        """Save a session and put it in force.

        Args:
            record: What to save.
            event: What to tell subscribers.
            cause: Why, for people.
            request: The call that this is for.
            stored: What this client's name was found to use.
            notice: A sentence to show with the session.
            issued: Whether the server has issued these tokens for this call.

        Raises:
            AuthStorageError: It is in force, but could not be saved.
            AuthError: ``superseded``: a later call has been carried out meanwhile. The server is told to end
                what it has issued.
        """
        session = record.session
        async with self.state.commit:
            if self.state.is_superseded(request):
                await self._set_aside(record, request, issued=issued)
                return session
            self.state.carry_out(request)
            self.signing_out.drop(session)
            failure = await self.store.run(lambda: self.store.save(record, use=True, stored=stored))
            self.refresher.look_again()
            self.state.note("detached", None)
            self.state.note("storage", notice)
            snapshot = SessionSnapshot(
                session,
                "active",
                record,
                saved=failure is None,
                error=failure,
                generation=self.state.new_generation(),
            )
            self.state.replace(snapshot, event, cause)
        if failure is not None:
            raise failure
        return session

    async def _set_aside(self, record: StoredSession, request: Request, *, issued: bool) -> None:
        """What to do with a session that is not to be put in force any more."""
        in_force = self.state.snapshot.record
        same = in_force is not None and in_force.id == record.id
        if issued and (same or request.withdrawn):
            # The tokens that the caller has, or those in force, are spent by now: these follow them.
            await self.store.run(lambda: self.store.save(record, use=False))
            self.refresher.look_again()
        elif issued:
            self.signing_out.revoke_later(record.session, "local")
        if not same:
            raise AuthError(
                "A later sign-out or sign-in replaced this call, so its session is not in use. "
                "Call it again if you want this session.",
                code="superseded",
            )

    async def _refuse(self, error: AuthApiError, pair: TokenPair, known: _Known) -> NoReturn:
        """Rule 5; unless the refused pair is the current session's own: then that one has ended too."""
        if error.code in FINAL_CODES:
            ended = {
                pair.session_id,
                error.session_id,
                known.later.session.session_id if known.later else None,
            }
            ended -= {None}
            in_force = self.state.snapshot
            if error.code == "refresh_token_not_found":
                ended.discard(pair.session_id)  # it may be the refresh token alone that is wrong
            for record in known.records:
                mine = record.session.session_id in ended
                if mine or record.session._refresh_token == pair.refresh_token:
                    if in_force.record is not None and record.id == in_force.record.id:
                        await self.refresher.end(error, in_force.generation)
                    else:
                        await self.store.run(lambda record=record: self.store.forget(record))  # type: ignore[misc]
        if error.code == "user_not_found":
            raise errors.UserDoesntExist(error.message, status=error.status, code=error.code)
        if error.code == "session_not_found":
            raise AuthSessionMissing(error.message, status=error.status, code=error.code)
        raise error

    # -- other changes ------------------------------------------------------------------------------------

    async def adopt_new(
        self, session: Session, event: AuthChangeEvent, cause: str, request: Request | None = None
    ) -> Session:
        """Put a session in force that the server has just issued (a sign-in).

        Args:
            session: The session.
            event: What to tell subscribers.
            cause: Why, for people.
            request: The call, numbered before its request was sent.

        Raises:
            AuthError: ``superseded``.
            AuthStorageError: It is in force, but could not be saved.
        """
        request = request or self.state.new_request()
        record = StoredSession.begin(session)
        return await asyncio.shield(
            self.runtime.start(self._commit(record, event, cause, request, issued=True))
        )

    async def update_user(self, attributes: Mapping[str, object], redirect_to: str | None = None) -> Session:
        """The server changes the user; the session keeps its tokens."""
        token = Secret((await self.get_fresh_or_raise()).access_token)
        return await asyncio.shield(self.runtime.start(self._update_user(token, attributes, redirect_to)))

    async def _update_user(
        self, token: Secret, attributes: Mapping[str, object], redirect_to: str | None
    ) -> Session:
        user = await self.api.update_user(token, attributes, redirect_to)
        async with self.refresher.exclusively(self.refresher.session_id()):
            await self.refresher.catch_up(locked=True)
            async with self.state.commit:
                snapshot = self.state.snapshot
                if snapshot.session is None or snapshot.record is None:
                    raise not_signed_in()
                same_user(user, snapshot.session.user.id)
                session = snapshot.session.with_user(user)
                record = snapshot.record.rotated_to(session)
                failure = await self.store.run(lambda: self.store.save(record, use=not snapshot.detached))
                self.refresher.look_again()
                changed = replace(
                    snapshot, session=session, record=record, saved=failure is None, error=failure
                )
                self.state.replace(changed, AuthChangeEvent.USER_UPDATED, "user changed")
        if failure is not None:
            raise failure
        return session

    async def sign_out(self, scope: str) -> None:
        """`sign_out` for the scopes that end this session: here at once; then the server is told.

        Raises:
            AuthStorageError: What is stored could not be removed.
        """
        with suppress(AuthStorageError):  # what can't be read can still be removed
            await self.restore()
        await self.signing_out.sign_out(scope)

    async def set_notice(self, name: str, text: str | None) -> None:
        """Show a sentence with the session, or take it away."""
        self.state.note(name, text)
        self.state.replace(self.state.snapshot)

    async def subscribe(
        self, callback: AuthCallback, loop: asyncio.AbstractEventLoop | None = None
    ) -> Subscription:
        """Add a subscriber, whose first event says what is known now.

        Args:
            callback: Whom to call.
            loop: Where its coroutines are awaited.
        """
        with suppress(AuthStorageError):  # `last_error` says it
            await self.restore()
        first = AuthEvent(AuthChangeEvent.INITIAL_SESSION, self.clock.clock.wall(), "subscribed")
        subscription = self.delivery.subscribe(callback, first, self.state.snapshot.session, loop)
        self.state.changed()
        return subscription

    # -- in the background (`RefreshScheduler`) -----------------------------------------------------------

    def due_in(self) -> float | None:
        """Seconds until `work` has something to do; ``None``: nothing by time."""
        if self.state.forked or not self.refresher.background:
            return None
        if self.delivery.overdue:
            return 0.0
        waits = (self.refresher.due_in(), self.signing_out.due_in())
        return min((wait for wait in waits if wait is not None), default=None)

    def stored_version(self) -> object:
        """Changes when another kernel changes the stored session. Blocks, as storage does."""
        return self.store.version(self.refresher.session_id())

    def is_behind(self, version: object) -> bool:
        """Whether the stored session has changed since it was last looked at."""
        refresher = self.refresher
        return (
            refresher.attempt is None and self.snapshot.session is not None and version != refresher.version
        )

    async def work(self) -> None:
        """Do what is due."""
        self.delivery.flush_soon()
        await self.refresher.work()
        await self.signing_out.work()


def _named_by(error: AuthError, pair: TokenPair, records: tuple[StoredSession, ...]) -> StoredSession | None:
    """The known session that a refusal is about, if its refresh token is another than the refused one."""
    if error.code not in FINAL_CODES or error.session_id is None:
        return None
    for record in records:
        if (
            record.session.session_id == error.session_id
            and record.session.refresh_token
            and record.session.refresh_token != pair.refresh_token.reveal()
        ):
            return record
    return None


def _record_of(session: Session, pair: TokenPair, known: _Known) -> StoredSession:
    """The record to save: with the spent tokens that are known of this session."""
    spent = pair.refresh_token if pair.refresh_token.reveal() != session.refresh_token else None
    base = known.later or next(
        (record for record in known.records if record.session.session_id == session.session_id), None
    )
    return base.rotated_to(session, spent=spent) if base else StoredSession.begin(session, spent=spent)
