"""Where a session is stored: in a file, in memory, or in the operating system's keyring."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import iscoroutinefunction
from typing import Any, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

from ._file_storage import LOCK_TIMEOUT, FileStorage, data_folder
from ._network.urls import is_this_machine
from ._runtime.environment import IN_BROWSER, on_binder
from ._runtime.fork import renew_after_fork
from ._secrets.tokens import Secret
from .errors import AuthStorageError

__all__ = [
    "LOCK_TIMEOUT",
    "FileStorage",
    "KeyringStorage",
    "MemoryStorage",
    "SessionStorage",
    "call_storage",
    "check_storage",
    "default_storage",
    "older_storage_keys",
    "project_key",
    "storage_error",
    "storage_key",
]

_T = TypeVar("_T")

# Domains of hosted projects, and default ports.
_HOSTED = (".supabase.co", ".supabase.in", ".supabase.red")
_PORTS = {"http": 80, "https": 443}


@runtime_checkable
class SessionStorage(Protocol):
    """The methods of a storage.

    Values are strings that contain tokens. Every method can raise `AuthStorageError`.

    Source: supabase_auth's ``SyncSupportedStorage``, with other method names and a lock.

    Example:
        ``AuthClient(url, storage=MemoryStorage())``. Your own storage needs the same four methods. If it may
        ask the user for a password, set its attribute ``prompts`` to true: calls then wait for the user.
    """

    def get(self, key: str) -> str | None:
        """The value, or ``None``."""

    def set(self, key: str, value: str) -> None:
        """Store the value atomically."""

    def remove(self, key: str) -> None:
        """Remove the value, if there is one."""

    def lock(self, key: str, timeout: float = LOCK_TIMEOUT) -> Any:
        """A context manager that locks the key. It yields ``False`` if that takes too long."""


def storage_key(url: str, name: str = "") -> str:
    """The key of a project's session: for a hosted project, the one that auth-js and supabase-py use.

    Args:
        url: The project's URL or its auth server's.
        name: A name for this session, if you use several sessions of one project.

    Example:
        >>> storage_key("https://abcd.supabase.co")
        'sb-abcd-auth-token'
    """
    return f"{project_key(url)}-auth-token" + (f"-{name}" if name else "")


def project_key(url: str) -> str:
    """What identifies a project in the storage: the scheme, host, port and path of its address.

    Args:
        url: The project's URL or its auth server's.
    """
    parts = urlsplit(url)
    host = parts.hostname or "unknown"
    path = parts.path.rstrip("/").removesuffix("/auth/v1")
    if host.endswith(_HOSTED):
        host = host.split(".")[0]
    elif is_this_machine(host):
        host = "127.0.0.1"  # in any spelling
    usual = "http" if host == "127.0.0.1" else "https"
    port = parts.port or _PORTS.get(parts.scheme)
    where = "" if port == 443 else f"-{port}"
    return f"sb-{host}{where}{'' if parts.scheme == usual else f'-{parts.scheme}'}{path}"


def older_storage_keys(url: str, name: str = "") -> Mapping[str, str]:
    """Keys under which earlier versions stored the session that is now stored under `storage_key`.

    Returns:
        Each key with the issuer (``iss``) that the session's access token must have; empty: any.
    """
    parts = urlsplit(url)
    hosts = [parts.hostname or "unknown"]
    if is_this_machine(parts.hostname):
        hosts = ["127.0.0.1", "localhost"]
    elif hosts[0].endswith(_HOSTED):
        hosts = [hosts[0].split(".")[0]]
    port = f"-{parts.port}" if parts.port and not (parts.hostname or "").endswith(_HOSTED) else ""
    ending = "-auth-token" + (f"-{name}" if name else "")
    alone = parts.path.rstrip("/") in ("", "/auth/v1")
    issuer = "" if alone else url.rstrip("/")
    keys = {f"sb-{host}{port}{ending}": issuer for host in hosts}
    keys.pop(storage_key(url, name), None)
    return keys


def check_storage(given: object) -> SessionStorage:
    """Refuse what can't be used as a storage, before it could lose a session.

    Raises:
        TypeError: It is something else, such as a storage's name or class.
    """
    kind = given.__name__ if isinstance(given, type) else type(given).__name__
    if isinstance(given, type) or not isinstance(given, SessionStorage):
        raise TypeError(
            "storage must be a SessionStorage: FileStorage(), MemoryStorage(), or your own object with the "
            f"methods get, set, remove and lock. This is {'the class' if isinstance(given, type) else 'a'} "
            f"{kind}."
        )
    if any(map(iscoroutinefunction, (given.get, given.set, given.remove, given.lock))):
        raise TypeError(f"A storage's methods can't be coroutine functions. Those of {kind} are.")
    return given


def default_storage() -> SessionStorage:
    """The default storage: a file; on Binder and in a browser, memory."""
    return MemoryStorage() if on_binder() or IN_BROWSER else FileStorage()


class MemoryStorage:
    """Keeps sessions until the kernel stops. Several clients of a process can share one.

    Example:
        ``create_client(url, key, storage=MemoryStorage())``
    """

    #: Reading and writing don't block.
    blocks = False

    def __init__(self) -> None:
        self._values: dict[str, Secret] = {}
        self._versions: dict[str, int] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: create new locks, because the old ones may be held by threads of the parent."""
        self._guard = threading.Lock()
        self._locks = {}

    def get(self, key: str) -> str | None:
        """The value, or ``None``."""
        secret = self._values.get(key)
        return None if secret is None else secret.reveal()

    def set(self, key: str, value: str) -> None:
        """Store the value."""
        with self._guard:
            self._values[key] = Secret(value)
            self._versions[key] = self._versions.get(key, 0) + 1

    def remove(self, key: str) -> None:
        """Remove the value."""
        with self._guard:
            self._values.pop(key, None)
            self._versions[key] = self._versions.get(key, 0) + 1

    def version(self, key: str) -> object:
        """A value that changes when the stored value does."""
        return self._versions.get(key, 0)

    @contextmanager
    def lock(self, key: str, timeout: float = LOCK_TIMEOUT) -> Iterator[bool]:
        """Lock the key against other threads."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        locked = lock.acquire(timeout=timeout)
        try:
            yield locked
        finally:
            if locked:
                lock.release()


class KeyringStorage:
    """The operating system's keyring (extra ``keyring``).

    Args:
        service: The service name of the keyring entries.

    Raises:
        AuthStorageError: The package ``keyring`` is missing.

    Example:
        ``create_client(url, key, storage=KeyringStorage())``
    """

    #: A locked keyring asks the user for its password.
    prompts = True

    def __init__(self, service: str = "supabase-nb") -> None:
        try:
            import keyring
        except ImportError:
            raise AuthStorageError(
                'The keyring storage needs an extra: pip install "supabase-nb[keyring]".'
            ) from None
        self._keyring = keyring
        self._service = service
        # A keyring has no locks and no versions, so these are in files.
        self._files = FileStorage(data_folder(None, "keyring"))

    def get(self, key: str) -> str | None:
        """The value, or ``None``."""
        return self._call_keyring("read", lambda: self._keyring.get_password(self._service, key))

    def set(self, key: str, value: str) -> None:
        """Store the value."""
        text, value = Secret(value), ""
        self._call_keyring("saved", lambda: self._keyring.set_password(self._service, key, text.reveal()))
        self._files.set(key, str(time.time_ns()))

    def remove(self, key: str) -> None:
        """Remove the value."""
        if self.get(key) is not None:
            self._call_keyring("removed", lambda: self._keyring.delete_password(self._service, key))
        self._files.remove(key)

    def _call_keyring(self, done: str, question: Callable[[], str | None]) -> str | None:
        # Backends raise their own errors, whose frames hold the value, so these aren't passed on.
        try:
            return question()
        except Exception as error:  # noqa: BLE001
            failure = type(error).__name__
        raise AuthStorageError(
            f"The session could not be {done}: the keyring reported {failure}. "
            "Unlock it, or use --storage file."
        )

    def version(self, key: str) -> object:
        """A value that changes when the stored value does."""
        return self._files.version(key)

    @contextmanager
    def lock(self, key: str, timeout: float = LOCK_TIMEOUT) -> Iterator[bool]:
        """Lock the key against other threads and kernels."""
        with self._files.lock(key, timeout) as locked:
            yield locked


def storage_error(error: BaseException, done: str) -> AuthStorageError:
    """Convert a storage's exception to an `AuthStorageError`.

    The text and frames of other exceptions may contain the value, so only the exception's type is passed on.
    """
    if isinstance(error, AuthStorageError):
        return error
    kind = type(error).__name__
    return AuthStorageError(
        f"The session could not be {done}: its storage failed ({kind}). Check the storage."
    )


def call_storage(done: str, call: Callable[[], _T]) -> _T:
    """Call a storage, and convert any exception to an `AuthStorageError` without its frames.

    Args:
        done: What the call does with the session: ``"read"``, ``"saved"`` or ``"removed"``.
        call: The call.

    Raises:
        AuthStorageError: See `storage_error`.
    """
    try:
        return call()
    except BaseException as error:  # noqa: BLE001  (also a prompt that was cancelled by Ctrl-C)
        failure = storage_error(error, done)
    raise failure
