"""UnsavedRotationLock: a lock that tells other kernels that only this one has a session's newest tokens."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import Future

from ..._runtime.background import run_in_background
from ..._runtime.environment import HAS_THREADS
from ...errors import AuthRetryableError
from .session_store import SessionStore
from .snapshot import SessionSnapshot

# Seconds to wait for the lock, which another kernel has only for a moment.
_LOCK_TIMEOUT = 2.0


class UnsavedRotationLock:
    """Keeps a lock while the stored refresh token has fallen behind, because saving fails (a full disk).

    The server accepts the stored token as long as it is the parent of the newest one. After that, sending it
    would end the session for all kernels. If this process dies, the system releases the lock.

    Args:
        store: The stored sessions.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._session_id: str | None = None
        self._released = threading.Event()

    async def before_sending(self, session_id: str | None, snapshot: SessionSnapshot) -> None:
        """Prepare to send a refresh token.

        Args:
            session_id: The id under which its session is stored.
            snapshot: The current session.

        Raises:
            AuthRetryableError: Another kernel has newer tokens of this session that it couldn't save.
        """
        if session_id is None or not HAS_THREADS:
            return
        mine = snapshot.record
        if mine is not None and mine.id == session_id and not snapshot.saved:
            stored = (await self._store.run(lambda: self._store.read_by_id(session_id))).record
            # Some servers keep the refresh token. Then the stored one hasn't fallen behind.
            same = stored is not None and stored.pair.refresh_token == mine.pair.refresh_token
            if not same and await self._keep(session_id):
                return
        if await self._store.run(lambda: self._store.locks.is_unsaved_elsewhere(session_id)):
            raise AuthRetryableError(
                "Another notebook has newer tokens of this session, which it couldn't save. Check the "
                "storage (is the disk full?) and try again; the session is unchanged."
            )

    async def _keep(self, session_id: str) -> bool:
        """Lock the session until `release`. ``False``: another kernel has the lock, or locks don't work."""
        if session_id == self._session_id:
            return True
        locked: Future[bool] = Future()
        released = threading.Event()
        self._session_id, self._released = session_id, released
        run_in_background(_hold, self._store, session_id, locked, released, name="supabase-nb-unsaved")
        weakref.finalize(self, released.set)
        if await self._store.run(locked.result):
            return True
        self._session_id = None
        return False

    def snapshot_replaced(self, snapshot: SessionSnapshot) -> None:
        """Release the lock if the tokens are saved, or another session is current now."""
        if snapshot.saved or snapshot.record is None or snapshot.record.id != self._session_id:
            self.release()

    def release(self) -> None:
        """Release the lock, if this kernel has it."""
        self._session_id = None
        self._released.set()


def _hold(store: SessionStore, session_id: str, locked: Future[bool], released: threading.Event) -> None:
    with store.locks.lock_unsaved_rotation(session_id, _LOCK_TIMEOUT) as is_locked:
        locked.set_result(is_locked)
        if is_locked:
            released.wait()
