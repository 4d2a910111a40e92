"""The tour of the documentation, step by step in JupyterLab; `make screenshots` takes its pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "images" if os.environ.get("SUPABASE_NB_SCREENSHOTS") else None


@pytest.fixture
def own_server() -> Iterator[DemoServer]:
    """One that may have an outage."""
    with running_server() as server:
        yield server


def test_the_tour(
    page: Page,
    own_server: DemoServer,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
    tmp_path: Path,
) -> None:
    def picture(name: str, of: Locator) -> None:
        of.scroll_into_view_if_needed()
        of.screenshot(path=(PICTURES or tmp_path) / f"tour-{name}.png", animations="disabled")

    page.set_viewport_size({"width": 1000, "height": 1400})
    connect = f"%load_ext supabase_nb\n%supabase_connect {own_server.url} --key '{own_server.anon_key}'"
    page.goto(jupyter_lab(write_notebook("tour", f"{connect} --storage memory", "%supabase_set_session")))
    run_all(page)

    # The form asks for the tokens.
    form = page.locator(".sb[data-kind=token_entry]")
    panel = page.locator(".sb[data-kind=panel]").first
    expect(form.get_by_label("Access token")).to_be_visible()
    expect(panel).to_have_attribute("data-status", "signed_out")
    # As high as an input, although the notice's widget loads the style sheet of all buttons again.
    provider = form.get_by_role("button", name="Continue with GitHub")
    expect(provider).to_have_css("min-height", "34px")
    picture("form", form)
    session = own_server.sign_in()
    form.get_by_label("Access token").fill(session["access_token"])
    form.get_by_label("Refresh token").fill(session["refresh_token"])
    form.get_by_role("button", name="Restore").click()
    expect(panel).to_have_attribute("data-status", "active")
    expect(panel).to_contain_text("ada@example.com")

    # An outage: the session is kept, and the panel says when the next try is.
    own_server.outage(120)
    panel.get_by_role("button", name="Refresh now").click()
    expect(panel).to_have_attribute("data-status", "retrying")
    expect(panel).to_contain_text("The auth server isn't responding. Your session is safe;")
    expect(panel).to_contain_text("ada@example.com")
    expect(panel.get_by_role("button", name="Retry now")).to_be_enabled()
    picture("outage", panel)
    own_server.outage(0)
    expect(panel).to_have_attribute("data-status", "active")

    # What happened, in the order in which it did.
    panel.get_by_role("button", name="Details").click()
    expect(panel.locator(".sb-events")).to_contain_text("Restored from tokens")
    picture("events", panel)

    # Signed out.
    panel.get_by_role("button", name="Sign out").click()
    expect(panel).to_have_attribute("data-status", "signed_out")
    picture("signed-out", panel)
