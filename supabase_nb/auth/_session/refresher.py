"""TokenRefresher: one exchange of the refresh token for everyone who needs it, through outages.

A refresh from top to bottom: `refresh` -> `_join_or_start` -> `_run` -> `_attempt` -> `exchange_current` ->
`put_in_force`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from ... import errors
from ...errors import (
    FINAL_CODES,
    AuthApiError,
    AuthError,
    AuthRetryableError,
    AuthSessionMissing,
    AuthStorageError,
    AuthUnknownError,
)
from ...models import AuthChangeEvent, Session, User
from ...tokens import Secret
from .._api.endpoints import AuthAPI
from .._loop import Runtime
from .retry import asked_to_wait, pause_after, retry, time_until
from .session_store import SessionStore
from .snapshot import Freshness, SessionSnapshot
from .state import SessionState, not_signed_in
from .storage_sync import StorageSync
from .stored_session import StoredSession, TokenPair

logger = logging.getLogger("supabase_nb")

# Access tokens with such a lifetime are of no use; pauses between exchanges that bring them. In seconds.
_TOO_SHORT, _FIRST_USELESS_PAUSE, _LONGEST_USELESS_PAUSE = 1.0, 2.0, 60.0
# An attempt whose callers have all been interrupted is joined for this many seconds from its start.
_YOUNG = 2.0


@dataclass(eq=False)
class RefreshAttempt:
    """One running exchange, for all that have seen the same access token.

    Args:
        generation: Of the session that is refreshed.
        seen: The access token to be replaced.
        began: When, on the steady clock.
        task: What carries it out.
        waiting: How many calls wait for it.
        asked: A call of `refresh_session` asked for it.
        abandoned: A call that waited for it was interrupted.
        locked: It has the session's lock.
        shares_lock: It replaces an abandoned attempt that has the lock, and whose request hangs.
    """

    generation: int
    seen: Secret
    began: float
    task: asyncio.Task[Session] | None = None
    asked: bool = False
    abandoned: bool = False
    locked: bool = False
    shares_lock: bool = False


class TokenRefresher:
    """Refreshes the session in force.

    Args:
        api: The auth server.
        state: The session in force.
        store: Where it is stored.
        sync: Takes over what other kernels did.
        runtime: What it runs on.
    """

    def __init__(
        self,
        api: AuthAPI,
        state: SessionState,
        store: SessionStore,
        sync: StorageSync,
        runtime: Runtime,
    ) -> None:
        self.api, self.state, self.store, self.runtime = api, state, store, runtime
        self._sync = sync
        #: Whether a scheduler refreshes in the background.
        self.background = False
        self.attempt: RefreshAttempt | None = None
        self._clock = state.clock

    # -- a refresh ----------------------------------------------------------------------------------------

    async def refresh(self, seen: Secret, *, asked: bool = False) -> Session:
        """A session whose access token is another than `seen`.

        Any number of threads, tasks and kernels that have seen the same token cause one request.

        Raises:
            AuthSessionMissing: Not signed in.
            AuthApiError: The server's final answer; the session has ended.
            AuthRetryableError: An outage. The session is kept, and retried in the background.
        """
        return await retry(lambda deadline: self._refresh(seen, deadline, asked=asked), self._clock.clock)

    async def _refresh(self, seen: Secret, deadline: float, *, asked: bool) -> Session:
        while True:
            found = self._join_or_start(seen)
            if isinstance(found, Session):
                return found
            assert found.task is not None
            found.asked = found.asked or asked
            patience = time_until(deadline, self._clock.clock.steady())
            young = found.began + _YOUNG - self._clock.clock.steady()
            # An abandoned one is looked at again when it is no longer young.
            wait = min(patience, young) if found.abandoned and young > 0 else patience
            try:
                done, _ = await asyncio.wait((found.task,), timeout=wait)
            except asyncio.CancelledError:
                found.abandoned = True  # the attempt itself continues, and its answer is saved
                raise
            if done:
                break
            if wait == patience:
                raise AuthRetryableError(
                    "The refresh takes longer than usual and continues in the background. Try again shortly."
                )
        error = found.task.exception()
        if isinstance(error, AuthError):
            raise errors.copy_error(error)
        return found.task.result()

    def _join_or_start(self, seen: Secret) -> Session | RefreshAttempt:
        """The session, if it is another already; else the running exchange, or a new one."""
        snapshot, attempt = self.state.snapshot, self.attempt
        if snapshot.session is None:
            raise not_signed_in()
        if snapshot.session.access_token != seen.reveal():
            return snapshot.session
        if self.state.forked:
            raise AuthError(
                "This session belongs to the parent process, which alone refreshes it: this process was "
                "forked from it. Create a client in the child process, after the fork.",
                code="forked_process",
            )
        hangs = False
        if attempt is not None and attempt.generation == snapshot.generation and attempt.seen == seen:
            old = self._clock.clock.steady() - attempt.began >= _YOUNG
            hangs = attempt.abandoned and attempt.locked and old
            if not hangs:
                return attempt
        if snapshot.error is not None and snapshot.not_before > self._clock.clock.steady():
            raise errors.copy_error(snapshot.error)
        return self.start(seen, shares_lock=hangs)

    def start(self, seen: Secret, *, shares_lock: bool = False) -> RefreshAttempt:
        """Start an exchange as a task of its own: once its request has left, nothing cancels it."""
        snapshot = self.state.snapshot
        attempt = RefreshAttempt(snapshot.generation, seen, self._clock.clock.steady())
        attempt.shares_lock = shares_lock
        self.attempt = attempt
        if snapshot.status in ("active", "restoring"):
            self.state.replace(snapshot._replace(status="refreshing"))
        attempt.task = self.runtime.start(self._run(attempt))
        return attempt

    async def _run(self, attempt: RefreshAttempt) -> Session:
        """Carry an attempt out, and note what came of it."""
        failure: AuthError
        try:
            return await self._attempt(attempt)
        except AuthError as error:
            failure = error
        except Exception as error:
            logger.exception("internal error during a refresh")
            failure = AuthUnknownError(f"The refresh failed ({type(error).__name__}). Please report this.")
        finally:
            replaced = self.attempt is not attempt
            if not replaced:
                self.attempt = None
                snapshot = self.state.snapshot
                if attempt.generation == snapshot.generation and snapshot.status == "refreshing":
                    self.state.replace(snapshot._replace(status="active"))
        if not replaced:
            self.note_failure(failure, attempt.generation)
        raise failure

    async def _attempt(self, attempt: RefreshAttempt) -> Session:
        if attempt.shares_lock:
            return await self._refresh_locked(attempt)
        async with self._sync.exclusively(self.state.session_id()):
            return await self._refresh_locked(attempt)

    async def _refresh_locked(self, attempt: RefreshAttempt) -> Session:
        attempt.locked = True
        await self._sync.catch_up(locked=True)
        snapshot = self.state.snapshot
        if snapshot.session is None:
            raise errors.copy_error(snapshot.error or not_signed_in())
        overtaken = (
            snapshot.generation != attempt.generation
            or snapshot.session.access_token != attempt.seen.reveal()
        )
        if overtaken and self.state.freshness(snapshot) is Freshness.FRESH:
            return snapshot.session
        return await self.exchange_current(snapshot)

    async def exchange_current(self, snapshot: SessionSnapshot, *, last: bool = False) -> Session:
        """Exchange the refresh token of the session in force, and save. With the session's lock."""
        assert snapshot.session is not None
        sent = Secret(snapshot.session.refresh_token)
        if not sent:
            if (self.state.time_left(snapshot) or 0.0) > 0:
                raise AuthSessionMissing(
                    "There is no refresh token to exchange. Restore with both tokens, or sign in.",
                    code="session_missing",
                )
            missing = AuthSessionMissing(
                "The access token has expired and there is no refresh token. Sign in again.",
                code="session_missing",
            )
            await self.end(missing, snapshot.generation)
            raise missing
        logger.debug("refreshing the access token")
        try:
            session = await self.exchange(TokenPair.of_session(snapshot.session), snapshot.session.user)
        except AuthApiError as error:
            refused = error
        else:
            return await self.put_in_force(session, snapshot)
        if refused.code in FINAL_CODES:
            stored = (await self._sync.read()).record
            if stored and not last and stored.session.refresh_token != sent.reveal():
                # Another kernel is ahead. For 10 s after the family was revoked the server still takes its
                # last active token (``tests/wire/rotation.json``, family 4): try it at once.
                await self._sync.catch_up(locked=True)
                current = self.state.snapshot
                if current.session is not None and current.session is not snapshot.session:
                    return await self.exchange_current(current, last=True)
            await self.end(refused, snapshot.generation)
        raise refused

    async def exchange(self, pair: TokenPair, user: User | None = None) -> Session:
        """Send the refresh token of a pair.

        Args:
            pair: The tokens.
            user: Whose they are, if that is known.

        Raises:
            AuthSessionMismatch: The answer is another user's.
        """
        session = await self.api.refresh(pair.refresh_token, pair.claims, user)
        self.state.exchanged_at = self._clock.clock.steady()
        same_user(session.user, user.id if user else pair.user_id)
        return session

    async def put_in_force(
        self,
        session: Session,
        before: SessionSnapshot,
        event: AuthChangeEvent = AuthChangeEvent.TOKEN_REFRESHED,
        cause: str | None = None,
    ) -> Session:
        """Save what the server has issued for the session in force, then replace the snapshot.

        With the session's lock.

        Args:
            session: The same session with its new tokens.
            before: What was in force when the server was asked.
            event: The event for subscribers.
            cause: Why, for people; by default that it was refreshed.
        """
        async with self.state.commit:
            current = self.state.snapshot
            if current.generation != before.generation:
                # The user has called something else meanwhile, and that counts.
                if current.session is None:
                    raise not_signed_in()
                return current.session
            record = before.record.rotated_to(session) if before.record else StoredSession.begin(session)
            found = await self._sync.read()
            stored = found.record
            if stored is None and found.trouble is None and before.saved:
                self.state.signed_out_elsewhere()
                raise not_signed_in()
            if stored and before.saved and not record.is_spent(stored.pair.refresh_token):
                # The lock was broken (its holder stopped for too long): what was saved since counts.
                await self._sync.reconcile(found, locked=True)
                current = self.state.snapshot
                if current.session is not None and not current.detached:
                    return current.session
            detached = self.state.snapshot.detached
            failure = await self.store.run(lambda: self.store.save(record, use=not detached))
            snapshot = SessionSnapshot(
                session,
                "active",
                record,
                saved=failure is None,
                detached=detached,
                error=failure,
                generation=before.generation,
            )
            if session.lifetime <= _TOO_SHORT:
                snapshot = self._paused(snapshot, before.failures, failure)
            if cause is None:
                asked = self.attempt is not None and self.attempt.asked
                cause = "refreshed" if asked else "refreshed automatically"
            self.state.replace(snapshot, event, cause)
        return session

    def _paused(
        self, snapshot: SessionSnapshot, failures: int, failure: AuthStorageError | None
    ) -> SessionSnapshot:
        """After tokens that are of no use: the next exchange waits, longer each time."""
        pause = min(_FIRST_USELESS_PAUSE * 2 ** min(failures, 10), _LONGEST_USELESS_PAUSE)
        lifetime = snapshot.session.lifetime if snapshot.session else 0.0
        useless = AuthUnknownError(
            f"The auth server issues access tokens that are valid for {max(lifetime, 0.0):.0f} s. "
            "Check the server's clock and the project's JWT expiry (JWT_EXP)."
        )
        then = self._clock.clock.steady() + pause
        return snapshot._replace(
            error=failure or useless, next_try=then, not_before=then, failures=failures + 1
        )

    def note_failure(self, error: AuthError, generation: int) -> None:
        """Keep the session and plan the next try."""
        snapshot = self.state.snapshot
        if (
            generation != snapshot.generation
            or snapshot.session is None
            or isinstance(error, AuthSessionMissing)
        ):
            return
        now = self._clock.clock.steady()
        since = snapshot.outage_since if snapshot.failures else now
        usable = (self.state.time_left(snapshot) or 0.0) > 0
        pause = pause_after(error, snapshot.failures, now - since)
        logger.info("refresh failed (%s); next try in %.1f s", error.code or type(error).__name__, pause)
        self.state.replace(
            snapshot._replace(
                status="active" if usable and not self.background else "retrying",
                error=error,
                next_try=now + pause,
                failures=snapshot.failures + 1,
                outage_since=since,
                not_before=now + asked_to_wait(error),
            )
        )

    async def end(self, error: AuthError, generation: int) -> None:
        """The session is over: remove it from the storage, then from here."""
        async with self.state.commit:
            snapshot = self.state.snapshot
            if generation != snapshot.generation or snapshot.session is None:
                return
            await self.store.run(lambda: self.store.forget(snapshot.record))
            self.state.end(error)


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
