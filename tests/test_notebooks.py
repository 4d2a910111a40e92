"""The notebooks: each runs from top to bottom in its own kernel, and is committed without outputs."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import nbclient
import nbformat
import pytest

from supabase_nb.demo import stop_server

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def test_the_tour_lists_all_notebooks() -> None:
    page = (FOLDER.parent / "docs" / "tour.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(listed) == [path.stem for path in NOTEBOOKS]


@each
def test_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert set(cell.metadata) <= {"tags"}
    # Nothing personal: no tokens, and no folders of a user's machine.
    assert not re.search(
        r"eyJ[\w-]{20,}\.[\w-]{20,}\.[\w-]{20,}|/home/|/Users/|C:\\\\", path.read_text("utf-8")
    )


@pytest.fixture(scope="module", autouse=True)
def _matplotlib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Its list of fonts, made beforehand: it would say that this takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.mktemp("matplotlib")))
        subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], check=True)
        yield


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, _matplotlib: None
) -> Iterator[dict[Path, Future[nbformat.NotebookNode]]]:
    """All notebooks, three at a time: much of their time they wait for a token to expire."""
    with ThreadPoolExecutor(3) as pool:
        started = {path: pool.submit(run, path, tmp_path_factory.mktemp(path.stem)) for path in NOTEBOOKS}
        yield started
        pool.shutdown(cancel_futures=True)


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Execute a notebook with its own folders and embedded server."""
    notebook = nbformat.read(path, as_version=4)
    environment = os.environ | {
        "SUPABASE_NB_DEMO_STATE": str(folder / "demo"),
        "SUPABASE_NB_SESSIONS": str(folder / "sessions"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    client = nbclient.NotebookClient(
        notebook,
        timeout=90,
        resources={"metadata": {"path": str(FOLDER)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    try:
        # A loop of its own, which is closed with it.
        return asyncio.run(client.async_execute(env=environment))
    finally:
        stop_server(folder / "demo")


@each
def test_runs_top_to_bottom(path: Path, runs: dict[Path, Future[nbformat.NotebookNode]]) -> None:
    notebook = runs[path].result(timeout=170)  # raises what a cell raised
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.execution_count for cell in cells)
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    lines, wanted = said(notebook), set(SAID.get(path.stem, ()))
    assert lines >= wanted, (wanted - lines, outputs)


def test_the_quickstart_ends_signed_in_with_the_users_rows(
    runs: dict[Path, Future[nbformat.NotebookNode]],
) -> None:
    notebook = runs[FOLDER / "quickstart.ipynb"].result(timeout=170)
    *_, frame, panel = (cell for cell in notebook.cells if cell.cell_type == "code")
    rows = frame.outputs[-1].data["text/html"]
    assert all(town in rows for town in ("London", "Turin", "Geneva"))
    assert "Boston" not in rows, "another user's"
    assert "a•••@example.com" in str(panel.outputs)


def test_the_plot_is_drawn(runs: dict[Path, Future[nbformat.NotebookNode]]) -> None:
    notebook = runs[FOLDER / "query_as_user.ipynb"].result(timeout=170)
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert any("image/png" in output.get("data", {}) for output in last.outputs)


#: What the outputs of each notebook have to say.
SAID = {
    "quickstart": ["The token was refreshed: True"],
    "set_session": [
        "signed in: ada@example.com",
        "same access token: True",
        "new access token: True",
        "signed in: grace@example.com",
        "new refresh token: True",
        "refresh requests: 0",
        "still signed in: grace@example.com",
    ],
    "displays": ["['refreshing', 'active']", "Afterwards: active"],
    "many_notebooks": [
        "elsewhere: ada@example.com",
        "refreshed here: True",
        "refresh requests: 1",
        "refreshed elsewhere: True",
        "here: signed_out",
        "other: grace@example.com",
        "supabase: signed_out",
    ],
    "query_as_user": [
        "signed out: []",
        "ada@example.com: ['London', 'Turin', 'Geneva']",
        "grace@example.com: ['New York', 'Philadelphia', 'Boston']",
        "rows: [3, 3, 3, 3, 3, 3, 3, 3]",
        "refresh requests: 1",
        "another token: ['Manchester', 'Cambridge']",
        "signed in: grace@example.com",
        "the session's token: ['New York', 'Philadelphia', 'Boston']",
        "refresh requests for 20 tasks: 1",
        "statuses: {200}",
        "25,000 rows of ada@example.com",
        "taken_at    datetime64[us, UTC]",
        "mean of the first year: 10.9 °C",
    ],
}


def said(notebook: nbformat.NotebookNode) -> set[str]:
    """The lines that the notebook printed, or showed as text."""
    lines = set()
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        shown = [output.get("data", {}).get("text/plain", "") for output in outputs]
        # A busy kernel sends a line in two pieces.
        shown.append("".join(output.get("text", "") for output in outputs))
        lines |= {line.strip() for text in shown for line in text.splitlines()}
    return lines
