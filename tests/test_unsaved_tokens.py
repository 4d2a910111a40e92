"""Tokens that can't be saved for long: other kernels don't send the stored ones, which have fallen behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supabase_nb import AuthClient, AuthError, AuthRetryableError, AuthStorageError, FileStorage
from supabase_nb.demo import DemoServer

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


@pytest.mark.parametrize("end", ["close", "sign_out"])
def test_a_kernel_with_unsaved_tokens_that_ends_does_not_keep_others_waiting(
    end: str, unsaved: tuple[FullDisk, AuthClient, AuthClient]
) -> None:
    _, first, second = unsaved
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
