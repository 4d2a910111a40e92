"""The session on a Dask cluster: workers send requests with the newest access token, and never see more.

The kernel that has the session publishes each new access token on the scheduler; workers read it there. A
worker whose token is refused says so, the kernel refreshes, and the worker waits for what comes of it. The
refresh token stays in the kernel, and a pickled `SessionAuth` holds a name and no token at all.
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

from .._thread_executor import in_thread
from ..auth.session_token import NO_TOKEN
from ..errors import AuthError, AuthRetryableError, AuthSessionMissing
from ..logs import log_without_text
from ..tokens import Secret
from .redirect_guard import Origin
from .request_tokens import Refused, SessionTokens
from .session_auth import SessionAuth

if TYPE_CHECKING:
    import distributed

    from .client import Client

# Seconds for which a worker does not ask the scheduler again, at most; and for which it waits for it.
_KEEP, _PATIENCE = 5.0, 15.0
# What is shared from this process: tasks that run in it need no detour.
_here: WeakValueDictionary[str, SessionAuth] = WeakValueDictionary()
_on_this_worker: dict[str, SessionAuth] = {}


def share(supabase: Client, cluster: distributed.Client) -> SessionAuth:
    """Let the tasks of a Dask cluster send requests as the user.

    Anyone who may run tasks on the cluster, and its scheduler, can read the access token: share it with a
    cluster that you trust, over TLS if it is not on this machine.

    Args:
        supabase: The client that has the session. It publishes until it is closed.
        cluster: The cluster's (synchronous) client.

    Returns:
        What to hand to tasks, for ``httpx.Client(auth=…)`` there.

    Raises:
        AuthRetryableError: The scheduler cannot be reached.
        TypeError: An asynchronous client.
    """
    if cluster.asynchronous:
        raise TypeError("share() takes a synchronous dask client: distributed.Client(…), without await.")
    shared = _Share(supabase._bearer, cluster)
    shared.begin()
    supabase._closing.append(shared.end)
    return shared.auth


def on_worker(name: str, origins: Iterable[Origin]) -> SessionAuth:
    """What a pickled `SessionAuth` becomes."""
    found = _here.get(name)
    return found or _on_this_worker.setdefault(
        name, SessionAuth._shared(RemoteTokens(name, origins), on_worker, (name, tuple(origins)))
    )


def _dask() -> Any:
    """Imported when it is needed, and without type hints of its own."""
    import distributed

    return distributed


class _Share:
    """The kernel's side: publishes each new token, and renews when a worker asks.

    Args:
        provider: What requests of the client carry.
        cluster: The cluster's client.
    """

    def __init__(self, provider: SessionTokens, cluster: Any) -> None:
        self.name = f"supabase-nb-{uuid.uuid4().hex}"
        self._tokens, self._cluster = provider, cluster
        self._publishing = asyncio.Lock()
        self._published: Secret | None = None
        self._generation = 0
        self._open = True
        self.auth = SessionAuth._shared(provider, on_worker, (self.name, tuple(provider.origins)))
        _here[self.name] = self.auth

    def begin(self) -> None:
        """Publish what is in force, then whatever follows."""
        with contextlib.suppress(AuthError):  # tasks are told why, when they ask
            self._tokens.fetch()  # from storage, if it has not been read yet
        failure = self._cluster.sync(self._publish)
        if failure:
            raise AuthRetryableError(f"The session could not be shared with the cluster ({failure}).")
        self._cluster.subscribe_topic(self.name, self._asked)
        self._stop_listening = self._tokens.listen(self._changed)

    def end(self) -> None:
        """Stop sharing; tasks get an error."""
        self._open = False
        self._stop_listening()
        if self._cluster.status == "running":
            self._cluster.sync(self._publish)
            self._cluster.unsubscribe_topic(self.name)

    def _changed(self) -> None:
        # Observers must not wait: the cluster's own loop does it.
        if self._open and self._cluster.status == "running":
            self._cluster.loop.add_callback(self._publish)

    async def _publish(self) -> str:
        """Publish what is in force now. Says what went wrong, and raises nothing: frames hold the token."""
        dask = _dask()
        async with self._publishing:
            token = self._tokens.newest() if self._open else NO_TOKEN
            if token == self._published:
                return ""
            before, self._generation = self._generation, self._generation + 1
            failure = ""
            try:
                await dask.Variable(self.name, self._cluster).set(self._announcement(token))
                self._published = token
                # Those that wait for a newer token than the last one.
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
            # Within this time before the expiry a new one will be there.
            "keep": min(_KEEP, (2.0 if soon is None else soon) / 2),
        }

    def _asked(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """A worker's token was refused. Called in the cluster's loop."""
        token = self._published
        if token and event[1].get("generation") == self._generation:
            threading.Thread(
                target=self._tokens.refresh, args=(token,), name="supabase-nb-asked", daemon=True
            ).start()


class _Known(NamedTuple):
    """What is known to a worker; the time on its monotonic clock until which it does not ask again."""

    generation: int
    token: Secret
    key: Secret
    until: float


class RemoteTokens:
    """The worker's side of what `SessionTokens` is in the kernel.

    Args:
        name: Under which it is shared.
        origins: Addresses that may be sent the token.
    """

    def __init__(self, name: str, origins: Iterable[Origin]) -> None:
        self._name = name
        self.origins = frozenset((scheme, host, port) for scheme, host, port in origins)
        self.known: _Known | None = None
        self._refused = Refused(NO_TOKEN)
        self._asking = threading.Lock()

    @property
    def key(self) -> Secret:
        """The project's public key."""
        return self.known.key if self.known is not None else NO_TOKEN

    def current(self) -> Secret | None:
        """The newest token, if the scheduler was asked a moment ago."""
        known = self.known
        return known.token if known and known.token and known.until > time.monotonic() else None

    def fetch(self) -> Secret:
        """The newest token, from the scheduler.

        Raises:
            AuthSessionMissing: Not signed in in the kernel that shared it, or it is gone.
            AuthRetryableError: The scheduler does not answer.
        """
        with self._asking:
            token = self.current() or self._ask().token
        if not token:
            raise AuthSessionMissing(
                "Not signed in in the notebook that shared this session, or it was closed. Sign in "
                "there, or share it again.",
                code="session_missing",
            )
        return token

    async def fetch_async(self) -> Secret:
        """The same, awaited."""
        return await in_thread(self.fetch)

    async def refresh_async(self, seen: Secret) -> Secret | None:
        """The same as `refresh`, awaited."""
        return await in_thread(lambda: self.refresh(seen))

    def refresh(self, seen: Secret) -> Secret | None:
        """Another token than `seen`; asks the kernel for it, if need be."""
        if self._refused.is_of(seen):
            return None
        try:
            known = self._ask()
            if known.token == seen:
                self._wait_for_next(known.generation)
                known = self._ask()
        except AuthError:
            return None
        return known.token if known.token and known.token != seen else None

    def refused(self, token: Secret) -> None:
        """A token that has just been renewed was refused too."""
        self._refused = Refused(token)

    def _ask(self) -> _Known:
        dask = _dask()
        said: Any = None
        try:
            said = dask.Variable(self._name, dask.get_client()).get(timeout=_PATIENCE)
            found = _Known(
                said["generation"],
                Secret(said["token"]),
                Secret(said["key"]) or NO_TOKEN,
                time.monotonic() + said["keep"],
            )
        except Exception as error:  # noqa: BLE001  (whatever the cluster says, in its own kinds of errors)
            found, failure = None, type(error).__name__
        del said
        if found is None:
            raise AuthRetryableError(
                f"The cluster's scheduler could not be asked for the session ({failure}). Is this a task, "
                "and the notebook that shared the session still there?"
            )
        self.known = found
        return found

    def _wait_for_next(self, generation: int) -> None:
        """Have the kernel renew the token, and wait until it has."""
        dask = _dask()
        client = dask.get_client()
        client.log_event(self._name, {"generation": generation})
        dask.Event(f"{self._name}-{generation}", client).wait(timeout=_PATIENCE)
