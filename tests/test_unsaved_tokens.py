"""Tokens that can't be saved for long: other kernels don't send the stored ones, which have fallen behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made
import pytest
from waiting import wait_until

from supabase_nb import AuthClient, AuthError, AuthRetryableError, AuthStorageError, FileStorage
from supabase_nb.demo import DemoServer
from supabase_nb.storage import storage_key

MakeAuth = Callable[..., AuthClient]


class FullDisk(FileStorage):
    """Saves nothing while it is full."""

    full = False

    def set(self, key: str, value: str) -> None:
        if self.full:
            raise AuthStorageError("The session could not be saved (No space left on device).")
        super().set(key, value)


@pytest.fixture
def unsaved(
    tmp_path: Path, make_auth: MakeAuth, server: DemoServer
) -> tuple[FullDisk, AuthClient, AuthClient]:
    """Two kernels. The disk is full, and the first has refreshed the session twice."""
    disk = FullDisk(tmp_path / "sessions")
    first, second = make_auth(storage=disk), make_auth(storage=disk)
    pair = server.sign_in()
    first.set_session(pair["access_token"], pair["refresh_token"])
    assert second.refresh_session().session is not None
    assert first.refresh_session().session is not None
    disk.full = True
    for _ in range(2):
        with pytest.raises(AuthStorageError):
            first.refresh_session()
        server.advance(30)  # beyond the reuse interval
    return disk, first, second


def test_a_token_that_fell_behind_on_a_full_disk_is_not_sent(
    unsaved: tuple[FullDisk, AuthClient, AuthClient], make_auth: MakeAuth, server: DemoServer
) -> None:
    """The server would take it for stolen, and end the session for both."""
    disk, first, second = unsaved
    with pytest.raises(AuthRetryableError, match="newer tokens"):
        second.refresh_session()
    third = make_auth(storage=disk)
    with pytest.raises(AuthRetryableError, match="newer tokens"):
        third.refresh_session()
    assert first.get_user().email == "ada@example.com"
    other = server.sign_in("grace@example.com")
    another = make_auth(storage=disk, name="other")
    with pytest.raises(AuthStorageError):
        another.set_session(other["access_token"], other["refresh_token"])
    with pytest.raises(AuthStorageError):
        another.refresh_session()

    disk.full = False
    assert first.refresh_session().session is not None
    assert second.refresh_session().session is not None
    assert first.get_user() == second.get_user() == third.get_user()


def test_of_two_kernels_with_unsaved_tokens_only_one_refreshes(
    make_auth: MakeAuth, server: DemoServer, tmp_path: Path
) -> None:
    """The second got its tokens from the server before the first one's next refresh."""
    disk = FullDisk(tmp_path / "sessions")
    first, second = make_auth(storage=disk), make_auth(storage=disk)
    pair = server.sign_in()
    first.set_session(pair["access_token"], pair["refresh_token"])
    assert second.get_session() is not None
    disk.full = True
    for auth in (first, second, first, first, first):
        with pytest.raises(AuthStorageError):
            auth.refresh_session()
        server.advance(30)
    with pytest.raises(AuthRetryableError, match="newer tokens"):
        second.refresh_session()
    disk.full = False
    assert first.refresh_session().session is not None
    assert second.refresh_session().session is not None


@pytest.mark.parametrize("step", [0, 60], ids=["in the same second", "later"])
def test_if_the_server_keeps_the_refresh_token_no_kernel_waits(
    step: int, make_auth: MakeAuth, tmp_path: Path
) -> None:
    disk, now = FullDisk(tmp_path / "sessions"), int(time.time())
    session = made.session(iat=now - 300)
    issued = [made.jwt(iat=now - 300 + number * step, jti=number) for number in range(1, 5)]
    answers = made.Answers(**{"GET /auth/v1/user": session["user"]})
    url = "https://host.example/auth/v1"
    first, second = (make_auth(url, storage=disk, transport=answers) for _ in range(2))
    first.set_session(session["access_token"], session["refresh_token"])
    assert second.get_session() is not None
    disk.full = True
    for auth, token in zip((first, first, second, first), issued, strict=True):
        answers["POST /auth/v1/token"] = {**session, "access_token": token}
        with pytest.raises(AuthStorageError):
            auth.refresh_session()
        assert auth.session is not None
        assert auth.session.access_token == token
    disk.full = False
    for auth in (second, first):
        auth.refresh_session()
    latest = make_auth(url, storage=disk, transport=answers).get_session()
    assert latest is not None
    assert latest.access_token == issued[-1]


def test_if_the_server_keeps_the_refresh_token_a_newer_access_token_is_saved(
    make_auth: MakeAuth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 0.05)
    monkeypatch.setattr("supabase_nb.auth._session.scheduled_work._SAVE_PAUSE", 0.05)
    disk, now = FullDisk(tmp_path / "sessions"), int(time.time())
    session = made.session(iat=now - 300)
    newer = {**session, "access_token": made.jwt(iat=now)}
    answers = made.Answers(**{"GET /auth/v1/user": session["user"], "POST /auth/v1/token": newer})
    url = "https://host.example/auth/v1"
    auth = make_auth(url, storage=disk, transport=answers, auto_refresh=True)
    auth.set_session(session["access_token"], session["refresh_token"])
    disk.full = True
    with pytest.raises(AuthStorageError):
        auth.refresh_session()
    disk.full = False
    wait_until(lambda: newer["access_token"] in (disk.get(storage_key(url)) or ""))


@pytest.mark.parametrize("end", ["close", "sign_out", "change of user"])
def test_a_kernel_that_drops_unsaved_tokens_does_not_keep_others_waiting(
    end: str, unsaved: tuple[FullDisk, AuthClient, AuthClient], server: DemoServer
) -> None:
    _, first, second = unsaved
    if end == "change of user":
        pair = server.sign_in("grace@example.com")
        with pytest.raises(AuthStorageError):  # the disk is still full
            first.set_session(pair["access_token"], pair["refresh_token"])
    else:
        getattr(first, end)()
    with pytest.raises(AuthError) as caught:
        second.refresh_session()
    assert not isinstance(caught.value, AuthRetryableError)


def test_without_locks_a_session_is_refreshed_all_the_same(
    unsaved: tuple[FullDisk, AuthClient, AuthClient], make_auth: MakeAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*_: Any, **__: Any) -> None:
        raise OSError(37, "No locks available")

    disk, first, _ = unsaved
    disk.full = False
    assert first.refresh_session().session is not None
    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    assert make_auth(storage=disk).refresh_session().session is not None
