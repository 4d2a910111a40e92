"""SessionAdopter: puts a session in force: the one of given tokens, or one that was just issued.

`set_session` from top to bottom: `restore_from_tokens` -> `_restore` -> `_verify` -> `_accept_or_exchange` ->
`_commit`, or `_refuse`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from ... import errors, tokens
from ...errors import FINAL_CODES, AuthApiError, AuthError, AuthRetryableError, AuthSessionMissing
from ...models import AuthChangeEvent, Session, User
from .._api.endpoints import AuthAPI
from .._loop import Runtime
from .other_kernels import OtherKernels
from .refresher import TokenRefresher, same_user
from .retry import retry, time_until
from .session_store import Found, SessionStore
from .sign_out import SignOut, says_expired
from .snapshot import Request, SessionSnapshot
from .state import SessionState
from .stored_session import StoredSession, TokenPair


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


class SessionAdopter:
    """Puts sessions in force.

    Args:
        api: The auth server.
        state: The session in force.
        store: Where sessions are stored.
        other_kernels: What they did to them.
        refresher: Exchanges refresh tokens.
        signing_out: Ends sessions that came too late.
        runtime: What it runs on.
    """

    def __init__(
        self,
        api: AuthAPI,
        state: SessionState,
        store: SessionStore,
        other_kernels: OtherKernels,
        refresher: TokenRefresher,
        signing_out: SignOut,
        runtime: Runtime,
    ) -> None:
        self._api, self._state, self._store, self._clock = api, state, store, state.clock
        self._other_kernels, self._refresher = other_kernels, refresher
        self._signing_out, self._runtime = signing_out, runtime

    async def restore_from_tokens(
        self,
        pair: TokenPair,
        event: AuthChangeEvent = AuthChangeEvent.TOKEN_REFRESHED,
        cause: str = "session restored",
    ) -> Session:
        """`set_session`: rules 1 to 5 of the reference page, and a later rotation is continued."""
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

        If the caller leaves, it is cancelled; but once a refresh token may have been sent it ends by itself,
        and what comes of it is stored, but not put in force.
        """
        task = self._runtime.start(coroutine)
        try:
            await asyncio.wait((task,), timeout=time_until(deadline, self._clock.clock.steady()))
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
        patience = time_until(deadline, self._clock.clock.steady())
        async with self._other_kernels.exclusively(session_id, patience):
            before, known = known, await self._look_up_again(pair, known)
            if known.best.access_token != before.best.access_token:
                answer = await self._verify(known.best)
            request.must_finish = True
            session, shared = await self._accept_or_exchange(known.best, answer, known.later)
            if isinstance(session, AuthApiError) and known.later is None:
                # A spent token that nothing here could tell, but the server names its session: ours is later.
                later = _named_by(session, pair, known.records)
                if later is not None:
                    known = replace(known, later=later)
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
        def look() -> tuple[object, Found]:
            # The version first: what comes after it is seen at the next look.
            return self._store.version(pair.session_id), self._store.find(pair)

        version, found = await self._store.run(look)
        if found.trouble is not None and found.trouble.code == "storage_open_to_others":
            raise found.trouble
        in_force = self._state.snapshot.record
        records = tuple(record for record in (found.record, *found.others, in_force) if record is not None)
        later = next((record for record in records if record.is_later_than(pair)), None)
        return _Known(version, in_force, found, records, later, pair if later is None else later.pair)

    async def _look_up_again(self, pair: TokenPair, known: _Known) -> _Known:
        """The same, read anew only if it may have changed."""
        version = await self._store.run(lambda: self._store.version(pair.session_id))
        same = version is not None and version == known.version
        if same and known.in_force is self._state.snapshot.record:
            return known
        return await self._look_up(pair)

    async def _verify(self, pair: TokenPair) -> User | AuthApiError | None:
        """What the server says of a valid access token: its user, or a refusal; ``None``: it has expired."""
        if not self._is_valid(pair):
            return None
        try:
            return await self._api.get_user(pair.access_token)
        except AuthApiError as error:
            return error

    async def _accept_or_exchange(
        self, pair: TokenPair, answer: User | AuthApiError | None, known: StoredSession | None
    ) -> tuple[Session | AuthApiError, bool]:
        """Rules 2 and 3: a valid pair is accepted as the server said, an expired one is exchanged."""
        if isinstance(answer, AuthApiError):
            if not says_expired(answer):
                return answer, False
        elif answer is not None:
            same_user(answer, pair.user_id)
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
        async with self._state.commit:
            if self._state.is_superseded(request):
                await self._set_aside(record, request, issued=issued)
                return session
            self._state.carry_out(request)
            self._signing_out.drop(session)
            failure = await self._store.run(lambda: self._store.save(record, use=True, stored=stored))
            self._state.note("detached", None)
            self._state.note("storage", notice)
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
        """What to do with a session that is not to be put in force any more."""
        in_force = self._state.snapshot.record
        same = in_force is not None and in_force.id == record.id
        if issued and (same or request.withdrawn):
            # The tokens that the caller has, or those in force, are spent by now: these follow them.
            await self._store.run(lambda: self._store.save(record, use=False))
        elif issued:
            self._signing_out.revoke_later(record.session, "local")
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
            in_force = self._state.snapshot
            if error.code == "refresh_token_not_found":
                ended.discard(pair.session_id)  # it may be the refresh token alone that is wrong
            for record in known.records:
                mine = record.session.session_id in ended
                if mine or record.session._refresh_token == pair.refresh_token:
                    if in_force.record is not None and record.id == in_force.record.id:
                        await self._refresher.end(error, in_force.generation)
                    else:
                        await self._store.run(lambda record=record: self._store.forget(record))  # type: ignore[misc]
        if error.code == "user_not_found":
            raise errors.UserDoesntExist(error.message, status=error.status, code=error.code)
        if error.code == "session_not_found":
            raise AuthSessionMissing(error.message, status=error.status, code=error.code)
        raise error

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
        request = request or self._state.new_request()
        record = StoredSession.begin(session)
        return await asyncio.shield(
            self._runtime.start(self._commit(record, event, cause, request, issued=True))
        )


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


def _record_of(session: Session, pair: TokenPair, known: _Known, *, shared: bool) -> StoredSession:
    """The record to save: with the spent tokens that are known of this session."""
    spent = pair.refresh_token if pair.refresh_token.reveal() != session.refresh_token else None
    base = known.later or next(
        (record for record in known.records if record.session.session_id == session.session_id), None
    )
    if base is None:
        return StoredSession.begin(session, spent=spent)
    shared = shared or base.shared or base.was_overtaken_by(pair)
    return replace(base.rotated_to(session, spent=spent), shared=shared)
