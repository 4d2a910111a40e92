"""The displays in JupyterLab and Notebook 7: live with a kernel, and marked as not live without one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, WebSocket, expect

from supabase_nb.demo import DemoServer

pytestmark = pytest.mark.browser

SETUP = """\
import threading
from fake_auth import FakeAuth, enact
from supabase_nb.notebook.client_with_displays import NotebookClient
class Client(NotebookClient):
    def __init__(self, auth): self.auth = auth
auth = FakeAuth(); supabase = Client(auth); enact(auth, "active")"""
# The main thread waits for the file; meanwhile the state changes in another thread, as the refresher does.
RUNNING = """\
import pathlib, time
def work():
    for status in ("signed_out", "restoring", "refreshing", "retrying", "expired", "active"):
        while not pathlib.Path(f"show-{status}").exists(): time.sleep(0.02)
        enact(auth, status)
    auth.refresh_session()
thread = threading.Thread(target=work); thread.start(); thread.join()"""
CLOSED = "This client was closed. Run %supabase_connect to connect again."
WORDS = {
    "signed_out": "Signed out",
    "restoring": "Restoring",
    "refreshing": "Refreshing",
    "retrying": "Retrying",
    "expired": "Session ended",
    "active": "Active",
}


@pytest.fixture(params=["jupyter_lab", "notebook7"])
def address(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Each of the two."""
    opened: Callable[[Path], str] = request.getfixturevalue(request.param)
    return opened


def comm_frames(page: Page) -> list[bytes]:
    """What passes between the page and the kernel for widgets, from now on."""
    frames: list[bytes] = []

    def keep(frame: bytes | str) -> None:
        data = frame.encode() if isinstance(frame, str) else frame
        if b"comm_msg" in data:
            frames.append(data)

    def watch(socket: WebSocket) -> None:
        socket.on("framesent", keep)
        socket.on("framereceived", keep)

    page.on("websocket", watch)
    return frames


def see_a_tick(panel: Locator) -> None:
    countdown = panel.locator(".sb-until")
    expect(countdown).not_to_have_text(countdown.inner_text())


def kernel(page: Page, command: str) -> None:
    """Restart or shut down the open notebook's kernel, without a dialog."""
    page.evaluate(
        f"async () => {{ await jupyterapp.shell.currentWidget.context.sessionContext.{command}() }}"
    )


def save(page: Page) -> None:
    page.evaluate("async () => { await jupyterapp.shell.currentWidget.context.save() }")


@pytest.mark.firefox
def test_live(
    page: Page,
    off_loopback: list[str],
    write_notebook: Callable[..., Path],
    address: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    frames = comm_frames(page)
    path = write_notebook("live", SETUP, "supabase", "supabase.badge", RUNNING)
    for flag in path.parent.glob("show-*"):
        flag.unlink()
    page.goto(address(path))
    run_all(page)
    panel, badge = page.locator(".sb[data-kind=panel]"), page.locator(".sb[data-kind=badge]")
    expect(panel).to_be_visible()
    expect(panel).to_contain_text("ada.lovelace@example.com")
    expect(panel.locator(".sb-until")).to_have_text(re.compile(r"Refreshes automatically in 4[89]:\d\d"))
    expect(page.locator(".sb-snap").first).to_be_hidden()
    # All states, set by a thread while a cell runs.
    for status, words in WORDS.items():
        (path.parent / f"show-{status}").touch()
        expect(badge).to_have_text(words)
        expect(badge).to_have_attribute("data-status", status)
        if status == "signed_out":
            expect(panel).to_contain_text("Not signed in")
        else:
            expect(panel).to_contain_text("ada.lovelace@example.com")
            expect(panel.locator(".sb-badge")).to_have_text(words)
    panel.get_by_role("button", name="Details").click()
    panel.get_by_role("button", name="Copy the user ID").click()
    expect(panel).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "4f6a52c1-93c4-4c5f-9d7f-2c6f2f0f7c11"
    # Asking the kernel: by keyboard, and once for a click. The refresh makes each of the two flash, once.
    expect(page.locator(".sb-flash")).to_have_count(0)
    page.evaluate(
        """() => {
            window.flashes = [];
            const flashed = ({ animationName: name, target }) =>
                name === "sb-flash" && window.flashes.push(target.dataset.kind);
            document.addEventListener("animationstart", flashed);
        }"""
    )
    expect(panel.locator(".sb-panel > .sb-foot")).to_contain_text("Refreshed ·")
    panel.get_by_role("button", name="Refresh now").focus()
    page.keyboard.press("Enter")
    expect(panel).to_contain_text("Refreshed.")
    page.wait_for_function("window.flashes.length >= 2")
    # The countdown ticks in the browser.
    see_a_tick(panel)
    frames.clear()
    see_a_tick(panel)
    see_a_tick(panel)
    assert frames == []
    panel.get_by_role("button", name="Sign out").click()
    expect(badge).to_have_text("Signed out")
    assert sorted(page.evaluate("window.flashes")) == ["badge", "panel"]
    expect(panel).to_contain_text("Signed out ·")
    assert off_loopback == []


def test_what_the_panel_says(
    page: Page,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    """Each state in words, with the next step, and nothing that has to be opened to see it."""
    cells = [
        SETUP + "\nfrom supabase_nb.models import Notice",
        "retrying = Client(enact(FakeAuth(), 'retrying')); retrying.panel",
        "expired = Client(enact(FakeAuth(), 'expired')); expired.panel",
        "gone = Client(enact(FakeAuth(), 'signed_out'))\n"
        "gone.auth.happen('SIGNED_OUT', 'signed out in another notebook'); gone.panel",
        "other = Client(enact(FakeAuth(), 'active'))\nother.auth.uses_secret_key = True\n"
        "other.auth.notices = (Notice('Requests are sent as alan@example.com (set_auth).', 'set_auth'),); other.panel",
        "once = Client(enact(FakeAuth(), 'active')); s = once.auth.session\n"
        "once.auth.next_refresh_at = None\n"
        "once.auth.session = type(s)(s.access_token, '', expires_at=s.expires_at, expires_in=3600, user=s.user)\n"
        "once.panel",
        "shared = Client(enact(FakeAuth(), 'active'))\n"
        "shared.auth.notices = (Notice('Another program refreshes this session too.', 'shared'),); shared.panel",
    ]
    page.goto(jupyter_lab(write_notebook("says", *cells)))
    run_all(page)
    panels = page.locator(".sb[data-kind=panel]")
    expect(panels).to_have_count(6)
    retrying, expired, gone, other, once, shared = panels.all()
    expect(retrying).to_contain_text("The auth server isn't responding. Your session is safe; retrying in")
    expect(retrying).to_contain_text(re.compile(r"retrying in \d+ s\."))
    expect(retrying).to_contain_text("Valid for another 5:")
    expect(retrying.get_by_role("button", name="Retry now")).to_be_enabled()
    expect(expired).to_contain_text("ada.lovelace@example.com")
    expect(expired).to_contain_text("Sign in again, or restore a session from newer tokens")
    expired.get_by_role("button", name="Sign in again").click()
    expect(expired.get_by_label("Email or phone")).to_be_focused()
    expired.get_by_role("button", name="Cancel").click()
    expect(expired.get_by_role("button", name="Sign in again")).to_be_focused()
    expect(gone).to_contain_text("Not signed in")
    expect(gone).to_contain_text("Signed out in another notebook")
    expect(other).to_contain_text("abcd.supabase.co · other")
    expect(other.locator("[data-tone=warn]")).to_contain_text("Requests are sent as alan@example.com")
    expect(other.get_by_role("button", name="Stop")).to_be_visible()
    expect(other.locator("[data-tone=bad]")).to_contain_text("bypass Row Level Security")
    expect(once).to_contain_text(re.compile(r"Ends at .* · won't refresh automatically"))
    expect(shared.locator("[data-tone=warn]")).to_contain_text("Another program refreshes this session too.")
    shared.get_by_role("button", name="Sign in").first.click()
    expect(shared.get_by_label("Email or phone")).to_be_focused()
    shared.get_by_role("button", name="Cancel").click()
    expect(shared.get_by_role("button", name="Sign in").first).to_be_focused()
    expect(once.get_by_role("button", name="Refresh now")).to_be_hidden()


@pytest.mark.firefox
def test_without_a_kernel(
    page: Page,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    path = write_notebook("dead", SETUP, "supabase", "import ipywidgets\nipywidgets.VBox([supabase.badge])")
    page.goto(jupyter_lab(path))
    run_all(page)
    panel, badge = page.locator(".sb[data-kind=panel]"), page.locator(".sb[data-kind=badge]")
    snapshot = page.locator(".sb-snap")
    expect(panel).to_have_attribute("data-status", "active")
    expect(badge).to_have_text("Active")
    save(page)
    # A page that is loaded anew, with the kernel alive: live.
    page.reload()
    expect(panel).to_have_attribute("data-status", "active")
    expect(panel).to_be_visible()
    expect(badge).to_have_text("Active")
    expect(snapshot).to_be_hidden()
    # The kernel restarts: what was known, and that it is no longer.
    kernel(page, "restartKernel")
    expect(panel.locator(".sb-badge")).to_have_text("Not live")
    gone = re.compile(r"Kernel stopped or restarted\. Last known status: Active \(.*\)\.")
    expect(panel).to_contain_text(gone)
    expect(panel.get_by_role("button", name="Sign out")).to_be_hidden()
    expect(badge.locator(".sb-badge")).to_have_attribute("title", gone)
    # The kernel is shut down.
    run_all(page)
    expect(panel.locator(".sb-badge")).to_have_text("Active")
    expect(badge).to_have_text("Active")
    kernel(page, "shutdown")
    expect(panel.locator(".sb-badge")).to_have_text("Not live")
    expect(badge.locator(".sb-badge")).to_have_text("Not live")
    # Tomorrow: the notebook opened again, with a kernel that knows nothing of it.
    page.reload()
    expect(snapshot).to_be_visible()
    expect(snapshot).to_contain_text(re.compile(r"Active at 20.* \(snapshot\)"))
    expect(snapshot).to_contain_text("a•••@example.com")
    page.wait_for_function(
        "jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
    )
    expect(page.locator(".sb-live")).to_have_count(0)
    visible = page.locator(".jp-OutputArea").nth(0).inner_text()
    assert "Error displaying widget" not in visible


def test_saved_state_without_its_kernel(
    page: Page,
    off_loopback: list[str],
    front_end_environment: dict[str, str],
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
) -> None:
    path = write_notebook("saved", SETUP, "supabase")

    def jupyter(*command: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "jupyter", *command, str(path)],
            env=front_end_environment,
            check=True,
            capture_output=True,
        )

    jupyter("nbconvert", "--to", "notebook", "--execute", "--inplace")
    jupyter("trust")
    assert "application/vnd.jupyter.widget-state+json" in path.read_text()
    page.goto(jupyter_lab(path))
    snapshot = page.locator(".sb-snap")
    expect(snapshot).to_be_visible()
    page.wait_for_function(
        "jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
    )
    # The front end brings the widget back from the saved state. It is not to be seen.
    expect(page.locator(".sb")).to_have_count(1)
    expect(page.locator(".sb")).to_be_hidden()
    expect(snapshot).to_be_visible()
    assert off_loopback == []
    # As a page of its own. nbconvert's template would ask a CDN for what shows saved widgets.
    jupyter("nbconvert", "--to", "html")
    page.context.set_offline(True)
    page.goto(path.with_suffix(".html").as_uri(), wait_until="domcontentloaded")
    expect(snapshot).to_be_visible()
    expect(snapshot).to_contain_text("Run the cell again")
    expect(page.locator(".sb")).to_have_count(0)


def test_a_client_that_is_closed(
    page: Page,
    server: DemoServer,
    write_notebook: Callable[..., Path],
    address: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    """Its panel, badge and form stay where they are, say so, and send nothing any more."""
    connect = (
        f"%load_ext supabase_nb\n%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"
    )
    pair = server.sign_in()
    sign_in = f"supabase.auth.set_session({pair['access_token']!r}, {pair['refresh_token']!r});"
    path = write_notebook(
        "closed",
        connect,
        sign_in,
        "supabase.badge",
        "supabase.expiry",
        "supabase.user_card",
        "supabase.token_entry()",
        "input()\nsupabase.close()",
        "supabase",
        "supabase.badge",
        "%unload_ext supabase_nb",
    )
    page.goto(address(path))
    run_all(page)
    panel = page.locator(".sb[data-kind=panel]").first
    badge = page.locator(".sb[data-kind=badge]").first
    entry = page.locator(".sb[data-kind=token_entry]")
    expiry, user = page.locator(".sb[data-kind=expiry]"), page.locator(".sb[data-kind=user_card]")
    displays = [panel, badge, expiry, user]
    for display in displays:
        expect(display).to_contain_class("sb-live")
    before = [place_of(display) for display in displays]
    page.locator(".jp-Stdin-input").first.press("Enter")
    expect(badge.locator(".sb-word")).to_have_text("Closed")
    expect(panel).to_contain_text("This client was closed.")
    expect(panel.locator(".sb-badge")).to_have_text("Closed")
    expect(panel).to_contain_text("ada@example.com")
    expect(panel.get_by_role("button", name="Sign out")).to_be_hidden()
    expect(entry).to_contain_text("This client was closed.")
    for display in (badge, expiry, user):
        expect(display).to_contain_text("Closed")
        expect(display.get_by_title(CLOSED)).to_be_visible()
    # And where it is shown from now on.
    later = page.locator(".sb[data-kind=panel]").last
    expect(later).to_contain_text(CLOSED)
    expect(later.get_by_role("button", name="Refresh now")).to_be_hidden()
    expect(page.locator(".sb[data-kind=badge] .sb-word").last).to_have_text("Closed")
    # Nothing moved, also when the extension was unloaded.
    page.wait_for_function("jupyterapp.shell.currentWidget.content.widgets.at(-1).model.executionCount")
    assert [place_of(display) for display in displays] == before
    assert page.locator(".sb").count() == 7


def place_of(display: Locator) -> tuple[float, float]:
    """What would move the page. A badge is as wide as its word."""
    box = display.bounding_box()
    assert box is not None
    return box["x"], box["height"]
