"""JupyterLab in Chromium, where everything that is shown, sent, saved and logged can be searched."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from planted import below, processes
from playwright.sync_api import Page, Response, WebSocket
from searched_kernel import own_environment

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"]

KERNEL = "sessionContext?.session?.kernel"

# What JupyterLab promises it may never do: it asks in a dialog, or the kernel is busy for ever.
LATE = """new Promise((_, fail) => setTimeout(() => {
    const {kernel} = jupyterapp.shell.currentWidget?.context?.sessionContext?.session ?? {};
    const asked = document.querySelector('.jp-Dialog')?.textContent;
    fail(new Error(`It takes too long; the kernel is ${kernel?.status}, asked is: ${asked ?? 'nothing'}`));
}, 60_000))"""

#: Everything that a page holds, by place.
PAGE = """async () => {
    const databases = await indexedDB.databases(), kept = {};
    for (const {name} of databases) {
        const db = await new Promise(done => {
            const open = indexedDB.open(name);
            open.onsuccess = () => done(open.result);
        });
        for (const store of db.objectStoreNames) {
            kept[`${name}/${store}`] = await new Promise(done => {
                const all = db.transaction(store).objectStore(store).getAll();
                all.onsuccess = () => done(all.result);
            });
        }
        db.close();
    }
    const model = jupyterapp.shell.currentWidget.content.model;
    return {
        'DOM': document.documentElement.outerHTML + document.title,
        'fields': [...document.querySelectorAll('input, textarea')].map(field => field.value).join('\\n'),
        'localStorage': JSON.stringify({...localStorage}),
        'sessionStorage': JSON.stringify({...sessionStorage}),
        'IndexedDB': JSON.stringify(kept),
        'cookies': document.cookie,
        'URL': location.href + JSON.stringify(history.state) + document.referrer,
        'notebook in the browser': JSON.stringify(model.sharedModel.toJSON()),
        'clipboard': await navigator.clipboard.readText(),
    };
}"""


class SearchedLab:
    """A person at work in JupyterLab, which saves widget state and logs all it can.

    Args:
        folder: For all files.
        playwright: The running Playwright.
    """

    def __init__(self, folder: Path, playwright: Any) -> None:
        self.home, self.outside = folder / "home", folder / "outside"
        self.outside.mkdir(parents=True)
        self.notebooks = self.home / "notebooks"
        self.frames: list[bytes] = []
        self.responses: list[bytes] = []
        self.console: list[str] = []
        self.read: dict[str, str] = {}
        #: Six digits that were typed.
        self.codes: list[str] = []
        environment = own_environment(self.home)
        self.notebooks.mkdir()
        self._settings(environment)
        self.url = f"http://127.0.0.1:{_free_port()}"
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.url.rpartition(":")[2],
            "ServerApp.root_dir": self.notebooks,
            "ServerApp.allow_root": True,
            "ServerApp.open_browser": False,
            "IdentityProvider.token": "",
            "LabApp.expose_app_in_browser": True,
            "LabApp.extension_manager": "readonly",
        }
        command = [sys.executable, "-m", "jupyterlab", "--debug", *(f"--{k}={v}" for k, v in options.items())]
        self.log = (self.outside / "jupyter.log").open("wb")
        self.server = subprocess.Popen(
            command, env=environment, cwd=self.notebooks, stdout=self.log, stderr=subprocess.STDOUT
        )
        _wait(lambda: _answers(f"{self.url}/api/status"), "JupyterLab does not start")
        browser = shutil.which("chromium") or shutil.which("google-chrome")
        self.browser = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        context = self.browser.new_context()
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page: Page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("websocket", self._listen)
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("response", self._keep)

    def _settings(self, environment: dict[str, str]) -> None:
        settings = self.home / "lab-settings"
        widgets = settings / "@jupyter-widgets" / "jupyterlab-manager"
        widgets.mkdir(parents=True)
        (widgets / "plugin.jupyterlab-settings").write_text(json.dumps({"saveState": True}))
        environment["JUPYTERLAB_SETTINGS_DIR"] = str(settings)
        environment["JUPYTERLAB_WORKSPACES_DIR"] = str(self.home / "lab-workspaces")
        config = self.home / "jupyter-config" / "labconfig"
        config.mkdir(parents=True)
        off = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (config / "page_config.json").write_text(json.dumps(off))
        profile = self.home / "ipython" / "profile_default"
        profile.mkdir(parents=True)
        (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 10\n")

    def _listen(self, socket: WebSocket) -> None:
        def keep(data: str | bytes) -> None:
            self.frames.append(data.encode() if isinstance(data, str) else data)

        socket.on("framereceived", keep)

    def _keep(self, response: Response) -> None:
        if "/api/" in response.url:
            self.responses.append(json.dumps([response.url, response.headers]).encode())

    def close(self) -> None:
        self.browser.close()
        self.server.terminate()
        self.server.wait(20)
        self.log.close()

    # -- working ------------------------------------------------------------------------------------------

    def open(self, name: str) -> Path:
        """Open a new notebook and wait for its kernel."""
        path = self.notebooks / f"{name}.ipynb"
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": kernel}), path)
        self.page.goto(f"{self.url}/lab/tree/{path.name}?reset")
        self.page.wait_for_function(
            f"window.jupyterapp?.shell.currentWidget?.context?.{KERNEL}?.status === 'idle'"
        )
        return path

    def _do(self, script: str, argument: object = None) -> Any:
        """What a script gives; it fails when it takes longer than anything should."""
        return self.page.evaluate(f"argument => Promise.race([({script})(argument), {LATE}])", argument)

    def run(self, source: str) -> None:
        """Write a cell at the end, as a paste would, and run it."""
        self._do(
            """async source => {
                const {content, context} = jupyterapp.shell.currentWidget;
                const shared = content.model.sharedModel, index = shared.cells.length;
                shared.insertCell(index, {cell_type: 'code', source, metadata: {}, outputs: []});
                content.activeCellIndex = index;
                await jupyterapp.commands.execute('notebook:run-cell');
            }""",
            source,
        )

    def begin(self, source: str) -> None:
        """Write a cell at the end and run it, without waiting for it: it asks for something."""
        self._do(
            """source => {
                const {content} = jupyterapp.shell.currentWidget;
                const shared = content.model.sharedModel, index = shared.cells.length;
                shared.insertCell(index, {cell_type: 'code', source, metadata: {}, outputs: []});
                content.activeCellIndex = index;
                void jupyterapp.commands.execute('notebook:run-cell');
            }""",
            source,
        )

    def silently(self, code: str) -> None:
        """Run in the notebook's kernel, leaving nothing behind."""
        self._do(
            """async code => {
                const {kernel} = jupyterapp.shell.currentWidget.context.sessionContext.session;
                const request = {code, silent: true, store_history: false};
                const {content} = await kernel.requestExecute(request).done;
                if (content.status !== 'ok') throw new Error(content.evalue);
            }""",
            code,
        )

    def save(self) -> None:
        """Save by the command that also makes a checkpoint."""
        self._do("() => jupyterapp.commands.execute('docmanager:save')")

    # -- searching ----------------------------------------------------------------------------------------

    def look(self) -> None:
        """Save, and read what the page and the kernel hold."""
        self.save()
        probe = self.outside / "probe.json"
        self.silently(f"kernel_probe.dump({str(probe)!r})")
        kernel = json.loads(probe.read_text())
        self.read = {
            **self._do(PAGE),
            **{f"kernel: {place}": text for place, text in kernel.items()},
        }

    def places(self) -> Iterator[tuple[str, bytes | str]]:
        """All places to search, by name."""
        yield from self.read.items()
        yield "frames from the kernel", b"\n".join(self.frames)
        yield "answers of the server", b"\n".join(self.responses)
        yield "console", "\n".join(self.console)
        for path in self.notebooks.glob("*.ipynb"):
            yield "saved notebook", path.read_bytes()
        for path in self.notebooks.glob(".ipynb_checkpoints/*"):
            yield "checkpoint", path.read_bytes()
        for path in (self.home / "ipython").rglob("history.sqlite*"):
            yield "history file", path.read_bytes()
        yield "log of server and kernel at DEBUG", (self.outside / "jupyter.log").read_bytes()
        yield "loggers at DEBUG", (self.outside / "loggers.log").read_bytes()
        yield from processes(self.server.pid)
        for _, data in below(self.home, but=self.home / "sessions"):
            yield "other files", data


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def _wait(condition: Callable[[], bool], failure: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(0.1)
