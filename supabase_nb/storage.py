"""Where a session rests: in a file, in memory, or in the operating system's keyring."""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import quote, urlsplit

from ._threads import IN_BROWSER
from ._urls import is_this_machine
from .binder import on_binder
from .errors import AuthStorageError
from .tokens import Secret

logger = logging.getLogger("supabase_nb")

#: How long to wait for another kernel that holds the lock, in seconds. It may be stopped for good.
LOCK_TIMEOUT = 30.0
# Domains of projects that Supabase hosts, and ports that an address need not name.
_HOSTED = (".supabase.co", ".supabase.in", ".supabase.red")
_PORTS = {"http": 80, "https": 443}


@runtime_checkable
class SessionStorage(Protocol):
    """What a session needs of a place to rest.

    Values are texts that hold tokens. Every method may raise `AuthStorageError`.
    """

    def get(self, key: str) -> str | None:
        """The value, or ``None``."""

    def set(self, key: str, value: str) -> None:
        """Store the value, whole or not at all."""

    def remove(self, key: str) -> None:
        """Forget the value; harmless when there is none."""

    def lock(self, key: str, timeout: float = LOCK_TIMEOUT) -> Any:
        """A context manager that keeps all others out; enters with ``False`` when waiting took too long."""


def storage_key(url: str, name: str = "") -> str:
    """The key of a project's session: for a hosted project, the one that auth-js and supabase-py use.

    Args:
        url: The project's URL or its auth server's.
        name: Tells several sessions of one project apart.

    Example:
        >>> storage_key("https://abcd.supabase.co")
        'sb-abcd-auth-token'
    """
    return f"{project_key(url)}-auth-token" + (f"-{name}" if name else "")


def project_key(url: str) -> str:
    """What tells projects apart in the storage: scheme, host, port and path of the address.

    Args:
        url: The project's URL or its auth server's.
    """
    parts = urlsplit(url)
    host = parts.hostname or "unknown"
    path = parts.path.rstrip("/").removesuffix("/auth/v1")
    if host.endswith(_HOSTED):
        host = host.split(".")[0]
    elif is_this_machine(host):
        host = "127.0.0.1"  # however it is spelled
    usual = "http" if host == "127.0.0.1" else "https"
    port = parts.port or _PORTS.get(parts.scheme)
    where = "" if port == 443 else f"-{port}"
    return f"sb-{host}{where}{'' if parts.scheme == usual else f'-{parts.scheme}'}{path}"


def older_storage_keys(url: str, name: str = "") -> Mapping[str, str]:
    """Keys under which earlier versions stored the session that belongs under `storage_key` now.

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


def default_storage() -> SessionStorage:
    """Where a session is stored unless you say where: in a file; on Binder and in a browser in memory."""
    return MemoryStorage() if on_binder() or IN_BROWSER else FileStorage()


class MemoryStorage:
    """Forgets everything when the kernel ends. Clients of one process may share one."""

    #: Reading and writing take no time.
    blocks = False

    def __init__(self) -> None:
        self._values: dict[str, Secret] = {}
        self._versions: dict[str, int] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        _in_memory.add(self)

    def after_fork(self) -> None:
        """In a forked child: locks that nobody holds, since whoever held one is the parent's thread."""
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
        """Forget the value."""
        with self._guard:
            self._values.pop(key, None)
            self._versions[key] = self._versions.get(key, 0) + 1

    def version(self, key: str) -> object:
        """Changes when the value does."""
        return self._versions.get(key, 0)

    @contextmanager
    def lock(self, key: str, timeout: float = LOCK_TIMEOUT) -> Iterator[bool]:
        """Keep the other threads out."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        locked = lock.acquire(timeout=timeout)
        try:
            yield locked
        finally:
            if locked:
                lock.release()


_in_memory: weakref.WeakSet[MemoryStorage] = weakref.WeakSet()
_page_locks = MemoryStorage()


def _after_fork_in_child() -> None:
    for storage in list(_in_memory):
        storage.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class FileStorage:
    """One JSON file per project and name, of mode 0600 in a folder of mode 0700, replaced whole.

    Args:
        path: The folder; made when first needed. By default what ``SUPABASE_NB_SESSIONS`` names, else one in
            the user's data folder.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        path = path or os.environ.get("SUPABASE_NB_SESSIONS")
        self.path = _home_folder(path)

    def __repr__(self) -> str:
        return f"FileStorage({str(self.path)!r})"

    def _file(self, key: str, ending: str = ".json") -> Path:
        return self.path / (quote(key, safe="-._") + ending)

    def get(self, key: str) -> str | None:
        """The value, or ``None``. A file of this user's that others may read is closed to them first.

        Raises:
            AuthStorageError: The file cannot be read, or others may read it and that cannot be changed.
        """
        file = self._file(key)
        failure: OSError | None = None
        try:
            # What is no plain file is not waited for (a pipe), nor followed (a link).
            fd = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            try:
                open_to_others = not self._close_to_others(fd, file)
                with open(fd, "rb", closefd=False) as stream:
                    data = b"" if open_to_others else stream.read()
            finally:
                os.close(fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            failure = error
        if failure is not None:
            raise AuthStorageError(f"The stored session cannot be read ({_reason(failure)}). Check {file}.")
        if open_to_others:
            raise AuthStorageError(
                f"Others may read the stored session, so it is not used, and its mode could not be changed. "
                f"Run `chmod 600 {file}` as its owner, then sign in again; or use --storage memory.",
                code="storage_open_to_others",
            )
        return data.decode("utf-8", "replace")

    def set(self, key: str, value: str) -> None:
        """Replace the file: at any moment it holds the old value or the new one, whole.

        Raises:
            AuthStorageError: The folder cannot be written, the disk is full, or others may write the folder.
        """
        # This frame may stand in a traceback with locals.
        text, value = Secret(value), ""
        failure = self._replace(self._file(key), text)
        if failure is not None:
            raise AuthStorageError(
                f"The session could not be saved ({_reason(failure)}). It stays usable until the kernel "
                f"ends. Check {self.path}, or choose another storage (--storage memory)."
            )

    def _replace(self, file: Path, text: Secret) -> OSError | None:
        temporary = None
        try:
            self._make_folder()
            _remove_leftovers(file)
            fd, temporary = _temporary_file(file)
            with open(fd, "wb") as stream:
                stream.write(text.reveal().encode())
                stream.flush()
                os.fsync(fd)
                if os.name == "posix":  # still locked, so that no other process takes it for a leftover
                    os.replace(temporary, file)
            if os.name != "posix":
                os.replace(temporary, file)
            temporary = None
            with suppress(OSError):  # it is saved; some file systems cannot sync a folder
                self._sync_folder()
        except OSError as error:
            return error
        finally:
            if temporary is not None:
                with suppress(OSError):
                    os.unlink(temporary)
        return None

    def _make_folder(self, *, said: bool = False) -> None:
        _make_folders(self.path)
        if os.name != "posix":
            return
        found = self.path.stat()
        if not _open_to_others(found):
            return
        # A shared folder such as /tmp belongs to everybody, even where root owns it.
        shared = bool(found.st_mode & stat.S_ISVTX)
        if not shared and _tighten(self.path, found, 0o700, self.path, said=said):
            return
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(0, f"others may write to {self.path}; choose a folder of your own")

    def _close_to_others(self, fd: int, file: Path) -> bool:
        """Whether nobody else may read the open file, if need be after a change of its mode."""
        found = os.fstat(fd)
        if not _open_to_others(found):
            return True
        if not stat.S_ISREG(found.st_mode) or not _tighten(fd, found, 0o600, file):
            return False
        # Its folder was probably opened with it. If it was not: the next save looks again.
        with suppress(OSError):
            self._make_folder(said=True)
        return True

    def _sync_folder(self) -> None:
        if sys.platform != "win32":
            fd = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def remove(self, key: str) -> None:
        """Delete the file, and what a damaged one or a save that was cut short left beside it.

        Raises:
            AuthStorageError: It cannot be deleted.
        """
        file = self._file(key)
        failed: tuple[OSError, Path] | None = None
        for place in (file.with_suffix(".damaged"), file):
            try:
                place.unlink()
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                failed = error, place
        _remove_leftovers(file)
        if failed is not None:
            error_, place = failed
            raise AuthStorageError(
                f"The stored session could not be removed ({_reason(error_)}). Delete {place}."
            )

    def set_aside(self, key: str) -> str:
        """Move a damaged file out of the way, and say where it is now."""
        file = self._file(key)
        aside = file.with_suffix(".damaged")
        with suppress(OSError):
            os.replace(file, aside)
        return str(aside)

    def version(self, key: str) -> object:
        """Changes when the value does; costs one look at the folder."""
        try:
            found = os.stat(self._file(key))
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    @contextmanager
    def lock(self, key: str, timeout: float = LOCK_TIMEOUT) -> Iterator[bool]:
        """Keep other threads and kernels out; freed by the system when its holder dies."""
        with _file_lock(self.path, self._file(key, ".lock"), timeout) as locked:
            yield locked


class KeyringStorage:
    """The operating system's keyring (extra ``keyring``).

    Args:
        service: The name under which the entries stand.
    """

    def __init__(self, service: str = "supabase-nb") -> None:
        try:
            import keyring
        except ImportError:
            raise AuthStorageError(
                'The keyring storage needs an extra: pip install "supabase-nb[keyring]".'
            ) from None
        self._keyring = keyring
        self._service = service
        # Locks and marks of change live in files: a keyring has neither.
        self._beside = FileStorage(_home_folder(None, "keyring"))

    def get(self, key: str) -> str | None:
        """The value, or ``None``."""
        return self._ask("read", lambda: self._keyring.get_password(self._service, key))

    def set(self, key: str, value: str) -> None:
        """Store the value."""
        text, value = Secret(value), ""
        self._ask("saved", lambda: self._keyring.set_password(self._service, key, text.reveal()))
        self._beside.set(key, str(time.time_ns()))

    def remove(self, key: str) -> None:
        """Forget the value."""
        if self.get(key) is not None:
            self._ask("removed", lambda: self._keyring.delete_password(self._service, key))
        self._beside.set(key, str(time.time_ns()))

    def _ask(self, done: str, question: Callable[[], str | None]) -> str | None:
        # Back ends raise errors of their own kinds, whose frames hold the value: none of them is passed on.
        try:
            return question()
        except Exception as error:  # noqa: BLE001
            failure = type(error).__name__
        raise AuthStorageError(
            f"The session could not be {done}: the keyring said {failure}. Unlock it, or use a file."
        )

    def version(self, key: str) -> object:
        """Changes when the value does."""
        return self._beside.version(key)

    @contextmanager
    def lock(self, key: str, timeout: float = LOCK_TIMEOUT) -> Iterator[bool]:
        """Keep other threads and kernels out."""
        with self._beside.lock(key, timeout) as locked:
            yield locked


@contextmanager
def _file_lock(folder: Path, file: Path, timeout: float) -> Iterator[bool]:
    if IN_BROWSER:  # the only process; a kernel in another tab is not kept out
        with _page_locks.lock(str(file), timeout) as locked:
            yield locked
        return
    from filelock import FileLock, Timeout

    lock = FileLock(file, timeout=timeout, mode=0o600)
    locked = False
    try:
        _make_folders(folder)
        lock.acquire()
        locked = True
    except Timeout:
        if timeout > 0:
            logger.warning("another kernel has held the lock of the stored session for %.0f s", timeout)
    except (OSError, NotImplementedError) as error:
        # A folder that cannot be written, a file system without locks: reading still works.
        reason = _reason(error) if isinstance(error, OSError) else type(error).__name__
        logger.warning("no lock beside the stored session (%s); going on without", reason)
    try:
        yield locked
    finally:
        if locked:
            lock.release()


def failure_of_storage(error: BaseException, done: str) -> AuthStorageError:
    """A storage's failure as our own kind of error.

    Storages of others raise what they like: its text and its frames may hold the value, so nothing of it is
    passed on but its kind.
    """
    if isinstance(error, AuthStorageError):
        return error
    kind = type(error).__name__
    return AuthStorageError(
        f"The session could not be {done}: its storage failed ({kind}). Check the storage."
    )


def _home_folder(path: str | os.PathLike[str] | None, name: str = "sessions") -> Path:
    """A folder in the user's home: the one of this `path`, or by default one in their data folder.

    Raises:
        AuthStorageError: The home folder is unknown.
    """
    from platformdirs import user_data_path

    if IN_BROWSER and not path:
        # JupyterLite keeps this folder in the storage of its site, for all notebooks and pages there.
        return Path("/drive/supabase-nb") / name
    try:
        return (Path(path) if path else user_data_path("supabase-nb") / name).expanduser()
    except RuntimeError:
        raise AuthStorageError(
            "There is no folder for the stored session, because the home folder is unknown. Set HOME, or "
            "SUPABASE_NB_SESSIONS to a folder, or keep the session in memory (--storage memory)."
        ) from None


def _make_folders(folder: Path) -> None:
    """Make a folder and the parents it lacks, for this user only."""
    if not folder.is_dir():
        if folder.parent != folder:
            _make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _temporary_file(file: Path) -> tuple[int, str]:
    """A new file beside `file`, locked while it is open. If this process dies, the system unlocks it."""
    while True:
        fd, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.parent)
        # Another process may have removed it before it was locked: then take a new one.
        if _lock_file(fd) is not False and os.fstat(fd).st_nlink:
            return fd, name
        os.close(fd)


def _remove_leftovers(file: Path) -> None:
    """Remove the temporary files of processes that died while they saved `file`."""
    for leftover in file.parent.glob(f".{file.name}.*.tmp"):
        with suppress(OSError):
            fd = os.open(leftover, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            try:
                locked = _lock_file(fd)
                if locked is None:  # no locks here: a save does not take a minute
                    locked = time.time() - os.fstat(fd).st_mtime > 60
                if locked and os.name == "posix":
                    leftover.unlink()
            finally:
                os.close(fd)
            if locked and os.name != "posix":
                leftover.unlink()


def _lock_file(fd: int) -> bool | None:
    """Lock an open file; ``False`` if another process has locked it, ``None`` where locks do not work."""
    if sys.platform == "win32" or IN_BROWSER:
        return None
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


_NO_MODES = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_folders_without_modes: set[Path] = set()


def _tighten(target: int | Path, found: os.stat_result, mode: int, path: Path, *, said: bool = False) -> bool:
    """Take the rights of others away from what this user owns.

    A file system without modes has none to take away: that is said once, and does not stop the work.

    Args:
        target: What to change: an open file, or a path.
        found: Its status.
        mode: The mode it is to have.
        path: Its name for the log.
        said: Whether the log has told the user already.

    Returns:
        ``False`` if another user owns it, or the system refuses.
    """
    if IN_BROWSER:
        return True  # there are no other users
    if found.st_uid != os.geteuid():
        return False
    try:
        os.chmod(target, mode)
    except OSError as error:
        if error.errno not in _NO_MODES:
            return False
    if not _open_to_others(os.stat(target)):
        if said:
            return True
        logger.warning("others had rights to %s; it is yours alone again", path)
        return True
    folder = path if stat.S_ISDIR(found.st_mode) else path.parent
    if folder not in _folders_without_modes:
        _folders_without_modes.add(folder)
        logger.warning(
            "the file system of %s does not support permissions, so others may be able to read the stored "
            "session; --storage memory keeps it out of files",
            folder,
        )
    return True


def _open_to_others(found: os.stat_result) -> bool:
    return os.name == "posix" and bool(found.st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
