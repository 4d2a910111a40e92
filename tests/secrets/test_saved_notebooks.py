"""Notebooks run without a browser: nbclient saves widget state by default, nbconvert publishes it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from planted import Planted, search
from searched_kernel import own_environment
from sign_in_methods import tokens

from supabase_nb._scan import find

CELLS = [
    "%load_ext supabase_nb",
    "%supabase_connect {url} --key '{key}'",
    'at, rt = __import__("json").load(open("{file}"))\nr = %supabase_set_session at rt\ndel at, rt',
    "r",
    "r.session",
    "supabase",
    "display(supabase.badge, supabase.user_card, supabase.expiry, supabase.timeline, supabase.panel)",
    "supabase.token_entry()",
    "s = supabase.auth.on_auth_state_change(lambda event, session: print(event, session))",
    "%supabase_refresh",
    "print(vars(r), vars(r.session))\n%whos",
    '%supabase_set_session "{at}" "{rt}"',
    '%xmode Verbose\nsupabase.auth.set_session("{dead_at}", "{dead_rt}")',
    "supabase.auth.refresh_session(supabase.auth.session.refresh_token).session",
    "%supabase_set_session",
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory, demo):
    """A notebook that was run to its end and saved; the planted tokens; the folder."""
    folder = tmp_path_factory.mktemp("nbclient")
    environment = own_environment(folder / "home")
    planted = Planted()
    pairs = [tokens(demo), tokens(demo), tokens(demo, "revoked")]
    for number, (at, rt) in enumerate(pairs):
        planted.add(f"pair {number}", access_token=at, refresh_token=rt)
    file = folder / "tokens.json"
    file.write_text(json.dumps(pairs[0]))
    names = {
        "url": demo.url, "key": demo.anon_key, "file": file,
        "at": pairs[1][0], "rt": pairs[1][1], "dead_at": pairs[2][0], "dead_rt": pairs[2][1],
    }  # fmt: skip
    cells = [nbformat.v4.new_code_cell(cell.format(**names)) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(
        notebook, timeout=60, allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment)
    planted.add_stored("stored", folder / "home" / "sessions")
    path = folder / "saved.ipynb"
    nbformat.write(notebook, path)
    return path, planted


def without_sources(path: Path) -> dict[str, object]:
    """What the run added. nbclient rewrites no cell: a literal stays where its author put it."""
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        del cell["source"]
    return notebook


def test_the_notebook_worked(saved):
    path, _ = saved
    notebook = without_sources(path)
    outputs = [cell["outputs"] for cell in notebook["cells"]]
    failed = [number for number, out in enumerate(outputs) if any(o["output_type"] == "error" for o in out)]
    assert failed == [12]
    state = notebook["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert len([model for model in state.values() if "_esm" in model["state"]]) >= 6
    # `vars(session)` shows the claims by intention; everywhere else the address is masked.
    notebook["cells"][10]["outputs"] = []
    assert "grace" not in json.dumps(notebook)
    assert "g•••@example.com" in json.dumps(notebook, ensure_ascii=False)


def test_no_token_is_in_outputs_widget_state_or_metadata(saved):
    path, planted = saved
    assert search([("saved notebook", json.dumps(without_sources(path)))], planted) == {}


def test_the_saved_notice_says_that_the_cells_still_hold_them(saved):
    path, _ = saved
    outputs = [output for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", [])]
    cards = ["".join(out["data"]["text/plain"]) for out in outputs if "sb-cells" in str(out.get("data"))]
    assert cards
    for card in cards:
        assert "The cells haven't been checked yet" in card
        assert "removed." not in card


def test_our_own_scan_agrees(saved):
    """It finds the literals that were in the cells to begin with, and nothing else."""
    path, _ = saved
    assert find(json.dumps(without_sources(path))) == []
    assert {finding.kind for finding in find(path.read_text())} == {"access token", "refresh token"}


def test_nothing_is_published_by_nbconvert(saved):
    from nbconvert import HTMLExporter

    path, planted = saved
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = "…"
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "Supabase session" in page
    assert search([("page", page)], planted) == {}
    assert not re.search(r"<(img|script)[^>]+(onerror|alert)", page)


def test_these_tests_can_see(saved):
    path, planted = saved
    assert search([("with sources", path.read_text())], planted)
