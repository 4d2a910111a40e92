"""ScheduledWork: refreshes, verifies and saves a session when the scheduler calls it."""

from __future__ import annotations

from .parts import Parts
from .refresher import TokenRefresher
from .session_verifier import SessionVerifier

# Seconds between attempts to save.
_SAVE_PAUSE = 5.0


class ScheduledWork:
    """Refreshes, verifies and saves the current session when that is due.

    Args:
        parts: What it works with.
        refresher: Exchanges its refresh token.
        verifier: Asks the server whether it is still valid.
    """

    def __init__(self, parts: Parts, refresher: TokenRefresher, verifier: SessionVerifier) -> None:
        _, self._state, self._store, self._sync, _ = parts
        self._clock, self._refresher, self._verifier = self._state.clock, refresher, verifier
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
        if self._sync.storage_changed(await self._store.run(self._sync.stored_version)):
            await self._sync.reload()
        if not self._state.snapshot.saved:
            await self._retry_save()
        snapshot = self._state.snapshot
        due = self._state.due_in(snapshot)
        if due is None or due > 0 or self._refresher.attempt is not None or snapshot.session is None:
            return
        if self._verifier.is_needed(snapshot):
            await self._verifier.verify(snapshot)
        else:
            await self._refresher.try_refresh(snapshot.session.access_secret)

    async def _retry_save(self) -> None:
        now = self._clock.clock.steady()
        if now - self._last_save_attempt >= _SAVE_PAUSE:
            self._last_save_attempt = now
            async with self._sync.lock(self._state.session_id()):
                await self._sync.reload(locked=True)
