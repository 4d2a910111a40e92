"""A JupyterLab of our own in a browser, to measure what a person sees."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import nbformat
from measure import environment
from playwright.sync_api import Page, sync_playwright

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
_FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


class Lab:
    """A notebook with these cells, open in JupyterLab, for as long as the block runs."""

    page: Page

    def __init__(self, *cells: str) -> None:
        self._cells = cells
        #: What the kernel has sent for widgets: websocket frames.
        self.received: list[bytes] = []

    def __enter__(self) -> Lab:
        self._folder = tempfile.TemporaryDirectory()
        home = Path(self._folder.name)
        (home / "config" / "labconfig").mkdir(parents=True)
        # JupyterLab would ask for news.
        quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (home / "config" / "labconfig" / "page_config.json").write_text(json.dumps(quiet))
        root = home / "notebooks"
        root.mkdir()
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in self._cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, root / "bench.ipynb")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": port,
            "ServerApp.root_dir": root,
            "ServerApp.allow_root": True,
            "ServerApp.open_browser": False,
            "IdentityProvider.token": "",
            "LabApp.expose_app_in_browser": True,
            "LabApp.extension_manager": "readonly",
        }
        of_jupyter = {"HOME": str(home), "IPYTHONDIR": str(home / "ipython")}
        of_jupyter |= {
            f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
        }
        with (home / "lab.log").open("wb") as log:
            self._server = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "jupyterlab",
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                env={**environment(), **of_jupyter},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/status")
            self._playwright = sync_playwright().start()
            self._browser = self._playwright.chromium.launch(executable_path=_chromium(), args=_FLAGS)
            self.page = self._browser.new_page(viewport={"width": 1280, "height": 900})
            self.page.set_default_timeout(60_000)
            self.page.on("websocket", lambda socket: socket.on("framereceived", self._receive))
            self.page.goto(f"http://127.0.0.1:{port}/lab/tree/bench.ipynb?reset")
            self.page.wait_for_function("window.jupyterapp?.commands.hasCommand('notebook:run-all-cells')")
            self.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
            kernel = "jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel"
            self.page.wait_for_function(f"{kernel}?.status === 'idle'")
        except BaseException:
            self._end_server()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._playwright.stop()
        self._end_server()

    def _end_server(self) -> None:
        self._server.terminate()
        try:
            self._server.wait(15)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait(15)
        shutil.rmtree(self._folder.name, ignore_errors=True)

    def _receive(self, frame: bytes | str) -> None:
        data = frame.encode() if isinstance(frame, str) else frame
        if b"comm_msg" in data:
            self.received.append(data)

    def run_cell(self, number: int) -> None:
        """Run a cell and wait until the kernel is done with it."""
        self.page.evaluate(
            """async (number) => {
                const { content } = jupyterapp.shell.currentWidget;
                content.activeCellIndex = number;
                content.deselectAll();
                await jupyterapp.commands.execute("notebook:run-cell");
            }""",
            number,
        )


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _chromium() -> str | None:
    """The system's Chromium; ``None``: Playwright's own."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next((path for path in found if path), None)
