"""AuthClient: a Supabase Auth session that refreshes itself and can be observed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import traitlets

from .. import errors
from .._secrets.log_masking import log_without_text
from .._secrets.tokens import Secret
from ..models import (
    STATUSES,
    AuthCallback,
    AuthEvent,
    Session,
    Status,
    Subscription,
    User,
)
from ..storage import SessionStorage, check_storage, default_storage, older_storage_keys, project_key
from ..storage import storage_key as key_of
from . import email_methods, providers, session_methods, sign_in, user_methods
from ._api.auth_api import AuthAPI
from ._api.server_clock import Clock, ServerClock
from ._api.timeouts import CALL_TIMEOUT, in_time
from ._api.token_verifier import TokenVerifier
from ._owner_loop import owner_loop
from ._session.change_queue import Change, run_awaitable
from ._session.manager import SessionManager
from ._session.scheduler import scheduler
from ._thread_loop import running_loop

if TYPE_CHECKING:
    from .._network import http_library as httpx
    from .aio import AuthAio
    from .mfa import MFA

_T = TypeVar("_T")
_V = TypeVar("_V", covariant=True)


class _Trait(Protocol[_V]):
    """The type of a read-only trait for editors and type checkers, more precise than traitlets' own."""

    @overload
    def __get__(self, instance: None, owner: type) -> traitlets.TraitType[Any, Any]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _V: ...


def _read_only(kind: Callable[..., traitlets.TraitType[Any, Any]], *args: Any, **options: Any) -> Any:
    return kind(*args, read_only=True, **options)


class AuthClient(traitlets.HasTraits):
    """One user's session with one auth server.

    Creating a client doesn't use the network, a file or a thread. The stored session is read by
    `get_session`, by the first subscription and by `%supabase_connect`.

    Traits are read-only, and `observe` works as for any `traitlets.HasTraits`. Observers are called in the
    thread that caused the change, one change at a time, without holding a lock. Exceptions in them are
    logged.

    Args:
        url: The auth server's base URL, ``https://abcd.supabase.co/auth/v1``.
        headers: Sent with every request, including ``apikey``.
        storage: Where the session is stored; by default a file in the user's data folder (on Binder: memory).
        name: A name for this session, if you use several sessions of one project.
        storage_key: The key in the storage; by default the one that Supabase's other clients use for this
            project. Only clients with the same key find the session.
        auto_refresh: Refresh in the background.
        transport: An httpx transport that sends all requests.
        allow_http: Allow ``http://`` to other machines, although others on the network could read the tokens.
        clock: This machine's clocks; tests replace them.

    Raises:
        AuthError: ``url`` is not a valid URL.
        TypeError: ``storage`` is not a storage.
    """

    session: _Trait[Session | None] = _read_only(
        traitlets.Instance, Session, allow_none=True, help="The current session."
    )
    user: _Trait[User | None] = _read_only(
        traitlets.Instance, User, allow_none=True, help="The session's user."
    )
    status: _Trait[Status] = _read_only(
        traitlets.Enum,
        STATUSES,
        default_value="signed_out",
        help="signed_out, restoring, active, refreshing, retrying or expired.",
    )
    last_event: _Trait[AuthEvent | None] = _read_only(
        traitlets.Instance, AuthEvent, allow_none=True, help="The last event: its kind, time and cause."
    )
    last_error: _Trait[errors.AuthError | None] = _read_only(
        traitlets.Instance,
        errors.AuthError,
        allow_none=True,
        help="Why the session is retrying, expired or not saved.",
    )
    next_refresh_at: _Trait[float | None] = _read_only(
        traitlets.Float,
        None,
        allow_none=True,
        help="Time of the next refresh or retry: Unix seconds, by this machine's clock.",
    )
    notices: _Trait[tuple[str, ...]] = _read_only(
        traitlets.Tuple, default_value=(), help="Notes that the panel shows."
    )
    closed: _Trait[bool] = _read_only(traitlets.Bool, False, help="Whether `close` was called.")

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str | Secret] | None = None,
        storage: SessionStorage | None = None,
        name: str = "",
        storage_key: str | None = None,
        auto_refresh: bool = True,
        transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None,
        allow_http: bool = False,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self._pending_notifications: deque[Any] = deque()
        server_clock = ServerClock(clock or Clock())
        hidden = {name: Secret(value) for name, value in (headers or {}).items()}
        headers = None  # this frame can appear in a traceback with local variables
        api = AuthAPI(url, clock=server_clock, headers=hidden, transport=transport, allow_http=allow_http)
        self._manager = SessionManager(
            api,
            default_storage() if storage is None else check_storage(storage),
            storage_key or key_of(api.url, name),
            storage_key or project_key(api.url),
            self._apply_change,
            older_keys={} if storage_key else older_storage_keys(api.url, name),
        )
        self._manager.refresher.auto_refresh = auto_refresh
        self._verifier = TokenVerifier(api)

    def __repr__(self) -> str:
        if "_manager" not in vars(self):
            return "AuthClient()"  # in a traceback of its constructor
        return f"AuthClient({self.url!r}, {'closed' if self.closed else f'status={self.status!r}'})"

    def __dir__(self) -> list[str]:
        """The names that Tab offers: the public ones, and traitlets' methods for observing."""
        inherited = set(dir(traitlets.HasTraits)) - {"observe", "unobserve", "unobserve_all"}
        return sorted(
            name for name in super().__dir__() if not name.startswith("_") and name not in inherited
        )

    def _run(self, async_fn: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine on the owner loop and wait for it (`aio` awaits it instead)."""
        self._check_open()
        return owner_loop.run(lambda: self._in_time(async_fn), self._manager.changes)

    async def _await(self, async_fn: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine on the owner loop and await it on another event loop."""
        self._check_open()
        return await owner_loop.run_async(lambda: self._in_time(async_fn), self._manager.changes)

    async def _in_time(self, async_fn: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Limit the time of a call, unless it may be waiting for the user."""
        with suppress(asyncio.TimeoutError):
            return await in_time(
                None if getattr(self.storage, "prompts", False) else CALL_TIMEOUT, async_fn()
            )
        raise errors.AuthRetryableError(
            "The call timed out. A request that it already sent may still take effect. Check the network, "
            "and try again.",
            code="network",
        )

    def _check_open(self) -> None:
        if self.closed:
            raise errors.client_closed()

    def _return(self, value: _T) -> _T:
        """Return a value that needs no waiting (in `aio`, as a coroutine)."""
        return value

    # -- state --------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The auth server's base URL."""
        return self._manager.api.url

    @property
    def storage(self) -> SessionStorage:
        """Where the session is stored."""
        return self._manager.store.storage

    @property
    def last_user(self) -> User | None:
        """The session's user, also after the session has expired; ``None`` when signed out."""
        return self._manager.state.last_user

    @property
    def uses_secret_key(self) -> bool:
        """Whether the key is a secret or service-role key, which bypasses Row Level Security."""
        return self._manager.api.uses_secret_key

    @property
    def events(self) -> tuple[AuthEvent, ...]:
        """The last 20 events, oldest first."""
        return tuple(self._manager.state.events)

    def time_left(self) -> float | None:
        """Seconds until the access token expires, by the server's clock; ``None`` without a session.

        Source: the token's ``exp``.

        Example:
            ``supabase.auth.time_left()``
        """
        return self._manager.state.time_left()

    def set_notice(self, name: str, text: str | None) -> None:
        """Show a note in the panel (trait `notices`); ``None`` removes it.

        Example:
            ``supabase.auth.set_notice("demo", "Data of this project is deleted every night.")``
        """
        self._run(lambda: self._manager.set_notice(name, text))

    # -- the session and its user (documented in `session_methods`, `user_methods`) -----------------------

    set_session = session_methods.set_session
    get_session = session_methods.get_session
    refresh_session = session_methods.refresh_session
    sign_out = session_methods.sign_out
    get_user = user_methods.get_user
    update_user = user_methods.update_user
    get_claims = user_methods.get_claims

    # -- signing in (documented in `sign_in`, `providers`, `emails`, `mfa`) -------------------------------

    sign_up = sign_in.sign_up
    sign_in_with_password = sign_in.sign_in_with_password
    sign_in_anonymously = sign_in.sign_in_anonymously
    sign_in_with_otp = sign_in.sign_in_with_otp
    verify_otp = sign_in.verify_otp
    sign_in_with_id_token = sign_in.sign_in_with_id_token
    sign_in_with_oauth = providers.sign_in_with_oauth
    get_oauth_url = providers.get_oauth_url
    sign_in_with_sso = providers.sign_in_with_sso
    sign_in_with_url = providers.sign_in_with_url
    exchange_code_for_session = providers.exchange_code_for_session
    get_user_identities = providers.get_user_identities
    link_identity = providers.link_identity
    unlink_identity = providers.unlink_identity
    reset_password_for_email = email_methods.reset_password_for_email
    reset_password_email = email_methods.reset_password_for_email
    resend = email_methods.resend
    reauthenticate = email_methods.reauthenticate

    @property
    def mfa(self) -> MFA:
        """Second factors: `MFA`."""
        from .mfa import MFA  # imported only if needed, so that importing supabase_nb is fast

        return MFA(self)

    @property
    def aio(self) -> AuthAio:
        """The same methods as coroutines: ``await supabase.auth.aio.set_session(at, rt)``."""
        from .aio import AuthAio

        return AuthAio(self)

    # -- subscribers --------------------------------------------------------------------------------------

    def on_auth_state_change(self, callback: AuthCallback) -> Subscription:
        """Call `callback(event, session)` at each event, starting with `INITIAL_SESSION`.

        All callbacks see the events in the same order, and before the call that caused an event returns. They
        can call any method, and unsubscribe. An exception in one is logged, and the others are still called.

        Coroutine functions are awaited, as a task of the event loop that is running when they subscribe (in a
        notebook, the kernel's), or at once if there is none.

        Source: supabase_auth's ``on_auth_state_change``.

        Example:
            ``supabase.auth.on_auth_state_change(lambda event, session: print(event)).unsubscribe()``
        """
        if not callable(callback):
            raise TypeError(f"on_auth_state_change takes a function, not {type(callback).__name__}.")
        loop = running_loop()
        return self._run(lambda: self._manager.subscribe(callback, loop))

    def start_auto_refresh(self) -> None:
        """Start refreshing in the background.

        Raises:
            AuthError: In a forked child process, where the session can't be refreshed (``forked_process``).

        Source: auth-js' ``startAutoRefresh``.

        Example:
            ``supabase.auth.start_auto_refresh()``
        """
        self._check_open()
        self._manager.state.check_process()
        self._manager.refresher.auto_refresh = True
        if self._manager.snapshot.session is not None:
            scheduler.register(self._manager)

    def stop_auto_refresh(self) -> None:
        """Stop refreshing in the background. `get_session` still refreshes when needed.

        Source: auth-js' ``stopAutoRefresh``.

        Example:
            ``supabase.auth.stop_auto_refresh()``
        """
        self._manager.refresher.auto_refresh = False
        scheduler.unregister(self._manager)

    def close(self) -> None:
        """Stop refreshing and close the connections. The session stays stored. May be called twice.

        Traits can still be read. Methods that need the server or the storage raise an error
        (``client_closed``).

        Source: supabase_auth's ``close``.

        Example:
            ``supabase.auth.close()``
        """
        self.set_trait("closed", True)
        self.stop_auto_refresh()
        self._manager.refresher.unsaved_lock.release()
        self._manager.api.close()

    # -- traits -------------------------------------------------------------------------------------------

    _interrupt: BaseException | None = None
    # Whether traits are being set. Their notifications are sent when all of them are set.
    _setting_traits = False

    def set_trait(self, name: str, value: Any) -> None:
        """As in traitlets, but the error doesn't contain the value, which may be a token."""
        refused = False
        try:
            super().set_trait(name, value)
        except traitlets.TraitError:
            refused = True
        if refused:
            del value  # this frame can appear in a traceback with local variables
            raise traitlets.TraitError(f"{name!r} can't have this value. Use the methods of `auth`.")

    def _apply_change(self, change: Change) -> BaseException | None:
        """Set the traits. Called for one change at a time, because traitlets is not thread-safe."""
        self._interrupt = None
        self._setting_traits = True
        try:
            for name, value in change.traits.items():
                if getattr(self, name) is not value:
                    getattr(AuthClient, name).set(self, value)
        finally:
            self._setting_traits = False
        while self._pending_notifications:
            super().notify_change(self._pending_notifications[0])
            self._pending_notifications.popleft()  # last, so that after a Ctrl-C the next call sends it
        interrupt, self._interrupt = self._interrupt, None
        return interrupt

    def notify_change(self, change: Any) -> None:
        """As in traitlets, but if several traits change together, only after all of them have."""
        if self._setting_traits:
            self._pending_notifications.append(change)
        else:
            super().notify_change(change)

    def _notify_observers(self, event: Any) -> None:
        """As in traitlets, but an exception in one observer doesn't affect the others."""
        name, kind = event["name"], event["type"]
        tables = [self._trait_notifiers[key] for key in (name, traitlets.All) if key in self._trait_notifiers]
        observers = [c for table in tables for k in (kind, traitlets.All) for c in table.get(k, ())]
        for observer in observers:
            call = observer
            if isinstance(observer, traitlets.EventHandler) and observer.name is not None:
                call = getattr(self, observer.name)
            try:
                run_awaitable(call(event))
            except Exception:  # noqa: BLE001
                log_without_text("exception in an observer of a trait; the others are still called")
            except BaseException as error:  # noqa: BLE001  (a Ctrl-C: raised when all have been called)
                self._interrupt = error
