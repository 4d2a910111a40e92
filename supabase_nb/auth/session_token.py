"""TokenSource: the access token of a client's session, for requests that carry it."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import AuthError, AuthSessionMissing
from ..models import Session
from ..tokens import Secret
from ._session.snapshot import Freshness
from ._session.state import margin
from .client import AuthClient

#: In place of a token, or of a key, where there is none.
NO_TOKEN = Secret("")


class TokenSource:
    """The newest access token of an `AuthClient`. Reading it takes no lock.

    Args:
        auth: The client.
    """

    def __init__(self, auth: AuthClient) -> None:
        self.auth = auth
        self._manager = auth._manager
        self._restored = False

    def __repr__(self) -> str:
        return f"TokenSource({self.auth!r})"

    @property
    def forked(self) -> bool:
        """Whether this is a forked child: only the parent process refreshes the session."""
        return self._manager.state.forked

    def current(self) -> Secret | None:
        """The token, if it can be sent without waiting; `NO_TOKEN`: not signed in; ``None``: call `fetch`."""
        snapshot = self._manager.snapshot
        if self.auth.closed:
            return None  # `fetch` says so
        if snapshot.session is None:
            return NO_TOKEN if self._restored and snapshot.status != "expired" else None
        freshness = self._manager.state.freshness(snapshot)
        if freshness is Freshness.EXPIRED:
            return None
        # Stale: worth a wait, unless a refresh has just failed (the background retries), or can't help.
        if freshness is Freshness.STALE and snapshot.error is None and snapshot.session.refresh_token:
            return None
        return Secret(snapshot.session.access_token)

    def newest(self) -> Secret:
        """The token without a look at its age; `NO_TOKEN` when there is none. Never waits."""
        session = self._manager.snapshot.session
        return NO_TOKEN if session is None else Secret(session.access_token)

    def margin(self) -> float | None:
        """How many seconds before its expiry the token is refreshed; ``None``: not signed in."""
        session = self._manager.snapshot.session
        return None if session is None else margin(session)

    def fetch(self) -> Secret:
        """The token, restored from storage and refreshed first where that is due.

        Raises:
            AuthRetryableError: It has expired and the server can't be reached now.
            AuthSessionMissing: The session has ended for good. Nothing goes out as someone else.
        """
        return self.auth._run(self._fetch)

    async def fetch_async(self) -> Secret:
        """The same, awaited."""
        return await self.auth._await(self._fetch)

    async def _fetch(self) -> Secret:
        session = await self._manager.get_fresh()
        self._restored = True
        if session is not None:
            return Secret(session.access_token)
        snapshot = self._manager.snapshot
        if snapshot.status == "expired":
            why = f" {snapshot.error.message}" if snapshot.error else ""
            raise AuthSessionMissing(
                f"The session has ended, so nothing was sent.{why} (To continue without a user, sign out.)",
                code=snapshot.error.code if snapshot.error else None,
            )
        return NO_TOKEN

    def refresh(self, seen: Secret) -> Secret | None:
        """Another token than `seen`, which a server refused; ``None`` if there is none. One exchange for all.

        Raises:
            AuthError: In a forked child.
        """
        return self.auth._run(lambda: self._refresh(seen))

    async def refresh_async(self, seen: Secret) -> Secret | None:
        """The same, awaited."""
        return await self.auth._await(lambda: self._refresh(seen))

    async def _refresh(self, seen: Secret) -> Secret | None:
        try:
            return Secret((await self._manager.refresher.refresh(seen)).access_token)
        except AuthError:
            if self.forked:
                raise  # the refusal alone would not say that only the parent process can refresh
            # The caller gets the server's refusal, and the session's status says the rest.
            return None

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` at each event of the session, first at once. Returns what ends that."""

        def changed(_: object, __: Session | None) -> None:
            callback()

        return self.auth.on_auth_state_change(changed).unsubscribe
