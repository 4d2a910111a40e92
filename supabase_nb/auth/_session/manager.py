"""SessionManager: a client's session, which consists of a store, a refresher, a change queue and others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from ... import errors
from ..._runtime.fork import renew_after_fork
from ..._secrets.tokens import Secret
from ...errors import (
    AuthError,
    AuthStorageError,
)
from ...models import AuthCallback, AuthChangeEvent, AuthEvent, Session, Status, Subscription
from ...storage import SessionStorage
from .._api.auth_api import AuthAPI
from .._owner_loop import OwnerLoop, owner_loop
from .change_queue import Change, ChangeQueue
from .parts import Parts
from .refresher import TokenRefresher
from .scheduled_work import ScheduledWork
from .scheduler import scheduler
from .session_record import StorageDamaged, TokenPair
from .session_store import SessionStore
from .session_verifier import SessionVerifier
from .set_session import SessionSetter
from .sign_out import SignOut
from .snapshot import Freshness, SessionSnapshot
from .state import SessionState, not_signed_in_error, require_same_user
from .storage_sync import StorageSync

logger = logging.getLogger("supabase_nb")

_T = TypeVar("_T")


class SessionManager:
    """A client's session.

    Args:
        api: The auth server.
        storage: The storage.
        key: The storage key of this client's name.
        project: The prefix of the project's records in the storage.
        set_traits: Sets the client's traits.
        older_keys: `storage.older_storage_keys`.
        loop: The owner loop, which runs tasks and blocking calls.
        schedule: Makes the scheduler call `run_due` when something is due.
    """

    def __init__(
        self,
        api: AuthAPI,
        storage: SessionStorage,
        key: str,
        project: str,
        set_traits: Callable[[Change], BaseException | None],
        *,
        older_keys: Mapping[str, str] | None = None,
        loop: OwnerLoop = owner_loop,
        schedule: Callable[[SessionManager], object] = scheduler.register,
    ) -> None:
        self.api, self.clock, self.loop = api, api.clock, loop
        self.changes = ChangeQueue(set_traits)
        self.state = SessionState(self.clock, self.changes)
        self.store = SessionStore(storage, key, project, self.clock, loop, older_keys=older_keys)
        self.sync = StorageSync(self.state, self.store)
        parts = Parts(api, self.state, self.store, self.sync, loop)
        self.refresher = TokenRefresher(parts)
        self.verifier = SessionVerifier(parts, self.refresher)
        self.scheduled_work = ScheduledWork(parts, self.refresher, self.verifier)
        self.signing_out = SignOut(parts, self.refresher)
        self.session_setter = SessionSetter(parts, self.refresher, self.signing_out)
        self.state.on_replace = self._replaced
        self._scheduled_by = schedule
        self._restored = False
        renew_after_fork(self)

    def _replaced(self) -> None:
        self.refresher.unsaved_lock.snapshot_replaced(self.snapshot)
        if self.refresher.auto_refresh:
            self._scheduled_by(self)

    def after_fork(self) -> None:
        """In a forked child: drop the parent's tasks, and stop refreshing its session."""
        self.state.after_fork()
        self.refresher.attempt, self.refresher.auto_refresh = None, False

    # -- the current session ------------------------------------------------------------------------------

    @property
    def snapshot(self) -> SessionSnapshot:
        """The current snapshot."""
        return self.state.snapshot

    def session_if_fresh(self) -> Session | None:
        """The session, if it can be used without a request. Needs no lock."""
        snapshot = self.state.snapshot
        return snapshot.session if self.state.freshness(snapshot) is Freshness.FRESH else None

    async def get_fresh(self) -> Session | None:
        """The session, refreshed first if it is about to expire (`get_session`).

        Raises:
            AuthRetryableError: The session has expired and the server can't be reached.
        """
        await self.load_stored()
        snapshot = self.state.snapshot
        freshness = self.state.freshness(snapshot)
        if snapshot.session is None or freshness is Freshness.FRESH:
            return snapshot.session
        if self.verifier.may_be_valid(snapshot):
            failure = await self.verifier.verify(snapshot)
            if failure is not None:
                raise errors.copy_error(failure)
            return self.state.snapshot.session
        expired = freshness is Freshness.EXPIRED
        if not expired:
            waiting = snapshot.next_try is not None and snapshot.next_try > self.clock.clock.steady()
            if waiting or not snapshot.session.refresh_token:
                return snapshot.session
        try:
            return await self.refresher.refresh(snapshot.session.access_secret)
        except AuthError:
            session = self.state.snapshot.session
            if session is None or not expired:
                return session
            raise

    async def get_fresh_or_raise(self) -> Session:
        """The same, but raises an error without a session.

        Raises:
            AuthSessionMissing: Not signed in.
        """
        session = await self.get_fresh()
        if session is None:
            raise not_signed_in_error()
        return session

    async def refresh(self) -> Session:
        """Exchange the refresh token now (`refresh_session`).

        Raises:
            AuthStorageError: Refreshed, but not saved.
        """
        session = await self.load_stored()
        if session is None:
            raise not_signed_in_error()
        session = await self.refresher.refresh(session.access_secret, explicit=True)
        self._raise_if_unsaved()
        return session

    async def load_stored(self) -> Session | None:
        """Read the stored session, if there is no current one. It is verified in the background.

        Raises:
            AuthStorageError: The stored session can't be read. (Damaged data was set aside.)
        """
        if self.state.snapshot.session is None:
            error = await self._restore_stored()
            session = self.state.snapshot.session
            if error is not None and not isinstance(error, StorageDamaged) and session is None:
                raise error
        return self.state.snapshot.session

    async def _restore_stored(self) -> AuthStorageError | None:
        async with self.state.commit_lock:
            before = self.state.snapshot
            if before.session is not None:
                return None
            found = await self.store.run(self.store.read)
            if found.error is not None:
                self.state.replace(before._replace(error=found.error))
            elif found.record is not None:
                session = found.record.session
                self.clock.hint(found.record.clock_offset, not_before=session.issued_at)
                status: Status = "restoring" if self.refresher.auto_refresh else "active"
                # Subscribers have already received an event without a session.
                event = AuthChangeEvent.SIGNED_IN if self._restored else None
                verified = not self.refresher.auto_refresh
                generation = self.state.new_generation()
                restored = SessionSnapshot(found.record, status, verified, generation=generation)
                self.state.replace(restored, event, "found in storage")
            self._restored = True
            return found.error

    # -- other changes ------------------------------------------------------------------------------------

    async def update_user(self, attributes: Mapping[str, object], redirect_to: str | None = None) -> Session:
        """Change the user. The session keeps its tokens.

        Raises:
            AuthStorageError: The user was changed, but the session could not be saved.
        """
        token = Secret((await self.get_fresh_or_raise()).access_token)
        return await asyncio.shield(self.loop.create_task(self._update_user(token, attributes, redirect_to)))

    async def _update_user(
        self, token: Secret, attributes: Mapping[str, object], redirect_to: str | None
    ) -> Session:
        user = await self.api.update_user(token, attributes, redirect_to)
        async with self.sync.lock(self.state.session_id()):
            await self.sync.reload(locked=True)
            before = self.state.snapshot
            if before.session is None:
                raise not_signed_in_error()
            require_same_user(user, before.session.user.id)
            session, event = before.session.with_user(user), AuthChangeEvent.USER_UPDATED
            session = await self.refresher.save_and_activate(session, before, event, "user changed")
        self._raise_if_unsaved()
        return session

    async def verify_factor(self, path: str, body: Mapping[str, object]) -> Session:
        """Verify a second factor's code, which raises the session's level and rotates its tokens.

        Raises:
            AuthStorageError: The new tokens are active, but could not be saved.
        """
        await self.get_fresh_or_raise()
        # In its own task, so that the response with the new refresh token is always saved.
        return await asyncio.shield(self.loop.create_task(self._verify_factor(path, body)))

    async def _verify_factor(self, path: str, body: Mapping[str, object]) -> Session:
        async with self.sync.lock(self.state.session_id()):
            await self.sync.reload(locked=True)
            before = self.state.snapshot
            current = before.session
            if current is None:
                raise not_signed_in_error()
            # The server replaces the refresh token. If its response is lost, the old one is sent again.
            token = TokenPair.from_session(current).refresh_token
            await self.refresher.unsaved_lock.before_sending(self.state.session_id(), before)
            await self.store.run(lambda: self.store.sent.record_sending(token))
            session = await self.api.session(path, body, current.access_secret)
            require_same_user(session.user, current.user.id)
            event = AuthChangeEvent.MFA_CHALLENGE_VERIFIED
            session = await self.refresher.save_and_activate(session, before, event, "second factor verified")
        self._raise_if_unsaved()
        return session

    def _raise_if_unsaved(self) -> None:
        failure = self.state.snapshot.error
        if isinstance(failure, AuthStorageError):
            raise errors.copy_error(failure)

    async def sign_out(self, scope: str) -> None:
        """`sign_out` for the scopes that end this session: here at once, then on the server.

        Raises:
            AuthStorageError: The stored session could not be removed.
        """
        with suppress(AuthStorageError):  # even if it can't be read, it can be removed
            await self.load_stored()
        await self.signing_out.sign_out(scope)

    async def set_notice(self, name: str, text: str | None) -> None:
        """Show a note in the panel, or remove it."""
        self.state.set_notice(name, text)
        self.state.replace(self.state.snapshot)

    async def subscribe(
        self, callback: AuthCallback, loop: asyncio.AbstractEventLoop | None = None
    ) -> Subscription:
        """Add a subscriber, and send it the current session as its first event.

        Args:
            callback: The function to call.
            loop: The event loop for its coroutines.
        """
        with suppress(AuthStorageError):  # `last_error` has the error
            await self.load_stored()
        first = AuthEvent(AuthChangeEvent.INITIAL_SESSION, self.clock.clock.wall(), "subscribed")
        subscription = self.changes.subscribe(callback, first, self.state.snapshot.session, loop)
        self.state.deliver_changes()
        return subscription

    # -- in the background (`SessionScheduler`) -----------------------------------------------------------

    def due_in(self) -> float | None:
        """Seconds until `run_due` has something to do; ``None``: nothing is scheduled."""
        if not self.refresher.auto_refresh:
            return None
        waits = (self.scheduled_work.due_in(), self.signing_out.due_in())
        return min((wait for wait in waits if wait is not None), default=None)

    def stored_version(self) -> object:
        """A value that changes when another kernel changes the stored session. Blocks, like the storage."""
        return self.sync.stored_version()

    def is_behind(self, version: object) -> bool:
        """Whether the stored session has changed since it was last read, or changes are undelivered."""
        if self.changes.is_stalled:
            return True
        idle = self.refresher.attempt is None and self.snapshot.session is not None
        return idle and self.sync.storage_changed(version)

    async def run_due(self) -> None:
        """Do the work that is due."""
        self.changes.flush_soon()
        await self.scheduled_work.run_due()
        await self.signing_out.send_due()
