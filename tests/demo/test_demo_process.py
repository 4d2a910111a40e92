"""Starting, finding and stopping the server's process."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from supabase_nb.demo import DemoServer, DemoServerError, ensure_server, find_server, stop_server
from supabase_nb.demo.testing import running_server


def test_a_running_server_is_found(supabase_auth_server: DemoServer) -> None:
    found = find_server(supabase_auth_server.state_dir)
    assert found == supabase_auth_server
    assert supabase_auth_server.service_key not in repr(found)


def test_nothing_is_found_where_nothing_runs(tmp_path: Path) -> None:
    assert find_server(tmp_path) is None
    assert stop_server(tmp_path) is False


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"url": 5}', '{"url": "x", "pid": 1}'])
def test_a_damaged_state_file_is_no_server(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    assert find_server(tmp_path) is None


def test_the_state_of_another_run_is_no_server(tmp_path: Path) -> None:
    """The port of a server that was killed may belong to another one."""
    with running_server() as server:
        state = server.to_state() | {"instance": "another"}
        (tmp_path / "server.json").write_text(json.dumps(state))
        assert find_server(tmp_path) is None


def test_it_outlives_its_starter_and_is_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "a folder" / "demo"
    code = "import sys, pathlib, supabase_nb.demo as d; print(d.ensure_server(pathlib.Path(sys.argv[1])).pid)"
    started = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    try:
        server = ensure_server(folder)
        assert server.pid == int(started.stdout)
        assert os.getsid(server.pid) == server.pid  # not in the terminal's session
        session = server.sign_in()
    finally:
        assert stop_server(folder) is True
    assert find_server(folder) is None
    # The next one has the same address, users and keys: yesterday's session continues.
    again = ensure_server(folder)
    try:
        assert (again.url, again.anon_key) == (server.url, server.anon_key)
        assert again.pid != server.pid
        again.request("GET", "/auth/v1/user", token=session["access_token"])
    finally:
        stop_server(folder)


def test_two_starters_get_one_server(tmp_path: Path) -> None:
    try:
        with ThreadPoolExecutor() as pool:
            servers = list(pool.map(lambda _: ensure_server(tmp_path), range(4)))
        assert len({server.pid for server in servers}) == 1
    finally:
        stop_server(tmp_path)


def test_a_killed_server_is_replaced(tmp_path: Path) -> None:
    first = ensure_server(tmp_path)
    os.kill(first.pid, signal.SIGKILL)
    try:
        second = ensure_server(tmp_path)
        assert second.pid != first.pid
        assert second.instance != first.instance
        assert second.sign_in()
    finally:
        stop_server(tmp_path)


def test_other_options_start_it_anew(tmp_path: Path) -> None:
    first = ensure_server(tmp_path, access_token_lifetime=20)
    try:
        assert ensure_server(tmp_path).pid == first.pid
        assert ensure_server(tmp_path, access_token_lifetime=20).pid == first.pid
        assert first.sign_in()["expires_in"] == 20
        other = ensure_server(tmp_path, access_token_lifetime=30, reuse_interval=5)
        assert other.pid != first.pid
        assert (other.url, other.sign_in()["expires_in"]) == (first.url, 30)
    finally:
        stop_server(tmp_path)


def test_the_port_can_be_chosen_or_is_refused(tmp_path: Path) -> None:
    with running_server() as other:
        with pytest.raises(
            DemoServerError, match=f"didn't start: .*port {other.port} on 127.0.0.1 is in use"
        ):
            ensure_server(tmp_path, port=other.port)
        assert find_server(tmp_path) is None


def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    with running_server(tmp_path / "one") as first:
        pass
    with running_server(port=first.port), running_server(tmp_path / "one") as second:
        assert second.port != first.port
        assert second.anon_key == first.anon_key


def test_an_unusable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoServerError, match="file can't be used"):
        ensure_server(tmp_path / "file")


@pytest.mark.parametrize("name", ["keys.json", "demo.sqlite"])
@pytest.mark.parametrize("contents", [b"\xff\0damaged", b"[1]", b'{"anon_key": "a"}', b"{}", b"half"])
def test_a_damaged_file_is_named_and_kept(tmp_path: Path, name: str, contents: bytes) -> None:
    with running_server(tmp_path) as server:
        server.sign_in("ada@example.com")
    path = tmp_path / name
    path.write_bytes(contents if contents != b"half" else path.read_bytes()[: path.stat().st_size // 2])
    before = path.read_bytes()
    with pytest.raises(DemoServerError, match=f"{path} .*Restore it, or move it away") as caught:
        ensure_server(tmp_path)
    assert "supabase-nb:" not in str(caught.value)
    assert path.read_bytes() == before
    path.rename(tmp_path / "elsewhere")
    with running_server(tmp_path) as server:
        server.sign_in("ada@example.com")


@pytest.mark.parametrize("named", ["state", "./a/../state", "~/state"])
def test_a_relative_folder_is_found_from_everywhere(
    named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SUPABASE_NB_DEMO_STATE", named)
    monkeypatch.chdir(tmp_path)
    server = ensure_server()
    try:
        assert server.state_dir == tmp_path / "state"
        assert find_server() == find_server(Path(named)) == server
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        assert find_server(server.state_dir) == server
        assert server.stats() is not None
    finally:
        stop_server(tmp_path / "state")


@pytest.mark.skipif(os.name != "posix", reason="modes exist only on POSIX")
def test_a_folder_with_other_files_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "notebook.ipynb").touch()
    with running_server(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
        for name in ("keys.json", "server.json", "demo.sqlite"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_hanging_starter_is_reported(tmp_path: Path) -> None:
    with FileLock(tmp_path / "start.lock"), pytest.raises(DemoServerError, match="still starting"):
        ensure_server(tmp_path, timeout=0.2)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    with (
        FileLock(tmp_path / "demo" / "serve.lock"),
        pytest.raises(DemoServerError, match="another server uses"),
        running_server(tmp_path / "demo"),
    ):
        pass


def test_the_secret_reaches_the_process_unseen(tmp_path: Path) -> None:
    secret = "a-secret-that-no-one-else-should-see-0123"
    server = ensure_server(tmp_path, jwt_secret=secret, signing_alg="HS256")
    try:
        command = Path(f"/proc/{server.pid}/cmdline")
        if command.exists():
            assert secret not in command.read_text()
        import jwt

        token = server.sign_in()["access_token"]
        assert jwt.decode(token, secret, ["HS256"], audience="authenticated")["role"] == "authenticated"
        assert secret not in (tmp_path / "server.json").read_text()
    finally:
        stop_server(tmp_path)


def test_the_default_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUPABASE_NB_DEMO_STATE", str(tmp_path / "named"))
    with running_server(tmp_path / "named") as server:
        assert find_server() == server


def test_importing_it_loads_no_server() -> None:
    heavy = ("starlette", "uvicorn", "argon2", "httpx", "jwt", "cryptography", "IPython", "sqlite3")
    code = f"import sys, supabase_nb.demo; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
