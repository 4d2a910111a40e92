"""SessionSetter: makes a session current, from given tokens or one that was just issued.

From top to bottom: `set_session` -> `_restore` -> `_verify` -> `_accept_or_exchange` ->
`_commit`, or `_raise_rejection`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple, NoReturn

from ... import errors
from ..._secrets import tokens
from ...errors import FINAL_CODES, AuthApiError, AuthError, AuthRetryableError, AuthSessionMissing
from ...models import AuthChangeEvent, Session, User
from .._api.responses import says_expired
from .parts import Parts
from .refresher import TokenRefresher
from .retry import retry, time_until
from .session_record import SessionRecord, TokenPair
from .session_store import LookupResult
from .sign_out import SignOut
from .snapshot import SessionSnapshot
from .state import SessionOperation, require_same_user


class _KnownSessions(NamedTuple):
    """What is known about the given tokens before the server is asked.

    Args:
        version: The version of the stored session.
        current: The current session.
        found: The stored sessions, and which of them this client's name uses.
        candidates: All sessions that the tokens may belong to: stored ones and the current one.
        newer: The one of these that is a later rotation of the tokens' session.
        pair: The tokens to continue with: those of the later rotation, or the given ones.
    """

    version: object
    current: SessionRecord | None
    found: LookupResult
    candidates: tuple[SessionRecord, ...]
    newer: SessionRecord | None
    pair: TokenPair


class SessionSetter:
    """Makes sessions current.

    Args:
        parts: What it works with.
        refresher: Exchanges refresh tokens.
        signing_out: Ends sessions that arrive too late.
    """

    def __init__(self, parts: Parts, refresher: TokenRefresher, signing_out: SignOut) -> None:
        self._api, self._state, self._store, self._sync, self._loop = parts
        self._clock, self._refresher, self._signing_out = self._state.clock, refresher, signing_out

    async def set_session(
        self,
        pair: TokenPair,
        event: AuthChangeEvent = AuthChangeEvent.TOKEN_REFRESHED,
        cause: str = "session restored",
    ) -> Session:
        """`set_session`: rules 1 to 5 of the reference page. Resumes a later rotation, if there is one."""
        operation = self._state.new_operation()
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
            lambda deadline: self._run_until(
                deadline, operation, self._restore(pair, operation, event, cause, deadline)
            ),
            self._clock.clock,
        )

    async def _run_until(
        self, deadline: float, operation: SessionOperation, coroutine: Coroutine[Any, Any, Session]
    ) -> Session:
        """Wait for a task that may send a refresh token.

        If the caller is cancelled, so is the task, unless a refresh token may have been sent. Then the task
        finishes, and its session is stored but not made current.
        """
        task = self._loop.create_task(coroutine)
        try:
            await asyncio.wait((task,), timeout=time_until(deadline, self._clock.clock.steady()))
        finally:
            if not task.done():
                operation.abandoned = True
                if not operation.must_finish:
                    task.cancel()
        if operation.abandoned:
            raise AuthRetryableError("Timed out. The session is unchanged; try again later.")
        return task.result()

    async def _restore(
        self,
        pair: TokenPair,
        operation: SessionOperation,
        event: AuthChangeEvent,
        cause: str,
        deadline: float,
    ) -> Session:
        # Without the lock, because this changes nothing and other kernels needn't wait.
        lookup = await self._look_up(pair)
        answer = await self._verify(lookup.pair)
        session_id = lookup.newer.id if lookup.newer else pair.session_id
        patience = time_until(deadline, self._clock.clock.steady())
        async with self._sync.lock(session_id, patience):
            before, lookup = lookup, await self._look_up_again(pair, lookup)
            if lookup.pair.access_token != before.pair.access_token:
                answer = await self._verify(lookup.pair)
            operation.must_finish = True
            session, shared = await self._accept_or_exchange(lookup.pair, answer, lookup.newer)
            if isinstance(session, AuthApiError) and lookup.newer is None:
                # The token wasn't recognized as used, but the server names its session, and ours is later.
                newer = _rejected_candidate(session, pair, lookup.candidates)
                if newer is not None:
                    lookup = lookup._replace(newer=newer)
                    session, shared = await self._exchange(newer.pair, newer.session.user, newer)
            if isinstance(session, AuthApiError):
                await self._raise_rejection(session, pair, lookup)
            continued = lookup.newer is not None
            return await self._commit(
                _record_of(session, pair, lookup, shared=shared),
                event,
                "continued from storage" if continued else cause,
                operation,
                lookup.found.record,
                notice="Resumed your saved session; its tokens are newer than the ones you passed."
                if continued
                else None,
                issued=session.access_token != lookup.pair.access_token.reveal(),
            )

    def _is_valid(self, pair: TokenPair) -> bool:
        exp = tokens.expiry(pair.claims)
        return tokens.is_jwt(pair.access_token) and exp is not None and exp > self._clock.now()

    async def _look_up(self, pair: TokenPair) -> _KnownSessions:
        def look() -> tuple[object, LookupResult]:
            # Read the version first, so that later changes are noticed next time.
            return self._store.version(pair.session_id), self._store.find(pair)

        version, found = await self._store.run(look)
        if found.error is not None and found.error.code == "storage_open_to_others":
            raise found.error
        current = self._state.snapshot.record
        candidates = tuple(record for record in (found.record, *found.others, current) if record is not None)
        newer = next((record for record in candidates if record.is_later_than(pair)), None)
        return _KnownSessions(
            version, current, found, candidates, newer, pair if newer is None else newer.pair
        )

    async def _look_up_again(self, pair: TokenPair, lookup: _KnownSessions) -> _KnownSessions:
        """The same, read again only if it may have changed."""
        version = await self._store.run(lambda: self._store.version(pair.session_id))
        same = version is not None and version == lookup.version
        if same and lookup.current is self._state.snapshot.record:
            return lookup
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
        self, pair: TokenPair, answer: User | AuthApiError | None, record: SessionRecord | None
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
        return await self._exchange(pair, None, record)

    async def _exchange(
        self, pair: TokenPair, user: User | None, record: SessionRecord | None
    ) -> tuple[Session | AuthApiError, bool]:
        try:
            return await self._refresher.exchange(pair, user, record)
        except AuthApiError as error:
            return error, False

    async def _commit(
        self,
        record: SessionRecord,
        event: AuthChangeEvent,
        cause: str,
        operation: SessionOperation,
        previous: SessionRecord | None = None,
        *,
        notice: str | None = None,
        issued: bool,
    ) -> Session:
        """Save a session and make it current.

        Args:
            record: What to save.
            event: The event for subscribers.
            cause: The cause, as shown to the user.
            operation: The operation that led to it.
            previous: The record that this client's name uses now.
            notice: A note to show in the panel.
            issued: Whether the server issued these tokens for this call.

        Raises:
            AuthStorageError: The session is active, but could not be saved.
            AuthError: ``superseded``: another call finished in the meantime. Tokens issued for this one are
                revoked.
        """
        session = record.session
        async with self._state.commit_lock:
            if self._state.is_superseded(operation):
                await self._keep_or_revoke(record, operation, issued=issued)
                return session
            self._state.supersede_earlier(operation)
            self._signing_out.cancel_pending(session)
            failure = await self._store.run(
                lambda: self._store.save(record, assign_name=True, previous=previous, restores=True)
            )
            self._state.set_notice("name_taken", None)
            self._state.set_notice("storage", notice)
            snapshot = SessionSnapshot(
                record,
                "active",
                saved=failure is None,
                error=failure,
                generation=self._state.new_generation(),
            )
            self._state.replace(snapshot, event, cause)
        if failure is not None:
            raise failure
        return session

    async def _keep_or_revoke(
        self, record: SessionRecord, operation: SessionOperation, *, issued: bool
    ) -> None:
        """Store or revoke a session of a superseded call."""
        current = self._state.snapshot.record
        same = current is not None and current.id == record.id
        if issued and (same or operation.abandoned):
            # The caller's or the current tokens have been used by now, and these replace them.
            await self._store.run(lambda: self._store.save(record, assign_name=False))
        elif issued:
            self._signing_out.revoke_later(record.session, "local")
        if not same:
            raise AuthError(
                "Another sign-out or sign-in finished during this call, so the session of this call is not "
                "used. To use it, call it again.",
                code="superseded",
            )

    async def _raise_rejection(
        self, error: AuthApiError, pair: TokenPair, lookup: _KnownSessions
    ) -> NoReturn:
        """Rule 5: keep the previous session, unless the rejected tokens are its own."""
        if error.code in FINAL_CODES:
            ended = {
                pair.session_id,
                error.session_id,
                lookup.newer.session.session_id if lookup.newer else None,
            }
            ended -= {None}
            current = self._state.snapshot
            if error.code == "refresh_token_not_found":
                ended.discard(pair.session_id)  # perhaps only the refresh token is wrong
            for record in lookup.candidates:
                mine = record.session.session_id in ended
                same = bool(pair.refresh_token) and record.pair.refresh_token == pair.refresh_token
                if mine or same:
                    if current.record is not None and record.id == current.record.id:
                        await self._sync.end_session(error, current.generation)
                    else:
                        await self._store.run(lambda record=record: self._store.remove(record))  # type: ignore[misc]
        if error.code == "user_not_found":
            raise errors.UserDoesntExist(error.message, status=error.status, code=error.code)
        if error.code == "session_not_found":
            raise AuthSessionMissing(error.message, status=error.status, code=error.code)
        raise error

    async def use_issued(
        self, session: Session, event: AuthChangeEvent, cause: str, operation: SessionOperation
    ) -> Session:
        """Make a newly issued session current (after a sign-in).

        Args:
            session: The session.
            event: The event for subscribers.
            cause: The cause, as shown to the user.
            operation: The sign-in, numbered before its request was sent.

        Raises:
            AuthError: ``superseded``.
            AuthStorageError: The session is active, but could not be saved.
        """
        record = SessionRecord.new(session)
        return await asyncio.shield(
            self._loop.create_task(self._commit(record, event, cause, operation, issued=True))
        )


def _rejected_candidate(
    error: AuthError, pair: TokenPair, candidates: tuple[SessionRecord, ...]
) -> SessionRecord | None:
    """The known session that the server rejected, if it has another refresh token than the rejected one."""
    if error.code not in FINAL_CODES or error.session_id is None:
        return None
    for record in candidates:
        if (
            record.session.session_id == error.session_id
            and record.session.refresh_token
            and record.session.refresh_token != pair.refresh_token.reveal()
        ):
            return record
    return None


def _record_of(session: Session, pair: TokenPair, lookup: _KnownSessions, *, shared: bool) -> SessionRecord:
    """The record to save, with the known used tokens of this session."""
    spent = pair.refresh_token if pair.refresh_token.reveal() != session.refresh_token else None
    base = lookup.newer or next(
        (record for record in lookup.candidates if record.session.session_id == session.session_id), None
    )
    if base is None:
        return SessionRecord.new(session, spent=spent)
    shared = shared or base.shared or base.is_older_than(pair)
    return base.rotated_to(session, spent=spent)._replace(shared=shared)
