"""Tokens in cells, in real JupyterLab and Notebook 7: exact values are masked, and no other character changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from test_token_entry import paste, run_cell, wait_for_kernel

from supabase_nb.demo import DemoServer

pytestmark = pytest.mark.browser

#: Cells with strings as long as tokens, and what else was once taken for one.
INNOCENT = [
    'refresh_token_table = "transactions"',
    'zip_code_rt = "abcdefghijkl"',
    "a = 'ab2defgh4jkl'",
    'b = "AbCdEfGhIjKlMnOpQrStUv"',
    f'c = "{"x1" * 25}y"',
    f'd = "{"Az09_-" * 10}"',
    'user = "ada@example.com"  # refresh_token="short"',
    "x.y.z_twelve12 = 'eyJ.eyJ.eyJ'",
    'set_session("name", "password")',
    '# %supabase_set_session "at" "rt"',
]
INNOCENT += [f"{cell}\n\n# again: é 🦄\t" for cell in INNOCENT]

# What each manner writes, and what stays of it.
TOKENS = [
    ('zq = "{at}"', 'zq = "***"'),
    ("xv = '{rt}'  # {rt}.", "xv = '***'  # ***."),
    ('d = {{"a": "{at}", "r": "{rt}"}}', 'd = {{"a": "***", "r": "***"}}'),
    ("def f():\n    return f'Bearer {at}', r'\\n{rt}'", "def f():\n    return f'Bearer ***', r'\\n***'"),
    ("u = 'https://x.co/#access_token={at}&refresh_token={rt}&x=1'",
     "u = 'https://x.co/#access_token=***&refresh_token=***&x=1'"),
    ("y = '%22{rt}%22'; z = '\\u0022{rt}'", "y = '%22***%22'; z = '\\u0022***'"),
    ("%env XV={rt}", "%env XV=***"),
    ("!echo {at} {rt}", "!echo *** ***"),
    ('w = "{rt}', 'w = "***'),
]  # fmt: skip


def cells_of(page: Page) -> list[str]:
    found: list[str] = page.evaluate(
        "[...jupyterapp.shell.currentWidget.content.model.sharedModel.cells].map(cell => cell.getSource())"
    )
    return found


def type_into(page: Page, index: int, text: str) -> None:
    """As a person does: in the editor, at the end."""
    page.evaluate(
        """([index, text]) => {
            const {editor} = jupyterapp.shell.currentWidget.content.widgets[index];
            const end = editor.model.sharedModel.getSource().length;
            editor.model.sharedModel.updateSource(end, end, text);
        }""",
        [index, text],
    )


def wait_for_notice(page: Page, text: str) -> None:
    expect(page.locator(".sb-cells").filter(has_text=text).first).to_be_visible()


@pytest.fixture
def connect(server: DemoServer) -> str:
    return f"%load_ext supabase_nb\n%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"


@pytest.mark.parametrize("front_end", ["jupyter_lab", "notebook7"])
@pytest.mark.parametrize("way", ["magic", "method", "form"])
def test_exact_values_go_and_nothing_else_changes(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    request: pytest.FixtureRequest,
    front_end: str,
    way: str,
) -> None:
    session = server.sign_in()
    names = {"at": session["access_token"], "rt": session["refresh_token"]}
    written = [cell.format(**names) for cell, _ in TOKENS]
    set_session = {
        "magic": "%supabase_set_session zq xv",
        "method": "_ = supabase.auth.set_session(zq, xv)",
        "form": "%supabase_set_session",
    }[way]
    never_run = "# queued: {rt}".format(**names)
    path = write_notebook(
        f"cells-{front_end}-{way}", connect, *INNOCENT, *written, set_session, never_run, "1 + 1"
    )
    page.goto(request.getfixturevalue(front_end)(path))
    wait_for_kernel(page)
    run_cell(page, 0)
    first, last = len(INNOCENT) + 1, len(INNOCENT) + len(TOKENS)
    for index in range(first, last + 1):
        run_cell(page, index)
    type_into(page, 1, "typed")
    run_cell(page, last + 1)
    if way == "form":
        form = page.locator(".sb[data-kind=token_entry]")
        form.get_by_label("Access token").focus()
        paste(page, f"{names['at']}\n{names['rt']}")
        page.keyboard.press("Enter")
        expect(form.get_by_role("button", name="Details")).to_be_focused()
        expect(form).to_have_attribute("data-status", "active")
        run_cell(page, last + 3)
    # Cells are counted from 1; the one that was never run is cleaned, too.
    numbers = [*range(first + 1, last + 2), last + 3]
    wait_for_notice(page, f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}")
    wait_for_notice(page, "Tokens removed. Two tokens were masked in cells")
    expected = [connect, f"{INNOCENT[0]}typed", *INNOCENT[1:]]
    expected += [clean.format() for _, clean in TOKENS] + [set_session, "# queued: ***", "1 + 1"]
    assert cells_of(page) == expected

    # Undo: gone where a value was, and as ever elsewhere.
    page.evaluate(
        """() => {
            for (const {model} of jupyterapp.shell.currentWidget.content.widgets) {
                model.sharedModel.undo();
                model.sharedModel.undo();
            }
        }"""
    )
    expected[1] = INNOCENT[0]
    assert cells_of(page) == expected

    # Saved, and the checkpoint that is written with it.
    page.evaluate("async () => { await jupyterapp.commands.execute('docmanager:save') }")
    files = [path, *path.parent.glob(f".ipynb_checkpoints/{path.stem}*")]
    assert len(files) == 2
    for file in files:
        text = file.read_text()
        assert [place for place, token in names.items() if token in text] == []
        assert [
            cell
            for cell in INNOCENT
            if json.dumps(cell, ensure_ascii=False)[1:-1].split("\\n")[0] not in text
        ] == []


def test_what_is_typed_meanwhile_survives(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    tmp_path: Path,
) -> None:
    """Into the cell that runs, into one that is queued, and a value that is typed again later."""
    session = server.sign_in()
    at, rt = session["access_token"], session["refresh_token"]
    flag = tmp_path / "go-on"
    running = (
        f'at, rt = "{at}", "{rt}"\n%supabase_set_session at rt\n'
        f"import pathlib, time\nwhile not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.05)"
    )
    queued = f"print('queued')  # {rt}"
    path = write_notebook("typed", connect, running, queued, "x = 1", "y = 2")
    page.goto(jupyter_lab(path))
    wait_for_kernel(page)
    run_cell(page, 0)
    page.evaluate(
        """() => {
            const notebook = jupyterapp.shell.currentWidget.content;
            for (const index of [1, 2]) {
                notebook.activeCellIndex = index;
                void jupyterapp.commands.execute('notebook:run-cell');
            }
        }"""
    )
    page.wait_for_function(
        "jupyterapp.shell.currentWidget.content.widgets[1].model.executionState === 'running'"
    )
    type_into(page, 1, "\n# typed while it ran")
    type_into(page, 2, "\n# typed while it waited")
    flag.touch()
    wait_for_notice(page, "Tokens removed.")
    clean = running.replace(at, "***").replace(rt, "***")
    expected: list[Any] = [
        connect,
        f"{clean}\n# typed while it ran",
        "print('queued')  # ***\n# typed while it waited",
    ]
    assert cells_of(page) == [*expected, "x = 1", "y = 2"]
    type_into(page, 4, f"\n# {rt}")
    run_cell(page, 4)
    page.wait_for_function(
        "jupyterapp.shell.currentWidget.content.model.sharedModel.cells[4].getSource().includes('***')"
    )
    assert cells_of(page)[4] == "y = 2\n# ***"


def test_a_reloaded_page_is_cleaned(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
) -> None:
    """The saved copy had the tokens still."""
    session = server.sign_in()
    at, rt = session["access_token"], session["refresh_token"]
    cell = f'at, rt = "{at}", "{rt}"\n%supabase_set_session at rt'
    path = write_notebook("reloaded", connect, cell)
    page.goto(jupyter_lab(path))
    wait_for_kernel(page)
    run_cell(page, 0)
    run_cell(page, 1)
    wait_for_notice(page, "Tokens removed.")
    assert rt in path.read_text()
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    wait_for_kernel(page)
    page.wait_for_function(
        "jupyterapp.shell.currentWidget.content.model.sharedModel.cells[1].getSource().includes('***')"
    )
    assert cells_of(page)[1] == cell.replace(at, "***").replace(rt, "***")


def test_the_cell_that_loads_the_extension_fails_and_is_cleaned(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
) -> None:
    session = server.sign_in()
    at, rt = session["access_token"], session["refresh_token"]
    cell = f'{connect}\nsupabase.auth.set_session("{at}", "{rt}")\n1 / 0'
    path = write_notebook("loads", cell, "x = 1")
    page.goto(jupyter_lab(path))
    wait_for_kernel(page)
    run_cell(page, 0)
    wait_for_notice(page, "Tokens removed. Two tokens were masked in cell 1 and in the history.")
    assert cells_of(page) == [cell.replace(at, "***").replace(rt, "***"), "x = 1"]


def test_a_secret_key_is_left_to_its_author(
    page: Page,
    server: DemoServer,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
) -> None:
    cell = f"%load_ext supabase_nb\n%supabase_connect {server.url} --key sb_secret_abcdefghijklmnop1234"
    path = write_notebook("key", "%load_ext supabase_nb", cell)
    page.goto(jupyter_lab(path))
    wait_for_kernel(page)
    run_cell(page, 0)
    run_cell(page, 1)
    wait_for_notice(page, "replace the key in the project's settings")
    assert page.locator(".sb-cells").filter(has_text="oken").count() == 0
    assert cells_of(page)[1] == cell


def test_the_rows_of_the_table_in_the_docs(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
) -> None:
    """What tests/secrets/test_cells_matrix.py cannot see: the notebook in the browser and its files."""
    session = server.sign_in()
    tokens = [session["access_token"], session["refresh_token"]]
    cell = 'zq = "{}"; xv = "{}"\nprint(zq, xv)'.format(*tokens)
    path = write_notebook("table", connect, cell, "%supabase_set_session zq xv")
    page.goto(jupyter_lab(path))
    wait_for_kernel(page)
    checkpoint = path.parent / ".ipynb_checkpoints" / f"{path.stem}-checkpoint.ipynb"
    places = {
        "cells and outputs in JupyterLab and Notebook 7": lambda: page.evaluate(
            "JSON.stringify(jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON())"
        ),
        "the notebook file and its checkpoint, once saved": lambda: path.read_text() + checkpoint.read_text(),
        "earlier checkpoints and copies": lambda: copy,
    }

    def save() -> None:
        page.evaluate("async () => { await jupyterapp.commands.execute('docmanager:save') }")

    run_cell(page, 0)
    run_cell(page, 1)
    save()
    copy = checkpoint.read_text()
    before = {row: [token in read() for token in tokens] for row, read in places.items()}
    run_cell(page, 2)
    wait_for_notice(page, "Tokens removed.")
    save()
    docs = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    for row, read in places.items():
        early = ["visible" if found else "masked" for found in before[row]]
        text = read()
        late = "visible" if any(token in text for token in tokens) else "masked"
        assert f"| {row} | {early[0]} | {early[1]} | {late} |" in docs
