"""SessionAccessToken: the access token of a client's session, for requests."""

from __future__ import annotations

from collections.abc import Callable

from .._secrets.tokens import Secret
from ..errors import AuthError, AuthSessionMissing
from ..models import Session
from ._session.snapshot import Freshness
from ._session.state import margin
from .client import AuthClient

#: Marks a missing token or key.
NO_TOKEN = Secret("")


class SessionAccessToken:
    """The newest access token of an `AuthClient`. Reading it needs no lock.

    Args:
        auth: The client.
    """

    def __init__(self, auth: AuthClient) -> None:
        self.auth = auth
        self._manager, self._state, self._api = auth._manager, auth._manager.state, auth._manager.api
        self._restored = False

    def __repr__(self) -> str:
        return f"SessionAccessToken({self.auth!r})"

    @property
    def forked(self) -> bool:
        """Whether this is a forked child, where the session can't be refreshed."""
        return self._state.forked

    def token_if_ready(self) -> Secret | None:
        """The token, if it can be sent without waiting; `NO_TOKEN`: not signed in; ``None``: call `fetch`."""
        snapshot = self._state.snapshot
        record = snapshot.record
        if self._api.closed:
            return None  # `fetch` raises the error
        if record is None:
            return NO_TOKEN if self._restored and snapshot.status != "expired" else None
        freshness = self._state.freshness(snapshot)
        if freshness is Freshness.EXPIRED:
            return None
        # Stale: wait for a refresh, unless one has just failed (the background retries) or can't help.
        if freshness is Freshness.STALE and snapshot.error is None and record.session.refresh_token:
            return None
        return record.session.access_secret

    def last_token(self) -> Secret:
        """The newest token, even if it has expired; `NO_TOKEN` if there is none. Never waits."""
        session = self._state.snapshot.session
        return NO_TOKEN if session is None else session.access_secret

    def margin(self) -> float | None:
        """How many seconds before its expiry the token is refreshed; ``None``: not signed in."""
        session = self._state.snapshot.session
        return None if session is None else margin(session)

    def fetch(self) -> Secret:
        """The token. Restores the session from storage and refreshes it, if needed.

        Raises:
            AuthRetryableError: The session has expired and the server can't be reached.
            AuthSessionMissing: The session has ended. Nothing is sent without the user.
        """
        return self.auth._run(self._fetch)

    async def fetch_async(self) -> Secret:
        """The same as a coroutine."""
        return await self.auth._await(self._fetch)

    async def _fetch(self) -> Secret:
        session = await self._manager.get_fresh()
        self._restored = True
        if session is not None:
            return session.access_secret
        snapshot = self._state.snapshot
        if snapshot.status == "expired":
            why = f" {snapshot.error.message}" if snapshot.error else ""
            raise AuthSessionMissing(
                f"The session has ended, so nothing was sent.{why} To send requests without a user, sign "
                "out.",
                code=snapshot.error.code if snapshot.error else None,
            )
        return NO_TOKEN

    def refresh(self, old_token: Secret) -> Secret | None:
        """A newer token than `old_token`, which a server rejected; ``None`` if there is none.

        Concurrent calls share one refresh.

        Raises:
            AuthError: In a forked child.
        """
        return self.auth._run(lambda: self._refresh(old_token))

    async def refresh_async(self, old_token: Secret) -> Secret | None:
        """The same as a coroutine."""
        return await self.auth._await(lambda: self._refresh(old_token))

    async def _refresh(self, old_token: Secret) -> Secret | None:
        try:
            return Secret((await self._manager.refresher.refresh(old_token)).access_token)
        except AuthError:
            if self.forked:
                raise  # otherwise the user wouldn't learn that only the parent process can refresh
            # The caller gets the server's 401, and the session's status has the reason.
            return None

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` now and at each event. Returns a function that ends this."""

        def changed(_: object, __: Session | None) -> None:
            callback()

        return self.auth.on_auth_state_change(changed).unsubscribe
