"""The form in real JupyterLab: tokens are accepted, and none stays in the page."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocket, expect

from supabase_nb.demo import DemoServer
from supabase_nb.demo._project.options import PASSWORD

pytestmark = pytest.mark.browser


@pytest.fixture
def connect(server: DemoServer) -> str:
    """The first cell: connected to the test's server, nothing stored."""
    return f"%load_ext supabase_nb\n%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"


@pytest.fixture
def received(page: Page) -> list[bytes]:
    """What the kernel sends to the page."""
    frames: list[bytes] = []

    def watch(socket: WebSocket) -> None:
        socket.on(
            "framereceived", lambda data: frames.append(data.encode() if isinstance(data, str) else data)
        )

    page.on("websocket", watch)
    return frames


@pytest.fixture
def console(page: Page) -> list[str]:
    lines: list[str] = []
    page.on("console", lambda message: lines.append(message.text))
    return lines


def traces(page: Page, *tokens: str) -> list[str]:
    """Where the page contains any of these: document, field values, storage, cookies, URL."""
    found = page.evaluate(
        """() => ({
            document: document.documentElement.outerHTML,
            fields: [...document.querySelectorAll('input, textarea')].map(field => field.value).join('\\n'),
            local: JSON.stringify({...localStorage}), session: JSON.stringify({...sessionStorage}),
            cookies: document.cookie, address: location.href,
            source: [...jupyterapp.shell.currentWidget.content.model.sharedModel.cells]
                .map(cell => cell.source).join('\\n'),
        })"""
    )
    return [place for place, text in found.items() if any(token in text for token in tokens)]


def paste(page: Page, text: str) -> None:
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    page.keyboard.press("Control+v")


def saved(page: Page, path: Path) -> str:
    page.evaluate("async () => { await jupyterapp.shell.currentWidget.context.save() }")
    return path.read_text()


def wait_for_kernel(page: Page) -> None:
    page.wait_for_function(
        "window.jupyterapp?.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
    )


def run_cell(page: Page, index: int) -> None:
    page.evaluate(
        """index => {
            jupyterapp.shell.currentWidget.content.activeCellIndex = index;
            void jupyterapp.commands.execute('notebook:run-cell');
        }""",
        index,
    )
    page.wait_for_function(
        """index => {
            const {model} = jupyterapp.shell.currentWidget.content.widgets[index];
            return model.executionCount && model.executionState !== 'running';
        }""",
        arg=index,
    )


def pair(server: DemoServer) -> tuple[str, str]:
    session = server.sign_in()
    return session["access_token"], session["refresh_token"]


@pytest.mark.firefox
def test_entry_by_keyboard_and_by_every_shape_of_paste(
    page: Page,
    browser_name: str,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
    received: list[bytes],
    console: list[str],
    off_loopback: list[str],
) -> None:
    path = write_notebook(f"entry-{browser_name}", connect, "%supabase_set_session")
    page.goto(jupyter_lab(path))
    run_all(page)
    form = page.locator(".sb[data-kind=token_entry]")
    access, refresh = form.get_by_label("Access token"), form.get_by_label("Refresh token")
    message = form.locator(".sb-form .sb-message")
    panel = page.locator(".sb[data-kind=panel]").last
    expect(access).to_be_visible()
    expect(page.locator(".sb-snap").last).to_be_hidden()
    for field in (access, refresh):
        expect(field).to_have_attribute("type", "password")
        expect(field).to_have_attribute("autocomplete", "off")
    at, rt = pair(server)
    tokens = [at, rt]

    # Nothing given; then a failure: said in words, and the fields are empty again.
    access.focus()
    page.keyboard.press("Enter")
    expect(message).to_have_text("Paste a session, or both tokens.")
    page.keyboard.type(f"{at[:-8]}tampered")
    page.keyboard.press("Tab")
    page.keyboard.type(rt)
    page.keyboard.press("Enter")
    expect(message).to_contain_text(re.compile("invalid JWT|signature", re.IGNORECASE))
    expect(access).to_have_value("")
    expect(refresh).to_have_value("")
    expect(access).to_be_focused()
    page.keyboard.press("Control+z")
    expect(access).to_have_value("")
    assert traces(page, *tokens, "tampered") == []

    # By keyboard alone.
    paste(page, at)
    expect(access).to_have_value(at)
    page.keyboard.press("Tab")
    paste(page, rt)
    page.keyboard.press("Enter")
    expect(panel).to_have_attribute("data-status", "active")
    expect(access).to_be_hidden()
    expect(form).to_contain_text("ada@example.com")
    expect(form.get_by_role("button", name="Details")).to_be_focused()

    # One paste of each shape.
    shapes: list[Callable[[str, str], str]] = [
        lambda at, rt: f"{at}\n{rt}\n",
        lambda at, rt: json.dumps({"access_token": at, "refresh_token": rt, "user": {}}, indent=2),
        lambda at, rt: f"https://app.example.com/#access_token={at}&refresh_token={rt}&type=magiclink",
    ]
    for shape in shapes:
        at, rt = pair(server)
        tokens += [at, rt]
        form.get_by_role("button", name="Sign out").click()
        form.get_by_role("button", name="Paste tokens").click()
        expect(access).to_be_focused()
        paste(page, shape(at, rt))
        expect(form.get_by_role("button", name="Details")).to_be_focused()
        expect(form).to_have_attribute("data-status", "active")
        assert traces(page, *tokens) == []

    # What came to the page (Firefox doesn't report it), what was saved, what was logged.
    assert b"Signed in as ada" in b"".join(received) or browser_name == "firefox"
    for token in tokens:
        assert token.encode() not in b"".join(received)
        assert token not in saved(page, path)
        assert token not in "".join(console)
    assert off_loopback == []


def test_a_running_cell_is_waited_for_and_one_submission_is_one_request(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
    tmp_path: Path,
) -> None:
    flag = tmp_path / "go-on"
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.05)"
    path = write_notebook("busy", connect, "supabase.token_entry()", wait, "supabase.auth.user.email")
    page.goto(jupyter_lab(path))
    run_all(page)
    form = page.locator(".sb[data-kind=token_entry]")
    at, rt = pair(server)
    before = server.stats().get("user.get", 0)
    form.get_by_label("Access token").focus()
    paste(page, f"{at} {rt}")
    expect(form.locator(".sb-form .sb-message")).to_have_text(
        "A cell is running. This will be checked when it finishes."
    )
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    flag.touch()
    expect(form).to_have_attribute("data-status", "active")
    assert server.stats().get("user.get", 0) - before <= 1
    assert traces(page, at, rt) == []


def test_accessible_and_narrow_in_both_themes(
    page: Page,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
    node_modules: Path,
) -> None:
    page.goto(jupyter_lab(write_notebook("accessible", connect, "supabase.token_entry()")))
    run_all(page)
    form = page.locator(".sb[data-kind=token_entry]")
    expect(form.get_by_label("Access token")).to_be_visible()
    page.add_script_tag(path=node_modules / "axe-core" / "axe.min.js")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        expect(form).to_have_attribute("data-sb-theme", "dark" if "Dark" in theme else "light")
        for width in (320, 900):
            form.evaluate("(form, width) => { form.parentElement.style.width = `${width}px` }", width)
            for button in ("Nothing", "Restore"):  # as it comes, and with a complaint
                if button == "Restore":
                    form.get_by_role("button", name="Restore").click()
                    expect(form.locator(".sb-form .sb-message")).to_contain_text("Paste a session")
                found = page.evaluate(
                    """async () => {
                        const { violations } = await axe.run('.sb[data-kind=token_entry]');
                        return violations.flatMap(({ id, nodes }) =>
                            nodes.map(node => `${id}: ${node.failureSummary}`));
                    }"""
                )
                assert found == []
            summary = form.get_by_text("Where do I find these?")
            summary.focus()
            page.keyboard.press("Enter")
            expect(form.get_by_text("Local storage", exact=True)).to_be_visible()
            assert form.evaluate("form => form.scrollWidth <= form.clientWidth + 1")
            page.keyboard.press("Enter")
            expect(form.get_by_text("Local storage", exact=True)).to_be_hidden()
            assert form.evaluate("form => form.scrollWidth <= form.clientWidth + 1")


def test_by_password_and_by_keyboard_alone(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
    received: list[bytes],
) -> None:
    path = write_notebook("password", connect)
    page.goto(jupyter_lab(path))
    run_all(page)
    panel = page.locator(".sb[data-kind=panel]")
    expect(panel).to_contain_text("Not signed in")
    panel.get_by_role("button", name="Sign in").focus()
    page.keyboard.press("Enter")
    expect(panel.get_by_label("Email or phone")).to_be_focused()
    # The tabs are one stop; the arrows move between them.
    page.keyboard.press("Shift+Tab")
    expect(panel.get_by_role("tab", name="Email", exact=True)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_role("tab", name="Email code", selected=True)).to_be_focused()
    expect(panel.get_by_role("button", name="Send code")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_role("tab", name="Paste tokens", selected=True)).to_be_focused()
    expect(panel.get_by_label("Refresh token")).to_be_visible()
    page.keyboard.press("ArrowRight")
    # Away and back: the focus returns to the button.
    panel.get_by_role("button", name="Cancel").press("Enter")
    expect(panel.get_by_role("button", name="Sign in")).to_be_focused()
    page.keyboard.press("Enter")
    # A wrong password: the address stays, the password doesn't.
    page.keyboard.type("ada@example.com")
    page.keyboard.press("Tab")
    page.keyboard.type("planted-secret")
    page.keyboard.press("Enter")
    expect(panel.locator(".sb-form .sb-message")).to_contain_text("Invalid login credentials")
    expect(panel.get_by_label("Email or phone")).to_have_value("ada@example.com")
    expect(panel.get_by_label("Password")).to_have_value("")
    expect(panel.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(panel).to_have_attribute("data-status", "active")
    expect(panel.get_by_role("button", name="Details")).to_be_focused()
    for secret in ("planted-secret", PASSWORD):
        assert traces(page, secret) == []
        assert secret.encode() not in b"".join(received)
        assert secret not in saved(page, path)


def test_the_labels_of_two_forms_name_fields_of_their_own(
    page: Page,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    setup = (
        "from fake_auth import FakeAuth\nfrom supabase_nb.notebook.client_with_displays import Displays\n"
        "class Client(Displays):\n    def __init__(self): self.auth = FakeAuth()\n"
        "one, two = Client(), Client()"
    )
    page.goto(jupyter_lab(write_notebook("two-forms", setup, "one.token_entry()", "two.token_entry()")))
    run_all(page)
    forms = page.locator(".sb[data-kind=token_entry]")
    expect(forms).to_have_count(2)
    for form in forms.all():
        form.get_by_text("Refresh token (if").click()
        expect(form.get_by_label("Refresh token")).to_be_focused()


def test_by_a_code_from_an_email(
    page: Page,
    server: DemoServer,
    connect: str,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    path = write_notebook("code", connect)
    page.goto(jupyter_lab(path))
    run_all(page)
    panel = page.locator(".sb[data-kind=panel]")
    panel.get_by_role("button", name="Sign in").click()
    panel.get_by_role("tab", name="Email code").click()
    # A mistyped address creates no user.
    panel.get_by_label("Email or phone").fill("adda@example.com")
    panel.get_by_role("button", name="Send code").click()
    expect(panel.locator(".sb-form .sb-message")).to_contain_text("Signups not allowed for otp")
    expect(panel.get_by_role("button", name="Send code")).to_be_enabled()

    panel.get_by_label("Email or phone").fill("ada@example.com")
    page.keyboard.press("Enter")
    expect(panel.locator(".sb-form .sb-message")).to_contain_text("Code sent.")
    code = panel.get_by_label("Code (or the URL")
    expect(code).to_be_focused()
    page.keyboard.type("000000")
    page.keyboard.press("Enter")
    expect(panel.locator(".sb-form .sb-message")).to_contain_text("expired or is invalid")
    expect(code).to_have_value("")
    if shots := os.environ.get("SHOTS"):
        panel.screenshot(path=f"{shots}/code.png")
    code.fill(server.outbox("ada@example.com")[-1]["email_otp"])
    panel.get_by_role("button", name="Sign in", exact=True).click()
    expect(panel).to_have_attribute("data-status", "active")
    expect(panel.get_by_role("button", name="Details")).to_be_focused()
