"""The pytest plugin, as another project uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TEST = """
import urllib.request

def test_one(supabase_auth_server):
    session = supabase_auth_server.sign_in()
    assert session["user"]["email"] == "ada@example.com"
    print("FOLDER", supabase_auth_server.state_dir)

def test_two(supabase_auth_server):
    assert urllib.request.urlopen(supabase_auth_server.auth_url + "/health").status == 200
"""


def test_the_fixture_is_there_once_installed(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    (folder,) = [line.split()[-1] for line in done.stdout.splitlines() if "FOLDER" in line]
    assert not Path(folder).exists()


def test_the_fixture_is_listed_with_its_description(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "supabase_auth_server [session scope]" in shown.stdout
    assert "A running auth server with three users" in shown.stdout
