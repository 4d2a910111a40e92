"""The notice about tokens in cells, in real JupyterLab: it appears at once, and its button signs out everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect
from test_cells import cells_of, wait_for_notice
from test_looks import wear
from test_token_entry import paste, run_cell, wait_for_kernel

from supabase_nb.demo import DemoServer

pytestmark = pytest.mark.browser


@pytest.fixture
def connect(server: DemoServer) -> str:
    return f"%load_ext supabase_nb\n%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"


def refreshes(server: DemoServer, refresh_token: str) -> bool:
    """Whether the auth server still takes this refresh token."""
    answer = httpx.post(
        f"{server.url}/auth/v1/token?grant_type=refresh_token",
        json={"refresh_token": refresh_token},
        headers={"apikey": server.anon_key},
    )
    return answer.status_code == 200


def enter(page: Page, text: str) -> None:
    form = page.locator(".sb[data-kind=token_entry]")
    form.get_by_label("Session, or access token").focus()
    paste(page, text)
    expect(form.get_by_role("button", name="Details")).to_be_focused()


@pytest.mark.parametrize("ran", [True, False], ids=["a cell that ran", "a cell that never ran"])
def test_the_notice_comes_at_once_when_tokens_come_by_the_form(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    ran: bool,
) -> None:
    """And a second one, for tokens of another cell, below the same form."""
    sessions = [server.sign_in(), server.sign_in()]
    cells = ['zq = "{}"\nxv = "{}"'.format(one["access_token"], one["refresh_token"]) for one in sessions]
    path = write_notebook(f"form-{ran}", connect, *cells, "%supabase_set_session")
    page.goto(jupyter_lab(path))
    wait_for_kernel(page)
    run_cell(page, 0)
    if ran:
        run_cell(page, 1)
    run_cell(page, 3)
    below = page.locator(".jp-Cell").nth(3)
    expect(below.locator(".sb[data-kind=token_entry]")).to_be_visible()
    expect(below.locator(".sb-cells")).to_have_count(0)
    expect(below.get_by_role("button", name="Sign out everywhere")).to_have_count(0)
    enter(page, f"{sessions[0]['access_token']}\n{sessions[0]['refresh_token']}")
    expect(below.locator(".sb-cells")).to_contain_text("removed.")
    expect(below.locator(".sb-cells")).to_contain_text("cell 2")
    assert cells_of(page)[1] == 'zq = "***"\nxv = "***"'
    below.get_by_role("button", name="Sign out", exact=True).click()
    below.get_by_role("button", name="Paste tokens").click()
    enter(page, f"{sessions[1]['access_token']}\n{sessions[1]['refresh_token']}")
    expect(below.locator(".sb-cells")).to_contain_text("cells 2 and 3")
    assert cells_of(page)[2] == 'zq = "***"\nxv = "***"'
    expect(below.get_by_role("button", name="Sign out everywhere")).to_be_visible()


def test_sign_out_everywhere(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
) -> None:
    """By keyboard, on light and dark pages; the result stays after a reload."""
    session, elsewhere = server.sign_in(), server.sign_in()
    cell = 'zq = "{access_token}"\nxv = "{refresh_token}"\n%supabase_set_session zq xv'.format(**session)
    path = write_notebook("everywhere", connect, cell, "supabase.auth.status")
    page.goto(jupyter_lab(path))
    wait_for_kernel(page)
    run_cell(page, 0)
    run_cell(page, 1)
    wait_for_notice(page, "Tokens removed.")
    strip = page.locator(".sb-sign-out")
    button = strip.get_by_role("button", name="Sign out everywhere")
    expect(button).to_be_visible()
    card = page.locator(".sb-cells")
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        wear(page, theme)
        expect(strip).to_have_attribute("data-sb-theme", theme.split()[1].lower())
        above, below = card.bounding_box(), strip.bounding_box()
        assert above is not None
        assert below is not None
        # One card: the same left edge and width, and no gap between.
        assert abs(above["x"] - below["x"]) <= 1
        assert abs(above["width"] - below["width"]) <= 1
        assert abs(above["y"] + above["height"] - below["y"]) <= 2
    button.focus()
    page.keyboard.press("Enter")
    expect(strip.get_by_role("status")).to_contain_text(
        "Signed out everywhere: all sessions of ada@example.com"
    )
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_be_focused()
    assert not refreshes(server, elsewhere["refresh_token"])
    run_cell(page, 2)
    expect(page.locator(".jp-Cell").nth(2)).to_contain_text("signed_out")

    page.on("dialog", lambda dialog: dialog.accept())
    page.evaluate("async () => { await jupyterapp.commands.execute('docmanager:save') }")
    page.reload()
    wait_for_kernel(page)
    expect(page.locator(".sb-sign-out").get_by_role("status")).to_contain_text("Signed out everywhere")


def test_no_client_is_signed_in_as_that_user(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
) -> None:
    session, elsewhere = server.sign_in(), server.sign_in()
    cell = 'zq = "{access_token}"\nxv = "{refresh_token}"\n%supabase_set_session zq xv'.format(**session)
    path = write_notebook("nobody", connect, cell, "%supabase_sign_out --scope local")
    page.goto(jupyter_lab(path))
    wait_for_kernel(page)
    for index in range(3):
        run_cell(page, index)
    strip = page.locator(".sb-sign-out")
    strip.get_by_role("button", name="Sign out everywhere").click()
    expect(strip.get_by_role("status")).to_contain_text("No client in this notebook is signed in as the user")
    expect(strip.get_by_role("button")).to_have_attribute("aria-disabled", "false")
    assert refreshes(server, elsewhere["refresh_token"])
