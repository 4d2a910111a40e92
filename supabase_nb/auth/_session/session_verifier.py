"""SessionVerifier: asks the server whether a session is still valid."""

from __future__ import annotations

from ...errors import FINAL_CODES, AuthApiError, AuthError
from .parts import Parts
from .refresher import TokenRefresher
from .snapshot import Freshness, SessionSnapshot
from .state import require_same_user

# Seconds until the server is asked again about an access token that seems to have expired.
_VERIFY_PAUSE = 60.0


class SessionVerifier:
    """Verifies the current session.

    Args:
        parts: What it works with.
        refresher: Exchanges its refresh token.
    """

    def __init__(self, parts: Parts, refresher: TokenRefresher) -> None:
        self._api, self._state, _, self._sync, _ = parts
        self._clock, self._refresher = self._state.clock, refresher

    def is_needed(self, snapshot: SessionSnapshot) -> bool:
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
            await self._refresher.try_refresh(session.access_secret)
        elif (failure.code == "bad_jwt" and not session.refresh_token) or (
            isinstance(failure, AuthApiError) and failure.code in FINAL_CODES
        ):
            async with self._sync.lock(self._state.session_id()):
                await self._sync.reload(locked=True)
                if self._state.snapshot.session is session:
                    await self._sync.end_session(failure, snapshot.generation)
        else:
            self._refresher.record_failure(failure, snapshot.generation)
            return failure
        return None


def _without_failures(snapshot: SessionSnapshot) -> SessionSnapshot:
    """Clear failures and errors after a success, except that of an unsaved session."""
    error = snapshot.error if not snapshot.saved else None
    return snapshot._replace(verified=True, next_try=None, failures=0, error=error)
