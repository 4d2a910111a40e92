"""The demo: the quickstart notebook in JupyterLab (`lab`), or without a browser, a line per step (`run`)."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "quickstart.ipynb"
#: The tag of the first cell that a notebook interrupted for the day would not have reached.
TOMORROW = "tomorrow"


def lab() -> None:
    """Open JupyterLab on the quickstart; it prints its address and goes on until Ctrl-C."""
    print(f"JupyterLab opens {NOTEBOOK.name}; its address is printed below. Ctrl-C ends it.", flush=True)
    command = [
        "-m",
        "jupyterlab",
        "--ServerApp.ip=127.0.0.1",
        f"--notebook-dir={NOTEBOOK.parent}",
        str(NOTEBOOK),
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    os.execv(sys.executable, [sys.executable, *command])


def run() -> int:
    """Execute the quickstart in a real kernel; restart it half-way; say how things stand."""
    import nbformat
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    today = next((i for i, cell in enumerate(cells) if TOMORROW in cell.metadata.get("tags", [])), len(cells))
    try:
        print("Run all, up to the end of the day")
        _execute(notebook, cells[:today])
        print("The kernel is restarted; Run all")
        _execute(notebook, cells)
    except (CellExecutionError, DeadKernelError) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def _execute(notebook: Any, cells: list[Any]) -> None:
    import nbclient

    client = nbclient.NotebookClient(
        notebook,
        timeout=120,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    with client.setup_kernel():
        for number, cell in enumerate(cells, 1):
            client.execute_cell(cell, notebook.cells.index(cell))
            first = next(
                line for line in cell.source.splitlines() if line.strip() and not line.startswith("#")
            )
            print(f"  {number:2}. {first[:58]:58}  {_status(client)}", flush=True)


def _status(client: Any) -> str:
    """How the session stands in the kernel: status, user, seconds left."""
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
    """Dispatch; `run` leaves nothing behind: folders of its own, and the server is stopped."""
    if sys.argv[1:] == ["lab"]:
        lab()
    from supabase_nb.demo import stop_server

    with tempfile.TemporaryDirectory(prefix="supabase-nb-demo-") as folder:
        os.environ["SUPABASE_NB_DEMO_STATE"] = f"{folder}/server"
        os.environ["SUPABASE_NB_SESSIONS"] = f"{folder}/sessions"
        os.environ["IPYTHONDIR"] = f"{folder}/ipython"
        try:
            return run()
        finally:
            stop_server()


if __name__ == "__main__":
    sys.exit(main())
