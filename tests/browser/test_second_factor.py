"""`%supabase_mfa --enroll` in real JupyterLab: the QR code is visible, and not in the saved notebook."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from playwright.sync_api import Page, expect
from test_token_entry import saved, wait_for_kernel

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

pytestmark = pytest.mark.browser


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with running_server() as running:
        yield running


@pytest.mark.parametrize("front_end", ["jupyter_lab", "notebook7"])
def test_the_qr_code_is_seen_and_not_saved(
    front_end: str,
    request: pytest.FixtureRequest,
    page: Page,
    write_notebook: Callable[..., Path],
    server: DemoServer,
    off_loopback: list[str],
) -> None:
    opened: Callable[[Path], str] = request.getfixturevalue(front_end)
    path = write_notebook(
        f"second_factor_{front_end}",
        f"%load_ext supabase_nb\n%supabase_connect {server.url} --key '{server.anon_key}' --storage memory\n"
        "supabase.auth.sign_in_with_password(email='ada@example.com', password='correct horse battery')\n"
        "%supabase_mfa --enroll",
    )
    page.goto(opened(path))
    wait_for_kernel(page)
    page.evaluate("() => void jupyterapp.commands.execute('notebook:run-cell')")
    image = page.get_by_role("img", name="QR code of the new authenticator app")
    expect(image).to_be_visible()
    assert image.evaluate("async image => { await image.decode(); return image.naturalWidth > 100 }")
    key = (page.locator(".sb-key").text_content() or "").replace(" ", "")
    assert re.fullmatch("[A-Z2-7]{32}", key)
    middle = saved(page, path)  # while it is on screen
    digits = server.totp_codes("ada@example.com")[0]["code"]
    page.locator(".jp-Stdin-input").fill(digits)
    page.locator(".jp-Stdin-input").press("Enter")
    expect(page.get_by_text("The app was added.")).to_be_visible()
    expect(image).to_have_count(0)
    expect(page.locator(".sb-key")).to_have_count(0)
    assert page.evaluate("key => document.documentElement.outerHTML.includes(key)", key) is False
    for text in (middle, saved(page, path)):
        assert "The QR code of a new authenticator app was shown here" in text
        for secret in (key, " ".join(re.findall("....", key)), "otpauth", digits, "<rect"):
            assert secret not in unquote(text)
            assert quote(secret) not in text
    assert off_loopback == []
