"""The demo: the quickstart in JupyterLab (`lab`), or without a browser, one line per step (`run`)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
QUICKSTART = "quickstart.ipynb"


def lab(folder: Path) -> int:
    """Open JupyterLab on a copy of the notebooks, and wait for Ctrl-C."""
    from jupyter_server.serverapp import list_running_servers

    copies = Path(tempfile.mkdtemp(prefix="supabase-nb-notebooks-"))
    for notebook in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(notebook, copies)
    print("Starting JupyterLab …", flush=True)
    runtime, log, config = folder / "runtime", folder / "jupyter.log", folder / "config"
    # JupyterLab would open with a question about its news.
    (config / "labconfig").mkdir(parents=True)
    (config / "labconfig" / "page_config.json").write_text(
        '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}', "utf-8"
    )
    command = [
        "-m",
        "jupyterlab",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.open_browser=False",
        f"--ServerApp.root_dir={copies}",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with log.open("wb") as output:
        # In a session of its own: Ctrl-C reaches this process only, which then stops the server.
        server = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | {"JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_PATH": str(config)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while not ((running := list(list_running_servers(str(runtime)))) and _responds(running[0]["url"])):
            if server.poll() is not None:
                print(f"JupyterLab did not start:\n{log.read_text('utf-8')}", file=sys.stderr)
                return 1
            time.sleep(0.1)
        address = f"{running[0]['url']}lab/tree/{QUICKSTART}?token={running[0]['token']}"
        print(f"\n  Open the quickstart:  {address}\n")
        print(f"You are working on copies of the notebooks, in {copies}.")
        print("Press Ctrl-C to stop JupyterLab and the demo's auth server.", flush=True)
        if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            webbrowser.open(address)  # elsewhere it may start a text browser in this terminal
        return server.wait()
    except KeyboardInterrupt:
        print("\nStopping …", flush=True)
        return 0
    finally:
        server.terminate()
        server.wait()


def _responds(url: str) -> bool:
    """Whether the server is listening: it writes its address into a file before."""
    try:
        with urllib.request.urlopen(f"{url}api", timeout=5):
            return True
    except OSError:
        return False


def run() -> int:
    """Run the quickstart in a real kernel, restart the kernel, and run it again."""
    import nbformat
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = nbformat.read(NOTEBOOKS / QUICKSTART, as_version=4)
    try:
        print("Run all cells")
        _execute(notebook)
        print("Restart the kernel and run all cells")
        _execute(notebook)
    except (CellExecutionError, DeadKernelError) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def _execute(notebook: Any) -> None:
    import nbclient

    client = nbclient.NotebookClient(
        notebook,
        timeout=120,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    cells = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    with client.setup_kernel():
        for number, (index, cell) in enumerate(cells, 1):
            client.execute_cell(cell, index)
            first = next(
                line for line in cell.source.splitlines() if line.strip() and not line.startswith("#")
            )
            print(f"  {number:2}. {first[:58]:58}  {_status(client)}", flush=True)


def _status(client: Any) -> str:
    """The session in the kernel: status, user, seconds left."""
    from jupyter_core.utils import run_sync

    question = (
        "f'{supabase.auth.status}, {supabase.auth.user.email}, {supabase.auth.time_left():.0f} s left' "
        "if supabase.auth.user else supabase.auth.status"
    )
    kernel = client.kc
    asked = kernel.execute("", silent=True, user_expressions={"status": question})
    while True:
        reply = run_sync(kernel.get_shell_msg)(timeout=30)
        if reply["parent_header"].get("msg_id") == asked:
            break
    answer = reply["content"].get("user_expressions", {}).get("status", {})
    return answer["data"]["text/plain"].strip("'\"") if answer.get("status") == "ok" else "not connected"


def main() -> int:
    """Run the demo with folders of its own; its sessions and its auth server end with it."""
    from supabase_nb.demo import stop_server

    # `kill`, or a terminal that is closed, stops it as Ctrl-C does.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="supabase-nb-demo-") as name:
        folder = Path(name)
        os.environ["SUPABASE_NB_DEMO_STATE"] = str(folder / "server")
        os.environ["SUPABASE_NB_SESSIONS"] = str(folder / "sessions")
        os.environ["IPYTHONDIR"] = str(folder / "ipython")
        try:
            return lab(folder) if sys.argv[1:] == ["lab"] else run()
        finally:
            stop_server()


if __name__ == "__main__":
    sys.exit(main())
