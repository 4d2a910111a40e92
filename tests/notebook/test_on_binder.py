"""On Binder: sessions in memory only, and a panel that warns about the shared machine."""

from __future__ import annotations

import pytest

from supabase_nb import AuthClient, FileStorage, MemoryStorage
from supabase_nb._runtime.environment import on_binder
from supabase_nb.notebook._displays import fallback
from supabase_nb.notebook._displays.view import describe

MARKS = ("BINDER_SERVICE_HOST", "BINDER_LAUNCH_HOST")


@pytest.fixture(params=MARKS)
def binder(request, monkeypatch):
    for mark in MARKS:
        monkeypatch.delenv(mark, raising=False)
    monkeypatch.setenv(request.param, "https://binder.example.org/")


@pytest.fixture
def connect(shell, server):
    """Connects to the embedded server with these options, and closes what came of it."""
    assert shell.run("%load_ext supabase_nb").ok
    yield lambda options="": shell.run(f"%supabase_connect {server.url} --key {server.anon_key} {options}")
    if "supabase" in shell.ns:
        shell.ns["supabase"].close()


def test_detecting_binder():
    assert not on_binder({})
    assert not on_binder({"BINDER_LAUNCH_HOST": ""})
    assert all(on_binder({mark: "x"}) for mark in MARKS)


def test_memory_only_and_a_notice(binder, connect, shell):
    assert connect().ok
    auth = shell.ns["supabase"].auth
    assert isinstance(auth.storage, MemoryStorage)
    assert any("shared and temporary" in notice for notice in auth.notices)
    assert "shared and temporary" in fallback.html(describe(auth))


def test_the_notice_stays_with_a_session_and_after_it(binder, connect, shell, server):
    assert connect().ok
    auth = shell.ns["supabase"].auth
    session = server.sign_in()
    auth.set_session(session["access_token"], session["refresh_token"])
    assert "shared and temporary" in " ".join(auth.notices)
    auth.sign_out()
    assert "shared and temporary" in " ".join(auth.notices)


@pytest.mark.parametrize("storage", ["file", "keyring"])
def test_no_storage_that_stays(binder, connect, shell, storage):
    ran = connect(f"--storage {storage}")
    assert not ran.ok
    assert "On Binder, sessions are kept in memory only. Leave out --storage." in ran.text
    assert "supabase" not in shell.ns


def test_your_own_clients_store_no_token_either(binder):
    assert isinstance(AuthClient("https://abcd.supabase.co/auth/v1").storage, MemoryStorage)


def test_elsewhere_a_file(connect, shell, monkeypatch):
    for mark in MARKS:
        monkeypatch.delenv(mark, raising=False)
    assert connect().ok
    auth = shell.ns["supabase"].auth
    assert isinstance(auth.storage, FileStorage)
    assert auth.notices == ()
