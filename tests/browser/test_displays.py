"""The displays in real front ends, opened in Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SETUP = """\
from fake_auth import FakeAuth, enact
from supabase_nb.notebook.client import Displays
class Client(Displays):
    def __init__(self, auth): self.auth = auth
auth = FakeAuth(); supabase = Client(auth)"""


def test_jupyterlab(
    page: Page,
    off_loopback: list[str],
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    path = write_notebook(
        "lab", SETUP, "enact(auth, 'active')\nsupabase", "import time; time.sleep(1); auth.refresh_session()"
    )
    page.goto(jupyter_lab(path))
    run_all(page)
    display = page.locator(".sb[data-kind=panel]")
    expect(display).to_have_attribute("data-status", "active")
    page.wait_for_timeout(1000)
    page.screenshot(path="/tmp/lab1.png")
    page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', {theme:'JupyterLab Dark'})")
    page.wait_for_timeout(1500)
    page.screenshot(path="/tmp/lab2.png")
    assert off_loopback == []
