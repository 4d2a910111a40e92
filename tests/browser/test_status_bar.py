"""The session of the current notebook in the status bar of JupyterLab, and in Notebook 7."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from supabase_nb.demo import DemoServer

pytestmark = pytest.mark.browser

SIGN_IN = "supabase.auth.sign_in_with_password(email='ada@example.com', password='correct horse battery');"


@pytest.fixture(params=["jupyter_lab", "notebook7"])
def address(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    opened: Callable[[Path], str] = request.getfixturevalue(request.param)
    return opened


@pytest.fixture
def connect(server: DemoServer) -> str:
    return f"%load_ext supabase_nb\n%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"


def run_cell(page: Page, code: str) -> None:
    """Run code in the notebook's kernel, as a cell does."""
    page.evaluate(
        """code => void jupyterapp.shell.currentWidget.context.sessionContext.session.kernel
            .requestExecute({ code })""",
        code,
    )


def restart(page: Page) -> None:
    page.evaluate(
        "async () => { await jupyterapp.shell.currentWidget.context.sessionContext.restartKernel() }"
    )


def die(page: Page) -> None:
    run_cell(page, "import os; os._exit(1)")
    # Jupyter starts another kernel, and JupyterLab tells of it in a dialog.
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()


def test_the_session_in_the_status_bar(
    page: Page,
    connect: str,
    off_loopback: list[str],
    write_notebook: Callable[..., Path],
    address: Callable[[Path], str],
    run_all: Callable[[Page], None],
    request: pytest.FixtureRequest,
) -> None:
    lab = "jupyter_lab" in request.node.name
    page.goto(address(write_notebook(f"status-{lab}", connect, SIGN_IN)))
    item = page.locator("#jp-main-statusbar" if lab else "#menu-panel").get_by_text("Supabase:")
    run_all(page)
    expect(item).to_have_text("Supabase: Active")
    # No e-mail address: a status bar is in every screenshot.
    assert "ada" not in page.locator(".sb-status-item").evaluate("item => item.outerHTML")
    # As any other text of its bar, in both themes.
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        color = item.evaluate("text => getComputedStyle(text).color")
        variable = "getComputedStyle(document.body).getPropertyValue('--jp-ui-font-color1')"
        probe = f"""() => {{
            const probe = document.body.appendChild(document.createElement("i"));
            probe.style.color = {variable};
            const {{ color }} = getComputedStyle(probe);
            probe.remove();
            return color;
        }}"""
        assert color == page.evaluate(probe), theme
    # Several clients: the one that needs most attention, and how many there are.
    run_cell(page, connect.splitlines()[1] + " --name other")
    expect(item).to_have_text("Supabase: Signed out (2 clients)")
    expect(page.locator(".sb-status-item")).to_have_attribute("title", "other: Signed out\nsupabase: Active")
    run_cell(page, SIGN_IN.replace("supabase", "other"))
    expect(item).to_have_text("Supabase: Active (2 clients)")
    # A page that is loaded anew; a kernel that is restarted, and one that dies.
    page.reload()
    expect(item).to_have_text("Supabase: Active (2 clients)")
    for end in (restart, die):
        end(page)
        expect(item).to_be_hidden()
        run_all(page)
        expect(item).to_have_text("Supabase: Active")
    run_cell(page, "supabase.auth.sign_out()")
    expect(item).to_have_text("Supabase: Signed out")
    run_cell(page, "%unload_ext supabase_nb")
    expect(item).to_be_hidden()
    assert off_loopback == []
