"""SignOut: ends the session here at once, then on the server, now or later.

A sign-out from top to bottom: `sign_out` -> `_end_locally` -> `_revoke` -> `_send`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from ...errors import AuthError, AuthStorageError
from ...models import AuthChangeEvent, Session
from .._api.responses import says_expired
from .parts import Parts
from .refresher import TokenRefresher
from .session_record import TokenPair
from .snapshot import SessionSnapshot
from .state import SessionOperation

logger = logging.getLogger("supabase_nb")

# Seconds to wait for another kernel that uses the stored session.
_LOCK_TIMEOUT = 2.0
# Seconds that `sign_out` waits for the server's response. The background continues.
_RESPONSE_TIMEOUT = 1.0
# In seconds: how long, and at which interval, an unconfirmed sign-out is retried.
_RETRY_FOR, _RETRY_PAUSE = 24 * 3600.0, 15.0


@dataclass(eq=False)
class PendingRevocation:
    """A session that has ended here, but not yet on the server.

    Args:
        session: The session.
        scope: The scope of the `sign_out`.
        send_at: When to send the request next, on the steady clock.
        give_up_at: When to give up.
    """

    session: Session
    scope: str
    send_at: float
    give_up_at: float


class SignOut:
    """Signs out, and keeps a queue of revocations that the server has not confirmed.

    Args:
        parts: What it works with.
        refresher: Knows whether the session is being refreshed.
    """

    def __init__(self, parts: Parts, refresher: TokenRefresher) -> None:
        self._api, self._state, self._store, self._sync, self._loop = parts
        self._refresher = refresher
        self._pending: list[PendingRevocation] = []

    async def sign_out(self, scope: str) -> None:
        """End the session here, then on the server.

        Raises:
            AuthStorageError: The stored session could not be removed.
        """
        operation = self._state.new_operation()
        self._state.supersede_earlier(operation)
        ending = self._loop.create_task(self._end_locally(operation, scope))
        pending, failure = await asyncio.shield(ending)
        if pending is not None:
            revoking = self._loop.create_task(self._revoke(pending))
            await asyncio.wait((revoking,), timeout=_RESPONSE_TIMEOUT)
        if failure is not None:
            raise failure

    async def _end_locally(
        self, operation: SessionOperation, scope: str
    ) -> tuple[PendingRevocation | None, AuthStorageError | None]:
        # Doesn't wait for our own refresh, whose response is dropped, and only briefly for another kernel.
        patience = _LOCK_TIMEOUT if self._refresher.attempt is None else 0.0
        session_id = self._state.session_id()
        async with self._store.locks.lock_session_async(session_id, patience):
            # If another kernel has newer tokens, end the session with those.
            await self._sync.reload()
            async with self._state.commit_lock:
                if self._state.is_superseded(operation):
                    return None, None
                snapshot = self._state.snapshot
                session, record = snapshot.session, snapshot.record
                of_user = scope == "global"
                failure = await self._store.run(lambda: self._store.remove(record, of_user=of_user))
                self._state.clear_session_notices()
                pending = None
                if session is not None:
                    # Queued before the request, so that it isn't forgotten after a Ctrl-C.
                    pending = self.revoke_later(session, scope, _RETRY_PAUSE)
                event = AuthChangeEvent.SIGNED_OUT if session is not None else None
                signed_out = SessionSnapshot(error=failure, generation=self._state.new_generation())
                self._state.replace(signed_out, event, "signed out")
        return pending, failure

    async def _revoke(self, pending: PendingRevocation) -> None:
        """End a session on the server. In an outage, retry later."""
        if await self._send(pending) or self._now() > pending.give_up_at:
            self._remove_pending(pending)
        elif pending in self._pending:  # otherwise the user has signed in again in the meantime
            pending.send_at = self._now() + _RETRY_PAUSE
            self._state.set_notice(
                "sign_out", "Signed out here. The server has not confirmed it yet; retrying."
            )
            self._state.replace(self._state.snapshot)

    async def _send(self, pending: PendingRevocation) -> bool:
        """Send the sign-out. ``False``: it did not reach the server."""
        session, token = pending.session, pending.session.access_secret
        # The server rejects a sign-out with an expired token.
        refresh = bool(session.refresh_token) and session.expires_at <= self._state.clock.now()
        while True:
            try:
                if refresh:
                    pair = TokenPair.from_session(session)
                    token = (await self._api.refresh(pair.refresh_token, pair.claims)).access_secret
                await self._api.logout(token, pending.scope)
                return True
            except AuthError as error:
                if error.retryable or error.code == "unexpected_redirect":
                    return False  # an outage, or a captive portal
                if refresh or not session.refresh_token or not says_expired(error):
                    # It has already ended (``tests/wire/sign-out.json``: "logout: again"), or can't be ended.
                    logger.info("the server did not accept the sign-out: %s", error)
                    return True
            refresh = True

    # -- the queue ----------------------------------------------------------------------------------------

    def revoke_later(self, session: Session, scope: str, wait: float = 0.0) -> PendingRevocation:
        """End a session on the server in the background, `wait` seconds from now."""
        pending = PendingRevocation(session, scope, self._now() + wait, self._now() + _RETRY_FOR)
        self._pending.append(pending)
        return pending

    def due_in(self) -> float | None:
        """Seconds until `send_due` has something to do; ``None``: nothing."""
        return min((pending.send_at - self._now() for pending in self._pending), default=None)

    async def send_due(self) -> None:
        """Send the sign-outs that are due."""
        for pending in tuple(self._pending):
            if pending.send_at <= self._now():
                await self._revoke(pending)

    def cancel_pending(self, session: Session) -> None:
        """A new session starts: drop earlier sign-outs that would end it."""
        self._pending = [
            pending
            for pending in self._pending
            if pending.session.user.id != session.user.id
            or (pending.scope == "local" and pending.session.session_id != session.session_id)
        ]
        if not self._pending:
            self._state.set_notice("sign_out", None)

    def _remove_pending(self, pending: PendingRevocation) -> None:
        if pending in self._pending:
            self._pending.remove(pending)
        if not self._pending and "sign_out" in self._state.notices:
            self._state.set_notice("sign_out", None)
            self._state.replace(self._state.snapshot)

    def _now(self) -> float:
        return self._state.clock.clock.steady()
