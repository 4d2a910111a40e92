"""The command line."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from supabase_nb import cli
from supabase_nb._version import __version__
from supabase_nb.demo import find_server, stop_server
from supabase_nb.demo._project.options import Options


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == f"supabase-nb {__version__}"


def test_it_runs_as_a_module() -> None:
    ran = subprocess.run([sys.executable, "-m", "supabase_nb", "--version"], capture_output=True, text=True)
    assert (ran.stdout, ran.returncode) == (f"supabase-nb {__version__}\n", 0)


def test_the_help_lists_all_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    text = capsys.readouterr().out
    words = [
        "--foreground",
        "--state",
        "/demo/outage",
        "/demo/expire",
        "ada@",
        "correct horse battery",
        "trips",
    ]
    words += ["--" + field.name.replace("_", "-") for field in dataclasses.fields(Options)]
    assert [word for word in words if word not in text] == []


def test_help_loads_nothing_heavy() -> None:
    heavy = ("starlette", "uvicorn", "argon2", "httpx", "jwt", "cryptography", "IPython", "traitlets")
    code = (
        "import sys\nfrom supabase_nb import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
        f"sys.exit(str([name for name in {heavy} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"


def test_serve_status_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = ["--state", str(tmp_path)]
    assert cli.main(["status", *state]) == 3
    try:
        assert cli.main(["serve", *state, "--access-token-lifetime", "20", "--no-autoconfirm"]) == 0
        server = find_server(tmp_path)
        assert server is not None
        assert (server.options["access_token_lifetime"], server.options["autoconfirm"]) == (20, False)
        assert cli.main(["status", *state]) == 0
        text = capsys.readouterr().out
        assert text.count(f"running at {server.url} (process {server.pid})") == 2
        assert server.service_key not in text
    finally:
        assert cli.main(["stop", *state]) == 0
    assert cli.main(["stop", *state]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "demo auth server: stopped",
        "demo auth server: was not running",
    ]


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground(tmp_path: Path, with_signal: int) -> None:
    command = [sys.executable, "-m", "supabase_nb", "serve", "--foreground", "--state", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "running at http://127.0.0.1:" in process.stdout.readline()
        server = find_server(tmp_path)
        assert server is not None
        assert server.pid == process.pid
        process.send_signal(with_signal)
        _, errors = process.communicate(timeout=30)
        assert "Traceback" not in errors
        assert find_server(tmp_path) is None
        assert not (tmp_path / "server.json").exists()
    finally:
        process.kill()
        process.wait()


def test_without_the_extra_the_install_line_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "uvicorn" else found(name, *rest)
    )
    assert cli.main(["serve", "--state", str(tmp_path)]) == 1
    assert 'pip install "supabase-nb[demo]"' in capsys.readouterr().err


def test_errors_are_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--state", str(tmp_path), "--access-token-lifetime", "0"]) == 1
    assert capsys.readouterr().err == "supabase-nb: access_token_lifetime is too small: 0\n"
    (tmp_path / "file").write_text("")
    assert cli.main(["serve", "--state", str(tmp_path / "file")]) == 1
    assert "file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["serve", "--signing-alg", "none"])


def test_an_empty_folder_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An unset shell variable doesn't mean the current folder."""
    for command in ("serve", "status", "stop"):
        with pytest.raises(SystemExit, match="2"):
            cli.main([command, "--state", ""])
        assert "the path is empty" in capsys.readouterr().err


def test_the_secret_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jwt

    monkeypatch.setenv("SUPABASE_NB_DEMO_JWT_SECRET", "s" * 40)
    try:
        assert cli.main(["serve", "--state", str(tmp_path), "--signing-alg", "HS256"]) == 0
        server = find_server(tmp_path)
        assert server is not None
        assert jwt.decode(server.sign_in()["access_token"], "s" * 40, ["HS256"], audience="authenticated")
        assert "SUPABASE_NB_DEMO_JWT_SECRET" in os.environ
    finally:
        stop_server(tmp_path)
