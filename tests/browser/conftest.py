"""Front ends on free ports of this machine, and browsers to open them in: Chromium, and Firefox for marked tests.

- `browser`, `page`: a browser for the module, a page of its own for each test. No error of ours in its console.
- `off_loopback`: what the page asked of anybody but this machine; the goal is that it stays empty.
- `write_notebook(name, *cells)`: a notebook in the servers' folder; gives its path for the next ones.
- `jupyter_lab(path)`, `notebook7(path)`, `voila(path)`, `marimo_app(path)`: the address to open it at.
- `run_all(page)`: run all cells of the notebook that is open in JupyterLab or Notebook 7.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from front_ends import FLAGS, Server, first_command, free_port, place, running, running_jupyter, write_into
from playwright.sync_api import Browser, Error, Page, Playwright, Request, expect, sync_playwright

TESTS = Path(__file__).parents[1]
# The client without a server, for the tests themselves and for the kernels that they start.
sys.path.append(str(TESTS / "notebook"))
#: What an error in the console names if it is ours: displays are loaded from blobs.
OURS = re.compile("blob:|anywidget|supabase", re.IGNORECASE)
#: How long to wait for the page, in ms. Four browsers on two cores can be slow.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("firefox"):
        metafunc.parametrize("browser_name", ["chromium", "firefox"], indirect=True)


@pytest.fixture(scope="module")
def browser_name(request: pytest.FixtureRequest) -> str:
    """Chromium; a test that is marked `firefox` runs in both."""
    name: str = getattr(request, "param", "chromium")
    return name


# For a module, no longer: Playwright runs an event loop in this thread as long as it is there.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright, browser_name: str) -> Iterator[Browser]:
    browser = launch_firefox(playwright) if browser_name == "firefox" else launch_chromium(playwright)
    yield browser
    browser.close()


def launch_chromium(playwright: Playwright) -> Browser:
    """The system's Chromium, or Playwright's own."""
    path = first_command("chromium", "chromium-browser", "google-chrome")
    try:
        return playwright.chromium.launch(executable_path=path, args=FLAGS)
    except Error as error:
        pytest.skip(f"no Chromium: install one, or run `playwright install chromium` ({error.message[:80]})")


def launch_firefox(playwright: Playwright) -> Browser:
    """The system's Firefox, unchanged: Playwright speaks WebDriver BiDi with it."""
    path = first_command("firefox-esr", "firefox")
    if path is None:
        pytest.skip("no Firefox: install Debian's firefox-esr")
    try:
        return playwright.firefox.launch(
            channel="moz-firefox",
            executable_path=path,
            firefox_user_prefs={"dom.events.testing.asyncClipboard": True},  # tests fill the clipboard
        )
    except Error as error:
        if path.endswith("-esr"):
            raise
        pytest.skip(f"{path} cannot be driven, as a snap cannot: {error.message[:80]}")


@pytest.fixture
def off_loopback() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, browser_name: str, off_loopback: list[str]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    if browser_name == "chromium":
        context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()

    def count(request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname not in (
            "127.0.0.1",
            "localhost",
        ):
            off_loopback.append(request.url)

    errors: list[str] = []
    context.on("request", count)
    page.on("console", lambda said: said.type == "error" and errors.append(f"{said.text} {said.location}"))
    page.on("pageerror", lambda error: errors.append(f"{error.message} {error.stack}"))
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()
    # JupyterLab and Notebook 7 log errors of their own.
    assert [error for error in errors if OURS.search(error)] == []


@pytest.fixture(scope="session")
def front_end_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Nothing of the user's: configuration, data, sessions and history are the tests' own."""
    home = tmp_path_factory.mktemp("home")
    config = home / "jupyter-config"
    labconfig = config / "labconfig"
    labconfig.mkdir(parents=True)
    # JupyterLab would ask for news, and whether it has to be built, each time that a page is opened.
    page_config = {
        "disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True},
        "buildCheck": False,
    }
    (labconfig / "page_config.json").write_text(json.dumps(page_config))
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "SUPABASE"))},
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(home / "jupyter-data"),
        "JUPYTER_RUNTIME_DIR": str(home / "jupyter-runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "lab-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "lab-workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPATH": str(TESTS / "notebook"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


@pytest.fixture(scope="session")
def jupyter_server(
    tmp_path_factory: pytest.TempPathFactory, front_end_environment: dict[str, str]
) -> Iterator[Server]:
    """One Jupyter server that serves JupyterLab, Notebook 7 and Voila."""
    with running_jupyter(tmp_path_factory.mktemp("notebooks"), front_end_environment) as server:
        yield server


@pytest.fixture
def write_notebook(jupyter_server: Server) -> Callable[..., Path]:
    return partial(write_into, jupyter_server.root)


@pytest.fixture
def jupyter_lab(jupyter_server: Server) -> Callable[[Path], str]:
    return lambda path: place(jupyter_server, path, "lab/tree") + "?reset"


@pytest.fixture
def notebook7(jupyter_server: Server) -> Callable[[Path], str]:
    return lambda path: place(jupyter_server, path, "notebooks")


@pytest.fixture
def voila(jupyter_server: Server) -> Callable[[Path], str]:
    return lambda path: place(jupyter_server, path, "voila/render")


@pytest.fixture
def marimo_app(tmp_path: Path, front_end_environment: dict[str, str]) -> Iterator[Callable[[Path], str]]:
    servers = []

    def start(path: Path) -> str:
        port = free_port()
        command = [sys.executable, "-m", "marimo", "-y", "run", str(path), "--headless", "--no-token"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--no-sandbox"]
        context = running(command, front_end_environment, tmp_path, f"http://127.0.0.1:{port}", "/health")
        servers.append(context)
        return context.__enter__().url

    yield start
    for context in servers:
        context.__exit__(None, None, None)


@pytest.fixture
def run_all() -> Callable[[Page], None]:
    def run(page: Page) -> None:
        """Wait for the notebook and its kernel, then run all cells; returns at once."""
        page.wait_for_function("window.jupyterapp?.commands.hasCommand('notebook:run-all-cells')")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        # If a notebook runs before its kernel has started, JupyterLab asks which kernel to use.
        page.wait_for_function(
            "jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
        )
        page.evaluate("() => void jupyterapp.commands.execute('notebook:run-all-cells')")

    return run
