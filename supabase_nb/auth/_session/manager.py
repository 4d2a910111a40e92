"""SessionManager: a client's session. Has a store, a queue of changes, and a part for each of its methods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from ... import errors
from ..._fork import renew_after_fork
from ...errors import (
    AuthError,
    AuthStorageError,
)
from ...models import AuthCallback, AuthChangeEvent, AuthEvent, Session, Status, Subscription
from ...storage import SessionStorage
from ...tokens import Secret
from .._api.endpoints import AuthAPI
from .._loop import Runtime, owner_loop
from .background import BackgroundWork
from .change_queue import Change, ChangeQueue
from .refresher import TokenRefresher, same_user
from .scheduler import scheduler
from .session_store import SessionStore
from .set_session import SetSession
from .sign_out import SignOut
from .snapshot import Freshness, SessionSnapshot
from .state import SessionState, not_signed_in
from .storage_sync import StorageSync
from .stored_session import StorageDamaged

logger = logging.getLogger("supabase_nb")

_T = TypeVar("_T")


class SessionManager:
    """Keeps one client's session.

    Args:
        api: The auth server.
        storage: Where sessions are stored.
        key: The key of this client's name in the storage.
        project: A prefix for the project's records there.
        set_traits: Shows a change.
        older_keys: `storage.older_storage_keys`.
        runtime: What it runs on.
        schedule: Has `work` called when something is due.
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
        runtime: Runtime = owner_loop,
        schedule: Callable[[SessionManager], object] = scheduler.register,
    ) -> None:
        self.api, self.clock, self.runtime = api, api.clock, runtime
        self.changes = ChangeQueue(set_traits)
        self.state = SessionState(self.clock, self.changes)
        self.store = SessionStore(storage, key, project, self.clock, runtime, older_keys=older_keys)
        self.sync = StorageSync(self.state, self.store)
        parts = (api, self.state, self.store, self.sync)
        self.refresher = TokenRefresher(*parts, runtime)
        self.background = BackgroundWork(*parts, self.refresher)
        self.signing_out = SignOut(*parts, self.refresher, runtime)
        self.set_session = SetSession(*parts, self.refresher, self.signing_out, runtime)
        self.state.on_replace = self._schedule
        self._scheduled_by = schedule
        self._restored = False
        renew_after_fork(self)

    def _schedule(self) -> None:
        if self.refresher.background and not self.state.forked:
            self._scheduled_by(self)

    def after_fork(self) -> None:
        """In the child: the parent's tasks aren't there, and only the parent refreshes its session."""
        self.state.after_fork()
        self.refresher.attempt, self.refresher.background = None, False

    # -- the session in force -----------------------------------------------------------------------------

    @property
    def snapshot(self) -> SessionSnapshot:
        """What is in force now."""
        return self.state.snapshot

    def session_if_fresh(self) -> Session | None:
        """The session, if it can be used without asking anyone. Takes no lock."""
        snapshot = self.state.snapshot
        return snapshot.session if self.state.freshness(snapshot) is Freshness.FRESH else None

    async def get_fresh(self) -> Session | None:
        """The session, refreshed first if it is about to expire (`get_session`).

        Raises:
            AuthRetryableError: It has expired and the server can't be reached now.
        """
        await self.restore()
        snapshot = self.state.snapshot
        freshness = self.state.freshness(snapshot)
        if snapshot.session is None or freshness is Freshness.FRESH:
            return snapshot.session
        expired = freshness is Freshness.EXPIRED
        if not expired:
            waiting = snapshot.next_try is not None and snapshot.next_try > self.clock.clock.steady()
            if waiting or not snapshot.session.refresh_token:
                return snapshot.session
        try:
            return await self.refresher.refresh(Secret(snapshot.session.access_token))
        except AuthError:
            session = self.state.snapshot.session
            if session is None or not expired:
                return session
            raise

    async def get_fresh_or_raise(self) -> Session:
        """The same, where a session is needed.

        Raises:
            AuthSessionMissing: Not signed in.
        """
        session = await self.get_fresh()
        if session is None:
            raise not_signed_in()
        return session

    async def refresh(self) -> Session:
        """Exchange the refresh token now (`refresh_session`).

        Raises:
            AuthStorageError: Refreshed, but not saved.
        """
        session = await self.restore()
        if session is None:
            raise not_signed_in()
        session = await self.refresher.refresh(Secret(session.access_token), asked=True)
        failure = self.state.snapshot.error
        if isinstance(failure, AuthStorageError):
            raise errors.copy_error(failure)
        return session

    async def restore(self) -> Session | None:
        """Read storage, if no session is in force. Asks no server; the background verifies.

        Raises:
            AuthStorageError: A session may be stored, but can't be read. (Damaged data was set aside.)
        """
        if self.state.snapshot.session is None:
            trouble = await self._restore_stored()
            session = self.state.snapshot.session
            if trouble is not None and not isinstance(trouble, StorageDamaged) and session is None:
                raise trouble
        return self.state.snapshot.session

    async def _restore_stored(self) -> AuthStorageError | None:
        async with self.state.commit:
            before = self.state.snapshot
            if before.session is not None:
                return None
            found = await self.store.run(self.store.read)
            if found.trouble is not None:
                self.state.replace(before._replace(error=found.trouble))
            elif found.record is not None:
                session = found.record.session
                self.clock.hint(found.record.clock_offset, not_before=session.issued_at)
                status: Status = "restoring" if self.refresher.background else "active"
                # An earlier call found no session.
                event = AuthChangeEvent.SIGNED_IN if self._restored else None
                verified = not self.refresher.background
                restored = SessionSnapshot(
                    session, status, found.record, verified, generation=self.state.new_generation()
                )
                self.state.replace(restored, event, "found in storage")
            self._restored = True
            return found.trouble

    # -- other changes ------------------------------------------------------------------------------------

    async def update_user(self, attributes: Mapping[str, object], redirect_to: str | None = None) -> Session:
        """The server changes the user; the session keeps its tokens."""
        token = Secret((await self.get_fresh_or_raise()).access_token)
        return await asyncio.shield(self.runtime.start(self._update_user(token, attributes, redirect_to)))

    async def _update_user(
        self, token: Secret, attributes: Mapping[str, object], redirect_to: str | None
    ) -> Session:
        user = await self.api.update_user(token, attributes, redirect_to)
        async with self.sync.exclusively(self.state.session_id()):
            await self.sync.catch_up(locked=True)
            async with self.state.commit:
                snapshot = self.state.snapshot
                if snapshot.session is None or snapshot.record is None:
                    raise not_signed_in()
                same_user(user, snapshot.session.user.id)
                session = snapshot.session.with_user(user)
                record = snapshot.record.rotated_to(session)
                failure = await self.store.run(lambda: self.store.save(record, use=not snapshot.detached))
                changed = snapshot._replace(
                    session=session, record=record, saved=failure is None, error=failure
                )
                self.state.replace(changed, AuthChangeEvent.USER_UPDATED, "user changed")
        if failure is not None:
            raise failure
        return session

    async def verify_factor(self, path: str, body: Mapping[str, object]) -> Session:
        """A second factor's code lifts the session in force to another level; its tokens are rotated.

        Raises:
            AuthStorageError: The new tokens are in force, but could not be saved.
        """
        await self.get_fresh_or_raise()
        # As a task of its own: it rotates the refresh token, so that its answer is always saved.
        return await asyncio.shield(self.runtime.start(self._verify_factor(path, body)))

    async def _verify_factor(self, path: str, body: Mapping[str, object]) -> Session:
        async with self.sync.exclusively(self.state.session_id()):
            await self.sync.catch_up(locked=True)
            before = self.state.snapshot
            if before.session is None:
                raise not_signed_in()
            session = await self.api.session(path, body, Secret(before.session.access_token))
            same_user(session.user, before.session.user.id)
            event = AuthChangeEvent.MFA_CHALLENGE_VERIFIED
            session = await self.refresher.put_in_force(session, before, event, "second factor verified")
        failure = self.state.snapshot.error
        if isinstance(failure, AuthStorageError):
            raise errors.copy_error(failure)
        return session

    async def sign_out(self, scope: str) -> None:
        """`sign_out` for the scopes that end this session: here at once, then at the server.

        Raises:
            AuthStorageError: What is stored could not be removed.
        """
        with suppress(AuthStorageError):  # what can't be read can still be removed
            await self.restore()
        await self.signing_out.sign_out(scope)

    async def set_notice(self, name: str, text: str | None) -> None:
        """Show a sentence with the session, or take it away."""
        self.state.note(name, text)
        self.state.replace(self.state.snapshot)

    async def subscribe(
        self, callback: AuthCallback, loop: asyncio.AbstractEventLoop | None = None
    ) -> Subscription:
        """Add a subscriber, whose first event says what is known now.

        Args:
            callback: Whom to call.
            loop: Where its coroutines are awaited.
        """
        with suppress(AuthStorageError):  # `last_error` says it
            await self.restore()
        first = AuthEvent(AuthChangeEvent.INITIAL_SESSION, self.clock.clock.wall(), "subscribed")
        subscription = self.changes.subscribe(callback, first, self.state.snapshot.session, loop)
        self.state.changed()
        return subscription

    # -- in the background (`RefreshScheduler`) -----------------------------------------------------------

    def due_in(self) -> float | None:
        """Seconds until `work` has something to do; ``None``: nothing by time."""
        if self.state.forked or not self.refresher.background:
            return None
        waits = (self.background.due_in(), self.signing_out.due_in())
        return min((wait for wait in waits if wait is not None), default=None)

    def stored_version(self) -> object:
        """Changes when another kernel changes the stored session. Blocks, as storage does."""
        return self.sync.stored_version()

    def is_behind(self, version: object) -> bool:
        """Whether the stored session has changed since it was last looked at, or changes are undelivered."""
        if self.changes.overdue:
            return True
        idle = self.refresher.attempt is None and self.snapshot.session is not None
        return idle and version != self.sync.version

    async def work(self) -> None:
        """Do what is due."""
        self.changes.flush_soon()
        await self.background.work()
        await self.signing_out.work()
