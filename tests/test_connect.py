"""Finding the project in arguments, the environment and .env: precedence, messages and refused keys."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import made
import pytest

from supabase_nb import AuthError, MemoryStorage, create_client
from supabase_nb.client._project_lookup import KEY_VARIABLES, resolve_project

ARGUMENT, ENVIRONMENT, FILE = (f"https://{name}.supabase.co" for name in ("argument", "environment", "file"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a notebook is, three levels below a .env."""
    (tmp_path / ".env").write_text(
        f"# the project\nexport SUPABASE_URL={FILE}\nSUPABASE_ANON_KEY='file-key'\nSUPABASE_KEY=\n"
    )
    below = tmp_path / "a" / "b" / "c"
    below.mkdir(parents=True)
    return below


def test_the_argument_wins_over_the_environment_over_the_file(folder: Path) -> None:
    environ = {"SUPABASE_URL": ENVIRONMENT, "SUPABASE_KEY": "environment-key"}
    given = resolve_project(ARGUMENT, "argument-key", environ=environ, folder=folder)
    assert (given.url, given.key, given.origin) == (ARGUMENT, "argument-key", "")
    found = resolve_project(environ=environ, folder=folder)
    assert (found.url, found.key) == (ENVIRONMENT, "environment-key")
    assert found.origin == "URL: SUPABASE_URL; key: SUPABASE_KEY"
    read = resolve_project(environ={}, folder=folder)
    assert (read.url, read.key) == (FILE, "file-key")
    assert read.origin == "URL: SUPABASE_URL in ../../../.env; key: SUPABASE_ANON_KEY in ../../../.env"


def test_url_and_key_are_looked_up_separately(folder: Path) -> None:
    project = resolve_project(ARGUMENT, environ={"SUPABASE_PUBLISHABLE_KEY": "k"}, folder=folder)
    assert (project.url, project.key) == (ARGUMENT, "k")
    assert project.origin == "URL: argument; key: SUPABASE_PUBLISHABLE_KEY"


def test_the_order_of_the_keys_names() -> None:
    environ = {name: name.lower() for name in KEY_VARIABLES}
    for name in KEY_VARIABLES:
        assert resolve_project(ARGUMENT, environ=environ).key == name.lower()
        del environ[name]


def test_empty_variables_are_ignored(folder: Path) -> None:
    project = resolve_project("", " ", environ={"SUPABASE_URL": "", "SUPABASE_KEY": " "}, folder=folder)
    assert (project.url, project.key) == (FILE, "file-key")


def test_the_nearest_file_is_used(folder: Path) -> None:
    (folder.parent / ".env").write_text("SUPABASE_ANON_KEY=nearer\n")
    assert resolve_project(ARGUMENT, environ={}, folder=folder).key == "nearer"
    with pytest.raises(AuthError, match="No project URL was found"):
        resolve_project(environ={}, folder=folder)


def test_the_working_directory_is_where_it_begins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert resolve_project(environ={}).url == FILE


def test_reading_the_file_sets_no_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_ANON_KEY", raising=False)
    monkeypatch.chdir(folder)
    resolve_project()
    with pytest.raises(AuthError):
        resolve_project(folder="/")


def test_a_binary_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00SUPABASE_URL")
    with pytest.raises(AuthError, match="No project URL was found"):
        resolve_project(environ={}, folder=tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_of_a_dotenv_file(tmp_path: Path, encoding: str, newline: str) -> None:
    """PowerShell's `>` writes UTF-16, and editors on Windows may write a comment in Latin-1."""
    lines = ("# für die Übung", f"SUPABASE_URL={FILE}", "export SUPABASE_ANON_KEY='anon-key'", "")
    (tmp_path / ".env").write_bytes(newline.join(lines).encode(encoding))
    project = resolve_project(environ={}, folder=tmp_path)
    assert (project.url, project.key) == (FILE, "anon-key")


@pytest.mark.parametrize("quoted", ['"{}"', "'{}'", ' "{}" ', '" {} "'])
def test_quotes_that_docker_keeps_in_the_environment(tmp_path: Path, quoted: str) -> None:
    environ = {"SUPABASE_URL": quoted.format(FILE), "SUPABASE_KEY": quoted.format("anon-key")}
    project = resolve_project(environ=environ, folder=tmp_path)
    assert (project.url, project.key) == (FILE, "anon-key")
    with pytest.raises(AuthError, match="No key"):
        resolve_project(environ=environ | {"SUPABASE_KEY": '""'}, folder=tmp_path)


@pytest.mark.parametrize("quoted", ['"{}"', "'{}'", ' "{}" ', '" {} "\n'])
def test_quotes_copied_with_a_url_or_key(quoted: str) -> None:
    url, key = quoted.format(FILE), quoted.format("sb_publishable_x")
    project = resolve_project(url, key, environ={})
    assert (project.url, project.key) == (FILE, "sb_publishable_x")
    with create_client(url, key, storage=MemoryStorage()) as client:
        assert (client.url, client.key) == (FILE, "sb_publishable_x")
    for make in (resolve_project, create_client):
        with pytest.raises(AuthError) as caught:
            make(FILE, quoted.format("sb_secret_abcdefghijklmnop"))
        assert caught.value.code == "secret_key"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows doesn't delete the working directory")
def test_a_working_directory_that_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    project = resolve_project(environ={"SUPABASE_URL": FILE, "SUPABASE_KEY": "anon-key"})
    assert project.url == FILE
    with pytest.raises(AuthError, match="No project URL"):
        resolve_project(environ={})


def test_a_missing_value_is_reported_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match=r"set SUPABASE_URL \(in the environment or a \.env\)") as no_url:
        resolve_project(environ={}, folder=tmp_path)
    with pytest.raises(AuthError, match="Pass --key, or set SUPABASE_ANON_KEY") as no_key:
        resolve_project(ARGUMENT, environ={}, folder=tmp_path)
    assert (no_url.value.code, no_key.value.code) == ("no_url", "no_key")


@pytest.mark.parametrize("key", ["sb_secret_planted", made.jwt({"role": "service_role", "ref": "argument"})])
def test_a_secret_key_is_refused_with_the_reason_unless_allowed(tmp_path: Path, key: str) -> None:
    (tmp_path / ".env").write_text(f"SUPABASE_KEY={key}\n")
    with pytest.raises(AuthError, match="bypasses Row Level Security") as refused:
        resolve_project(ARGUMENT, environ={}, folder=tmp_path)
    error = refused.value
    assert error.code == "secret_key"
    assert "(SUPABASE_KEY in .env)" in str(error)
    assert "--allow-secret-key" in str(error)
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "resolve_project" in shown
    assert key not in shown
    assert resolve_project(ARGUMENT, environ={}, folder=tmp_path, allow_secret_key=True).key == key


def test_another_projects_key_is_refused(folder: Path) -> None:
    """The URL is given, the key comes from the file of another project."""
    (folder / ".env").write_text(f"SUPABASE_KEY={made.jwt({'role': 'anon', 'ref': 'file'})}\n")
    with pytest.raises(AuthError, match=r"\(SUPABASE_KEY in \.env\) is from another project"):
        resolve_project(ARGUMENT, environ={}, folder=folder)
    assert resolve_project(FILE, environ={}, folder=folder).url == FILE
    # A project of one's own host has no ref in its address.
    assert resolve_project("https://db.example.com", environ={}, folder=folder).key


@pytest.mark.parametrize("key", ["sb_publishable_abc", made.jwt({"role": "anon", "ref": "argument"}), "any"])
def test_a_public_key_is_taken(key: str) -> None:
    assert resolve_project(ARGUMENT, key, environ={}).key == key
