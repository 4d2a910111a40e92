"""A notebook in JupyterLab in a browser, and the messages between kernel and browser about widgets."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from measure import environment
from playwright.sync_api import Page, WebSocket, sync_playwright

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
_FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
_RUN_CELL = """async (number) => {
    const { content } = jupyterapp.shell.currentWidget;
    content.activeCellIndex = number;
    content.deselectAll();
    await jupyterapp.commands.execute("notebook:run-cell");
}"""
_KERNEL = "jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel"


class Lab:
    """A notebook that is open in this page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        #: What kernel and page have said to each other: websocket frames.
        self.messages: list[bytes] = []
        page.on("websocket", self._listen)

    def run_cell(self, number: int) -> None:
        """Run a cell and wait until the kernel is done with it."""
        self.page.evaluate(_RUN_CELL, number)

    def _listen(self, websocket: WebSocket) -> None:
        websocket.on("framereceived", self._hear)
        websocket.on("framesent", self._hear)

    def _hear(self, frame: bytes | str) -> None:
        data = frame.encode() if isinstance(frame, str) else frame
        if b"comm_msg" in data:
            self.messages.append(data)


@contextmanager
def opened(*cells: str) -> Iterator[Lab]:
    """A notebook with these cells, open in JupyterLab."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with _server(*cells) as url, sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium, args=_FLAGS).new_page()
        page.set_default_timeout(0)
        lab = Lab(page)
        page.goto(f"{url}/lab/tree/bench.ipynb?reset")
        page.wait_for_function("window.jupyterapp?.commands.hasCommand('notebook:run-cell')")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_function(f"{_KERNEL}?.status === 'idle'")
        yield lab


@contextmanager
def _server(*cells: str) -> Iterator[str]:
    """The URL of a JupyterLab of our own with a notebook ``bench.ipynb``."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, socket.socket() as probe:
        home = Path(folder)
        (home / "labconfig").mkdir()
        # JupyterLab would ask for news.
        quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (home / "labconfig" / "page_config.json").write_text(json.dumps(quiet))
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, home / "bench.ipynb")
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
        command += ["--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", f"--ServerApp.root_dir={home}"]
        command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
        folders = ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
        own = {**environment(), **dict.fromkeys(folders, folder)}
        with (home / "lab.log").open("wb") as log:
            server = subprocess.Popen(command, env=own, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            while not _answers(f"{url}/api/status"):
                assert server.poll() is None, (home / "lab.log").read_text()
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url):
            return True
    except OSError:
        return False
