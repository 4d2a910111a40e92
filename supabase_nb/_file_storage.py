"""FileStorage: stores sessions in files, with lock files between processes."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from ._runtime.environment import IN_BROWSER
from ._secrets.tokens import Secret
from .errors import AuthStorageError

logger = logging.getLogger("supabase_nb")

#: How long to wait for another kernel's lock, in seconds. The kernel may hang.
LOCK_TIMEOUT = 30.0
# In characters: of a file's name, without its ending. File systems allow 255, also for temporary files.
_LONGEST_NAME = 180
_ENDINGS = (".json", ".lock", ".damaged", ".tmp")
_locked_without_threads: set[Path] = set()
_folders_without_locks: set[Path] = set()


class FileStorage:
    """Stores each session in a JSON file with mode 0600, in a folder with mode 0700. Writes are atomic.

    A folder that also contains other files keeps its mode. It is refused if other users can write to it.

    Args:
        path: The folder, which is created on first use. By default ``SUPABASE_NB_SESSIONS``, or a folder in
            the user's data folder.

    Raises:
        AuthStorageError: The home folder is unknown.

    Example:
        ``create_client(url, key, storage=FileStorage("~/sessions"))``
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        path = path or os.environ.get("SUPABASE_NB_SESSIONS")
        self.path = data_folder(path)

    def __repr__(self) -> str:
        return f"FileStorage({str(self.path)!r})"

    def _file(self, key: str, ending: str = ".json") -> Path:
        name = quote(key, safe="-._", errors="surrogatepass")
        # On a disk that ignores case, "Ada" must not be the file of "ada".
        name = re.sub("%..|[A-Z]", lambda part: part[0] if part[0][1:] else f"%{ord(part[0]):02X}", name)
        if len(name) > _LONGEST_NAME:
            name = name[:_LONGEST_NAME] + "-" + hashlib.sha256(name.encode()).hexdigest()[:32]
        return self.path / (name + ending)

    def get(self, key: str) -> str | None:
        """The value, or ``None``. If other users can read the file, their access is removed first.

        Raises:
            AuthStorageError: The file can't be read, or others can read it and that can't be changed.
        """
        file = self._file(key)
        failure: OSError | None = None
        try:
            # Don't wait for a pipe, and don't follow a link.
            fd = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            try:
                open_to_others = not self._restrict_access(fd, file)
                with open(fd, "rb", closefd=False) as stream:
                    data = b"" if open_to_others else stream.read()
            finally:
                os.close(fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            failure = error
        if failure is not None:
            raise AuthStorageError(
                f"The stored session could not be read ({_error_text(failure)}). Check {file}."
            )
        if open_to_others:
            raise AuthStorageError(
                "The stored session was not used: other users can read its file, and its mode could not be "
                f"changed. Run `chmod 600 {file}` as its owner and sign in again, or use --storage memory.",
                code="storage_open_to_others",
            )
        return data.decode("utf-8", "replace")

    def set(self, key: str, value: str) -> None:
        """Replace the file atomically.

        Raises:
            AuthStorageError: The folder isn't writable, the disk is full, or others can write to the folder.
        """
        # This frame can appear in a traceback with local variables.
        text, value = Secret(value), ""
        failure = self._write(self._file(key), text)
        if failure is not None:
            raise AuthStorageError(
                f"The session could not be saved ({_error_text(failure)}). It stays usable until the kernel "
                f"stops. Check {self.path}, or choose another storage (--storage memory)."
            )

    def _write(self, file: Path, text: Secret) -> OSError | None:
        temporary = None
        try:
            self._make_folder()
            _remove_leftovers(file)
            fd, temporary = _temporary_file(file)
            with open(fd, "wb") as stream:
                stream.write(text.reveal().encode())
                stream.flush()
                os.fsync(fd)
                if os.name == "posix":  # still locked, so that other processes don't remove it as a leftover
                    os.replace(temporary, file)
            if os.name != "posix":
                os.replace(temporary, file)
            temporary = None
            with suppress(OSError):  # the file is saved; some file systems can't sync a folder
                self._sync_folder()
        except OSError as error:
            return error
        finally:
            if temporary is not None:
                with suppress(OSError):
                    os.unlink(temporary)
        return None

    def _make_folder(self, *, already_warned: bool = False) -> None:
        _make_folders(self.path)
        if os.name != "posix":
            return
        found = self.path.stat()
        if not _is_open_to_others(found):
            return
        # A shared folder such as /tmp is writable by everyone, even if root owns it. A folder that also
        # contains other files may be needed by others: a project, a home folder, even /.
        shared = bool(found.st_mode & stat.S_ISVTX) or not _contains_only_sessions(self.path)
        if not shared and _restrict_mode(self.path, found, 0o700, self.path, already_warned=already_warned):
            return
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(0, f"other users can write to {self.path}; choose another folder")

    def _restrict_access(self, fd: int, file: Path) -> bool:
        """Make sure that only the owner can read the open file. Returns whether that succeeded."""
        found = os.fstat(fd)
        if not _is_open_to_others(found):
            return True
        if not stat.S_ISREG(found.st_mode) or not _restrict_mode(fd, found, 0o600, file):
            return False
        # Its folder was probably opened to others too. Otherwise, the next save checks again.
        with suppress(OSError):
            self._make_folder(already_warned=True)
        return True

    def _sync_folder(self) -> None:
        if sys.platform != "win32":
            fd = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def remove(self, key: str) -> None:
        """Delete the file, and leftovers of a damaged file or an interrupted save.

        Raises:
            AuthStorageError: It can't be deleted.
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
                f"The stored session could not be removed ({_error_text(error_)}). Delete {place}."
            )

    def set_aside(self, key: str) -> str:
        """Rename a damaged file, and return its new name."""
        file = self._file(key)
        aside = file.with_suffix(".damaged")
        with suppress(OSError):
            os.replace(file, aside)
        return str(aside)

    def version(self, key: str) -> object:
        """A value that changes when the stored value does. Reads only the folder."""
        try:
            found = os.stat(self._file(key))
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    @contextmanager
    def lock(self, key: str, timeout: float = LOCK_TIMEOUT) -> Iterator[bool]:
        """Lock the key against other threads and kernels. The system releases it if the process dies."""
        with _file_lock(self.path, self._file(key, ".lock"), timeout) as locked:
            yield locked


@contextmanager
def _file_lock(folder: Path, file: Path, timeout: float) -> Iterator[bool]:
    if IN_BROWSER:
        # Without threads, nothing could release the lock, and a kernel in another tab can't be locked out.
        free = file not in _locked_without_threads
        _locked_without_threads.add(file)
        try:
            yield free
        finally:
            if free:
                _locked_without_threads.discard(file)
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
            logger.warning("another kernel has held the lock on the stored session for %.0f s", timeout)
    except (OSError, NotImplementedError) as error:
        # In a read-only folder, or on a file system without locks, reading still works.
        if folder not in _folders_without_locks:
            _folders_without_locks.add(folder)
            reason = _error_text(error) if isinstance(error, OSError) else type(error).__name__
            logger.warning(
                "the sessions in %s can't be locked (%s); continuing without a lock", folder, reason
            )
    try:
        yield locked
    finally:
        if locked:
            lock.release()


def data_folder(path: str | os.PathLike[str] | None, name: str = "sessions") -> Path:
    """The folder `path`, or by default one in the user's data folder.

    Raises:
        AuthStorageError: The home folder is unknown.
    """
    try:
        if path:
            return Path(path).expanduser()
        if IN_BROWSER:
            # JupyterLite keeps this folder in the browser's storage for its site.
            return Path("/drive/supabase-nb") / name
        from platformdirs import user_data_path

        return (user_data_path("supabase-nb") / name).expanduser()
    except RuntimeError:
        raise AuthStorageError(
            "The session can't be stored, because the home folder is unknown. Set HOME, set "
            "SUPABASE_NB_SESSIONS to a folder, or keep the session in memory (--storage memory)."
        ) from None


def _contains_only_sessions(folder: Path) -> bool:
    return all(name.endswith(_ENDINGS) for name in os.listdir(folder))


def _make_folders(folder: Path) -> None:
    """Create a folder and missing parents, with access only for this user."""
    if not folder.is_dir():
        if folder.parent != folder:
            _make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _temporary_file(file: Path) -> tuple[int, str]:
    """A new file next to `file`, locked while it is open. If this process dies, the system unlocks it."""
    while True:
        fd, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.parent)
        # Another process may have removed it before it was locked. Then use a new one.
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
                if locked is None:  # without locks: a save takes less than a minute
                    locked = time.time() - os.fstat(fd).st_mtime > 60
                if locked and os.name == "posix":
                    leftover.unlink()
            finally:
                os.close(fd)
            if locked and os.name != "posix":
                leftover.unlink()


def _lock_file(fd: int) -> bool | None:
    """Lock an open file; ``False`` if another process has locked it, ``None`` if locks don't work."""
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


_MODES_UNSUPPORTED = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_folders_without_modes: set[Path] = set()


def _restrict_mode(
    target: int | Path, found: os.stat_result, mode: int, path: Path, *, already_warned: bool = False
) -> bool:
    """Remove other users' access to a file or folder of this user.

    On a file system without modes, this logs a warning once and continues.

    Args:
        target: An open file, or a path.
        found: Its status.
        mode: The new mode.
        path: The path for the log.
        already_warned: Whether the warning was already logged.

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
        if error.errno not in _MODES_UNSUPPORTED:
            return False
    if not _is_open_to_others(os.stat(target)):
        if already_warned:
            return True
        logger.warning("other users had access to %s; their access was removed", path)
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


def _is_open_to_others(found: os.stat_result) -> bool:
    return os.name == "posix" and bool(found.st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _error_text(error: OSError) -> str:
    return error.strerror or type(error).__name__
