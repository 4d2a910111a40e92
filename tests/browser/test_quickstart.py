"""The quickstart in real JupyterLab, from a restored session to the user's own rows."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from supabase_nb.demo import stop_server

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
#: `make screenshots` renews the pictures of the documentation.
PICTURES = ROOT / "docs" / "images" if os.environ.get("SUPABASE_NB_SCREENSHOTS") else None


@pytest.fixture
def demo_ends(front_end_environment: dict[str, str]) -> Iterator[None]:
    """The embedded server that the notebook starts outlives its kernel, but not the test."""
    yield
    stop_server(Path(front_end_environment["XDG_DATA_HOME"]) / "supabase-nb" / "demo")


def record(page: Page, panel: Locator, cell: Locator, *, until: str) -> None:
    """The README's animation: two frames a second of the panel, and of a cell that runs meanwhile."""
    from PIL import Image

    frames, more = [], 4
    while more:
        more -= page.get_by_text(until).is_visible()
        parts = [Image.open(io.BytesIO(part.screenshot())).convert("RGB") for part in (panel, cell)]
        height = sum(part.height for part in parts) + 3 * 16
        frame = Image.new("RGB", (max(part.width for part in parts), height), "white")
        frame.paste(parts[0], ((frame.width - parts[0].width) // 2, 16))
        frame.paste(parts[1], (0, parts[0].height + 2 * 16))
        frames.append(frame)
        page.wait_for_timeout(400)
    colors = frames[-1].quantize(64)
    pictures = []
    for frame in frames:
        # As tall as the last one: the cell has an output then.
        whole = Image.new("RGB", frames[-1].size, "white")
        whole.paste(frame)
        pictures.append(whole.quantize(palette=colors, dither=Image.Dither.NONE))
    path = ROOT / "docs" / "images" / "refresh.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=500, loop=0)


@pytest.mark.timeout(240)
def test_the_quickstart_in_jupyterlab(
    page: Page,
    off_loopback: list[str],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
    demo_ends: None,
    tmp_path: Path,
) -> None:
    page.set_viewport_size({"width": 1100, "height": 2200})
    page.goto(jupyter_lab(ROOT / "notebooks" / "quickstart.ipynb"))
    run_all(page)
    # Connecting shows the panel. Restoring the session updates it, and prints one line.
    panels, line = page.locator(".sb[data-kind=panel]"), page.locator(".sb[data-kind=line]")
    restored = panels.first
    expect(restored).to_have_attribute("data-status", "active")
    expect(restored).to_contain_text("Active")
    expect(restored).to_contain_text("ada@example.com")
    expect(line).to_have_text("Signed in as ada@example.com · refreshes automatically")
    if PICTURES:
        page.wait_for_timeout(1500)  # the flash of a fresh token is over
    restored.locator("xpath=ancestor::*[contains(@class, 'jp-CodeCell')]").screenshot(
        path=(PICTURES or tmp_path) / "quickstart.png"
    )

    # The token is refreshed while the cell that waits for it is still running.
    if PICTURES:
        cell = page.locator(".jp-CodeCell").nth(4)
        record(page, restored, cell, until="The token was refreshed: True")
    page.get_by_text("The token was refreshed: True").wait_for()
    # The page ends with Ada's rows and a live panel: signing out is left to the reader.
    expect(page.locator("table").get_by_text("Turin").first).to_be_visible()
    expect(panels).to_have_count(2)
    for panel in panels.all():
        expect(panel).to_have_attribute("data-status", "active")
        expect(panel).to_contain_text("ada@example.com")
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert off_loopback == []
