"""Client: a Supabase project, used as one user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from .._network import http_library as httpx
from .._network.connection_pool import Pool
from .._network.urls import check_url, normalize_project_url, strip_quotes
from .._runtime.environment import IN_BROWSER
from .._secrets import log_masking
from .._secrets.tokens import Secret
from ..auth import AuthClient
from ..errors import AuthError, client_closed
from ..storage import SessionStorage
from ._frames.schema import Tables
from ._project_lookup import check_key
from ._request_authorization import RequestAuthorizer, SessionTransport
from ._token_provider import SessionTokenProvider

if TYPE_CHECKING:
    from postgrest import SyncPostgrestClient, SyncRequestBuilder, SyncRPCFilterRequestBuilder
    from postgrest.types import CountMethod
    from storage3 import SyncStorageClient
    from supabase_functions import SyncFunctionsClient
    from typing_extensions import Self

    from ._realtime import SessionRealtime
    from .client_options import ClientOptions

# Timeouts in seconds: to connect, and for data (postgrest's default).
_CONNECT_TIMEOUT, _READ_TIMEOUT = 5.0, 120.0


class _DataClient(httpx.Client):
    """Sends a client's data requests."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request. On a closed client, the error says what to do next."""
        if self.is_closed:
            raise client_closed()
        return super().send(request, **options)


class Client:
    """A Supabase project.

    Tables, storage, functions and realtime come from Supabase's own packages (extra ``data``). All data
    requests share one connection pool, and each carries the newest access token.

    Args:
        url: The project's URL, ``https://abcd.supabase.co``, or its page in the dashboard.
        key: Its publishable (anon) key.
        name: A name for this session, if you use several sessions of one project.
        storage: Where the session is stored; by default a file in the user's data folder.
        auth_url: The auth server's base URL, if it isn't ``{url}/auth/v1``. Each auth server has its own
            stored session.
        transport: A transport for all requests; by default, data and the auth server each have a
            connection pool.
        allow_secret_key: Accept a service-role or secret key. It bypasses Row Level Security.
        **options: More arguments of `AuthClient`.

    Raises:
        AuthError: ``url`` is not a valid URL, or ``key`` does not belong in a notebook.

    Source: supabase-py's ``Client``.

    Example:
        ``supabase = Client("https://abcd.supabase.co", "sb_publishable_...")``
    """

    #: The session.
    auth: AuthClient

    def __init__(
        self,
        url: str,
        key: str,
        *,
        name: str = "",
        storage: SessionStorage | None = None,
        auth_url: str | None = None,
        schema: str = "public",
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
        allow_secret_key: bool = False,
        **options: Any,
    ) -> None:
        if not isinstance(key, (str, Secret)):
            raise AuthError("The project's key is missing. Pass it as a string.", code="no_key")
        hidden = {name: Secret(value) for name, value in (headers or {}).items()}
        headers = None  # this frame can appear in a traceback with local variables
        self._key, key = Secret(strip_quotes(Secret(key).reveal())), ""
        url = normalize_project_url(url)
        check_key(self._key, url, allow_secret_key=allow_secret_key)
        self.url = check_url(url, allow_http=options.get("allow_http", False))
        self.name = name
        auth_url = check_url(auth_url or f"{self.url}/auth/v1", allow_http=options.get("allow_http", False))
        self.auth = AuthClient(
            auth_url,
            headers={"apikey": self._key, **hidden},
            name=name,
            storage=storage,
            transport=transport,
            **options,
        )
        log_masking.install()
        self._session_tokens = SessionTokenProvider(self.auth, self._key, [self.url])
        self._tables = Tables(self, self._session_tokens)
        # Redirects don't carry tokens: the transport authorizes each hop to the project again.
        self.http: httpx.Client = _DataClient(
            transport=SessionTransport(RequestAuthorizer(self._session_tokens), transport or Pool()),
            base_url=self.url,
            headers={name: value.reveal() for name, value in hidden.items()},
            timeout=httpx.Timeout(_READ_TIMEOUT, connect=_CONNECT_TIMEOUT),
            follow_redirects=True,
            event_hooks={"response": [self._tables.row_limit.check]},
        )
        self._default_schema = schema
        self._on_close: list[Callable[[], object]] = []
        self._postgrest: SyncPostgrestClient | None = None
        self._storage: SyncStorageClient | None = None
        self._functions: SyncFunctionsClient | None = None
        self._realtime: SessionRealtime | None = None

    @property
    def key(self) -> str:
        """The project's publishable key."""
        return self._key.reveal()

    @property
    def supabase_url(self) -> str:
        """The project's URL (`url`), under its name in supabase-py."""
        return self.url

    @property
    def supabase_key(self) -> str:
        """The project's publishable key (`key`), under its name in supabase-py."""
        return self.key

    def __repr__(self) -> str:
        if "auth" not in vars(self):
            return f"{type(self).__name__}()"  # in a traceback of its constructor
        return f"{type(self).__name__}({self.url!r}, {'closed' if self.closed else self.auth.status})"

    def __dir__(self) -> list[str]:
        """The public names, for tab completion."""
        return sorted(name for name in super().__dir__() if not name.startswith("_"))

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self.auth.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop refreshing and close the connections. The session stays in storage. Can be called twice.

        Example:
            ``supabase.close()``
        """
        while self._on_close:
            self._on_close.pop()()
        self.auth.close()
        self.http.close()

    # -- set_auth ------------------------------------------------------------------------------------------

    def set_auth(self, token: str | Secret | None) -> None:
        """Send all requests, including realtime's, with another token.

        Unlike `AuthClient.set_session`, this doesn't change the session, which is still stored and refreshed.
        The panel says that another token is in use.

        Args:
            token: An access token of this project; ``None``: use the session's token again.

        Raises:
            AuthInvalidJwt: The argument doesn't look like a token.

        Example:
            ``supabase.set_auth(at)``
        """
        token = None if token is None else Secret(token)
        self._session_tokens.override(token)

    # -- data, with Supabase's packages -----------------------------------------------------------------

    @property
    def postgrest(self) -> SyncPostgrestClient:
        """The database's tables and functions."""
        if self._postgrest is None:
            self._postgrest = self.schema(self._default_schema)
        return self._postgrest

    def table(self, name: str) -> SyncRequestBuilder:
        """Query a table or view.

        Source: supabase-py's ``table``.

        Example:
            ``supabase.table("trips").select("*").execute().data``
        """
        return self.postgrest.from_(name)

    from_ = table

    def schema(self, name: str) -> SyncPostgrestClient:
        """Query another schema than ``public``. It must be exposed in the project's settings.

        Source: supabase-py's ``schema``.

        Example:
            ``supabase.schema("private").from_("notes").select("*").execute().data``
        """
        try:
            from postgrest import SyncPostgrestClient
        except ImportError:
            raise _missing("postgrest") from None
        # Not with postgrest's `schema()`: before 2.34, it didn't use our connections, so it lost the session.
        made = SyncPostgrestClient(f"{self.url}/rest/v1", schema=name, headers={}, http_client=self.http)
        made._owns_session = False  # in a `with` block, this keeps our connections open (since 2.34)
        return made

    def rpc(
        self,
        function: str,
        params: dict[str, Any] | None = None,
        count: CountMethod | None = None,
        head: bool = False,
        get: bool = False,
    ) -> SyncRPCFilterRequestBuilder:
        """Call a database function.

        Args:
            function: Its name.
            params: Its arguments.
            count: How to count the rows.
            head: Only count the rows, without returning them.
            get: Call it with GET, which is read-only.

        Source: supabase-py's ``rpc``.

        Example:
            ``supabase.rpc("distance", {"start": "London"}).execute().data``
        """
        return self.postgrest.rpc(function, params or {}, count, head, get)

    def frame(
        self,
        query: Any,
        *,
        as_: str = "pandas",
        dtype_backend: str | None = None,
        key: str | Sequence[str] | None = None,
        progress: bool = True,
    ) -> Any:
        """All rows of a query as a DataFrame.

        A server limits the rows per request, at Supabase to 1,000. This requests all pages, several at once,
        compares the number of rows with the server's count, and warns if the table changed in the meantime.
        Rows are sorted by the query's order, then by the primary key. ``limit()`` and ``range()`` are
        respected.

        Args:
            query: A query without ``execute()``, or a table's name.
            as_: ``"pandas"``, ``"polars"`` or ``"pyarrow"``.
            dtype_backend: ``"numpy_nullable"`` or ``"pyarrow"``, instead of pandas' default types.
            key: Columns that are unique together, if the server reveals no primary key and it isn't ``id``.
            progress: Show a progress bar after a second.

        Returns:
            The frame. ``frame.attrs["supabase"]`` has the user, the time and the number of rows (in pyarrow,
            the schema's metadata).

        Raises:
            postgrest.APIError: The server rejected the query.
            AuthError: The session has ended, or another user signed in during the call.
            TypeError: The argument isn't a query that reads rows.
            ImportError: The library isn't installed.

        Example:
            ``supabase.frame(supabase.table("trips").select("day, km"))``
        """
        try:
            from ._frames.frame import frame
        except ImportError:
            raise _missing("postgrest") from None
        return frame(self._tables, query, as_, dtype_backend, key, progress)

    @property
    def storage(self) -> SyncStorageClient:
        """The project's files. The session is stored in ``auth.storage``, not here."""
        if self._storage is None:
            try:
                from storage3 import SyncStorageClient
            except ImportError:
                raise _missing("storage3") from None
            self._storage = SyncStorageClient(f"{self.url}/storage/v1/", headers={}, http_client=self.http)
        return self._storage

    @property
    def functions(self) -> SyncFunctionsClient:
        """Edge functions: ``supabase.functions.invoke("hello")``."""
        if self._functions is None:
            try:
                from supabase_functions import SyncFunctionsClient
            except ImportError:
                raise _missing("supabase-functions") from None
            self._functions = SyncFunctionsClient(f"{self.url}/functions/v1", {}, http_client=self.http)
        return self._functions

    @property
    def realtime(self) -> SessionRealtime:
        """Realtime changes (async): ``await supabase.realtime.channel("room").subscribe()``."""
        if IN_BROWSER:
            raise AuthError(
                "Realtime is not available in a browser: it needs a WebSocket, which Python can't open there."
            )
        if self._realtime is None:
            try:
                from ._realtime import SessionRealtime
            except ImportError:
                raise _missing("realtime") from None
            self._realtime = SessionRealtime(self._session_tokens, self.url)
            self._on_close.append(self._realtime.stop)
        return self._realtime


def _missing(package: str) -> ImportError:
    return ImportError(f'This needs {package}: pip install "supabase-nb[data]"', name=package)


@overload
def create_client(url: str, key: str, options: ClientOptions | None = None, **more: Any) -> Client: ...
@overload
def create_client(
    *, supabase_url: str, supabase_key: str, options: ClientOptions | None = None, **more: Any
) -> Client: ...
def create_client(
    url: str | None = None,
    key: str | None = None,
    options: ClientOptions | None = None,
    *,
    supabase_url: str | None = None,
    supabase_key: str | None = None,
    **more: Any,
) -> Client:
    """Create a `Client`. Supabase's own packages use the same name.

    Args:
        url: The project's URL, ``https://abcd.supabase.co``, or its page in the dashboard.
        key: Its publishable (anon) key.
        options: A `ClientOptions`, or supabase-py's.
        supabase_url: The URL, under its name in supabase-py.
        supabase_key: The key, under its name in supabase-py.
        **more: More arguments of `Client`. They override ``options``.

    Raises:
        AuthError: The URL or the key is missing (``no_url``, ``no_key``), or `Client` raises it.
        TypeError: The URL or the key is passed twice, or an option isn't supported.

    Source: ``create_client`` of supabase-py.

    Example:
        ``supabase = create_client(supabase_url=url, supabase_key=key)``
    """
    from .client_options import client_arguments

    given = [each for each in (key, supabase_key) if each is not None]
    key = supabase_key = None  # this frame can appear in a traceback with local variables
    secret: Any = Secret(given[0]) if given and isinstance(given[0], str) else None
    for name, twice in (("url", None not in (url, supabase_url)), ("key", len(given) > 1)):
        if twice:
            del given
            raise TypeError(f"Pass either {name} or supabase_{name}, not both.")
    del given
    # If one is missing, `Client` raises the error.
    return Client(
        supabase_url if url is None else url,  # type: ignore[arg-type]
        secret,
        **(client_arguments(options) | more),
    )
