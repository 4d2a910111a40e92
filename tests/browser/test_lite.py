"""The JupyterLite site in Chromium: Python, the session and the embedded server in one page."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Locator, Page, expect

from supabase_nb.demo.testing import running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]
sys.path.append(str(Path(__file__).parents[2] / "tools"))


class Files(http.server.SimpleHTTPRequestHandler):
    """Any static host."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site, below a folder as on many hosts."""
    import lite

    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    with FileLock(tmp_path_factory.getbasetemp().parent / "lite.lock"):
        built = lite.site(lite.BUILD / "test" / "supabase-nb", own_pyodide=True)
    handler = functools.partial(Files, directory=str(built.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{built.name}/"
        server.shutdown()


@pytest.fixture(scope="module")
def requested() -> list[str]:
    """The hosts that anything in the page has sent requests to."""
    return []


@pytest.fixture(scope="module")
def quickstart(browser: Browser, site: str, requested: list[str]) -> Iterator[Page]:
    """The site, opened, and all cells of its first notebook run."""
    context = browser.new_context(viewport={"width": 1200, "height": 1500})
    context.on("request", lambda request: requested.append(urlsplit(request.url).hostname or ""))
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(site)
    page.wait_for_function("window.jupyterapp?.commands.hasCommand('notebook:run-all-cells')")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    wait_for_kernel(page)
    page.evaluate("() => void jupyterapp.commands.execute('notebook:run-all-cells')")
    page.get_by_text("The token was refreshed: True").wait_for(timeout=120_000)
    page.get_by_text("London – Turin").wait_for()
    wait_for_kernel(page)
    yield page
    context.close()


def wait_for_kernel(page: Page) -> None:
    page.wait_for_function(
        "jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=90_000,
    )


def run_cell(page: Page, source: str) -> Locator:
    """Run a new last cell; gives it when it is done."""
    index = page.evaluate(
        """async source => {
            const notebook = jupyterapp.shell.currentWidget.content;
            const cells = notebook.model.sharedModel;
            cells.insertCell(cells.cells.length, {cell_type: 'code', source});
            notebook.activeCellIndex = cells.cells.length - 1;
            await jupyterapp.commands.execute('notebook:run-cell');
            return notebook.activeCellIndex;
        }""",
        source,
    )
    return page.locator(f".jp-CodeCell[data-windowed-list-index='{index}']")


def test_it_runs_from_top_to_bottom(quickstart: Page, requested: list[str]) -> None:
    panels = quickstart.locator(".sb[data-kind=panel]")
    expect(panels).to_have_count(2)
    for panel in panels.all():
        expect(panel).to_have_attribute("data-status", "active")
        expect(panel).to_contain_text("ada@example.com")
    expect(quickstart.get_by_text("['refreshing', 'active']")).to_be_visible()
    assert quickstart.locator("[data-mime-type*=error], [data-mime-type*=stderr]").count() == 0
    assert set(requested) - {""} == {"127.0.0.1"}


def test_the_token_is_refreshed_between_cells(quickstart: Page) -> None:
    panel = quickstart.locator(".sb[data-kind=panel]").last
    before, count = (
        run_cell(quickstart, "print(supabase.auth.session.expires_at)").inner_text(),
        events(panel),
    )
    # No cell runs meanwhile. The access token is valid for 20 seconds.
    expect(panel.locator(".sb-events li")).to_have_count(count + 1)
    expect(panel).to_have_attribute("data-status", "active")
    after = run_cell(quickstart, "print(supabase.auth.session.expires_at)").inner_text()
    assert before.splitlines()[-1] != after.splitlines()[-1]


def events(panel: Locator) -> int:
    """How many events the panel's details list."""
    return panel.locator(".sb-events li").count()


def test_the_panel_and_the_form(quickstart: Page) -> None:
    cell = run_cell(quickstart, "session = demo.sign_in()\ndemo.outage(3600)\n%supabase_session")
    panel = cell.locator(".sb[data-kind=panel]")
    panel.get_by_role("button", name="Refresh").click()
    expect(panel).to_have_attribute("data-status", "retrying")
    expect(panel).to_contain_text("Your session is safe")
    expect(panel).to_contain_text("ada@example.com")
    run_cell(quickstart, "demo.outage(0)")
    expect(panel).to_have_attribute("data-status", "active")

    panel.get_by_role("button", name="Sign out").click()
    expect(panel).to_have_attribute("data-status", "signed_out")

    form = run_cell(quickstart, "%supabase_set_session").locator(".sb[data-kind=token_entry]")
    copied = run_cell(quickstart, "print(*demo.copied_tokens('grace@example.com'))")
    at, rt = copied.locator(".jp-OutputArea-output").inner_text().split()
    form.get_by_label("Access token").fill(at)
    form.get_by_label("Refresh token").fill(rt)
    form.get_by_role("button", name="Restore").click()
    expect(panel).to_have_attribute("data-status", "active")
    expect(panel).to_contain_text("grace@example.com")

    run_cell(quickstart, "%supabase_sign_out")
    expect(panel).to_have_attribute("data-status", "signed_out")
    assert quickstart.locator("[data-mime-type*=error], [data-mime-type*=stderr]").count() == 0


def test_a_server_elsewhere(quickstart: Page, requested: list[str]) -> None:
    """By XMLHttpRequest and fetch, to another origin than the page's."""
    with running_server(access_token_lifetime=20) as server:
        at, rt = server.copied_tokens()
        cell = run_cell(
            quickstart,
            f"%supabase_connect {server.url} --key {server.anon_key} --name other\n"
            f"other.auth.set_session('{at}', '{rt}')\n"
            "other.auth.refresh_session()\n"
            "rows = other.table('trips').select('user_id').execute().data\n"
            "print({row['user_id'] for row in rows} == {other.auth.user.id})",
        )
        panel = cell.locator(".sb[data-kind=panel]")
        expect(panel).to_contain_text("ada@example.com")
        expect(cell).to_contain_text("True")
        awaited = (
            "import httpx\n"
            "from supabase_nb import SessionAuth\n"
            "from supabase_nb.pyodide_transports import FetchTransport\n"
            "async with httpx.AsyncClient(transport=FetchTransport(), auth=SessionAuth(other)) as http:\n"
            f"    print(len((await http.get('{server.url}/rest/v1/trips')).json()), 'rows')"
        )
        expect(run_cell(quickstart, awaited)).to_contain_text(re.compile(r"[1-9]\d* rows"))
        # By itself, while no cell runs.
        expect(panel.locator(".sb-events li")).to_have_count(events(panel) + 1)
        panel.get_by_role("button", name="Sign out").click()
        expect(panel).to_have_attribute("data-status", "signed_out")
        stats = server.stats()
        assert stats["token.refresh_token"] >= 2
        assert stats["logout"] == 1
    assert quickstart.locator("[data-mime-type*=error], [data-mime-type*=stderr]").count() == 0
    assert set(requested) - {""} == {"127.0.0.1"}
