"""A notebook in WebKitGTK's MiniBrowser, driven by selenium; parts of the page are found by role and visible text."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import ActionChains, WebKitGTK, WebKitGTKOptions, WebKitGTKService
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

#: Whether the notebook, its kernel and its renderer of widgets are ready. Before that, outputs show their snapshot.
#: A window that never had the focus has no current widget.
READY = """\
const shell = window.jupyterapp?.shell;
const notebook = shell && [...shell.widgets("main")].find(({ context }) => context);
if (notebook && shell.currentWidget !== notebook) shell.activateById(notebook.id);
return document.querySelector(".jp-Notebook .jp-CodeCell")
    && jupyterapp.commands.hasCommand("notebook:run-all-cells")
    && shell.currentWidget?.content?.rendermime?.mimeTypes.includes("application/vnd.jupyter.widget-view+json")
    && shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === "idle";"""
#: Errors of ours, as in conftest.py, and what the page loaded from elsewhere.
WATCH = """\
window.errorsOfOurs = [];
window.errors = [];
const keep = (...said) => {
    const text = said.join(" ");
    errors.push(text);
    if (/blob:|anywidget|supabase/i.test(text)) errorsOfOurs.push(text);
};
addEventListener("error", ({ message, filename, error }) => keep(message, filename, error?.stack));
addEventListener("unhandledrejection", ({ reason }) => keep(reason, reason?.stack));
const log = console.error;
console.error = (...said) => { keep(...said); log(...said) };"""
#: What the notebook shows, what is in its hidden outputs, and all errors.
STATE = """\
const hidden = [...document.querySelectorAll(".jp-OutputArea-output")].filter(output => !output.checkVisibility());
return [document.querySelector(".jp-Notebook")?.innerText, hidden.map(output => output.textContent), window.errors];"""
FIND = """\
const named = part => (part.getAttribute("aria-label") ?? part.labels?.[0]?.innerText ?? part.innerText).trim();
const last = (css, name) => [...document.querySelectorAll(css)]
    .findLast(part => part.checkVisibility() && (name === undefined || named(part) === name));
"""
ELSEWHERE = """\
return performance.getEntriesByType("resource").map(({ name }) => new URL(name))
    .filter(({ protocol, hostname }) => /^(http|ws)/.test(protocol) && hostname !== "127.0.0.1").map(String);"""


class Window:
    """The open page."""

    def __init__(self, driver: WebKitGTK) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)
        self.settle()

    def reload(self) -> None:
        self.driver.refresh()
        self.settle()

    def settle(self) -> None:
        """Wait for the notebook and its kernel."""
        self.js(WATCH)
        self.until(READY)

    def run_all(self) -> None:
        self.js("jupyterapp.commands.execute('notebook:run-all-cells')")

    def js(self, script: str, *given: object) -> Any:
        return self.driver.execute_script(script, *given)

    def until(self, condition: str | Callable[[], Any], *given: object) -> Any:
        """The result of a script or function, once it has one."""

        def check(_: object) -> Any:
            return self.js(condition, *given) if isinstance(condition, str) else condition()

        try:
            return WebDriverWait(self.driver, 60, 0.1).until(check)
        except TimeoutException:
            shown, hidden, errors = self.js(STATE)
            raise AssertionError(
                f"not seen: {condition} {given}\non the page: {shown}\nof it hidden: {hidden}\nerrors: {errors}"
            ) from None

    def see(self, kind: str, pattern: str) -> str:
        """Wait until the last visible display of this kind shows this text; what matches."""

        def look() -> str | None:
            match = re.search(
                pattern,
                self.js(FIND + "return last(`.sb[data-kind=${arguments[0]}]`)?.innerText", kind) or "",
            )
            return match and match.group()

        return str(self.until(look, f"{kind}: {pattern}"))

    def find(self, role: str, name: str) -> WebElement:
        """The last visible button or text box of a display with this accessible name."""
        css = {"button": ".sb button", "textbox": ".sb input"}[role]
        element: WebElement = self.until(FIND + "return last(...arguments)", css, name)
        return element

    def click(self, name: str) -> None:
        self.find("button", name).click()

    def wait_for_focus(self, role: str, name: str) -> None:
        self.until(lambda: self.find(role, name) == self.driver.switch_to.active_element, role, name)

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def paste(self, text: str) -> None:
        """Press Ctrl+V with this text in the clipboard, after cutting it from our own field."""
        now = self.driver.switch_to.active_element
        field: WebElement = self.js("return document.body.appendChild(document.createElement('textarea'))")
        self.js("arguments[0].value = arguments[1]; arguments[0].focus()", field, text)
        self.chord("a")
        self.chord("x")
        self.js("arguments[0].remove(); arguments[1].focus()", field, now)
        self.chord("v")

    def chord(self, key: str) -> None:
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()


@contextmanager
def webkit() -> Iterator[Window]:
    """A browser on its own screen."""
    browser = next(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"), None)
    if browser is None or not shutil.which("WebKitWebDriver") or not shutil.which("Xvfb"):
        pytest.skip("no WebKit: install Debian's webkit2gtk-driver and xvfb")
    read, write = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as display:
            environment = os.environ | {"DISPLAY": f":{display.readline().strip()}"}
        options = WebKitGTKOptions()
        options.binary_location = str(browser)
        options.add_argument("--automation")
        driver = WebKitGTK(options, WebKitGTKService(shutil.which("WebKitWebDriver"), env=environment))
        try:
            driver.set_window_size(1390, 990)
            yield Window(driver)
        finally:
            driver.quit()
    finally:
        screen.terminate()
        screen.wait(10)
