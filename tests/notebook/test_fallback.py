"""Static HTML and text, for front ends without widgets: the same contents, marked as a snapshot."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbclient
import nbformat
import pytest
from fake_auth import REFRESH_TOKEN, FakeAuth, enact

from supabase_nb.models import STATUSES, Notice
from supabase_nb.notebook._displays import fallback
from supabase_nb.notebook._displays.view import describe, masked
from supabase_nb.notebook.text import WORDS

HERE = Path(__file__).parent
PRIVATE = ("ada.lovelace", "4f6a52c1-93c4-4c5f-9d7f-2c6f2f0f7c11", "c0ffee00-5e55", REFRESH_TOKEN)
SETUP = """\
from fake_auth import FakeAuth, enact
from supabase_nb.notebook.client_with_displays import Displays
class Client(Displays):
    def __init__(self, auth): self.auth = auth
supabase = Client(enact(FakeAuth(), "active"))
"""


def texts_of(html: str) -> list[str]:
    """What is left where styles and classes are taken away, as GitHub does."""
    lines = re.findall(r"<p>(.*?)</p>", html.replace("<br>", " · "))
    return [re.sub(r"<[^>]+>", "", line) for line in lines]


@pytest.mark.parametrize("status", STATUSES)
def test_a_snapshot_says_what_was_and_when(status: str) -> None:
    view = describe(enact(FakeAuth(), status))  # type: ignore[arg-type]
    html = fallback.html(view)
    who, state, *rest = texts_of(html)
    then = rf"○ {WORDS[f'status.{status}']} at \d{{4}}-\d\d-\d\d \d\d:\d\d \(snapshot\)"
    assert re.fullmatch(then, state)
    assert who == f"{'Not signed in' if status == 'signed_out' else 'a•••@example.com'} · abcd.supabase.co"
    assert rest[-1] == "Run the cell again to see the current session."
    plain = fallback.plain(view)
    assert re.match(f"Supabase session: {then} · ", plain)
    assert "\n" not in plain
    # Never as if it were known to hold now.
    for text in (html, plain):
        assert "●" not in text
    for private in PRIVATE:
        assert private not in html + plain


@pytest.mark.parametrize("status", ["signed_out", "retrying", "expired"])
def test_the_next_step_is_there(status: str) -> None:
    view = describe(enact(FakeAuth(), status))  # type: ignore[arg-type]
    step = view["message"] or WORDS[f"hint.{status}"].format(option="")
    assert step in fallback.line(view)
    assert step in fallback.plain(view)
    assert step in texts_of(fallback.html(view))


def test_the_next_step_names_the_client() -> None:
    view = describe(FakeAuth()) | {"client": "other", "option": " --name other"}  # type: ignore[arg-type]
    assert fallback.line(view).endswith("Run %supabase_set_session --name other to restore a session.")
    assert texts_of(fallback.html(view))[0] == "Not signed in · abcd.supabase.co · other"


def test_one_line_is_who_and_what() -> None:
    lines = texts_of(fallback.html(describe(enact(FakeAuth(), "active")), one_line=True))  # type: ignore[arg-type]
    assert lines[0] == "a•••@example.com"
    assert lines[1].startswith("○ Active at ")
    assert len(lines) == 2


def test_the_set_auth_user_is_masked_and_a_secret_key_is_shown() -> None:
    auth = enact(FakeAuth(), "active")
    auth.uses_secret_key = True
    auth.notices = (
        Notice("Requests are sent as alan@example.com (set_auth).", "set_auth"),
        Notice("Another program refreshes this session too.", "shared"),
    )
    view = describe(auth)  # type: ignore[arg-type]
    for text in (fallback.line(view), fallback.plain(view), fallback.html(view)):
        assert "Requests are sent as a•••@example.com (set_auth)." in text
        assert "bypass Row Level Security" in text
        assert "Another program refreshes this session too." in text, "a terminal has no panel that says it"


@pytest.mark.parametrize("status", ["active", "retrying", "expired", "signed_out"])
def test_a_closed_client_is_shown_as_closed_in_every_form(status: str) -> None:
    auth = enact(FakeAuth(), status)
    auth.closed = True
    view = describe(auth)  # type: ignore[arg-type]
    assert (view["message"], view["refresh_in"]) == (None, None)
    hint = "This client was closed. Run %supabase_connect to connect again."
    assert fallback.line(view).startswith("⊖ Closed · ")
    assert fallback.line(view).endswith(f" · {hint}")
    assert "○ Closed at " in fallback.plain(view)
    assert fallback.plain(view).endswith(hint)
    assert texts_of(fallback.html(view))[-1] == hint
    for private in PRIVATE:
        assert private not in fallback.html(view) + fallback.plain(view)


def test_user_names_are_masked() -> None:
    auth = FakeAuth()
    auth.sign_in()
    assert "a•••@example.com" in fallback.line(describe(auth))  # type: ignore[arg-type]
    auth.sign_in(email=None, phone="+491701234567")
    assert " · •••67 · " in fallback.line(describe(auth))  # type: ignore[arg-type]
    auth.sign_in(email=None, is_anonymous=True)
    assert " · Anonymous user · " in fallback.line(describe(auth))  # type: ignore[arg-type]
    auth.sign_in(email=None)
    assert " · User without a name · " in fallback.line(describe(auth))  # type: ignore[arg-type]
    user = masked(describe(auth))["user"]  # type: ignore[arg-type]
    assert user is not None
    assert (user["id"], user["session_id"]) == ("4f6a52c1…", "c0ffee00…")


def test_text_from_others_is_escaped() -> None:
    auth = FakeAuth()
    auth.url = "https://<b>.example/auth/v1"
    auth.sign_in(email="<img src=x onerror=alert(1)>@<i>.example")
    auth.notices = ("<script>alert(2)</script>",)
    html = fallback.html(describe(auth))  # type: ignore[arg-type]
    assert not re.search(r"<(b|i|img|script)[ >]", html)
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in html


def test_times_that_are_no_dates() -> None:
    auth = FakeAuth()
    auth.sign_in(left=1e15, lifetime=1e15)
    assert "expires –" in fallback.line(describe(auth))  # type: ignore[arg-type]
    auth.sign_in(left=-10)
    assert "expired " in fallback.line(describe(auth))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("env", "tty", "color"),
    [
        ({}, True, True),
        ({"NO_COLOR": ""}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({}, False, False),
    ],
)
def test_colors_where_they_are_wanted(
    env: dict[str, str], tty: bool, color: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty)
    assert fallback.wants_color() is color


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE), "TERM": "xterm", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


@pytest.mark.parametrize("no_color", [False, True])
def test_terminal_ipython_shows_one_colored_line(no_color: bool) -> None:
    command = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit"]
    code = SETUP + 'get_ipython().run_cell("supabase")\n_ = get_ipython().run_cell("supabase.badge")\n'
    env = environment() | ({"NO_COLOR": "1"} if no_color else {})
    env.pop("NO_COLOR", None) if not no_color else None
    ours, its = pty.openpty()
    try:
        subprocess.run(
            [*command, "-c", code], env=env, stdout=its, stderr=its, stdin=its, check=True, timeout=60
        )
        os.close(its)
        said = b"".join(read_all(ours)).decode()
    finally:
        os.close(ours)
    lines = [line for line in said.splitlines() if "supabase.co" in line]
    assert len(lines) == 2
    for line in lines:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        assert re.search(r"● Active · a•••@example\.com · expires [\d: -]+ · abcd\.supabase\.co$", plain)
        assert ("\x1b[32m● Active\x1b[0m" in line) is not no_color


def read_all(terminal: int) -> Iterator[bytes]:
    # Linux says that the other end is closed with an error.
    try:
        while data := os.read(terminal, 4096):
            yield data
    except OSError:
        return


def test_jupyter_console_shows_the_snapshot() -> None:
    # jupyter_console sometimes misses the kernel's first message and then waits forever: try twice.
    command = [sys.executable, "-m", "jupyter_console", "--simple-prompt", "--no-confirm-exit"]
    for attempt in (1, 2):
        try:
            shown = subprocess.run(
                command,
                env=environment(),
                input=f"exec({SETUP!r})\nsupabase\nexit\n",
                capture_output=True,
                text=True,
                timeout=60,
            )
            break
        except subprocess.TimeoutExpired:
            if attempt == 2:
                raise
    assert re.search(r"Supabase session: ○ Active at [\d: -]+ \(snapshot\) · a•••@example.com", shown.stdout)


def executed(path: Path) -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, "supabase", "supabase.timeline")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return notebook


def check(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells[1:]:
        snapshot, widget = cell.outputs
        assert 'class="sb-snap ' in snapshot.data["text/html"]
        assert snapshot.data["text/plain"].startswith("Supabase session: ○ Active at ")
        assert widget.data["text/plain"] == ""
        assert "application/vnd.jupyter.widget-view+json" in widget.data
    # The widget's state is saved with the notebook by default.
    assert "application/vnd.jupyter.widget-state+json" in notebook.metadata["widgets"]
    for private in PRIVATE:
        assert private not in json.dumps(notebook)


@pytest.fixture
def kernel_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)


def test_nbclient_saves_nothing_private(tmp_path: Path, kernel_environment: None) -> None:
    notebook = executed(tmp_path / "notebook.ipynb")
    check(nbclient.NotebookClient(notebook, timeout=60).execute())


def test_papermill_saves_nothing_private(tmp_path: Path) -> None:
    executed(tmp_path / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "in.ipynb", "out.ipynb"]
    subprocess.run(command, cwd=tmp_path, env=environment(), check=True, capture_output=True, timeout=90)
    check(nbformat.read(tmp_path / "out.ipynb", as_version=4))
