"""BackgroundWork: refreshes, verifies and saves a session when the scheduler calls it."""

from __future__ import annotations

import asyncio

from ...errors import FINAL_CODES, AuthApiError, AuthError
from ...models import Session
from .parts import Parts
from .refresher import TokenRefresher, require_same_user
from .snapshot import Freshness, SessionSnapshot

# Seconds between attempts to save.
_SAVE_PAUSE = 5.0
# Seconds until the server is asked again about an access token that seems to have expired.
_VERIFY_PAUSE = 60.0


class BackgroundWork:
    """Refreshes, verifies and saves the current session when that is due.

    Args:
        parts: What it works with.
        refresher: Exchanges its refresh token.
    """

    def __init__(self, parts: Parts, refresher: TokenRefresher) -> None:
        self._api, self._state, self._store, self._sync, _ = parts
        self._clock, self._refresher = self._state.clock, refresher
        self._last_save_attempt = float("-inf")

    def due_in(self) -> float | None:
        """Seconds until `run_due` has something to do; ``None``: nothing, or it is already running."""
        snapshot = self._state.snapshot
        if self._refresher.attempt is not None or snapshot.session is None:
            return None
        waits = []
        if not snapshot.saved:
            waits.append(self._last_save_attempt + _SAVE_PAUSE - self._clock.clock.steady())
        due = self._state.due_in(snapshot)
        if due is not None:
            waits.append(due)
        return min(waits, default=None)

    async def run_due(self) -> None:
        """Take over other kernels' changes, then refresh, verify or save as needed."""
        if self._sync.is_outdated(await self._store.run(self._sync.stored_version)):
            await self._sync.reload()
        if not self._state.snapshot.saved:
            await self._retry_save()
        snapshot = self._state.snapshot
        due = self._state.due_in(snapshot)
        if due is None or due > 0 or self._refresher.attempt is not None or snapshot.session is None:
            return
        if self._must_verify(snapshot):
            await self.verify(snapshot)
        else:
            await self._refresh(snapshot.session)

    async def _refresh(self, session: Session) -> None:
        """Refresh. Doesn't raise, because the state shows the outcome."""
        await asyncio.wait((self._refresher.start(session.access_secret).task,))

    def _must_verify(self, snapshot: SessionSnapshot) -> bool:
        """Whether to ask the server about the access token instead of refreshing it."""
        if self.may_be_valid(snapshot):
            return True
        unverified, freshness = not snapshot.verified or self._clock.jumped, self._state.freshness(snapshot)
        if snapshot.session is not None and not snapshot.session.refresh_token:
            return unverified and freshness is not Freshness.EXPIRED
        return unverified and freshness is Freshness.FRESH

    def may_be_valid(self, snapshot: SessionSnapshot) -> bool:
        """Whether it can't be refreshed, and has expired only by a clock that may be wrong."""
        session = snapshot.session
        if session is None or session.refresh_token or self._clock.is_known:
            return False
        return self._state.freshness(snapshot) is Freshness.EXPIRED

    async def _retry_save(self) -> None:
        now = self._clock.clock.steady()
        if now - self._last_save_attempt >= _SAVE_PAUSE:
            self._last_save_attempt = now
            async with self._sync.lock(self._state.session_id()):
                await self._sync.reload(locked=True)

    async def verify(self, snapshot: SessionSnapshot) -> AuthError | None:
        """Ask the server whether a stored session is still valid. Its response also has the time.

        Returns:
            Why the server didn't say. The state shows any other outcome.
        """
        session = snapshot.session
        assert session is not None
        try:
            user = await self._api.get_user(session.access_secret)
            require_same_user(user, session.user.id)
        except AuthError as error:
            failure = error
        else:
            current = self._state.snapshot
            if current.session is session and current.record is not None:
                record = current.record._replace(session=session.with_user(user))
                verified = _without_failures(current)._replace(record=record, status="active")
                if self.may_be_valid(verified):  # the response had no time
                    verified = verified._replace(next_try=self._clock.clock.steady() + _VERIFY_PAUSE)
                self._state.replace(verified)
            return None
        if self._state.snapshot.session is not session:
            return None
        if failure.code == "bad_jwt" and session.refresh_token and self._refresher.attempt is None:
            # Expired after all, or signed with a removed key: use the refresh token.
            self._state.replace(self._state.snapshot._replace(verified=True, next_try=None))
            await self._refresh(session)
        elif (failure.code == "bad_jwt" and not session.refresh_token) or (
            isinstance(failure, AuthApiError) and failure.code in FINAL_CODES
        ):
            async with self._sync.lock(self._state.session_id()):
                await self._sync.reload(locked=True)
                if self._state.snapshot.session is session:
                    await self._refresher.end_session(failure, snapshot.generation)
        else:
            self._refresher.record_failure(failure, snapshot.generation)
            return failure
        return None


def _without_failures(snapshot: SessionSnapshot) -> SessionSnapshot:
    """Clear failures and errors after a success, except that of an unsaved session."""
    error = snapshot.error if not snapshot.saved else None
    return snapshot._replace(verified=True, next_try=None, failures=0, error=error)
