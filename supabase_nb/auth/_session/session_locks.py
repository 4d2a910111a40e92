"""SessionLocks: the locks of a project's stored sessions, which all kernels share."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager

from ..._runtime.environment import HAS_THREADS
from ...storage import SessionStorage, storage_error
from .._api.server_clock import Clock
from .._owner_loop import OwnerLoop

logger = logging.getLogger("supabase_nb")

# In seconds. The index is locked only while a few small files are written.
_INDEX_TIMEOUT = 5.0
# Without threads: seconds between checks of a lock that another task has.
_POLL_INTERVAL = 0.02


class SessionLocks:
    """Locks that yield whether they are locked. If locking fails, work continues, so that no session is lost.

    Args:
        storage: The storage.
        project: The prefix of the locks' keys.
        clock: This machine's clocks.
        loop: The owner loop, which runs blocking calls.
    """

    def __init__(self, storage: SessionStorage, project: str, clock: Clock, loop: OwnerLoop) -> None:
        self._storage, self._project, self._clock, self._loop = storage, project, clock, loop

    def lock_index(self) -> AbstractContextManager[bool]:
        """Lock the index, the records and the copies of the project's sessions."""
        return self._lock(f"{self._project}-sessions", _INDEX_TIMEOUT)

    def lock_session(self, session_id: str | None, timeout: float) -> AbstractContextManager[bool]:
        """Lock a session's refresh token."""
        return self._lock(f"{self._project}-lock-{_share(session_id or '', digits=1)}", timeout)

    @asynccontextmanager
    async def lock_session_async(self, session_id: str | None, timeout: float) -> AsyncIterator[bool]:
        """The same without blocking the loop."""
        deadline = self._clock.steady() + timeout
        while not can_block(self._storage) or not HAS_THREADS:
            with self.lock_session(session_id, 0.0) as locked:
                if locked:
                    yield True
                    return
            if HAS_THREADS or self._clock.steady() >= deadline:
                break
            # Waiting inside `lock_session` would block the task that has the lock.
            await asyncio.sleep(_POLL_INTERVAL)
        timeout = timeout if HAS_THREADS else 0.0
        async with self._loop.context_in_thread(lambda: self.lock_session(session_id, timeout)) as locked:
            yield locked

    def lock_unsaved_rotation(self, session_id: str, timeout: float) -> AbstractContextManager[bool]:
        """The lock that a kernel keeps while it can't save this session (`UnsavedRotationLock`)."""
        return self._lock(f"{self._project}-unsaved-{_share(session_id, digits=2)}", timeout)

    def is_unsaved_elsewhere(self, session_id: str) -> bool:
        """Whether another kernel keeps that lock."""
        with self.lock_unsaved_rotation(session_id, 0.0) as free:
            if free:
                return False
        # If even a lock that no kernel keeps can't be taken, locks don't work here.
        with self._lock(f"{self._project}-unsaved", 0.0) as locks_work:
            return locks_work

    @contextmanager
    def _lock(self, key: str, timeout: float) -> Iterator[bool]:
        stack, locked = ExitStack(), False
        try:
            locked = bool(stack.enter_context(self._storage.lock(key, timeout)))
        except Exception as error:  # noqa: BLE001
            logger.warning("%s", storage_error(error, "locked"))
        try:
            yield locked
        finally:
            try:
                stack.close()
            except Exception as error:  # noqa: BLE001
                logger.warning("%s", storage_error(error, "unlocked"))


def _share(session_id: str, *, digits: int) -> str:
    """Which of a project's few locks a session uses. Lock files of every session would pile up."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def can_block(storage: SessionStorage) -> bool:
    """Whether calls of a storage can block: those of a file or a keyring, but not of memory."""
    blocks: bool = getattr(storage, "blocks", True)
    return blocks
