"""`SessionAuth`: sends requests of your own httpx or httpx2 client as the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .._network import http_library as httpx
from .._network.urls import check_url
from ..auth import AuthClient
from ..auth._session_token import NO_TOKEN
from ._redirect_guard import Origin
from ._request_authorization import RequestAuthorizer
from ._token_provider import SessionTokenProvider, TokenProvider

if TYPE_CHECKING:
    from .client import Client

    class _AuthBase(httpx.Auth): ...

else:
    _AuthBase = type("_AuthBase", httpx.auth_classes(), {})


class SessionAuth(RequestAuthorizer, _AuthBase):
    """Sends requests of httpx and httpx2 clients, sync and async, as the user of a session.

    Each request carries the newest access token. If the token is about to expire, the request waits for the
    refresh. After a 401, it is sent again once with a new token, if its body is in memory. Requests, threads
    and tasks share one refresh.

    The token and the project's key are sent only to the project's origin and to the given ones. Requests and
    redirects to other origins carry neither.

    Args:
        session: A `Client`, or its ``auth``.
        origins: More origins that the token may be sent to, such as ``https://api.example.com``.

    Raises:
        AuthError: An origin is not a valid URL, or the token would be sent unencrypted.

    A request can raise `AuthRetryableError` (the token has expired and the auth server can't be reached) and
    `AuthSessionMissing` (the session has ended). If you aren't signed in, no token is sent.

    Example:
        ``httpx.Client(auth=SessionAuth(supabase)).get("https://abcd.supabase.co/rest/v1/trips")``
    """

    def __init__(self, session: Client | AuthClient, *, origins: Iterable[str] = ()) -> None:
        own: SessionTokenProvider | None = getattr(session, "_session_tokens", None)
        if own is not None and not origins:
            provider: TokenProvider = own
        else:
            auth = getattr(session, "auth", session)
            if not isinstance(auth, AuthClient):
                raise TypeError(f"SessionAuth takes a Client or its auth, not {type(session).__name__}.")
            key = own.key if own is not None else NO_TOKEN
            if isinstance(origins, str):
                raise TypeError('origins takes a list: ["https://api.example.com"].')
            others = [check_url(url) for url in origins]
            provider = SessionTokenProvider(auth, key, (session.url, *others))
        super().__init__(provider)
        self._pickled: tuple[Callable[..., SessionAuth], tuple[str, tuple[Origin, ...]]] | None = None

    @classmethod
    def _picklable(
        cls,
        provider: TokenProvider,
        on_worker: Callable[..., SessionAuth],
        shared_as: tuple[str, tuple[Origin, ...]],
    ) -> SessionAuth:
        """An object that can be pickled: it consists of its name on a cluster and its origins."""
        made = cls.__new__(cls)
        made._tokens, made._pickled = provider, (on_worker, shared_as)
        return made

    def __repr__(self) -> str:
        return f"SessionAuth({self._pickled[1][0] if self._pickled else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._pickled is None:
            raise TypeError(
                "A session can't be pickled. To use it in tasks of a Dask cluster, share it first: "
                "auth = supabase_nb.distributed.share(supabase, cluster)"
            )
        return self._pickled
