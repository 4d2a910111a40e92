"""AuthClient: a Supabase Auth session that refreshes itself and can be observed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import traitlets

from .. import _credential_checks, errors, redaction, tokens
from .._thread_executor import in_thread
from ..log_redaction import log_without_text
from ..models import (
    STATUSES,
    AuthCallback,
    AuthEvent,
    ClaimsResponse,
    Session,
    SessionResponse,
    Status,
    Subscription,
    User,
    UserResponse,
)
from ..storage import SessionStorage, default_storage, older_storage_keys, project_key
from ..storage import storage_key as key_of
from ..tokens import Secret
from . import _arguments, emails, providers, sign_in
from ._api.endpoints import AuthAPI
from ._api.limits import CALL_TIMEOUT, in_time
from ._api.server_clock import Clock, ServerClock
from ._api.verified_claims import Verifier
from ._arguments import MISSING, Given, Scope, SignOutOptions, WholeSession
from ._loop import owner_loop, running_loop
from ._session.change_queue import Change, run_awaitable
from ._session.manager import SessionManager
from ._session.scheduler import scheduler
from ._session.stored_session import TokenPair

if TYPE_CHECKING:
    from .. import _http as httpx
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
        self._unnotified: deque[Any] = deque()
        server_clock = ServerClock(clock or Clock())
        hidden = {name: Secret(value) for name, value in (headers or {}).items()}
        headers = None  # this frame can appear in a traceback with local variables
        api = AuthAPI(url, clock=server_clock, headers=hidden, transport=transport, allow_http=allow_http)
        self._manager = SessionManager(
            api,
            storage or default_storage(),
            storage_key or key_of(api.url, name),
            storage_key or project_key(api.url),
            self._apply,
            older_keys={} if storage_key else older_storage_keys(api.url, name),
        )
        self._manager.refresher.background = auto_refresh
        self._verifier = Verifier(api)

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

    def _run(self, make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine on the owner loop and wait for it (`aio` awaits it instead)."""
        self._check_open()
        return owner_loop.call(lambda: _in_time(make), self._manager.changes)

    async def _await(self, make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine on the owner loop and await it on another event loop."""
        self._check_open()
        return await owner_loop.wait(lambda: _in_time(make), self._manager.changes)

    def _check_open(self) -> None:
        if self.closed:
            raise errors.client_closed()

    def _answer(self, value: _T) -> _T:
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

    # -- the session --------------------------------------------------------------------------------------

    @overload
    def set_session(self, access_token: str | Secret, refresh_token: str | Secret) -> SessionResponse: ...
    @overload
    def set_session(self, session: WholeSession, /) -> SessionResponse: ...
    def set_session(
        self, access_token: str | Secret | WholeSession, refresh_token: str | Secret = MISSING
    ) -> SessionResponse:
        """Restore a session from its tokens.

        If the access token has expired, the refresh token is exchanged; otherwise the server verifies the
        access token. If storage has newer tokens of the same session, these are used instead.

        Args:
            access_token: The JWT. If it can't be decoded, it counts as expired. As the only argument, this
                can be a whole session: this package's or supabase-py's, a response with one, or a dictionary.
            refresh_token: The refresh token. If it is ``""``, the session ends when the access token expires.

        Returns:
            The current user, and the session with your tokens or newer ones.

        Raises:
            AuthError: You passed a key instead of a token, swapped the tokens, or passed another project's
                (``key_for_token``, ``swapped_tokens``, ``wrong_project``). Nothing was sent.
            AuthSessionMissing: The access token has expired and there is no refresh token; or the session was
                signed out (``session_not_found``); or the only argument contains no session.
            UserDoesntExist: The access token matches no user.
            AuthSessionMismatch: The tokens belong to different users.
            AuthApiError: The server rejected the request; ``code`` says why.
            AuthRetryableError: The server can't be reached (raised within 15 s).
            AuthStorageError: The session is active, but could not be saved.
            AuthError: ``superseded``: another sign-out, sign-in or `set_session` finished during this call.
                Tokens that the server issued for this call are revoked.
            TypeError: The only argument is not a session with both tokens, or you passed a session and a
                token.

        Example:
            ``supabase.auth.set_session(other.auth.get_session())`` continues the session of ``other``, a
            supabase-py client. Only one of them should refresh it.

        If the call fails, you keep your previous session. Source: Supabase's reference, "Set the session
        data".
        """
        in_force = self._manager.snapshot.record
        pair = _arguments.token_pair(access_token, refresh_token, in_force.session if in_force else None)
        access_token = refresh_token = ""  # this frame can appear in a traceback with local variables
        if pair is None:
            raise TypeError(_arguments.ONE_SESSION)
        if in_force is None or pair != in_force.pair:  # otherwise it was checked when it was received
            _credential_checks.refuse_mixed_up_tokens(pair.access_token, pair.refresh_token, self.url)
        return self._run(lambda: self._set_session(pair))

    async def _set_session(self, pair: TokenPair) -> SessionResponse:
        response = await _response(self._manager.set_session.from_tokens(pair))
        if not redaction.was_given(pair.refresh_token):
            # The server accepted it as a refresh token, so mask it even if it looks like a word.
            await in_thread(lambda: redaction.remember(pair.refresh_token, given=True))
        return response

    def get_session(self) -> Session | None:
        """The session, refreshed if it is about to expire; ``None`` when not signed in.

        Raises:
            AuthRetryableError: The session has expired and can't be refreshed now. It is kept.
            AuthStorageError: The storage can't be read.

        Source: supabase_auth's ``get_session``.

        Example:
            ``session = supabase.auth.get_session()``
        """
        fresh = None if self.closed else self._manager.session_if_fresh()
        return self._answer(fresh) if fresh else self._run(self._manager.get_fresh)

    def refresh_session(self, refresh_token: str | Secret | None = None) -> SessionResponse:
        """Exchange the refresh token now.

        Threads, tasks and kernels that refresh at the same moment share one request.

        Args:
            refresh_token: Another session's refresh token, to restore that session; by default, the
                current session's.

        Raises:
            AuthSessionMissing: Not signed in.
            AuthApiError: The server has ended the session.
            AuthRetryableError: The server can't be reached. The refresh is retried in the background.
            AuthStorageError: The session was refreshed, but not saved.
            TypeError: The refresh token is not a string.

        Source: supabase_auth's ``refresh_session``.

        Example:
            ``supabase.auth.refresh_session().session.expires_at``
        """
        given = Given("refresh_session", refresh_token=refresh_token)
        refresh_token = None  # this frame can appear in a traceback with local variables
        fields = given.fields()
        if fields:
            return self.set_session("", fields["refresh_token"])
        return self._run(lambda: _response(self._manager.refresh()))

    def sign_out(
        self, scope: Scope | SignOutOptions | None = "global", *, options: SignOutOptions | None = None
    ) -> None:
        """Sign out. This takes effect here at once, even during an outage.

        The call waits up to a second for the server's response. After that, it is retried in the background.

        Args:
            scope: Which sessions of the user to end. ``"global"``: all; ``"local"``: this one; ``"others"``:
                all except this one. Or a dictionary: ``{"scope": "local"}``.
            options: The same dictionary under its name in supabase-py.

        Raises:
            AuthError: An unknown scope.
            TypeError: Not a string or a dictionary, or the dictionary has another key than ``scope``.
            AuthSessionMissing: The scope is ``"others"``, and you aren't signed in.
            AuthStorageError: Signed out, but the stored session could not be removed.

        Source: supabase_auth's ``sign_out``.

        Example:
            ``supabase.auth.sign_out({"scope": "local"})``
        """
        known = _arguments.scope_of(scope, options)
        scope = options = None  # this frame can appear in a traceback with local variables
        if isinstance(known, Exception):
            raise known
        return self._run(lambda: self._sign_out(known))

    async def _sign_out(self, scope: Scope) -> None:
        if scope == "others":
            session = await self._manager.get_fresh_or_raise()
            await self._manager.api.logout(Secret(session.access_token), scope)
        else:
            await self._manager.sign_out(scope)

    def get_user(self, jwt: str | Secret | None = None) -> UserResponse:
        """Request the user from the server.

        The result is the user itself. As in supabase-py, it also has the user as ``.user``.

        Args:
            jwt: An access token; by default the session's.

        Raises:
            AuthSessionMissing: Not signed in.
            AuthApiError: The server rejected the request.
            AuthRetryableError: The server can't be reached.
            TypeError: The token is not a string.

        Source: supabase_auth's ``get_user``.

        Example:
            ``supabase.auth.get_user().user.email``
        """
        given = Given("get_user", jwt=jwt)
        jwt = None  # this frame can appear in a traceback with local variables
        fields = given.fields()
        return self._run(lambda: self._get_user(fields.get("jwt")))

    async def _get_user(self, token: Secret | None) -> UserResponse:
        return UserResponse.of(await self._manager.api.get_user(await self._token(token)))

    async def _token(self, token: Secret | None) -> Secret:
        """The given token, or the session's."""
        return tokens.clean(token) or Secret((await self._manager.get_fresh_or_raise()).access_token)

    def update_user(
        self,
        attributes: Mapping[str, object] | None = None,
        options: Mapping[str, str] | None = None,
        *,
        email: str | None = None,
        phone: str | None = None,
        password: str | Secret | None = None,
        current_password: str | Secret | None = None,
        nonce: str | Secret | None = None,
        data: Mapping[str, Any] | None = None,
        channel: str | None = None,
        redirect_to: str | None = None,
    ) -> SessionResponse:
        """Change the user: ``{"data": {...}}``, ``{"password": ...}``, ``{"email": ...}``.

        The event is `USER_UPDATED`. The tokens don't change.

        Args:
            attributes: The attributes as a dictionary.
            options: ``{"email_redirect_to": ...}``.
            email: The new address. The server may require it to be confirmed first.
            phone: The new number, with country code.
            password: The new password.
            current_password: The old password, if the project requires it.
            nonce: The code from `reauthenticate`, if the project requires one.
            data: Metadata to add or change.
            channel: ``"sms"`` or ``"whatsapp"``, for a phone.
            redirect_to: Where the link in the confirmation email leads.

        Raises:
            AuthSessionMissing: Not signed in.
            AuthWeakPassword: The password is too weak. ``reasons`` says why.
            AuthApiError: The server rejected the request.
            TypeError: An unknown attribute, or a value of the wrong type.

        Source: supabase_auth's ``update_user``.

        Example:
            ``supabase.auth.update_user(data={"city": "London"}).user.user_metadata["city"]``
        """
        given = Given(
            "update_user",
            attributes,
            options,
            email=email,
            phone=phone,
            password=password,
            current_password=current_password,
            nonce=nonce,
            data=data,
            channel=channel,
            redirect_to=redirect_to,
        )
        attributes = password = current_password = nonce = None
        fields = given.fields()
        leads_to = fields.pop("redirect_to", None)
        return self._run(lambda: _response(self._manager.update_user(fields, leads_to)))

    def get_claims(
        self, jwt: str | Secret | None = None, jwks: Mapping[str, Any] | None = None
    ) -> ClaimsResponse:
        """Verify the access token with the project's public keys (cached for 10 minutes). Returns its claims.

        If these keys can't verify the token, the auth server does, with one `get_user` request per call. This
        applies to tokens signed with a shared secret (HS256) or a newer key, to unreadable keys, and if the
        package ``cryptography`` is missing.

        Args:
            jwt: An access token; by default the session's.
            jwks: Public keys to try first, ``{"keys": [...]}``.

        Returns:
            ``claims``, ``headers`` and ``signature``, as attributes and keys.

        Raises:
            AuthInvalidJwt: The signature is wrong, or the token has expired.
            AuthSessionMissing: Not signed in.
            AuthApiError: The server rejected the token for another reason (``user_not_found``…).
            AuthRetryableError: The server has to verify the token, but can't be reached.
            TypeError: The token is not a string, or the keys are not a dictionary.

        Source: supabase_auth's ``get_claims``.

        Example:
            ``supabase.auth.get_claims().claims["exp"]``: Unix seconds, by the server's clock.
        """
        given = Given("get_claims", jwt=jwt, jwks=jwks)
        jwt = None  # this frame can appear in a traceback with local variables
        fields = given.fields()
        return self._run(lambda: self._get_claims(fields.get("jwt"), fields.get("jwks")))

    async def _get_claims(self, token: Secret | None, jwks: Mapping[str, Any] | None) -> ClaimsResponse:
        return await self._verifier.verify(await self._token(token), jwks)

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
    reset_password_for_email = emails.reset_password_for_email
    reset_password_email = emails.reset_password_for_email
    resend = emails.resend
    reauthenticate = emails.reauthenticate

    @property
    def mfa(self) -> MFA:
        """Second factors: `MFA`."""
        from .mfa import MFA

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

        Source: auth-js' ``startAutoRefresh``.

        Example:
            ``supabase.auth.start_auto_refresh()``
        """
        self._check_open()
        self._manager.refresher.background = True
        if self._manager.snapshot.session is not None:
            scheduler.register(self._manager)

    def stop_auto_refresh(self) -> None:
        """Stop refreshing in the background. `get_session` still refreshes when needed.

        Source: auth-js' ``stopAutoRefresh``.

        Example:
            ``supabase.auth.stop_auto_refresh()``
        """
        self._manager.refresher.background = False
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
        self._manager.api.close()

    # -- traits -------------------------------------------------------------------------------------------

    _interrupt: BaseException | None = None
    # Whether traits are being set. Until all of them are, their notifications wait in `_unnotified`.
    _setting = False

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

    def _apply(self, change: Change) -> BaseException | None:
        """Set the traits. Called for one change at a time, because traitlets is not thread-safe."""
        self._interrupt = None
        self._setting = True
        try:
            for name, value in change.traits.items():
                if getattr(self, name) is not value:
                    getattr(AuthClient, name).set(self, value)
        finally:
            self._setting = False
        while self._unnotified:
            super().notify_change(self._unnotified[0])
            self._unnotified.popleft()  # last, so that after a Ctrl-C the next call sends it
        interrupt, self._interrupt = self._interrupt, None
        return interrupt

    def notify_change(self, change: Any) -> None:
        """As in traitlets, but if several traits change together, only after all of them have."""
        if self._setting:
            self._unnotified.append(change)
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


async def _in_time(make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Limit the time of a call."""
    with suppress(asyncio.TimeoutError):
        return await in_time(CALL_TIMEOUT, make())
    raise errors.AuthRetryableError(
        "The call took too long. What it has already sent may still take effect. Check the network, and try "
        "again.",
        code="network",
    )


async def _response(session: Coroutine[Any, Any, Session]) -> SessionResponse:
    found = await session
    return SessionResponse(found.user, found)
