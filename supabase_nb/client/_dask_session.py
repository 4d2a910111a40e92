"""The session on a Dask cluster: workers send requests with the newest access token.

The kernel publishes each new access token on the scheduler, and workers read it there. If a server rejects a
worker's token, the worker asks the kernel for a refresh and waits for the new token. The refresh token stays
in the kernel, and a pickled `SessionAuth` contains a name but no token.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

from .._runtime.thread_executor import in_thread
from .._secrets.log_masking import log_without_text
from .._secrets.tokens import Secret
from ..auth._session_token import NO_TOKEN
from ..errors import AuthError, AuthRetryableError, AuthSessionMissing
from ._redirect_guard import Origin
from ._token_provider import RejectedToken, SessionTokenProvider
from .httpx_auth import SessionAuth

if TYPE_CHECKING:
    import distributed

    from .client import Client

# In seconds: how long a worker uses a token before it asks the scheduler again, and how long it waits for it.
_CACHE_TIME, _TIMEOUT = 5.0, 15.0
# Sessions that this process shares. Tasks in the same process use them directly.
_shared_here: WeakValueDictionary[str, SessionAuth] = WeakValueDictionary()
_worker_auths: dict[str, SessionAuth] = {}


def share(supabase: Client, cluster: distributed.Client) -> SessionAuth:
    """Let the tasks of a Dask cluster send requests as the user.

    Anyone who can run tasks on the cluster can read the access token. Use a cluster that you trust, and TLS
    if it isn't on this machine.

    Args:
        supabase: The client with the session. It publishes tokens until it is closed.
        cluster: The cluster's (synchronous) client.

    Returns:
        An auth object for tasks: ``httpx.Client(auth=…)``.

    Raises:
        AuthRetryableError: The scheduler can't be reached.
        TypeError: An asynchronous client.
    """
    if cluster.asynchronous:
        raise TypeError("share() takes a synchronous dask client: distributed.Client(…), without await.")
    publisher = _Publisher(supabase._session_tokens, cluster)
    publisher.start()
    supabase._on_close.append(publisher.stop)
    return publisher.auth


def on_worker(name: str, origins: Iterable[Origin]) -> SessionAuth:
    """Unpickle a `SessionAuth` on a worker."""
    found = _shared_here.get(name)
    return found or _worker_auths.setdefault(
        name, SessionAuth._picklable(RemoteTokens(name, origins), on_worker, (name, tuple(origins)))
    )


def _dask() -> Any:
    """The module `distributed`, imported on first use. It has no type hints."""
    import distributed

    return distributed


class _Publisher:
    """The kernel's side: publishes each new token, and refreshes it when a worker asks.

    Args:
        provider: The tokens of the client's requests.
        cluster: The cluster's client.
    """

    def __init__(self, provider: SessionTokenProvider, cluster: Any) -> None:
        self.name = f"supabase-nb-{uuid.uuid4().hex}"
        self._tokens, self._cluster = provider, cluster
        self._publishing = asyncio.Lock()
        self._published: Secret | None = None
        self._generation = 0
        self._open = True
        self.auth = SessionAuth._picklable(provider, on_worker, (self.name, tuple(provider.origins)))
        _shared_here[self.name] = self.auth

    def start(self) -> None:
        """Publish the current token and each new one."""
        with contextlib.suppress(AuthError):  # tasks get the error when they ask for a token
            self._tokens.fetch()  # reads the session from storage, if needed
        failure = self._cluster.sync(self._publish)
        if failure:
            raise AuthRetryableError(f"The session could not be shared with the cluster ({failure}).")
        self._cluster.subscribe_topic(self.name, self._on_refresh_request)
        self._stop_listening = self._tokens.on_change(self._on_token_change)

    def stop(self) -> None:
        """Stop sharing; tasks get an error."""
        self._open = False
        self._stop_listening()
        if self._cluster.status == "running":
            self._cluster.sync(self._publish)
            self._cluster.unsubscribe_topic(self.name)

    def _on_token_change(self) -> None:
        # Observers must not block, so the cluster's loop does it.
        if self._open and self._cluster.status == "running":
            self._cluster.loop.add_callback(self._publish)

    async def _publish(self) -> str:
        """Publish the current token. Returns an error's name instead of raising, as frames hold the token."""
        dask = _dask()
        async with self._publishing:
            token = self._tokens.last_token() if self._open else NO_TOKEN
            if token == self._published:
                return ""
            before, self._generation = self._generation, self._generation + 1
            failure = ""
            try:
                await dask.Variable(self.name, self._cluster).set(self._announcement(token))
                self._published = token
                # Workers that wait for a newer token.
                await dask.Event(f"{self.name}-{before}", self._cluster).set()
                await dask.Event(f"{self.name}-{before - 2}", self._cluster).clear()
            except Exception as error:  # noqa: BLE001
                log_without_text("a new token could not be shared with the cluster")
                failure = type(error).__name__
            return failure

    def _announcement(self, token: Secret) -> dict[str, object]:
        soon = self._tokens.margin()
        return {
            "generation": self._generation,
            "token": token.reveal(),
            "key": self._tokens.key.reveal(),
            # The session is refreshed this long before the token expires.
            "keep": min(_CACHE_TIME, (2.0 if soon is None else soon) / 2),
        }

    def _on_refresh_request(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """A worker's token was rejected. Called in the cluster's loop."""
        token = self._published
        if token and event[1].get("generation") == self._generation:
            threading.Thread(
                target=self._tokens.refresh, args=(token,), name="supabase-nb-asked", daemon=True
            ).start()


class _CachedToken(NamedTuple):
    """A worker's token, and until when (monotonic clock) it is used without asking again."""

    generation: int
    token: Secret
    key: Secret
    until: float


class RemoteTokens:
    """The worker's side: the counterpart of the kernel's `SessionTokenProvider`.

    Args:
        name: The name under which the session is shared.
        origins: Addresses that the token may be sent to.
    """

    def __init__(self, name: str, origins: Iterable[Origin]) -> None:
        self._name = name
        self.origins = frozenset((scheme, host, port) for scheme, host, port in origins)
        self.cached: _CachedToken | None = None
        self._rejected = RejectedToken(NO_TOKEN)
        self._lock = threading.Lock()

    @property
    def key(self) -> Secret:
        """The project's public key."""
        return self.cached.key if self.cached is not None else NO_TOKEN

    def token_if_ready(self) -> Secret | None:
        """The newest token, if the scheduler was asked recently."""
        cached = self.cached
        return cached.token if cached and cached.token and cached.until > time.monotonic() else None

    def fetch(self) -> Secret:
        """The newest token, from the scheduler.

        Raises:
            AuthSessionMissing: The kernel that shared the session is signed out or has closed the client.
            AuthRetryableError: The scheduler doesn't respond.
        """
        with self._lock:
            token = self.token_if_ready() or self._read_from_scheduler().token
        if not token:
            raise AuthSessionMissing(
                "The notebook that shared this session is signed out, or its client was closed. Sign in "
                "there, or share the session again.",
                code="session_missing",
            )
        return token

    async def fetch_async(self) -> Secret:
        """`fetch` as a coroutine."""
        return await in_thread(self.fetch)

    async def refresh_async(self, old_token: Secret) -> Secret | None:
        """`refresh` as a coroutine."""
        return await in_thread(lambda: self.refresh(old_token))

    def refresh(self, old_token: Secret) -> Secret | None:
        """A newer token than `old_token`, from the kernel if needed."""
        if self._rejected.matches(old_token):
            return None
        try:
            cached = self._read_from_scheduler()
            if cached.token == old_token:
                self._wait_for_next(cached.generation)
                cached = self._read_from_scheduler()
        except AuthError:
            return None
        return cached.token if cached.token and cached.token != old_token else None

    def mark_rejected(self, token: Secret) -> None:
        """A token that has just been refreshed was rejected too."""
        self._rejected = RejectedToken(token)

    def _read_from_scheduler(self) -> _CachedToken:
        dask = _dask()
        published: Any = None
        try:
            published = dask.Variable(self._name, dask.get_client()).get(timeout=_TIMEOUT)
            found = _CachedToken(
                published["generation"],
                Secret(published["token"]),
                Secret(published["key"]) or NO_TOKEN,
                time.monotonic() + published["keep"],
            )
        except Exception as error:  # noqa: BLE001  (whatever the cluster says, in its own kinds of errors)
            found, failure = None, type(error).__name__
        del published
        if found is None:
            raise AuthRetryableError(
                f"The session could not be read from the cluster's scheduler ({failure}). Check that this "
                "runs in a task, and that the notebook that shared the session is still running."
            )
        self.cached = found
        return found

    def _wait_for_next(self, generation: int) -> None:
        """Have the kernel refresh the token, and wait for it."""
        dask = _dask()
        client = dask.get_client()
        client.log_event(self._name, {"generation": generation})
        dask.Event(f"{self._name}-{generation}", client).wait(timeout=_TIMEOUT)
