"""Starts front ends on free ports of this machine, and writes notebooks for them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import nbformat

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that no rule takes for this machine's own, such as a hub's.
    "--host-resolver-rules=MAP hub.test 127.0.0.1",
]


@dataclass
class Server:
    """A front end, the folder it serves, and its process."""

    url: str
    root: Path
    process: subprocess.Popen[bytes]


def first_command(*names: str) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def running_jupyter(
    root: Path, environment: dict[str, str], base_url: str = "/", host: str = "127.0.0.1"
) -> Iterator[Server]:
    """Serve the notebooks in `root`, behind a prefix and by another name if wanted."""
    port = free_port()
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": root,
        "ServerApp.allow_root": True,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": "",
        "ServerApp.password": "",
        "LabApp.expose_app_in_browser": True,
        "JupyterNotebookApp.expose_app_in_browser": True,
        "LabApp.extension_manager": "readonly",
        "ServerApp.base_url": base_url,
        "ServerApp.allow_remote_access": True,
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    prefix = base_url.rstrip("/")
    with running(command, environment, root, f"http://127.0.0.1:{port}", f"{prefix}/api/status") as server:
        server.url = f"http://{host}:{port}{prefix}"
        yield server


def write_into(root: Path, name: str, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    path = root / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def place(server: Server, path: Path, front_end: str) -> str:
    if not path.is_relative_to(server.root):
        path = Path(shutil.copy(path, server.root))
    return f"{server.url}/{front_end}/{path.relative_to(server.root)}"


class running:
    """A server process that answers, and that is ended with the block."""

    def __init__(self, command: list[str], env: dict[str, str], root: Path, url: str, health: str) -> None:
        self.log = (root.parent / f"{root.name}-{urlsplit(url).port}.log").open("wb")
        self.server = Server(
            url, root, subprocess.Popen(command, env=env, cwd=root, stdout=self.log, stderr=subprocess.STDOUT)
        )
        self.health = url + health

    def __enter__(self) -> Server:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.server.process.poll() is None:
            try:
                with urllib.request.urlopen(self.health, timeout=2):
                    return self.server
            except OSError:
                time.sleep(0.1)
        self.__exit__(None, None, None)
        raise RuntimeError(f"{self.server.url} did not start:\n{Path(self.log.name).read_text()[-2000:]}")

    def __exit__(self, *_: object) -> None:
        process = self.server.process
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        self.log.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
