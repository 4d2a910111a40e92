"""A sign-out by another kernel or another Supabase client is noticed, and never undone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import made
import pytest
from test_unsaved_tokens import FullDisk
from waiting import wait_until

from supabase_nb import AuthClient, AuthSessionMissing, AuthStorageError, FileStorage
from supabase_nb.demo import DemoServer
from supabase_nb.storage import storage_key

MakeAuth = Callable[..., AuthClient]


class UnreadableIndex(FileStorage):
    """Its index can't be read now and then."""

    fails = False

    def get(self, key: str) -> str | None:
        if self.fails and key.endswith("-sessions"):
            raise OSError(5, "Input/output error")
        return super().get(key)


def sign_in(auth: AuthClient, server: DemoServer, email: str = "ada@example.com") -> None:
    session = server.sign_in(email)
    auth.set_session(session["access_token"], session["refresh_token"])


def two_kernels(
    make_auth: MakeAuth, server: DemoServer, storage: FileStorage
) -> tuple[AuthClient, AuthClient]:
    """Two clients with the same session."""
    first, second = make_auth(storage=storage), make_auth(storage=storage)
    sign_in(first, server)
    assert second.get_session() is not None
    return first, second


def assert_signed_out(auth: AuthClient) -> None:
    with pytest.raises(AuthSessionMissing):
        auth.refresh_session()
    assert (auth.status, auth.last_error) == ("signed_out", None)


def with_tokens(storage: FileStorage) -> list[str]:
    return [file.name for file in storage.path.iterdir() if b"refresh_token" in file.read_bytes()]


def test_a_session_of_another_client_that_it_signs_out(
    make_auth: MakeAuth, server: DemoServer, storage: FileStorage
) -> None:
    """We have only read it, so the name's copy was the only file."""
    key = storage_key(server.auth_url)
    storage.set(key, json.dumps(server.sign_in()))
    auth = make_auth()
    assert auth.get_session() is not None
    storage.remove(key)
    assert_signed_out(auth)
    assert with_tokens(storage) == []


def test_a_session_of_another_client_that_was_refreshed_here_survives_a_deleted_folder(
    make_auth: MakeAuth, server: DemoServer, storage: FileStorage
) -> None:
    storage.set(storage_key(server.auth_url), json.dumps(server.sign_in()))
    auth = make_auth()
    auth.refresh_session()
    shutil.rmtree(storage.path)
    assert auth.refresh_session().session is not None
    assert make_auth().get_session() == auth.session


def test_a_kernel_with_unsaved_tokens_notices_it(
    make_auth: MakeAuth, server: DemoServer, tmp_path: Path
) -> None:
    disk = FullDisk(tmp_path / "sessions")
    first, second = two_kernels(make_auth, server, disk)
    disk.full = True
    with pytest.raises(AuthStorageError):
        first.refresh_session()
    disk.full = False
    second.sign_out("local")
    assert_signed_out(first)
    assert with_tokens(disk) == []


def test_a_sign_out_on_a_full_disk_is_noticed(
    make_auth: MakeAuth, server: DemoServer, tmp_path: Path
) -> None:
    """The files can be removed, but it can't be noted in the index."""
    disk = FullDisk(tmp_path / "sessions")
    first, second = two_kernels(make_auth, server, disk)
    disk.full = True
    first.sign_out("local")
    disk.full = False
    assert_signed_out(second)
    assert with_tokens(disk) == []


def test_while_the_index_cannot_be_read_nothing_is_undone(make_auth: MakeAuth, tmp_path: Path) -> None:
    storage, session = UnreadableIndex(tmp_path / "sessions"), made.session()
    answers = made.Answers(**{"GET /auth/v1/user": made.user(), "POST /auth/v1/logout": httpx.Response(204)})
    answers["POST /auth/v1/token"] = made.session("newest")
    url = "https://host.example/auth/v1"
    kernels = [make_auth(url, storage=storage, transport=answers, name=name) for name in ("", "", "work")]
    for auth in kernels:
        auth.set_session(session["access_token"], session["refresh_token"])
    kernels[0].sign_out("local")
    storage.fails = True
    for auth in kernels[1:]:
        with pytest.raises(AuthStorageError):
            auth.refresh_session()
    assert with_tokens(storage) == []
    storage.fails = False
    for auth in kernels[1:]:
        assert_signed_out(auth)
    assert with_tokens(storage) == []


def test_a_sign_out_just_before_a_refreshed_session_is_saved(make_auth: MakeAuth, tmp_path: Path) -> None:
    class Interrupted(FileStorage):
        @contextmanager
        def lock(self, key: str, timeout: float = 30.0) -> Iterator[bool]:
            if key.endswith("-sessions") and newest["access_token"] == received[-1]:
                received.append("")
                first.sign_out("local")
            with super().lock(key, timeout) as locked:
                yield locked

    storage, session, newest, received = (
        Interrupted(tmp_path / "sessions"),
        made.session(),
        made.session("newest"),
        [""],
    )

    def refresh(_: httpx.Request) -> httpx.Response:
        received.append(newest["access_token"])
        return httpx.Response(200, json=newest)

    answers = made.Answers(**{"GET /auth/v1/user": made.user(), "POST /auth/v1/logout": httpx.Response(204)})
    answers["POST /auth/v1/token"] = refresh
    first, second = (
        make_auth("https://host.example/auth/v1", storage=storage, transport=answers) for _ in range(2)
    )
    first.set_session(session["access_token"], session["refresh_token"])
    second.refresh_session()
    assert received[-1] == ""
    assert with_tokens(storage) == []
    assert_signed_out(second)


def test_a_sign_out_while_the_index_cannot_be_read(
    make_auth: MakeAuth, server: DemoServer, tmp_path: Path
) -> None:
    storage = UnreadableIndex(tmp_path / "sessions")
    first, second, other = (make_auth(storage=storage, name=name) for name in ("", "", "other"))
    sign_in(first, server)
    sign_in(other, server, "grace@example.com")
    assert second.get_session() is not None
    storage.fails = True
    first.sign_out("local")
    storage.fails = False
    assert_signed_out(second)
    assert other.refresh_session().session is not None
    assert make_auth(storage=storage, name="other").get_session() == other.session


def test_an_index_that_cannot_be_read_is_not_overwritten(
    make_auth: MakeAuth, server: DemoServer, tmp_path: Path
) -> None:
    """Otherwise, the sessions of other names would no longer be found by their names, nor removed in time."""
    storage = UnreadableIndex(tmp_path / "sessions")
    first, work, other = (make_auth(storage=storage, name=name) for name in ("", "work", "other"))
    sign_in(first, server)
    assert first.session is not None
    work.set_session(first.session.access_token, first.session.refresh_token)
    storage.fails = True
    with pytest.raises(AuthStorageError):
        sign_in(other, server, "grace@example.com")
    storage.fails = False
    newest = first.refresh_session().session
    stored = json.loads(storage.get(storage_key(server.auth_url, "work")) or "")
    assert stored["refresh_token"] == newest.refresh_token
    other.refresh_session()
    assert make_auth(storage=storage, name="other").get_session() == other.session


# -- the storage folder is deleted --------------------------------------------------------------------------


def test_two_names_of_a_session_are_both_stored_again_after_their_folder_was_deleted(
    make_auth: MakeAuth, server: DemoServer, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 0.05)
    monkeypatch.setattr("supabase_nb.auth._session.scheduled_work._SAVE_PAUSE", 0.05)
    first = make_auth()
    sign_in(first, server)
    assert first.session is not None
    work = make_auth(name="work", auto_refresh=True)
    work.set_session(first.session.access_token, first.session.refresh_token)
    shutil.rmtree(storage.path)
    newest = first.refresh_session().session
    copy = storage_key(server.auth_url, "work")
    wait_until(lambda: newest.refresh_token in (storage.get(copy) or ""))
    first.refresh_session()
    assert make_auth(name="work").get_session() == first.session
