"""Binder without Docker: the steps of its files in a new environment, then the quickstart in Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from supabase_nb import AuthClient, MemoryStorage
from supabase_nb.demo import stop_server
from supabase_nb.demo.testing import running_server

ROOT = Path(__file__).parents[2]
#: BinderHub sets it (`_runtime.environment.on_binder`).
ON_BINDER = {"BINDER_LAUNCH_HOST": "https://binder.example.org/"}


@pytest.fixture
def image(tmp_path: Path, front_end_environment: dict[str, str]) -> Iterator[tuple[Path, dict[str, str]]]:
    """What Binder would build: the repository, a new environment with requirements.txt, postBuild run."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if files.returncode:
        pytest.skip("Binder takes a git repository, and this is none")
    repository = tmp_path / "repository"
    for name in files.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, repository / name)
    image = tmp_path / "environment"
    # uv in pip's place: the same packages, in seconds.
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, image], check=True)
    requirements = repository / "binder" / "requirements.txt"
    install = [*uv, "pip", "install", "--quiet", "--python", image / "bin" / "python", "-r", requirements]
    subprocess.run(install, cwd=repository, check=True)
    environment = front_end_environment | {
        "PATH": f"{image / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "XDG_DATA_HOME": str(tmp_path / "home" / "data"),
        **ON_BINDER,
    }
    environment.pop("PYTHONPATH")
    built = subprocess.run(
        [repository / "binder" / "postBuild"],
        cwd=repository,
        env=environment,
        check=True,
        capture_output=True,
    )
    assert b"supabase-nb " in built.stdout
    yield repository, environment
    stop_server(Path(environment["XDG_DATA_HOME"]) / "supabase-nb" / "demo")


@pytest.fixture
def front_end_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(repository: Path, environment: Mapping[str, str], port: int) -> Iterator[str]:
    """The start command, around what Binder runs."""
    jupyter = ["jupyter", "lab", "--ip=127.0.0.1", f"--port={port}", "--no-browser", "--allow-root"]
    settings = ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
    process = subprocess.Popen(
        [repository / "binder" / "start", *jupyter, *settings],
        cwd=repository,
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{url}/api/status", timeout=2):
                    break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_binder_opens_the_quickstart(
    page: Page,
    off_loopback: list[str],
    image: tuple[Path, dict[str, str]],
    run_all: Callable[[Page], None],
    front_end_port: int,
    tmp_path: Path,
) -> None:
    repository, environment = image
    with started(repository, environment, front_end_port) as url:
        # The demo server is ready before the notebook is.
        status = ["supabase-nb", "status"]
        found = subprocess.run(status, env=environment, capture_output=True, text=True, check=False)
        assert "running at http://127.0.0.1" in found.stdout
        page.set_viewport_size({"width": 1100, "height": 1500})
        page.goto(f"{url}/lab/tree/notebooks/quickstart.ipynb")
        run_all(page)
        panel = page.locator(".sb[data-kind=panel]").first
        expect(panel).to_have_attribute("data-status", "active")
        expect(panel).to_contain_text("shared and temporary")
        expect(panel).to_contain_text("ada@example.com")
        page.get_by_text("The token was refreshed: True").wait_for()
        expect(page.locator("table").get_by_text("Turin").first).to_be_visible()
        expect(page.locator(".sb[data-kind=panel]").last).to_have_attribute("data-status", "active")
        assert page.locator("[data-mime-type*=error], [data-mime-type*=stderr]").count() == 0
        # Nobody was asked for news, and nothing was kept.
        assert page.get_by_text("Jupyter news").count() == 0
        assert list(Path(environment["XDG_DATA_HOME"]).rglob("*auth-token*")) == []
        assert off_loopback == []


def test_a_restarted_kernel_works_without_storage() -> None:
    """As in binder/start: the server accepts the copied tokens again, although they were used and nothing was stored."""
    words = (ROOT / "binder" / "start").read_text("utf-8").split()
    reuse = int(words[words.index("--reuse-interval") + 1])
    with running_server(access_token_lifetime=20, reuse_interval=reuse) as server:
        at, rt = server.copied_tokens()
        for _ in range(3):
            client = AuthClient(
                server.auth_url,
                headers={"apikey": server.anon_key},
                storage=MemoryStorage(),
                auto_refresh=False,
            )
            client.set_session(at, rt)
            client.refresh_session()
            client.close()
            server.advance(3600)
            assert server.copied_tokens() == (at, rt)
