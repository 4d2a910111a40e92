"""StorageSync: locks the stored session, and takes over other kernels' changes to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ...errors import AuthError, AuthRetryableError, AuthStorageError
from ...models import AuthChangeEvent
from ...storage import LOCK_TIMEOUT
from .session_record import StorageDamaged
from .session_store import LookupResult, SessionStore
from .snapshot import SessionSnapshot
from .state import SessionState


class StorageSync:
    """Takes over other kernels' changes to the stored session, and locks it against them.

    Args:
        state: The current session.
        store: The stored sessions.
    """

    def __init__(self, state: SessionState, store: SessionStore) -> None:
        self._state, self._store, self._clock = state, store, state.clock
        self._waited = 0.0
        # The generation and the version of the stored session when it was last read.
        self._seen: tuple[int, object] | None = None

    @asynccontextmanager
    async def lock(self, session_id: str | None, timeout: float = LOCK_TIMEOUT) -> AsyncIterator[None]:
        """Lock a session, so that other kernels don't exchange its refresh token.

        A kernel that hangs with the lock doesn't block others forever: after waiting for `LOCK_TIMEOUT`
        seconds, in one call or several, this continues without the lock.

        Raises:
            AuthRetryableError: Another kernel had the lock for all of `timeout`, in seconds.
        """
        steady = self._clock.clock.steady
        wait, began = max(min(timeout, LOCK_TIMEOUT - self._waited), 0.0), steady()
        async with self._store.locks.lock_session_async(session_id, wait) as locked:
            if locked:
                self._waited = 0.0
            else:
                waited = steady() - began
                self._waited += waited
                if waited >= wait and self._waited < LOCK_TIMEOUT:
                    raise AuthRetryableError(
                        "Another notebook is using the stored session. Try again; the session is unchanged."
                    )
            yield

    async def reload(self, *, locked: bool = False) -> None:
        """Read the stored session, and take over another kernel's changes.

        Args:
            locked: Whether the caller has the session's lock. Writing waits for it.
        """
        async with self._state.commit_lock:
            # Read the version first, so that later changes are noticed next time.
            version = await self._store.run(self.stored_version)
            await self.reconcile(await self.read(), locked=locked)
            self._seen = (self._state.snapshot.generation, version)

    async def read(self) -> LookupResult:
        """The stored record of the current session, by this client's name or else by its id.

        `LookupResult.name_taken` says whether the name now uses another user's session.
        """
        mine = self._state.snapshot.record
        found = await self._store.run(self._store.read)
        theirs = found.record
        if mine is None or found.error is not None:
            return found
        if theirs is not None and theirs.session.user.id == mine.session.user.id:
            return found
        try:
            if theirs is None and not await self._store.run(lambda: self._store.name_was_reused(mine)):
                return found  # signed out
        except AuthStorageError as error:
            return found._replace(error=error)
        own = await self._store.run(lambda: self._store.read_by_id(mine.id))
        return own._replace(name_taken=theirs is not None, name_is_free=theirs is None)

    async def reconcile(self, found: LookupResult, *, locked: bool) -> None:
        """Take over another kernel's changes. The caller holds `SessionState.commit_lock`."""
        snapshot, stored = self._state.snapshot, found.record
        if snapshot.record is None:
            return
        if found.error is not None:
            # Unreadable doesn't mean signed out: keep the session in memory, and save it later.
            if isinstance(found.error, StorageDamaged):
                await self._save_ours(snapshot, locked, found.error)
            return
        if await self.was_signed_out(found, snapshot):
            ended = snapshot.record
            await self._store.run(lambda: self._store.remove_if_unused(ended))
            self._state.apply_remote_sign_out()
            return
        if found.name_taken and not snapshot.name_taken:
            lost = snapshot.record
            await self._store.run(lambda: self._store.note_lost_name(lost))
        if found.name_taken != snapshot.name_taken:
            snapshot = self._with_name_taken(snapshot, found.name_taken)
            self._state.replace(snapshot)
        record = snapshot.record
        if stored is None or record is None or record.is_spent(stored.pair.refresh_token):
            await self._save_ours(snapshot, locked)
            return
        theirs, mine = stored.session, record.session
        if theirs.refresh_token != mine.refresh_token or (theirs.issued_at or 0) > (mine.issued_at or 0):
            self._clock.hint(stored.clock_offset, not_before=theirs.issued_at)
            adopted = SessionSnapshot(
                stored,
                "active",
                name_taken=snapshot.name_taken,
                error=snapshot.error if snapshot.name_taken else None,
                generation=snapshot.generation,
            )
            self._state.replace(adopted, AuthChangeEvent.TOKEN_REFRESHED, "refreshed in another notebook")
        elif (theirs.issued_at or 0) < (mine.issued_at or 0):
            await self._save_ours(snapshot, locked)  # the server keeps the refresh token
        elif not snapshot.saved:
            self._state.replace(snapshot._replace(saved=True, error=None))
        if found.name_is_free:
            await self._save_ours(self._state.snapshot, locked)

    async def was_signed_out(self, found: LookupResult, snapshot: SessionSnapshot) -> bool:
        """Whether the current session was signed out elsewhere, which isn't so if all files were deleted."""
        record = snapshot.record
        if found.record is not None or found.error is not None or record is None:
            return False
        return await self._store.run(lambda: self._store.was_signed_out(record, saved=snapshot.saved))

    def _with_name_taken(self, snapshot: SessionSnapshot, taken: bool) -> SessionSnapshot:
        notice = error = None
        if taken:
            notice = "Another notebook now uses another user's session under this name."
            error = AuthStorageError(
                "Another notebook has stored another user's session under the same name. This notebook keeps "
                "its own, but would restore the other one after a restart. Connect with --name to keep both."
            )
        self._state.set_notice("name_taken", notice)
        return snapshot._replace(name_taken=taken, error=error)

    async def _save_ours(
        self, snapshot: SessionSnapshot, locked: bool, error: AuthStorageError | None = None
    ) -> None:
        """The stored session is older than ours: save ours, now or once we have the lock."""
        if locked:
            self._state.replace(await self.save(snapshot))
        elif snapshot.saved:
            self._state.replace(snapshot._replace(saved=False, error=error or snapshot.error))

    async def save(self, snapshot: SessionSnapshot) -> SessionSnapshot:
        """Save a snapshot's session. Returns the snapshot with the outcome."""
        record = snapshot.record
        assert record is not None
        error = await self._store.run(lambda: self._store.save(record, assign_name=not snapshot.name_taken))
        return snapshot._replace(saved=error is None, error=error)

    async def end_session(self, error: AuthError, generation: int) -> None:
        """End the session: remove it from the storage, then from memory."""
        async with self._state.commit_lock:
            snapshot = self._state.snapshot
            if generation != snapshot.generation or snapshot.session is None:
                return
            await self._store.run(lambda: self._store.remove(snapshot.record))
            self._state.mark_expired(error)

    def storage_changed(self, version: object) -> bool:
        """Whether the stored session has changed since it was last read for the current session.

        Args:
            version: The stored session's version now.
        """
        return (self._state.snapshot.generation, version) != self._seen

    def stored_version(self) -> object:
        """A value that changes when another kernel changes the stored session. Blocks, like the storage."""
        return self._store.version(self._state.session_id())
