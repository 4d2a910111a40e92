"""What displays cost while they are only looked at: messages between kernel and browser."""

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
from measure import Row, environment
from playwright.sync_api import sync_playwright

_SETUP = """
import json, threading, time
import ipywidgets, project
from IPython.display import display
from supabase_nb import MemoryStorage
from supabase_nb.notebook.client_with_displays import NotebookClient
supabase = NotebookClient(
    "https://abcd.supabase.co", project.KEY, storage=MemoryStorage(), transport=project.transport()
)
supabase.auth.set_session(project.access_token(), project.REFRESH_TOKEN)
label = ipywidgets.Label("59:59")
# In a box: JupyterLab shows no more than 50 outputs of a cell.
display(ipywidgets.VBox([supabase.panel] * {views}), label)
"""
#: In its own thread, or the kernel would be busy.
_UPDATE = """
def update():
    for second in range({seconds}):
        time.sleep(1)
        label.value = f"59:{{second:02}}"
threading.Thread(target=update, daemon=True).start()
print(json.dumps(label.comm.comm_id))
"""
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
_FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
_RUN_CELL = """async (number) => {
    const { content } = jupyterapp.shell.currentWidget;
    content.activeCellIndex = number;
    content.deselectAll();
    await jupyterapp.commands.execute("notebook:run-cell");
}"""
_IDLE = "jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
_OUTPUT = """() => {
    const output = jupyterapp.shell.currentWidget.content.widgets[1].model.outputs.get(0).toJSON();
    return [output.text].flat().join("");
}"""


def rows(quick: bool) -> list[Row]:
    seconds, views = (3, 5) if quick else (60, 50)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    messages: list[bytes] = []

    def note(frame: bytes | str) -> None:
        data = frame.encode() if isinstance(frame, str) else frame
        if b"comm_msg" in data:
            messages.append(data)

    with (
        _lab(_SETUP.format(views=views), _UPDATE.format(seconds=seconds)) as url,
        sync_playwright() as playwright,
    ):
        page = playwright.chromium.launch(executable_path=chromium, args=_FLAGS).new_page()
        page.set_default_timeout(0)
        for event in ("framereceived", "framesent"):
            page.on("websocket", lambda websocket, event=event: websocket.on(event, note))
        page.goto(f"{url}/lab/tree/bench.ipynb?reset")
        page.wait_for_function("window.jupyterapp?.commands.hasCommand('notebook:run-cell')")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_function(_IDLE)
        page.evaluate(_RUN_CELL, 0)
        shown = page.locator(".sb[data-kind=panel].sb-live")
        shown.nth(views - 1).wait_for(state="attached")
        # The messages that display them are over when no more have come for a while.
        before = -1
        while before != len(messages):
            before = len(messages)
            page.wait_for_timeout(1_500)
        first = shown.first.locator(".sb-until").text_content()
        messages.clear()
        page.evaluate(_RUN_CELL, 1)
        page.wait_for_timeout(seconds * 1_000 + 1_500)
        counted = list(messages)
        label = json.loads(page.evaluate(_OUTPUT)).encode()
        assert shown.first.locator(".sb-until").text_content() != first, "the countdown has stopped"
        assert shown.count() == views, "not all are live"
    of_label = sum(label in message for message in counted)
    assert of_label >= seconds, "messages were not counted"
    ours = len(counted) - of_label
    return [
        Row(
            f"messages in {seconds} s while idle: {views} panels with a countdown",
            "one ipywidgets `Label` that is updated every second",
            "0",
            f"{ours} against {of_label:,}",
            ours == 0,
            note="in both directions, counted at the browser's websocket",
        )
    ]


@contextmanager
def _lab(*cells: str) -> Iterator[str]:
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
