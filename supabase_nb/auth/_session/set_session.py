"""SetSession: makes a session current, from given tokens or one that was just issued.

`set_session` from top to bottom: `from_tokens` -> `_restore` -> `_verify` -> `_accept_or_exchange` ->
`_commit`, or `_refuse`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple, NoReturn

from ... import errors, tokens
from ...errors import FINAL_CODES, AuthApiError, AuthError, AuthRetryableError, AuthSessionMissing
from ...models import AuthChangeEvent, Session, User
from .._api.endpoints import AuthAPI
from .._owner_loop import Runtime
from .refresher import TokenRefresher, require_same_user
from .retry import retry, time_until
from .session_store import LookupResult, SessionStore
from .sign_out import SignOut, says_expired
from .snapshot import Request, SessionSnapshot
from .state import SessionState
from .storage_sync import StorageSync
from .stored_session import StoredSession, TokenPair


class _Known(NamedTuple):
    """What is known about the given tokens before the server is asked.

    Args:
        version: The version of the stored session.
        in_force: The current session.
        found: The stored sessions.
        records: All sessions that the tokens may belong to: stored ones and the current one.
        later: The one of these that is a later rotation of the tokens' session.
        best: The tokens to continue with: those of the later rotation, or the given ones.
    """

    version: object
    in_force: StoredSession | None
    found: LookupResult
    records: tuple[StoredSession, ...]
    later: StoredSession | None
    best: TokenPair


class SetSession:
    """Makes sessions current.

    Args:
        api: The auth server.
        state: The current session.
        store: The stored sessions.
        sync: Other kernels' changes to them.
        refresher: Exchanges refresh tokens.
        signing_out: Ends sessions that arrive too late.
        runtime: Runs tasks and blocking calls.
    """

    def __init__(
        self,
        api: AuthAPI,
        state: SessionState,
        store: SessionStore,
        sync: StorageSync,
        refresher: TokenRefresher,
        signing_out: SignOut,
        runtime: Runtime,
    ) -> None:
        self._api, self._state, self._store, self._clock = api, state, store, state.clock
        self._sync, self._refresher = sync, refresher
        self._signing_out, self._runtime = signing_out, runtime

    async def from_tokens(
        self,
        pair: TokenPair,
        event: AuthChangeEvent = AuthChangeEvent.TOKEN_REFRESHED,
        cause: str = "session restored",
    ) -> Session:
        """`set_session`: rules 1 to 5 of the reference page. Resumes a later rotation, if there is one."""
        request = self._state.new_request()
        if pair.refresh_token and not tokens.is_opaque(pair.refresh_token):
            raise AuthApiError(
                "This is not a refresh token. Copy the whole refresh token again.",
                code="validation_failed",
            )
        if not pair.refresh_token and not self._is_valid(pair):
            raise AuthSessionMissing(
                "The access token has expired (or cannot be read) and there is no refresh token. "
                "Restore the session from both tokens, or sign in.",
                code="session_missing",
            )
        return await retry(
            lambda deadline: self._within(
                deadline, request, self._restore(pair, request, event, cause, deadline)
            ),
            self._clock.clock,
        )

    async def _within(
        self, deadline: float, request: Request, coroutine: Coroutine[Any, Any, Session]
    ) -> Session:
        """Wait for a task that may send a refresh token.

        If the caller is cancelled, so is the task, unless a refresh token may have been sent. Then the task
        finishes, and its session is stored but not made current.
        """
        task = self._runtime.create_task(coroutine)
        try:
            await asyncio.wait((task,), timeout=time_until(deadline, self._clock.clock.steady()))
        finally:
            if not task.done():
                request.withdrawn = True
                if not request.must_finish:
                    task.cancel()
        if request.withdrawn:
            raise AuthRetryableError("Timed out. The session is unchanged; try again later.")
        return task.result()

    async def _restore(
        self, pair: TokenPair, request: Request, event: AuthChangeEvent, cause: str, deadline: float
    ) -> Session:
        # Without the lock, because this changes nothing and other kernels needn't wait.
        known = await self._look_up(pair)
        answer = await self._verify(known.best)
        session_id = known.later.id if known.later else pair.session_id
        patience = time_until(deadline, self._clock.clock.steady())
        async with self._sync.lock(session_id, patience):
            before, known = known, await self._look_up_again(pair, known)
            if known.best.access_token != before.best.access_token:
                answer = await self._verify(known.best)
            request.must_finish = True
            session, shared = await self._accept_or_exchange(known.best, answer, known.later)
            if isinstance(session, AuthApiError) and known.later is None:
                # The token wasn't recognized as used, but the server names its session, and ours is later.
                later = _named_by(session, pair, known.records)
                if later is not None:
                    known = known._replace(later=later)
                    session, shared = await self._exchange(later.pair, later.session.user, later)
            if isinstance(session, AuthApiError):
                await self._refuse(session, pair, known)
            continued = known.later is not None
            return await self._commit(
                _record_of(session, pair, known, shared=shared),
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
        return tokens.is_jwt(pair.access_token) and exp is not None and exp > self._clock.now()

    async def _look_up(self, pair: TokenPair) -> _Known:
        def look() -> tuple[object, LookupResult]:
            # Read the version first, so that later changes are noticed next time.
            return self._store.version(pair.session_id), self._store.find(pair)

        version, found = await self._store.run(look)
        if found.error is not None and found.error.code == "storage_open_to_others":
            raise found.error
        in_force = self._state.snapshot.record
        records = tuple(record for record in (found.record, *found.others, in_force) if record is not None)
        later = next((record for record in records if record.is_later_than(pair)), None)
        return _Known(version, in_force, found, records, later, pair if later is None else later.pair)

    async def _look_up_again(self, pair: TokenPair, known: _Known) -> _Known:
        """The same, read again only if it may have changed."""
        version = await self._store.run(lambda: self._store.version(pair.session_id))
        same = version is not None and version == known.version
        if same and known.in_force is self._state.snapshot.record:
            return known
        return await self._look_up(pair)

    async def _verify(self, pair: TokenPair) -> User | AuthApiError | None:
        """Verify a valid access token: the user, or the server's error; ``None``: it has expired."""
        if not self._is_valid(pair):
            return None
        try:
            return await self._api.get_user(pair.access_token)
        except AuthApiError as error:
            return error

    async def _accept_or_exchange(
        self, pair: TokenPair, answer: User | AuthApiError | None, known: StoredSession | None
    ) -> tuple[Session | AuthApiError, bool]:
        """Rules 2 and 3: accept valid tokens, exchange expired ones."""
        if isinstance(answer, AuthApiError):
            if not says_expired(answer):
                return answer, False
        elif answer is not None:
            require_same_user(answer, pair.user_id)
            exp = tokens.expiry(pair.claims) or 0.0
            accepted = Session(
                pair.access_token,
                pair.refresh_token,
                expires_at=exp,
                expires_in=max(exp - self._clock.now(), 0.0),
                user=answer,
                _claims=pair.claims,
            )
            return accepted, False
        if not pair.refresh_token:
            raise AuthSessionMissing(
                "The server says that the access token has expired, and there is no refresh token. "
                "Restore the session from both tokens, or sign in.",
                code="session_missing",
            )
        return await self._exchange(pair, None, known)

    async def _exchange(
        self, pair: TokenPair, user: User | None, known: StoredSession | None
    ) -> tuple[Session | AuthApiError, bool]:
        try:
            return await self._refresher.exchange(pair, user, known)
        except AuthApiError as error:
            return error, False

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
        """Save a session and make it current.

        Args:
            record: What to save.
            event: The event for subscribers.
            cause: The cause, as shown to the user.
            request: The call.
            stored: The record that this client's name uses now.
            notice: A note to show in the panel.
            issued: Whether the server issued these tokens for this call.

        Raises:
            AuthStorageError: The session is active, but could not be saved.
            AuthError: ``superseded``: another call finished in the meantime. Tokens issued for this one are
                revoked.
        """
        session = record.session
        async with self._state.commit:
            if self._state.is_superseded(request):
                await self._set_aside(record, request, issued=issued)
                return session
            self._state.supersede_earlier(request)
            self._signing_out.drop(session)
            failure = await self._store.run(lambda: self._store.save(record, use=True, stored=stored))
            self._state.set_notice("detached", None)
            self._state.set_notice("storage", notice)
            snapshot = SessionSnapshot(
                session,
                "active",
                record,
                saved=failure is None,
                error=failure,
                generation=self._state.new_generation(),
            )
            self._state.replace(snapshot, event, cause)
        if failure is not None:
            raise failure
        return session

    async def _set_aside(self, record: StoredSession, request: Request, *, issued: bool) -> None:
        """Store or revoke a session of a superseded call."""
        in_force = self._state.snapshot.record
        same = in_force is not None and in_force.id == record.id
        if issued and (same or request.withdrawn):
            # The caller's or the current tokens have been used by now, and these replace them.
            await self._store.run(lambda: self._store.save(record, use=False))
        elif issued:
            self._signing_out.revoke_later(record.session, "local")
        if not same:
            raise AuthError(
                "Another sign-out or sign-in finished during this call, so the session of this call is "
                "not used. "
                "To use it, call it again.",
                code="superseded",
            )

    async def _refuse(self, error: AuthApiError, pair: TokenPair, known: _Known) -> NoReturn:
        """Rule 5: keep the previous session, unless the rejected tokens are its own."""
        if error.code in FINAL_CODES:
            ended = {
                pair.session_id,
                error.session_id,
                known.later.session.session_id if known.later else None,
            }
            ended -= {None}
            in_force = self._state.snapshot
            if error.code == "refresh_token_not_found":
                ended.discard(pair.session_id)  # perhaps only the refresh token is wrong
            for record in known.records:
                mine = record.session.session_id in ended
                same = bool(pair.refresh_token) and record.pair.refresh_token == pair.refresh_token
                if mine or same:
                    if in_force.record is not None and record.id == in_force.record.id:
                        await self._refresher.end_session(error, in_force.generation)
                    else:
                        await self._store.run(lambda record=record: self._store.remove(record))  # type: ignore[misc]
        if error.code == "user_not_found":
            raise errors.UserDoesntExist(error.message, status=error.status, code=error.code)
        if error.code == "session_not_found":
            raise AuthSessionMissing(error.message, status=error.status, code=error.code)
        raise error

    async def to_issued(
        self, session: Session, event: AuthChangeEvent, cause: str, request: Request | None = None
    ) -> Session:
        """Make a newly issued session current (after a sign-in).

        Args:
            session: The session.
            event: The event for subscribers.
            cause: The cause, as shown to the user.
            request: The call, created before its request was sent.

        Raises:
            AuthError: ``superseded``.
            AuthStorageError: The session is active, but could not be saved.
        """
        request = request or self._state.new_request()
        record = StoredSession.new(session)
        return await asyncio.shield(
            self._runtime.create_task(self._commit(record, event, cause, request, issued=True))
        )


def _named_by(error: AuthError, pair: TokenPair, records: tuple[StoredSession, ...]) -> StoredSession | None:
    """The known session that the server rejected, if it has another refresh token than the rejected one."""
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


def _record_of(session: Session, pair: TokenPair, known: _Known, *, shared: bool) -> StoredSession:
    """The record to save, with the known used tokens of this session."""
    spent = pair.refresh_token if pair.refresh_token.reveal() != session.refresh_token else None
    base = known.later or next(
        (record for record in known.records if record.session.session_id == session.session_id), None
    )
    if base is None:
        return StoredSession.new(session, spent=spent)
    shared = shared or base.shared or base.is_older_than(pair)
    return base.rotated_to(session, spent=spent)._replace(shared=shared)
