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

from .bearer import NOTHING, AtHand, Bearer, Origin, Refused
from .errors import AuthError, AuthRetryableError, AuthSessionMissing
from .events import log_guarded
from .session_auth import SessionAuth
from .state import margin
from .tokens import Secret

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

    Whoever may run tasks on the cluster, and its scheduler, can read the access token: share it with a
    cluster that you trust, over TLS if it is not on this machine.

    Args:
        supabase: The client that has the session. It goes on publishing until it is closed.
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
        name, SessionAuth._of(RemoteBearer(name, origins), (name, tuple(origins)))
    )


def _dask() -> Any:
    """Imported when it is needed, and without type hints of its own."""
    import distributed

    return distributed


class _Share:
    """The kernel's side: publishes each new token, and renews when a worker asks.

    Args:
        bearer: What requests of the client carry.
        cluster: The cluster's client.
    """

    def __init__(self, bearer: Bearer, cluster: Any) -> None:
        self.name = f"supabase-nb-{uuid.uuid4().hex}"
        self._bearer, self._cluster = bearer, cluster
        self._publishing = asyncio.Lock()
        self._published: Secret | None = None
        self._generation = 0
        self._open = True
        self.auth = SessionAuth._of(bearer, (self.name, tuple(bearer.origins)))
        _here[self.name] = self.auth

    def begin(self) -> None:
        """Publish what is in force, then whatever follows."""
        with contextlib.suppress(AuthError):  # tasks are told why, when they ask
            self._bearer.fetch()  # from storage, if nobody has looked there yet
        failure = self._cluster.sync(self._publish)
        if failure:
            raise AuthRetryableError(f"The session could not be shared with the cluster ({failure}).")
        self._cluster.subscribe_topic(self.name, self._asked)
        self._stop_listening = self._bearer.listen(self._changed)

    def end(self) -> None:
        """Share no more; tasks are told that nobody is there."""
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
            token = self._bearer.newest() if self._open else NOTHING
            if token == self._published:
                return ""
            before, self._generation = self._generation, self._generation + 1
            failure = ""
            try:
                await dask.Variable(self.name, self._cluster).set(self._announcement(token))
                self._published = token
                # Whoever waits for the next token than the last one.
                await dask.Event(f"{self.name}-{before}", self._cluster).set()
                await dask.Event(f"{self.name}-{before - 2}", self._cluster).clear()
            except Exception as error:  # noqa: BLE001
                log_guarded("a new token could not be shared with the cluster")
                failure = type(error).__name__
            return failure

    def _announcement(self, token: Secret) -> dict[str, object]:
        session = self._bearer.auth._keeper.held.session
        soon = margin(session) if session is not None else 2.0
        return {
            "generation": self._generation,
            "token": token.reveal(),
            "key": self._bearer.key.reveal(),
            # Within this time before the expiry a new one will be there.
            "keep": min(_KEEP, soon / 2),
        }

    def _asked(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """A worker's token was refused. Called in the cluster's loop."""
        token = self._published
        if token and event[1].get("generation") == self._generation:
            threading.Thread(
                target=self._bearer.renewed, args=(token,), name="supabase-nb-asked", daemon=True
            ).start()


class _Known(NamedTuple):
    """What a worker knows; the time on its monotonic clock until which it does not ask again."""

    generation: int
    token: Secret
    key: Secret
    until: float


class RemoteBearer:
    """The worker's side of what `Bearer` is in the kernel.

    Args:
        name: Under which it is shared.
        origins: Addresses that may be told the token.
    """

    def __init__(self, name: str, origins: Iterable[Origin]) -> None:
        self._name = name
        self.origins = frozenset((scheme, host, port) for scheme, host, port in origins)
        self.held: _Known | None = None
        self.wall = time.time
        self._refused = Refused(NOTHING)
        self._asking = threading.Lock()

    @property
    def key(self) -> Secret:
        """The project's public key."""
        return self.held.key if self.held is not None else NOTHING

    @property
    def source(self) -> RemoteBearer:
        """What is in force is held here."""
        return self

    def at_hand(self) -> AtHand | None:
        """The newest token, if the scheduler was asked a moment ago."""
        held, wall = self.held, self.wall()
        if held is None or not held.token:
            return None
        left = held.until - time.monotonic()
        return AtHand.of(held, held.token, held.key, wall, left) if left > 0 else None

    def fetch(self) -> Secret:
        """The newest token, from the scheduler.

        Raises:
            AuthSessionMissing: Nobody is signed in in the kernel that shared it, or it is gone.
            AuthRetryableError: The scheduler does not answer.
        """
        with self._asking:
            token = (self.at_hand() or self._ask()).token
        if not token:
            raise AuthSessionMissing(
                "Nobody is signed in in the notebook that shared this session, or it was closed. Sign in "
                "there, or share it again.",
                code="session_missing",
            )
        return token

    def renewed(self, seen: Secret) -> Secret | None:
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
                Secret(said["key"]) or NOTHING,
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
        self.held = found
        return found

    def _wait_for_next(self, generation: int) -> None:
        """Have the kernel renew the token, and wait until it has."""
        dask = _dask()
        client = dask.get_client()
        client.log_event(self._name, {"generation": generation})
        dask.Event(f"{self._name}-{generation}", client).wait(timeout=_PATIENCE)
