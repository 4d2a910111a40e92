"""TokenRefresher: one exchange of the refresh token for all callers, retried in outages.

A refresh from top to bottom: `refresh` -> `_join_or_start` -> `_run` -> `_lock_and_refresh` ->
`_exchange_and_save` -> `exchange` -> `save_and_activate`.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from dataclasses import dataclass, field

from ... import errors
from ..._secrets.tokens import Secret
from ...errors import (
    FINAL_CODES,
    AuthApiError,
    AuthError,
    AuthRetryableError,
    AuthSessionMissing,
    AuthUnknownError,
)
from ...models import AuthChangeEvent, Session, User
from .parts import Parts
from .retry import backoff, retry, retry_after_of, time_until
from .rotation_conflict import other_program_error, refreshed_elsewhere
from .session_record import SessionRecord, TokenPair
from .snapshot import Freshness, SessionSnapshot
from .state import not_signed_in_error, require_same_user
from .unsaved_rotation_lock import UnsavedRotationLock

logger = logging.getLogger("supabase_nb")

# In seconds: access tokens with a shorter lifetime are useless. Pauses after exchanges that return them.
_USELESS_LIFETIME, _FIRST_USELESS_PAUSE, _LONGEST_USELESS_PAUSE = 1.0, 2.0, 60.0
_ALREADY_USED = "refresh_token_already_used"
# For this many seconds, new callers join an attempt whose callers were all interrupted.
_JOINABLE_FOR = 2.0


@dataclass(eq=False)
class RefreshAttempt:
    """A running exchange, shared by all callers that have the same access token.

    Args:
        generation: The generation of the session.
        old_token: The access token to replace.
        started_at: The start time, on the steady clock.
        skips_lock: Whether it replaces an abandoned attempt that has the lock and whose request hangs.
        task: The task that runs it.
        explicit: Whether `refresh_session` requested it.
        abandoned: Whether a call that waited for it was interrupted.
        locked: Whether it has the session's lock.
    """

    generation: int
    old_token: Secret
    started_at: float
    skips_lock: bool = False
    task: asyncio.Task[Session] = field(init=False)
    explicit: bool = False
    abandoned: bool = False
    locked: bool = False


class TokenRefresher:
    """Refreshes the current session.

    Args:
        parts: What it works with.
    """

    def __init__(self, parts: Parts) -> None:
        self.api, self.state, self.store, self._sync, self.loop = parts
        self._clock = self.state.clock
        #: Whether a scheduler refreshes in the background.
        self.auto_refresh = False
        self.attempt: RefreshAttempt | None = None
        self.unsaved_lock = UnsavedRotationLock(self.store)

    # -- a refresh ----------------------------------------------------------------------------------------

    async def refresh(self, old_token: Secret, *, explicit: bool = False) -> Session:
        """Refresh the session, unless `old_token` was already replaced.

        Threads, tasks and kernels with the same token share one request.

        Raises:
            AuthSessionMissing: Not signed in.
            AuthApiError: The server has ended the session.
            AuthRetryableError: An outage. The session is kept, and the refresh is retried in the background.
        """
        return await retry(
            lambda deadline: self._refresh(old_token, deadline, explicit=explicit), self._clock.clock
        )

    async def try_refresh(self, old_token: Secret) -> None:
        """Refresh. Doesn't raise, because the state shows the outcome."""
        await asyncio.wait((self.start(old_token).task,))

    async def _refresh(self, old_token: Secret, deadline: float, *, explicit: bool) -> Session:
        while True:
            attempt = self._join_or_start(old_token)
            if isinstance(attempt, Session):
                return attempt
            attempt.explicit = attempt.explicit or explicit
            now = self._clock.clock.steady()
            patience, young = time_until(deadline, now), attempt.started_at + _JOINABLE_FOR - now
            # Check an abandoned attempt again when it is older.
            wait = min(patience, young) if attempt.abandoned and young > 0 else patience
            try:
                done, _ = await asyncio.wait((attempt.task,), timeout=wait)
            except asyncio.CancelledError:
                attempt.abandoned = True  # the attempt itself continues, and its response is saved
                raise
            if done:
                break
            if wait == patience:
                raise AuthRetryableError(
                    "The refresh is taking longer than usual and continues in the background. Try again "
                    "shortly."
                )
        error = attempt.task.exception()
        if isinstance(error, AuthError):
            raise errors.copy_error(error)
        return attempt.task.result()

    def _join_or_start(self, old_token: Secret) -> Session | RefreshAttempt:
        """The session, if it already has another token; else the running exchange, or a new one."""
        snapshot, attempt = self.state.snapshot, self.attempt
        if snapshot.session is None:
            raise not_signed_in_error()
        if snapshot.session.access_token != old_token.reveal():
            return snapshot.session
        self.state.check_process()
        hangs = False
        if (
            attempt is not None
            and attempt.generation == snapshot.generation
            and attempt.old_token == old_token
        ):
            old = self._clock.clock.steady() - attempt.started_at >= _JOINABLE_FOR
            hangs = attempt.abandoned and attempt.locked and old
            if not hangs:
                return attempt
        if snapshot.error is not None and snapshot.not_before > self._clock.clock.steady():
            raise errors.copy_error(snapshot.error)
        return self.start(old_token, skips_lock=hangs)

    def start(self, old_token: Secret, *, skips_lock: bool = False) -> RefreshAttempt:
        """Start an exchange in its own task, which isn't cancelled once its request was sent."""
        snapshot = self.state.snapshot
        attempt = RefreshAttempt(snapshot.generation, old_token, self._clock.clock.steady(), skips_lock)
        self.attempt = attempt
        if snapshot.status in ("active", "restoring"):
            self.state.replace(snapshot._replace(status="refreshing"))
        attempt.task = self.loop.create_task(self._run(attempt))
        return attempt

    async def _run(self, attempt: RefreshAttempt) -> Session:
        """Run an attempt, and record its outcome."""
        failure: AuthError
        try:
            return await self._lock_and_refresh(attempt)
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
            self.record_failure(failure, attempt.generation)
        raise failure

    async def _lock_and_refresh(self, attempt: RefreshAttempt) -> Session:
        async with nullcontext() if attempt.skips_lock else self._sync.lock(self.state.session_id()):
            attempt.locked = True
            await self._sync.reload(locked=True)
            snapshot = self.state.snapshot
            if snapshot.session is None:
                raise errors.copy_error(snapshot.error or not_signed_in_error())
            overtaken = (
                snapshot.generation != attempt.generation
                or snapshot.session.access_token != attempt.old_token.reveal()
            )
            if overtaken and self.state.freshness(snapshot) is Freshness.FRESH:
                return snapshot.session
            return await self._exchange_and_save(snapshot)

    async def _exchange_and_save(self, snapshot: SessionSnapshot, *, is_second_try: bool = False) -> Session:
        """Exchange the current session's refresh token, and save. The caller holds the session's lock."""
        assert snapshot.session is not None
        sent = snapshot.session.refresh_secret
        if not sent:
            if (self.state.time_left(snapshot) or 0.0) > 0 or not self._clock.is_known:
                raise AuthSessionMissing(
                    "There is no refresh token. Restore the session from both tokens, or sign in.",
                    code="session_missing",
                )
            missing = AuthSessionMissing(
                "The access token has expired and there is no refresh token. Sign in again.",
                code="session_missing",
            )
            await self._sync.end_session(missing, snapshot.generation)
            raise missing
        logger.debug("refreshing the access token")
        pair, user = TokenPair.from_session(snapshot.session), snapshot.session.user
        try:
            # On a second try, the tokens come from another kernel, so they reveal no other program.
            session, shared = await self.exchange(pair, user, None if is_second_try else snapshot.record)
        except AuthApiError as error:
            refused = error
        else:
            return await self.save_and_activate(session, snapshot, shared=shared)
        if refused.code in FINAL_CODES:
            stored = (await self._sync.read()).record
            if stored and not is_second_try and stored.session.refresh_token != sent.reveal():
                # Another kernel is ahead. For 10 s after revoking a session's tokens, the server accepts
                # the last active one (``tests/wire/rotation.json``, family 4), so try it at once.
                await self._sync.reload(locked=True)
                current = self.state.snapshot
                if current.session is not None and current.session is not snapshot.session:
                    return await self._exchange_and_save(current, is_second_try=True)
            await self._sync.end_session(refused, snapshot.generation)
        raise refused

    async def exchange(
        self, pair: TokenPair, user: User | None = None, record: SessionRecord | None = None
    ) -> tuple[Session, bool]:
        """Send the refresh token of a pair.

        Args:
            pair: The tokens.
            user: The tokens' user, if known.
            record: This session as it was stored here, if it was.

        Returns:
            The session with its new tokens, and whether another program has refreshed it too.

        Raises:
            AuthSessionMismatch: The response has another user.
            AuthRetryableError: An outage, or another kernel has newer tokens.
        """
        await self.unsaved_lock.before_sending(record.id if record else pair.session_id, self.state.snapshot)
        sent = self.store.sent
        first = await self.store.run(lambda: sent.record_sending(pair.refresh_token))
        record = record if first else None  # otherwise we may see the effect of our own earlier request
        try:
            session = await self.api.refresh(pair.refresh_token, pair.claims, user)
        except AuthApiError as error:
            refused = error
        else:
            self.state.exchanged_at = self._clock.clock.steady()
            require_same_user(session.user, user.id if user else pair.user_id)
            return session, record is not None and refreshed_elsewhere(record.session, session)
        another = record is not None and refused.code == _ALREADY_USED and sent.has_full_history(record)
        raise other_program_error(refused) if another else refused

    async def save_and_activate(
        self,
        session: Session,
        before: SessionSnapshot,
        event: AuthChangeEvent = AuthChangeEvent.TOKEN_REFRESHED,
        cause: str | None = None,
        *,
        shared: bool = False,
    ) -> Session:
        """Save the current session's new tokens, then replace the snapshot.

        The caller holds the session's lock.

        Args:
            session: The same session with its new tokens.
            before: The snapshot from before the request.
            event: The event for subscribers.
            cause: The cause, as shown to the user; by default, that it was refreshed.
            shared: Whether another program has refreshed the session too.
        """
        async with self.state.commit_lock:
            current = self.state.snapshot
            if current.generation != before.generation:
                # Another call by the user in the meantime takes precedence.
                if current.session is None:
                    raise not_signed_in_error()
                return current.session
            record = before.record.rotated_to(session) if before.record else SessionRecord.new(session)
            record = record._replace(shared=record.shared or shared)
            found = await self._sync.read()
            stored = found.record
            if await self._sync.was_signed_out(found, before):
                self.state.apply_remote_sign_out()
                raise not_signed_in_error()
            unchanged = stored and before.record and stored.pair == before.record.pair
            if stored and before.saved and not unchanged and not record.is_spent(stored.pair.refresh_token):
                # Another kernel took over the lock because we hung. What it saved takes precedence.
                await self._sync.reconcile(found, locked=True)
                current = self.state.snapshot
                adopted = current.session is not before.session
                if current.session is not None and adopted and not current.name_taken:
                    return current.session
            name_taken = self.state.snapshot.name_taken
            snapshot = await self._sync.save(
                SessionSnapshot(record, "active", name_taken=name_taken, generation=before.generation)
            )
            if session.lifetime <= _USELESS_LIFETIME:
                snapshot = self._with_pause(snapshot, before.failures)
            if cause is None:
                explicit = self.attempt is not None and self.attempt.explicit
                cause = "refreshed" if explicit else "refreshed automatically"
            self.state.replace(snapshot, event, cause)
        return session

    def _with_pause(self, snapshot: SessionSnapshot, failures: int) -> SessionSnapshot:
        """Delay the next exchange after useless tokens, longer each time."""
        pause = min(_FIRST_USELESS_PAUSE * 2 ** min(failures, 10), _LONGEST_USELESS_PAUSE)
        lifetime = snapshot.session.lifetime if snapshot.session else 0.0
        useless = AuthUnknownError(
            f"The auth server issues access tokens that are valid for {max(lifetime, 0.0):.0f} s. "
            "Check the server's clock and the project's JWT expiry (JWT_EXP)."
        )
        then = self._clock.clock.steady() + pause
        return snapshot._replace(
            error=snapshot.error or useless, next_try=then, not_before=then, failures=failures + 1
        )

    def record_failure(self, error: AuthError, generation: int) -> None:
        """Keep the session and schedule the next attempt."""
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
        pause = backoff(error, snapshot.failures, now - since)
        logger.info("refresh failed (%s); next try in %.1f s", error.code or type(error).__name__, pause)
        self.state.replace(
            snapshot._replace(
                status="active" if usable and not self.auto_refresh else "retrying",
                error=error,
                next_try=now + pause,
                failures=snapshot.failures + 1,
                outage_since=since,
                not_before=now + retry_after_of(error),
            )
        )
