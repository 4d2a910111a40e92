"""The displays outside JupyterLab and Notebook 7: Voila, marimo, and pages without a Jupyter front end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_auth import FakeAuth, enact
from playwright.sync_api import Page, expect

from supabase_nb.notebook._displays.assets import read_esm
from supabase_nb.notebook._displays.view import describe
from supabase_nb.notebook.text import WORDS

pytestmark = pytest.mark.browser

SETUP = """\
import threading
from fake_auth import FakeAuth, enact
from supabase_nb.notebook.client_with_displays import Displays
class Client(Displays):
    def __init__(self, auth): self.auth = auth
auth = FakeAuth(); supabase = Client(auth); auth.sign_in()"""
MARIMO = """\
import marimo
app = marimo.App()

@app.cell
def _():
    from fake_auth import FakeAuth
    from supabase_nb.notebook.client_with_displays import Displays
    class Client(Displays):
        def __init__(self, auth): self.auth = auth
    auth = FakeAuth(); auth.sign_in()
    supabase = Client(auth)
    return auth, supabase

@app.cell
def _(supabase):
    supabase
    return

@app.cell
def _(supabase):
    supabase.badge
    return

if __name__ == "__main__":
    app.run()
"""


#: What Voila's own template loads: MathJax and Font Awesome.
VOILA_TEMPLATE = (
    "https://cdnjs.cloudflare.com/ajax/libs/mathjax/",
    "https://cdn.jsdelivr.net/npm/@fortawesome/fontawesome-free@",
)


def test_voila(
    page: Page,
    off_loopback: list[str],
    write_notebook: Callable[..., Path],
    voila: Callable[[Path], str],
) -> None:
    page.goto(voila(write_notebook("voila", SETUP, "supabase", "supabase.badge")), wait_until="networkidle")
    panel, badge = page.locator(".sb[data-kind=panel]"), page.locator(".sb[data-kind=badge]")
    expect(panel).to_be_visible()
    expect(page.locator(".sb-snap").first).to_be_hidden()
    expect(badge).to_have_text("Active")
    panel.get_by_role("button", name="Sign out").click()
    expect(badge).to_have_text("Signed out")
    assert [url for url in off_loopback if not url.startswith(VOILA_TEMPLATE)] == []


def test_marimo(
    page: Page, off_loopback: list[str], tmp_path: Path, marimo_app: Callable[[Path], str]
) -> None:
    notebook = tmp_path / "displays.py"
    notebook.write_text(MARIMO)
    page.goto(marimo_app(notebook))
    panel, badge = page.locator(".sb[data-kind=panel]"), page.locator(".sb[data-kind=badge]")
    expect(panel).to_be_visible()
    expect(badge).to_have_text("Active")
    panel.get_by_role("button", name="Refresh now").click()
    expect(panel).to_contain_text("Refreshed.")
    panel.get_by_role("button", name="Sign out").click()
    expect(badge).to_have_text("Signed out")
    assert off_loopback == []


def test_a_page_that_is_none_of_jupyters(page: Page) -> None:
    """VS Code and Colab have no classes of Jupyter's: the display itself hides the snapshot before it."""
    page.set_content(
        "<p class=sb-snap>one</p><div id=a></div><p class=sb-snap>two</p><div id=b></div><div id=c></div>"
    )
    page.evaluate(
        """async ([source, words]) => {
            const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const { default: make } = await import(address);
            window.say = {};
            for (const id of ["a", "b", "c"]) {
                const model = {
                    get: name => ({ kind: "badge", words })[name], send() {}, off() {},
                    on(name, heard) { if (name === "msg:custom") window.say[id] = heard },
                };
                const widget = make();
                widget.initialize({ model });
                widget.render({ model, el: document.getElementById(id) });
            }
        }""",
        [read_esm("widgets.mjs"), WORDS],
    )
    view = describe(enact(FakeAuth(), "active"))  # type: ignore[arg-type]
    one, two = page.get_by_text("one"), page.get_by_text("two")
    expect(page.locator(".sb")).to_contain_text(["Not live"] * 3)
    # The third has no snapshot, and must not hide another's.
    page.evaluate("view => window.say.c({ type: 'view', view })", view)
    expect(one).to_be_visible()
    expect(two).to_be_visible()
    page.evaluate("view => window.say.b({ type: 'view', view })", view)
    expect(two).to_be_hidden()
    expect(one).to_be_visible()
    page.evaluate("view => window.say.a({ type: 'view', view })", view)
    expect(one).to_be_hidden()
