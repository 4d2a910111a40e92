"""A session that its app refreshes too, in real front ends: the panel says so, and offers its own sign-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

pytestmark = pytest.mark.browser

REFRESH = "/auth/v1/token?grant_type=refresh_token"
SHARED = "Another program refreshes this session too."


@pytest.fixture
def server() -> Iterator[DemoServer]:
    """With a clock of its own."""
    with running_server() as running:
        yield running


@pytest.mark.parametrize("front_end", ["jupyter_lab", "notebook7"])
def test_the_panel_says_so_and_signs_in_on_its_own(
    front_end: str,
    request: pytest.FixtureRequest,
    page: Page,
    write_notebook: Callable[..., Path],
    run_all: Callable[[Page], None],
    server: DemoServer,
    tmp_path: Path,
) -> None:
    app = server.sign_in("ada@example.com")
    file = tmp_path / "session.json"
    file.write_text(f"{app['access_token']} {app['refresh_token']}")
    cells = (
        f"%load_ext supabase_nb\n%supabase_connect {server.url} --key '{server.anon_key}'",
        f"at, rt = open({str(file)!r}).read().split()\n%supabase_set_session at rt",
    )
    opened: Callable[[Path], str] = request.getfixturevalue(front_end)
    page.goto(opened(write_notebook(f"holders_{front_end}", *cells)))
    run_all(page)
    panel = page.locator(".sb-live[data-kind=panel]").first
    expect(panel).to_have_attribute("data-status", "active")
    expect(panel).not_to_contain_text(SHARED)

    # The app refreshes, and a while later the notebook does.
    server.advance(600)
    app = server.request("POST", REFRESH, {"refresh_token": app["refresh_token"]})
    server.advance(30)
    panel.get_by_role("button", name="Refresh now").click()
    notice = panel.locator(".sb-notices li", has_text=SHARED)
    expect(notice).to_be_visible()
    notice.get_by_role("button", name="Sign in").click()
    panel.get_by_label("Email or phone").fill("ada@example.com")
    panel.get_by_label("Password").fill("correct horse battery")
    panel.get_by_label("Password").press("Enter")
    expect(panel.locator(".sb-form")).to_be_hidden()
    expect(notice).to_have_count(0)
    expect(panel).to_have_attribute("data-status", "active")

    # Pasted again, the session is refreshed twice by its app. Its end says why.
    app = server.request("POST", REFRESH, {"refresh_token": app["refresh_token"]})
    file.write_text(f"{app['access_token']} {app['refresh_token']}")
    run_all(page)
    expect(notice).to_be_visible()
    for _ in range(2):
        app = server.request("POST", REFRESH, {"refresh_token": app["refresh_token"]})
    server.advance(600)
    panel.get_by_role("button", name="Refresh now").click()
    expect(panel).to_have_attribute("data-status", "expired")
    expect(panel).to_contain_text(
        "This session was refreshed by another program, so the auth server ended it here."
    )
    expect(panel.get_by_role("button", name="Sign in again")).to_be_visible()
