"""`%supabase_sign_in --provider` in IPython in a terminal, with a real browser that it opens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from front_ends import FLAGS, first_command
from waiting import kill, wait_until

from supabase_nb.demo.testing import running_server

pytestmark = pytest.mark.browser

pytest.importorskip("pexpect")

#: What a person does in the browser; the last page's text is written into a file.
PERSON = """\
#!{python}
import sys
from pathlib import Path
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    page = playwright.chromium.launch(executable_path={chromium!r}, args={flags!r}).new_page()
    page.goto(sys.argv[1])
    page.get_by_role("link", name="ada@example.com").click()
    page.get_by_role("heading").wait_for()
    Path({file!r}).write_text(page.inner_text("body"))
"""


def test_the_browser_returns_to_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_terminal import Terminal

    chromium = first_command("chromium", "chromium-browser", "google-chrome")
    if chromium is None:
        pytest.skip("no Chromium")
    command, last_page = tmp_path / "browser", tmp_path / "last_page"
    command.write_text(
        PERSON.format(python=sys.executable, chromium=chromium, flags=FLAGS, file=str(last_page))
    )
    command.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{command} %s &")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    with running_server(redirect_urls="") as project:
        terminal = Terminal(tmp_path, project)
        try:
            shown = terminal.enter("%supabase_sign_in --provider github")
            assert "Opening your browser to sign in with github." in shown
            assert "ada@example.com" in terminal.enter("supabase.auth.user.email")
            wait_until(last_page.exists)
            wait_until(last_page.read_text)
            assert "You're signed in as ada@example.com" in last_page.read_text()
            assert "Close this tab and return to your notebook." in last_page.read_text()
        finally:
            kill(terminal.child)
