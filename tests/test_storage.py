"""Where a session is stored: completely or not at all, readable only by its owner, with clear errors."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import made
import pytest

from supabase_nb import (
    AuthClient,
    AuthSessionMissing,
    AuthStorageError,
    Client,
    FileStorage,
    KeyringStorage,
    MemoryStorage,
)
from supabase_nb._secrets.tokens import Secret
from supabase_nb.auth._session.session_record import SessionRecord
from supabase_nb.demo import DemoServer
from supabase_nb.storage import SessionStorage, storage_key

MakeAuth = Callable[..., AuthClient]
KEY = "sb-abcd-auth-token"
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes and locks of POSIX")


class FakeKeyring:
    """What the package `keyring` offers, in memory."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}
        self.locked = False

    def _open(self) -> None:
        if self.locked:
            raise RuntimeError("locked: s3cr3t")

    def get_password(self, service: str, key: str) -> str | None:
        self._open()
        return self.values.get((service, key))

    def set_password(self, service: str, key: str, value: str) -> None:
        self._open()
        self.values[service, key] = value

    def delete_password(self, service: str, key: str) -> None:
        self._open()
        del self.values[service, key]


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeKeyring:
    fake = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", fake)  # type: ignore[arg-type]
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / name)
    return fake


@pytest.fixture(params=["file", "memory", "keyring"])
def any_storage(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStorage:
    if request.param == "memory":
        return MemoryStorage()
    if request.param == "keyring":
        request.getfixturevalue("keyring")
        return KeyringStorage()
    return FileStorage(tmp_path / "sessions")


# -- what they have in common -------------------------------------------------------------------------------


def test_a_value_is_found_until_it_is_removed(any_storage: Any) -> None:
    assert isinstance(any_storage, SessionStorage)
    assert any_storage.get(KEY) is None
    any_storage.remove(KEY)
    any_storage.set(KEY, "one")
    any_storage.set(KEY, "zwei ÄÖÜ 三")
    any_storage.set("sb-abcd-auth-token-work", "other")
    assert any_storage.get(KEY) == "zwei ÄÖÜ 三"
    any_storage.remove(KEY)
    any_storage.remove(KEY)
    assert any_storage.get(KEY) is None
    assert any_storage.get("sb-abcd-auth-token-work") == "other"


def test_its_version_changes_with_every_change(any_storage: Any) -> None:
    versions = [any_storage.version(KEY)]
    for change in (
        lambda: any_storage.set(KEY, "one"),
        lambda: any_storage.set(KEY, "two"),
        lambda: any_storage.set(KEY, "two"),
        lambda: any_storage.remove(KEY),
        lambda: any_storage.set(KEY, "two"),
    ):
        change()
        versions.append(any_storage.version(KEY))
        assert any_storage.version(KEY) == versions[-1]
    assert len({str(version) for version in versions[1:]}) == 5


def test_the_lock_keeps_others_out_and_gives_up_in_time(any_storage: Any) -> None:
    inside, go_on, found = threading.Event(), threading.Event(), []

    def hold() -> None:
        with any_storage.lock(KEY) as locked:
            found.append(locked)
            inside.set()
            assert go_on.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(20)
    with any_storage.lock(KEY, 0.05) as locked:
        assert locked is False
    with any_storage.lock("another", 0.05) as locked:
        assert locked is True
    go_on.set()
    thread.join(20)
    with any_storage.lock(KEY, 5) as locked:
        assert locked is True
    assert found == [True]


def test_the_lock_is_free_again_after_an_error(any_storage: Any) -> None:
    with pytest.raises(ZeroDivisionError), any_storage.lock(KEY):
        _ = 1 / 0
    with any_storage.lock(KEY, 0) as locked:
        assert locked is True


def test_values_do_not_show(any_storage: Any) -> None:
    any_storage.set(KEY, "s3cr3t-token")
    assert "s3cr3t" not in f"{any_storage!r} {any_storage} {vars(any_storage)}"


# -- files --------------------------------------------------------------------------------------------------


@POSIX
def test_files_are_readable_only_by_their_owner(storage: FileStorage) -> None:
    before = os.umask(0)
    try:
        storage.set(KEY, "value")
        with storage.lock(KEY):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(storage.path.stat().st_mode) == 0o700
    for file in storage.path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@POSIX
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_closed_again(
    mode: int, storage: FileStorage, make_auth: MakeAuth, server: DemoServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A home volume on Kubernetes: each mount gives the group rights to all that is there."""
    auth = make_auth()
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    file = storage.path / f"{storage_key(server.url)}.json"
    file.chmod(mode)
    storage.path.chmod(0o770)
    later = make_auth()
    assert later.get_session() == auth.session
    later.refresh_session()
    assert later.last_error is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(storage.path.stat().st_mode) == 0o700
    assert [str(file) in record.getMessage() for record in caplog.records] == [True]


@POSIX
def test_the_file_of_another_user_that_is_open_is_refused(
    storage: FileStorage, make_auth: MakeAuth, server: DemoServer
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    pair = server.sign_in()
    make_auth().set_session(pair["access_token"], pair["refresh_token"])
    file = storage.path / f"{storage_key(server.url)}.json"
    before = file.read_text()
    file.chmod(0o644)
    os.chown(file, 65534, 65534)
    auth = make_auth()
    for call in (
        auth.get_session,
        auth.get_user,
        auth.refresh_session,
        lambda: auth.update_user({"data": {"x": 1}}),
        lambda: auth.set_session(pair["access_token"], pair["refresh_token"]),
    ):
        with pytest.raises(AuthStorageError, match=f"chmod 600 {file}") as caught:
            call()
        assert caught.value.code == "storage_open_to_others"
        assert pair["refresh_token"] not in str(caught.value)
    assert auth.last_error is not None
    assert file.read_text() == before
    os.chown(file, 0, 0)
    assert auth.get_session() is not None
    os.chown(file, 65534, 65534)
    # What cannot be trusted can still be removed.
    make_auth().sign_out("local")
    assert not file.exists()


@POSIX
@pytest.mark.parametrize("number", [None, errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_modes(
    number: int | None,
    storage: FileStorage,
    make_auth: MakeAuth,
    server: DemoServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As on some network drives and under WSL: `chmod` is refused, or changes nothing."""
    auth = make_auth()
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    for place in (*storage.path.iterdir(), storage.path):
        place.chmod(0o777)

    def chmod(*_: object, **__: object) -> None:
        if number is not None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "chmod", chmod)
    later = make_auth()
    assert later.get_session() == auth.session
    later.refresh_session()
    assert make_auth().get_session() == later.session
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "--storage memory" in warning
    assert str(storage.path) in warning


@POSIX
def test_a_file_on_a_read_only_disk_that_others_may_read_is_refused(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.set(KEY, "value")
    (file,) = storage.path.glob("*.json")
    file.chmod(0o644)
    monkeypatch.setattr(os, "chmod", failing("chmod", errno.EROFS))
    with pytest.raises(AuthStorageError, match=f"chmod 600 {file}"):
        storage.get(KEY)


@POSIX
@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777])
def test_a_folder_that_was_there_is_closed(mode: int, storage: FileStorage) -> None:
    storage.path.mkdir()
    storage.path.chmod(mode)
    storage.set(KEY, "value")
    assert stat.S_IMODE(storage.path.stat().st_mode) == 0o700


@POSIX
@pytest.mark.parametrize("mode", [0o755, 0o750, 0o711])
@pytest.mark.parametrize("other", ["notebook.ipynb", "etc/"])
def test_a_folder_with_other_files_keeps_its_mode(mode: int, other: str, storage: FileStorage) -> None:
    storage.path.mkdir()
    if other.endswith("/"):
        (storage.path / other).mkdir()
    else:
        (storage.path / other).touch()
    storage.path.chmod(mode)
    storage.set(KEY, "value")
    storage.set(KEY, "another value")
    assert stat.S_IMODE(storage.path.stat().st_mode) == mode
    (file,) = storage.path.glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    assert storage.get(KEY) == "another value"
    assert stat.S_IMODE(storage.path.stat().st_mode) == mode
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@POSIX
@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_folder_with_other_files_that_others_can_write_to_is_refused(
    mode: int, storage: FileStorage
) -> None:
    storage.path.mkdir()
    (storage.path / "notebook.ipynb").touch()
    storage.path.chmod(mode)
    with pytest.raises(AuthStorageError, match="choose another folder"):
        storage.set(KEY, "value")
    assert stat.S_IMODE(storage.path.stat().st_mode) == mode


@POSIX
def test_created_parent_folders_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        FileStorage(tmp_path / "a" / "b" / "c").set(KEY, "value")
        with FileStorage(tmp_path / "d" / "e").lock(KEY):
            pass
    finally:
        os.umask(before)
    for made_folder in ("a", "a/b", "a/b/c", "d", "d/e"):
        assert stat.S_IMODE((tmp_path / made_folder).stat().st_mode) == 0o700, made_folder


@POSIX
def test_a_folder_shared_by_all_users_is_refused_and_not_changed(storage: FileStorage) -> None:
    storage.path.mkdir()
    storage.path.chmod(0o1777)
    with pytest.raises(AuthStorageError, match="choose another folder"):
        storage.set(KEY, "value")
    assert stat.S_IMODE(storage.path.stat().st_mode) == 0o1777


@POSIX
def test_without_a_home_folder_the_error_says_what_to_do() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_DATA_HOME")}
    environment.pop("SUPABASE_NB_SESSIONS", None)
    program = """
import pwd
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
from supabase_nb import AuthStorageError, FileStorage
try: FileStorage()
except AuthStorageError as error: print(error)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert "SUPABASE_NB_SESSIONS" in ran.stdout, ran.stderr
    assert "--storage memory" in ran.stdout


@POSIX
def test_a_link_in_its_place_is_not_followed(storage: FileStorage, tmp_path: Path) -> None:
    storage.path.mkdir(mode=0o700)
    target = tmp_path / "target"
    target.write_text("elsewhere")
    target.chmod(0o600)
    (storage.path / f"{KEY}.json").symlink_to(target)
    with pytest.raises(AuthStorageError, match="could not be read"):
        storage.get(KEY)
    storage.set(KEY, "value")  # replaces the link, not what it points at
    assert target.read_text() == "elsewhere"
    assert storage.get(KEY) == "value"


@POSIX
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_something_else_than_a_file_is_an_error_without_waiting(kind: str, storage: FileStorage) -> None:
    storage.path.mkdir(mode=0o700)
    place = storage.path / f"{KEY}.json"
    if kind == "folder":
        place.mkdir(mode=0o700)
        descriptors = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
        with pytest.raises(AuthStorageError, match="could not be read"):
            storage.get(KEY)
        if sys.platform == "linux":
            assert len(os.listdir("/proc/self/fd")) == descriptors
        with pytest.raises(AuthStorageError, match="could not be removed"):
            storage.remove(KEY)
    else:
        os.mkfifo(place, 0o600)
        assert storage.get(KEY) == ""


def test_a_file_in_the_folders_place(tmp_path: Path, make_auth: MakeAuth, server: DemoServer) -> None:
    """Nothing can be read or saved there. The session is active anyway, and the error is reported."""
    (tmp_path / "taken").write_text("")
    storage = FileStorage(tmp_path / "taken")
    auth = make_auth(storage=storage)
    with pytest.raises(AuthStorageError, match="could not be read"):
        auth.get_session()
    assert isinstance(auth.last_error, AuthStorageError)
    pair = server.sign_in()
    with pytest.raises(AuthStorageError, match="stays usable until the kernel stops"):
        auth.set_session(pair["access_token"], pair["refresh_token"])
    assert auth.status == "active"
    assert auth.get_user().email == "ada@example.com"
    with pytest.raises(AuthStorageError):
        auth.refresh_session()
    assert auth.get_user().email == "ada@example.com"
    auth.sign_out("local")
    assert auth.session is None


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUPABASE_NB_SESSIONS", str(tmp_path / "named"))
    assert FileStorage().path == tmp_path / "named"
    assert FileStorage("~/x").path == Path.home() / "x"
    monkeypatch.delenv("SUPABASE_NB_SESSIONS")
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / name)
    assert FileStorage().path == tmp_path / "supabase-nb" / "sessions"


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "a/b", "a\\b", "", "ä" * 30, "a b?*[x]", ".", "..", "\ud800"]
)
def test_no_key_leaves_the_folder(key: str, storage: FileStorage) -> None:
    storage.set(key, "value")
    storage.set(key, "value again")
    assert storage.get(key) == "value again"
    (file,) = storage.path.iterdir()
    assert file.parent == storage.path


def test_names_that_differ_only_in_case_have_files_of_their_own(storage: FileStorage) -> None:
    """Also on disks that ignore case, as on macOS and Windows."""
    for name in ("ada", "Ada", "ADA", "%41da"):
        storage.set(f"{KEY}-{name}", name)
    assert storage.get(f"{KEY}-Ada") == "Ada"
    assert len({file.name.lower() for file in storage.path.glob("*.json")}) == 4


@pytest.mark.parametrize("letter", ["a", "ä", "💥"])
def test_names_of_any_length(letter: str, storage: FileStorage) -> None:
    names = [letter * 5000, letter * 5001, letter * 5000 + "b"]
    for name in names:
        with storage.lock(name) as locked:
            assert locked
            storage.set(name, f"of {len(name)} {name[-1]}")
    assert [storage.get(name) for name in names] == [f"of {len(name)} {name[-1]}" for name in names]
    storage.remove(names[0])
    assert storage.get(names[0]) is None


# -- whole or not at all ------------------------------------------------------------------------------------


def failing(call: str, number: int) -> Callable[..., Any]:
    original = getattr(os, call)

    def fail(*arguments: Any, **named: Any) -> Any:
        if call == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode):
            return original(*arguments, **named)
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_a_failed_save_keeps_the_old_value(
    call: str, number: int, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.set(KEY, "old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(call, number))
        with pytest.raises(AuthStorageError, match=os.strerror(number)):
            storage.set(KEY, "new")
    assert storage.get(KEY) == "old"
    assert [file.name for file in storage.path.iterdir()] == [f"{KEY}.json"]
    storage.set(KEY, "new")
    assert storage.get(KEY) == "new"


def test_a_file_system_that_cannot_sync_a_folder(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.set(KEY, "old")
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    storage.set(KEY, "new")
    assert storage.get(KEY) == "new"


def _limited(folder: str) -> None:
    """In its own process, in which the system limits files to 1,000 bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    storage = FileStorage(folder)
    try:
        storage.set(KEY, "x" * 5000)
    except AuthStorageError:
        os._exit(0 if storage.get(KEY) == "old" else 1)
    os._exit(2)


@POSIX
def test_an_interrupted_write_keeps_the_old_value(storage: FileStorage) -> None:
    storage.set(KEY, "old")
    process = multiprocessing.get_context("forkserver").Process(target=_limited, args=(str(storage.path),))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert storage.get(KEY) == "old"
    assert not list(storage.path.glob("*.tmp"))


def _without_rights(url: str, folder: str, mode: int, pair: dict[str, Any]) -> None:
    """In its own process, as a user without root rights: the folder's mode changes during a session."""

    place = Path(folder)
    if os.geteuid() == 0:
        # Once before, because the other user may not be able to read, and so import, the interpreter's files.
        warm = AuthClient(url, storage=FileStorage(place / "warm"), auto_refresh=False)
        warm.set_session(pair["access_token"], pair["refresh_token"])
        os.chown(place, 65534, 65534)
        os.setuid(65534)
    auth = AuthClient(url, storage=FileStorage(place / "sessions"), auto_refresh=False)
    auth.set_session(pair["access_token"], pair["refresh_token"])
    (place / "sessions").chmod(mode)
    failures = []
    for call in (auth.refresh_session, auth.refresh_session):
        try:
            call()
        except AuthStorageError as error:
            failures.append(str(error))
    works = auth.get_user().email == "ada@example.com"
    (place / "sessions").chmod(0o700)
    later = AuthClient(url, storage=FileStorage(place / "sessions"), auto_refresh=False)
    parent_was_kept = later.get_session() is not None
    auth.refresh_session()
    saved = later.refresh_session().session is not None and auth.status == "active"
    (place / "said").write_text(json.dumps([failures, works, parent_was_kept, saved]))


@POSIX
@pytest.mark.parametrize("mode", [0o500, 0o000], ids=["read-only", "lost"])
def test_a_folder_that_loses_its_permissions(mode: int, server: DemoServer) -> None:

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        process = multiprocessing.get_context("forkserver").Process(
            target=_without_rights, args=(server.auth_url, folder, mode, server.sign_in())
        )
        process.start()
        process.join(60)
        assert process.exitcode == 0
        failures, works, parent_was_kept, saved = json.loads(Path(folder, "said").read_text())
    assert len(failures) == 2
    for failure in failures:
        assert "could not be saved (Permission denied)" in failure
        assert "stays usable until the kernel stops" in failure
    assert (works, parent_was_kept, saved) == (True, True, True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 kB, where one may be mounted."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20k,mode=700", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(tiny_disk: Path, make_auth: MakeAuth, server: DemoServer) -> None:
    """Full in earnest: the old pair stays, whole; the new one is used, and saved once there is room."""
    storage = FileStorage(tiny_disk)
    auth = make_auth(storage=storage)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    ballast = tiny_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 512):
            pass
    before = storage.get(storage_key(server.url))
    with pytest.raises(AuthStorageError, match="No space left"):
        auth.refresh_session()
    assert auth.get_user().email == "ada@example.com"
    assert storage.get(storage_key(server.url)) == before
    # Another kernel starts from what is stored: the parent of the token in force.
    other = make_auth(storage=storage)
    assert other.get_session() is not None
    ballast.unlink()
    assert other.refresh_session().session is not None
    assert auth.refresh_session().session is not None
    assert storage.get(storage_key(server.url)) != before


def _die_while_saving(folder: str) -> None:
    """In its own process, which is killed after writing the new value, before the file is replaced."""
    os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    FileStorage(folder).set(KEY, "s3cr3t")


def _leave_one_behind(storage: FileStorage) -> None:
    process = multiprocessing.get_context("forkserver").Process(
        target=_die_while_saving, args=(str(storage.path),)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(list(storage.path.glob(".*.tmp"))) == 1


@POSIX
def test_the_next_save_removes_leftovers_of_a_killed_process(storage: FileStorage) -> None:
    storage.set(KEY, "value")
    _leave_one_behind(storage)
    storage.set(KEY, "new")
    assert [file.name for file in storage.path.iterdir()] == [f"{KEY}.json"]
    assert storage.get(KEY) == "new"


@POSIX
def test_a_running_process_keeps_its_temporary_file(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on = threading.Event(), threading.Event()
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if threading.current_thread() is writer and not writing.is_set():
            writing.set()
            assert go_on.wait(20)
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    failures: list[Exception] = []

    def save() -> None:
        try:
            storage.set(KEY, "slow")
        except AuthStorageError as error:
            failures.append(error)

    writer = threading.Thread(target=save)
    writer.start()
    assert writing.wait(20)
    (temporary,) = storage.path.glob(".*.tmp")
    long_ago = time.time() - 3600
    os.utime(temporary, (long_ago, long_ago))
    storage.set(KEY, "quick")
    go_on.set()
    writer.join(20)
    assert failures == []
    assert storage.get(KEY) == "slow"


@POSIX
@pytest.mark.parametrize("left", ["a save that was cut short", "a damaged file", "both alone"])
def test_no_token_outlives_a_sign_out(
    left: str, storage: FileStorage, make_auth: MakeAuth, server: DemoServer
) -> None:
    key = storage_key(server.url)
    auth = make_auth()
    pair = server.sign_in()
    text = json.dumps(pair)
    auth.set_session(pair["access_token"], pair["refresh_token"])
    auth.get_oauth_url("demo")
    if left != "a damaged file":
        (storage.path / f".{key}.json.abcd.tmp").write_text(text)
    if left != "a save that was cut short":
        storage.set(key, text[:-5])
        make_auth().get_session()
        assert len(list(storage.path.glob("*.damaged"))) == 1
    if left == "both alone":
        auth = make_auth()  # nothing is in force, and nothing is stored
    auth.sign_out("local")
    (index,) = [file for file in storage.path.iterdir() if file.suffix != ".lock"]
    assert index.name.endswith("-sessions.json"), "it says only that the session has ended"
    assert not any(pair[token] in index.read_text() for token in ("access_token", "refresh_token"))


def test_readers_see_one_value_or_the_other(storage: FileStorage) -> None:
    values = {letter * 20_000 for letter in "ab"}
    storage.set(KEY, min(values))
    done = threading.Event()

    def write() -> None:
        for _ in range(50):
            for value in values:
                storage.set(KEY, value)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set() or reads == 0:
        assert storage.get(KEY) in values
        reads += 1
    writer.join(20)


# -- the lock -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), NotImplementedError("no flock")])
def test_it_works_without_a_lock(
    error: Exception,
    storage: FileStorage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    with storage.lock(KEY) as locked:
        assert locked is False
    with storage.lock(f"{KEY}-other") as locked:
        assert locked is False
    assert caplog.text.count("continuing without a lock") == 1, "a refresh in the background prints nothing"


def test_without_a_lock_a_session_still_survives(
    make_auth: MakeAuth, server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    auth = make_auth()
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    renewed = auth.refresh_session().session
    assert make_auth().get_session() == renewed


# -- the keyring --------------------------------------------------------------------------------------------


def test_a_locked_keyring_says_so_and_nothing_else(keyring: FakeKeyring) -> None:
    storage = KeyringStorage()
    storage.set(KEY, "value")
    keyring.locked = True
    for call in (
        lambda: storage.get(KEY),
        lambda: storage.set(KEY, "s3cr3t"),
        lambda: storage.remove(KEY),
    ):
        with pytest.raises(AuthStorageError, match="RuntimeError") as caught:
            call()
        assert "s3cr3t" not in str(caught.value)
        assert caught.value.__context__ is None


def test_a_session_is_stored_in_the_keyring(
    keyring: FakeKeyring, make_auth: MakeAuth, server: DemoServer, tmp_path: Path
) -> None:
    auth = make_auth(storage=KeyringStorage())
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    renewed = auth.refresh_session().session
    assert renewed is not None
    assert make_auth(storage=KeyringStorage()).get_session() == renewed
    written = "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    assert renewed.refresh_token not in written
    auth.sign_out("local")
    (index,) = keyring.values.values()
    assert renewed.refresh_token not in index


def test_files_of_ended_sessions_in_the_keyring_do_not_pile_up(
    keyring: FakeKeyring, make_auth: MakeAuth, server: DemoServer, tmp_path: Path
) -> None:
    first, second = make_auth(storage=KeyringStorage()), make_auth(storage=KeyringStorage())
    files = []
    for _ in range(3):
        pair = server.sign_in()
        first.set_session(pair["access_token"], pair["refresh_token"])
        assert second.get_session() == first.session
        first.sign_out("local")
        with pytest.raises(AuthSessionMissing):
            second.refresh_session()
        files.append(len(list(tmp_path.rglob("*.json"))))
    assert files[0] == files[-1]


def test_a_damaged_entry_is_replaced_by_a_kernel_with_the_session(
    keyring: FakeKeyring, make_auth: MakeAuth, server: DemoServer
) -> None:
    storage = KeyringStorage()
    auth = make_auth(storage=storage)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    storage.set(storage_key(server.url), "half a sess")
    renewed = auth.refresh_session().session
    assert make_auth(storage=KeyringStorage()).get_session() == renewed


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(AuthStorageError, match=r"pip install .supabase-nb\[keyring\]"):
        KeyringStorage()


# -- what is damaged ----------------------------------------------------------------------------------------

DAMAGED = {
    "empty": "",
    "half": '{"access_token": "eyJ',
    "not JSON": "<html>",
    "a list": "[]",
    "wrong types": '{"access_token": 5, "refresh_token": {}, "user": []}',
    "no user": '{"access_token": "a.b.c", "refresh_token": "x", "expires_at": 5}',
    "nested": "[" * 100_000,
    "zeros": "\x00" * 500,
    "a huge number": '{"expires_at": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_data_is_set_aside_and_never_deleted(
    text: str, storage: FileStorage, make_auth: MakeAuth, server: DemoServer
) -> None:
    storage.set(storage_key(server.url), text)
    auth = make_auth()
    assert auth.get_session() is None
    assert auth.status == "signed_out"
    assert isinstance(auth.last_error, AuthStorageError)
    assert ".damaged" in str(auth.last_error)
    (aside,) = storage.path.glob("*.damaged")
    assert aside.read_text() == text
    assert auth.get_session() is None
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    assert make_auth().get_session() == auth.session


@pytest.mark.parametrize(
    "ours",
    [
        None,
        5,
        {},
        {"salt": 5, "ancestors": [], "clock_offset": 0},
        {"salt": "xyz", "ancestors": []},
        {"salt": "zzzzzzzzzzzzzzzz", "ancestors": []},
        {"salt": "00" * 8, "ancestors": "abc"},
        {"salt": "00" * 8, "ancestors": [1, None, {}], "clock_offset": "late"},
        {"salt": "00" * 8, "ancestors": [], "clock_offset": float("inf")},
    ],
)
def test_our_own_field_may_be_anything(ours: Any) -> None:
    """Others of Supabase's clients write the same file; what is ours in it never costs the session."""

    wire = {**made.session(), "supabase_nb": ours}
    record = SessionRecord.from_text(Secret(json.dumps(wire)))
    assert record is not None
    assert record.session.refresh_token == wire["refresh_token"]
    again = SessionRecord.from_text(Secret(record.to_text()))
    assert again == record


# -- several auth servers -----------------------------------------------------------------------------------


def test_a_session_goes_only_to_the_auth_server_that_issued_it(storage: FileStorage) -> None:
    """The same project with another ``auth_url``: nothing is found, and nothing is sent."""
    url, key = "https://abcd.supabase.co", "sb_publishable_x"
    own, other = "https://auth.example.com/v1", "https://auth.example.com/v2"
    networks = {
        address: made.Answers(**{
            f"GET {urlsplit(address).path}/user": made.user(), f"POST {urlsplit(address).path}/logout": httpx.Response(204)
        })
        for address in (own, other, f"{url}/auth/v1")
    }  # fmt: skip

    def connect(address: str | None, name: str = "") -> Client:
        transport = networks[(address or f"{url}/auth/v1").rstrip("/").lower().replace(":443", "")]
        return Client(
            url, key, auth_url=address, name=name, storage=storage, transport=transport, auto_refresh=False
        )

    with connect(own) as client:
        client.auth.set_session(made.jwt(), "abcdefghijkl")
    asked = len(networks[own].asked)
    for elsewhere in (connect(None), connect(f"{url}/auth/v1"), connect(other), connect(own, "work")):
        with elsewhere as client:
            assert client.auth.get_session() is None
            client.auth.sign_out()
    assert [len(network.asked) for network in networks.values()] == [asked, 0, 0]
    for same in (connect(own), connect(f"{own}/"), connect("https://Auth.example.com:443/v1")):
        with same as client:
            assert client.auth.get_session() is not None


def test_the_projects_own_auth_server_keeps_the_key_of_supabases_clients(storage: FileStorage) -> None:
    url = "https://abcd.supabase.co"
    storage.set(storage_key(url), json.dumps(made.session()))
    for address in (None, f"{url}/auth/v1", "https://abcd.supabase.co:443/auth/v1/"):
        with Client(url, "sb_publishable_x", auth_url=address, storage=storage, auto_refresh=False) as client:
            assert client.auth.get_session() is not None


def test_a_temporary_file_that_another_process_removed_is_made_again(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes leftovers of killed processes, and may take a file for one before that is locked."""
    make, removed = tempfile.mkstemp, []

    def removed_at_once(**options: Any) -> tuple[int, str]:
        fd, name = make(**options)
        if not removed:
            removed.append(name)
            os.unlink(name)
        return fd, name

    monkeypatch.setattr(tempfile, "mkstemp", removed_at_once)
    storage.set("key", "value")
    assert removed
    assert storage.get("key") == "value"
