"""notebooks/displays.ipynb in JupyterLab: widgets in layouts, and a table that follows the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from supabase_nb.demo import stop_server

pytestmark = pytest.mark.browser
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "displays.ipynb"


@pytest.fixture
def demo_ends(front_end_environment: dict[str, str]) -> Iterator[None]:
    """The embedded server that the notebook starts outlives its kernel, but not the test."""
    yield
    stop_server(Path(front_end_environment["XDG_DATA_HOME"]) / "supabase-nb" / "demo")


def test_the_table_follows_the_session(
    page: Page,
    off_loopback: list[str],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
    demo_ends: None,
) -> None:
    page.set_viewport_size({"width": 1280, "height": 3600})
    page.goto(jupyter_lab(NOTEBOOK))
    run_all(page)
    output = page.locator(".jp-CodeCell").nth
    table = output(5).locator("table")
    # Ada's trips were there first; then Grace signed in.
    expect(table).to_contain_text("Philadelphia")
    expect(table).not_to_contain_text("Turin")
    expect(output(3).locator("h2")).to_have_text("active")
    expect(output(7)).to_contain_text("Afterwards: active")
    expect(output(6).locator(".sb-badge")).to_contain_text("Active")
    card, ring = (page.locator(f".sb[data-kind={kind}]").bounding_box() for kind in ("user_card", "expiry"))
    assert card is not None
    assert ring is not None
    assert card["x"] + card["width"] <= ring["x"], "side by side"
    assert min(card["width"], ring["width"]) > 150
    assert page.locator("[data-mime-type*=error], [data-mime-type*=stderr]").count() == 0
    assert off_loopback == []
