"""The most important cases in WebKit, Safari's engine: displays and the token form in JupyterLab."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from webkit_window import ELSEWHERE, READY, Window, webkit

from supabase_nb.demo import DemoServer

pytestmark = pytest.mark.browser

ACCESS = "Session, or access token"
COUNTDOWN = r"(?<![\d.])\d+:\d\d(?!\d|\s*[AP]M)"  # not a port, not a time of day

#: Give every output a width; what sticks out of its display then?
TOO_WIDE = """\
for (const { style } of document.querySelectorAll(".jp-OutputArea-output")) {
    style.flex = "none";
    style.width = `${arguments[0]}px`;
}
return [...document.querySelectorAll(".sb")].filter(sb => sb.scrollWidth > sb.clientWidth + 1)
    .map(sb => sb.outerHTML);"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Window]:
    with webkit() as window:
        yield window


@pytest.fixture
def window(browser: Window) -> Iterator[Window]:
    yield browser
    assert browser.js("return errorsOfOurs") == []
    assert browser.js(ELSEWHERE) == []


@pytest.fixture
def connect(server: DemoServer) -> str:
    return f"%load_ext supabase_nb\n%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"


def tokens(server: DemoServer) -> tuple[str, str]:
    session = server.sign_in()
    return session["access_token"], session["refresh_token"]


def test_displays(
    window: Window,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
) -> None:
    sign_in = (
        "supabase.auth.sign_in_with_password(email='ada@example.com', password='correct horse battery');"
    )
    window.open(jupyter_lab(write_notebook("webkit", connect, sign_in, "supabase.badge", "supabase")))
    window.run_all()
    window.see("panel", "ada@example.com")
    window.see("badge", "Active")
    first = window.see("panel", COUNTDOWN)
    window.until(lambda: window.see("panel", COUNTDOWN) != first)
    window.click("Refresh now")
    window.see("panel", re.escape("Refreshed."))

    # Dark and light, narrow and wide: nothing sticks out.
    for theme in ("Dark", "Light"):
        window.js(
            "jupyterapp.commands.execute('apputils:change-theme', {theme: arguments[0]})",
            f"JupyterLab {theme}",
        )
        window.until(
            "return [...document.querySelectorAll('.sb-live')].every(sb => sb.dataset.sbTheme === arguments[0])",
            theme.lower(),
        )
        for width in (320, 760):
            assert window.js(TOO_WIDE, width) == [], theme

    # A page that is loaded anew is live; one whose kernel restarts says that it isn't.
    window.js("return jupyterapp.shell.currentWidget.context.save()")
    window.reload()
    window.see("panel", "ada@example.com")
    window.see("badge", "Active")
    window.js("void jupyterapp.shell.currentWidget.context.sessionContext.restartKernel()")
    window.see("panel", "Kernel stopped or restarted")
    window.see("badge", "Not live")
    window.until(READY)
    window.run_all()
    window.see("badge", "Active")
    window.click("Sign out")
    window.see("badge", "Signed out")


def test_token_form(
    window: Window,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
) -> None:
    path = write_notebook("webkit-form", connect, "%supabase_set_session")
    window.open(jupyter_lab(path))
    window.run_all()
    given: list[str] = []

    def restored() -> None:
        window.see("token_entry", "ada@example.com")
        window.wait_for_focus("button", "Details")
        fields = (
            "return [...document.querySelectorAll('input, textarea')].map(field => field.value).join(' ')"
        )
        assert not [token for token in given if token in window.js(fields)]

    # By typing; a wrong token first.
    access, refresh = tokens(server)
    given += [access, refresh]
    window.find("textbox", ACCESS).click()
    window.press(f"{access[:-8]}tampered", Keys.TAB, refresh, Keys.ENTER)
    window.see("token_entry", "(?i)invalid JWT|signature")
    window.wait_for_focus("textbox", ACCESS)
    window.press(access, Keys.TAB, refresh, Keys.ENTER)
    restored()
    # By one paste of both.
    access, refresh = tokens(server)
    given += [access, refresh]
    window.click("Sign out")
    window.click("Paste tokens")
    window.wait_for_focus("textbox", ACCESS)
    window.paste(json.dumps({"access_token": access, "refresh_token": refresh}))
    restored()
    window.js("return jupyterapp.shell.currentWidget.context.save()")
    assert not [token for token in given if token in path.read_text()]
