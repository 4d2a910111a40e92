"""The documentation in a browser: loads nothing from elsewhere, fits a phone, and its search works."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_loads_from_here_and_fits_a_phone(
    page: Page, off_loopback: list[str], address: str, site: Path, scheme: str
) -> None:
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 360, "height": 700})
    pages = sorted(file.parent.relative_to(site) for file in site.rglob("index.html"))
    assert len(pages) > 15
    for name in pages:
        page.goto(f"{address}/{name}/", wait_until="networkidle")
        expect(page.locator("body")).to_have_attribute(
            "data-md-color-scheme", "slate" if scheme == "dark" else "default"
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
        broken = "[...document.images].filter(image => !image.naturalWidth).map(image => image.src)"
        assert page.evaluate(broken) == []
    assert errors == []
    assert off_loopback == []


def test_the_search_finds_a_page(page: Page, off_loopback: list[str], address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Search").first.click()
    page.keyboard.type("forked")
    expect(page.get_by_role("option", name="Forked processes")).to_be_visible()
    assert off_loopback == []
