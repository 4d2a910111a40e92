"""An existing client of Supabase's own package, tied to a session that is kept here (`Client.adopt`).

That package has no public way to say "somebody else refreshes", so this touches some of its private names;
all of them in `_Theirs`, and tested with the real package.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from .errors import AuthError, AuthRetryableError
from .events import log_guarded
from .models import AuthChangeEvent, Session
from .storage import MemoryStorage
from .tokens import Secret

if TYPE_CHECKING:
    import supabase

    from .client import Client

    _C = TypeVar("_C", bound=Client)


def adopt(kind: type[_C], client: supabase.Client, options: Mapping[str, Any]) -> _C:
    """Make a `Client` of this kind that keeps the other one's session; see `Client.adopt`."""
    theirs = _Theirs(client)
    # Where it rests is the other client's business: a second copy would be a second one to refresh it.
    ours = kind(
        theirs.url, theirs.key, **{"auth_url": theirs.auth_url, **options, "storage": MemoryStorage()}
    )
    ours._adoption = adoption = Adoption(ours, theirs)
    try:
        adoption.begin()
    except BaseException:
        ours.close()
        raise
    return ours


class Adoption:
    """The tie between the two, both ways: what happens to our session reaches them, and the reverse.

    Args:
        ours: Keeps the session.
        theirs: Uses it.
    """

    def __init__(self, ours: Client, theirs: _Theirs) -> None:
        self._ours, self._theirs = ours, theirs
        self._within = threading.local()
        self._undo = [theirs.stop_refreshing(self._refresh)]

    def begin(self) -> None:
        """Take the session over and follow both."""
        session = self._theirs.load()
        if session is not None:
            self._ours.auth.set_session(session._access_token, session._refresh_token)
        self._undo.append(self._ours._bearer.listen(self._sign))
        self._undo.append(self._ours.auth.on_auth_state_change(self._ours_changed).unsubscribe)
        self._undo.append(self._theirs.subscribe(self._theirs_changed))

    def release(self) -> None:
        """Give the session back, as it is now; their own timer runs again."""
        session = self._ours.auth._keeper.held.session
        while self._undo:
            self._undo.pop()()
        if session is not None:
            self._theirs.save(session)
        self._ours.auth._keeper.hand_over("given back")

    def _sign(self) -> None:
        self._theirs.sign(self._ours._bearer.newest() or self._ours._bearer.key)

    def _ours_changed(self, event: AuthChangeEvent, session: Session | None) -> None:
        if event is not AuthChangeEvent.INITIAL_SESSION and not self._busy:
            self._theirs.save(session)
            self._within.busy = True
            try:
                self._theirs.tell(event, session)
            finally:
                self._within.busy = False
        self._sign()

    def _theirs_changed(self, event: str, session: Session | None) -> None:
        """Somebody signed in or out over there, or changed the user."""
        if self._busy:
            return
        keeper = self._ours.auth._keeper
        self._within.busy = True
        try:
            if session is None:
                keeper.leave("local")
            elif session != keeper.held.session:
                keeper.begin(session, AuthChangeEvent(event), "by the adopted client")
        finally:
            self._within.busy = False

    @property
    def _busy(self) -> bool:
        """Whether this thread is passing on a change just now."""
        return getattr(self._within, "busy", False)

    def _refresh(self, refresh_token: Secret) -> Session | None:
        """What they would do by themselves: the shared exchange; ``None``: it is no token of our session."""
        held = self._ours.auth._keeper.held
        if held.session is None or held.record is None:
            return None
        if refresh_token != held.session._refresh_token:
            return held.session if held.record.knows(refresh_token) else None
        return self._ours.auth._keeper.renew(held.session._access_token)


class _Theirs:
    """A ``supabase.Client``, as far as its session goes.

    Raises:
        TypeError: It is none, or an async one.
    """

    def __init__(self, client: supabase.Client) -> None:
        from supabase import Client

        if not isinstance(client, Client):
            raise TypeError(
                "Client.adopt takes what supabase.create_client makes; "
                f"this is of type {type(client).__name__}."
            )
        self._client = client
        self._auth: Any = client.auth
        self._signed: WeakSet[Any] = WeakSet()
        self.url = str(client.supabase_url).rstrip("/")
        self.auth_url = str(client.auth_url)
        self.key = client.supabase_key

    def load(self) -> Session | None:
        """The session it has, without asking the server."""
        auth = self._auth
        if not auth._persist_session:
            return _ours(auth._in_memory_session)
        return _ours(auth._get_valid_session(auth._storage.get_item(auth._storage_key)))

    def save(self, session: Session | None) -> None:
        """Put a session where it keeps its own; its timer begins, unless it was told not to refresh."""
        if session is None:
            self._auth._remove_session()
        else:
            self._auth._save_session(_wire(session))

    def sign(self, token: Secret) -> None:
        """Let it send this token from now on, in the sub-clients too that somebody already holds."""
        client = self._client
        self._signed.update(
            part for part in (client._postgrest, client._storage, client._functions) if part is not None
        )
        kept: list[Any] = [client.options.headers, self._auth._headers]
        kept += [getattr(part, "headers", None) or getattr(part, "_headers", {}) for part in self._signed]
        for headers in kept:
            headers["Authorization"] = "Bearer " + token.reveal()

    def subscribe(self, callback: Any) -> Any:
        """Call `callback(event, session)` at its events; returns what ends that."""
        subscription = self._auth.on_auth_state_change(lambda event, session: callback(event, _ours(session)))
        return subscription.unsubscribe

    def tell(self, event: AuthChangeEvent, session: Session | None) -> None:
        """Tell its subscribers. One that raises hinders the others there, but nobody here."""
        # It forgets its sub-clients at each event; somebody may hold them.
        client = self._client
        self._signed.update(
            part for part in (client._postgrest, client._storage, client._functions) if part is not None
        )
        try:
            self._auth._notify_all_subscribers(str(event), None if session is None else _wire(session))
        except Exception:  # noqa: BLE001
            log_guarded("a subscriber of the adopted client raised")

    def stop_refreshing(self, refresh: Any) -> Any:
        """Stop its timer, and let `refresh(token)` do what it asks for; returns what undoes that."""
        auth, alone, before = self._auth, self._auth._call_refresh_token, self._auth._auto_refresh_token
        auth._auto_refresh_token = False
        if auth._refresh_token_timer is not None:
            auth._refresh_token_timer.cancel()
            auth._refresh_token_timer = None

        def call_refresh_token(refresh_token: str) -> Any:
            secret, refresh_token = Secret(refresh_token), ""
            failure = None
            try:
                session = refresh(secret)
            except AuthError as error:
                failure = _their_error(error)
            if failure is not None:
                raise failure
            return alone(secret.reveal()) if session is None else _wire(session)

        auth._call_refresh_token = call_refresh_token

        def undo() -> None:
            del auth._call_refresh_token
            auth._auto_refresh_token = before

        return undo


def _ours(session: Any) -> Session | None:
    return None if session is None else Session.from_wire(session.model_dump(mode="json"))


def _wire(session: Session) -> Any:
    from supabase_auth.types import Session as Theirs

    return Theirs.model_validate(session.to_wire())


def _their_error(error: AuthError) -> Exception:
    """The same in their words, so that code written for that package catches it."""
    from supabase_auth import errors

    if isinstance(error, AuthRetryableError):
        return errors.AuthRetryableError(error.message, error.status or 0)
    return errors.AuthApiError(error.message, error.status or 400, error.code)  # type: ignore[arg-type]
