"""Sign-in with a provider from the panel, in a separate window: on a hub, on this machine, and failures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from front_ends import Server, place, running_jupyter, write_into
from playwright.sync_api import Locator, Page, Route, expect
from test_looks import PICTURES, THEMES, faults, wear
from test_token_entry import run_cell, wait_for_kernel
from waiting import wait_until

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

pytestmark = pytest.mark.browser

FRONT_ENDS = {"lab": "lab/tree", "notebook": "notebooks", "voila": "voila/render"}
#: Where each has our extension.
FOLDERS = {"lab": "lab", "notebook": "lab", "voila": "voila"}
#: In the kernel: what a sign-in may not leave behind.
OPEN = (
    "import threading; from supabase_nb.notebook._panel import provider_requests as p; "
    "print('open:', len(p._attempts), sum(t.name in ('supabase-nb-provider', 'supabase-nb-sign-in') "
    "for t in threading.enumerate()))"
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, front_end_environment: dict[str, str]) -> Iterator[Server]:
    """A Jupyter server as a hub has it: behind a prefix, and by a name that isn't this machine's."""
    root = tmp_path_factory.mktemp("hub")
    with running_jupyter(root, front_end_environment, "/user/ada/", "hub.test") as server:
        yield server


@pytest.fixture(scope="module")
def project(hub: Server) -> Iterator[DemoServer]:
    """A project that lists the hub's addresses."""
    listed = ",".join(
        f"{hub.url}/{name}/supabase-nb/**" for name in ("lab/extensions", "voila/labextensions")
    )
    with running_server(providers="github,google,azure", redirect_urls=listed) as server:
        yield server


def connect(server: DemoServer) -> str:
    return f"%load_ext supabase_nb\n%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"


def open_form(page: Page) -> Locator:
    panel = page.locator(".sb[data-kind=panel]")
    panel.get_by_role("button", name="Sign in").click()
    expect(panel.get_by_role("button", name="Continue with GitHub")).to_be_visible()
    return panel


def click_provider(page: Page, panel: Locator, provider: str = "GitHub") -> Page:
    """Gives the window that opens."""
    with page.expect_popup() as opened:
        panel.get_by_role("button", name=f"Continue with {provider}").click()
    return opened.value


def choose(popup: Page, who: str) -> None:
    """As a person at the provider's page; the window may close meanwhile."""
    popup.get_by_role("link", name=who).click(no_wait_after=True)


def expect_nothing_open(page: Page) -> None:
    """In the kernel, and no other window in the browser."""
    for other in page.context.pages:
        if other is not page and not other.is_closed():
            other.wait_for_event("close", timeout=10_000)

    def is_nothing_open() -> bool:
        run_cell(page, 1)
        cell.get_by_text(re.compile(r"open: \d \d")).wait_for()
        return "open: 0 0" in cell.inner_text()

    cell = page.locator(".jp-CodeCell").nth(1)
    wait_until(is_nothing_open)  # a cancelled sign-in's thread ends a moment later


def expect_focus(page: Page, text: str) -> None:
    """The window itself may have lost it to another one."""
    page.wait_for_function("text => document.activeElement?.textContent === text", arg=text)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_on_a_hub_the_window_returns_and_closes(
    front_end: str,
    page: Page,
    hub: Server,
    project: DemoServer,
    run_all: Callable[[Page], None],
) -> None:
    path = write_into(hub.root, f"hub-{front_end}", connect(project))
    page.goto(place(hub, path, FRONT_ENDS[front_end]))
    if front_end != "voila":
        run_all(page)
    panel = open_form(page)
    popup = click_provider(page, panel)
    expect(panel).to_contain_text("Waiting for you to sign in with GitHub")
    expect(panel).to_contain_text("Continue in the window that has opened.")
    with popup.expect_event("close"):
        choose(popup, "grace@example.com")
    expect(panel).to_have_attribute("data-status", "active")
    expect(panel).to_contain_text("grace@example.com")
    expect(panel.get_by_role("button", name="Details")).to_be_visible()


def test_a_window_that_a_page_cuts_off_still_returns(
    page: Page, hub: Server, project: DemoServer, run_all: Callable[[Page], None]
) -> None:
    """As GitHub and Google do: to us, the window then looks closed."""

    def cut_off(route: Route) -> None:
        answer = route.fetch()
        headers = {**answer.headers, "cross-origin-opener-policy": "same-origin"}
        route.fulfill(response=answer, headers=headers)

    page.context.route("**/auth/v1/authorize?*", cut_off)
    path = write_into(hub.root, "cut-off", connect(project), OPEN)
    page.goto(place(hub, path, "lab/tree") + "?reset")
    run_all(page)
    panel = open_form(page)
    popup = click_provider(page, panel)
    expect(panel).to_contain_text("The window was closed, or this page lost track of it.")
    assert popup.evaluate("opener") is None
    with popup.expect_event("close"):
        choose(popup, "grace@example.com")
    expect(panel).to_contain_text("grace@example.com")
    expect(panel).to_have_attribute("data-status", "active")
    expect_nothing_open(page)


@pytest.mark.firefox
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_on_this_machine_no_address_has_to_be_listed(
    host: str,
    page: Page,
    jupyter_server: Server,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    with running_server(redirect_urls="") as project:
        path = write_notebook(f"here-{host}", connect(project), OPEN)
        page.goto(jupyter_lab(path).replace("127.0.0.1", host))
        run_all(page)
        panel = open_form(page)
        popup = click_provider(page, panel)
        with popup.expect_event("close"):
            choose(popup, "ada@example.com")
        expect(panel).to_contain_text("ada@example.com")
        expect(panel).to_have_attribute("data-status", "active")
        expect_nothing_open(page)


def test_an_address_that_is_not_listed_is_named_and_the_one_it_ended_on_pasted(
    page: Page, hub: Server, run_all: Callable[[Page], None]
) -> None:
    with running_server(redirect_urls="") as project:
        path = write_into(hub.root, "unlisted", connect(project), OPEN)
        page.goto(place(hub, path, "lab/tree") + "?reset")
        run_all(page)
        panel = open_form(page)
        popup = click_provider(page, panel)
        choose(popup, "alan@example.com")
        popup.wait_for_url(re.compile("[?]code="))  # the project's site
        address = popup.url
        panel.get_by_text("Did you end up on a different page?").click()
        expect(panel.locator(".sb-elsewhere code")).to_have_text(
            f"{hub.url}/lab/extensions/supabase-nb/static/**"
        )
        field = panel.get_by_label("URL of that page")
        field.fill("http://127.0.0.1/nothing")
        field.press("Enter")
        expect(panel.locator(".sb-problem")).to_contain_text("This URL contains neither a code nor tokens.")
        expect(field).to_have_value("")
        field.fill(address)
        field.press("Enter")
        expect(panel).to_contain_text("alan@example.com")
        expect(panel).to_have_attribute("data-status", "active")
        expect_nothing_open(page)


def test_where_the_window_cannot_reach_the_notebook_its_address_is_copied(
    page: Page,
    project: DemoServer,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    """As in a frame on another site, where a BroadcastChannel connects only the frames of that site."""
    page.add_init_script("BroadcastChannel.prototype.postMessage = () => {}")
    page.add_init_script("Object.defineProperty(BroadcastChannel.prototype, 'onmessage', {set() {}})")
    page.goto(jupyter_lab(write_notebook("unreachable", connect(project), OPEN)))
    run_all(page)
    panel = open_form(page)
    popup = click_provider(page, panel)
    choose(popup, "grace@example.com")
    popup.get_by_role("button", name="Copy URL").click()
    expect(popup.get_by_text("Copied.")).to_be_visible()
    panel.get_by_text("Did you end up on a different page?").click()
    field = panel.get_by_label("URL of that page")
    field.focus()
    page.bring_to_front()
    page.keyboard.press("Control+v")
    expect(panel).to_contain_text("grace@example.com")
    expect(panel).to_have_attribute("data-status", "active")
    expect_nothing_open(page)


def test_refused_closed_cancelled_and_begun_again(
    page: Page,
    project: DemoServer,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    page.goto(jupyter_lab(write_notebook("refused", connect(project), OPEN)))
    run_all(page)
    panel = open_form(page)
    message = panel.locator(".sb-form > .sb-foot .sb-message")

    # The person says no at the provider.
    popup = click_provider(page, panel)
    with popup.expect_event("close"):
        choose(popup, "Cancel")
    expect(message).to_contain_text("The user said no")
    expect_focus(page, "Continue with GitHub")
    expect_nothing_open(page)

    # The window is closed. That may be wrong, so it can still be opened again, or cancelled.
    click_provider(page, panel).close()
    expect(panel).to_contain_text("The window was closed, or this page lost track of it.")
    with page.context.expect_page() as opened:
        panel.get_by_role("button", name="Open again").click()
    opened.value.wait_for_load_state()
    opened.value.close()
    panel.get_by_role("button", name="Cancel").click()
    expect_focus(page, "Continue with GitHub")
    expect(message).to_have_text("")
    expect_nothing_open(page)

    # Cancelled while the window is open.
    popup = click_provider(page, panel, "Google")
    expect(panel).to_contain_text("Continue in the window")
    with popup.expect_event("close"):
        panel.get_by_role("button", name="Cancel").click()
    expect_nothing_open(page)

    # Another one is begun: the earlier one is dropped.
    popup = click_provider(page, panel)
    popup.get_by_role("link", name="ada@example.com").wait_for()
    first = popup.url
    with popup.expect_event("close"):
        panel.get_by_role("button", name="Cancel").click()
    popup = click_provider(page, panel)
    popup.get_by_role("link", name="ada@example.com").wait_for()
    assert popup.url != first
    # An address of the dropped one changes nothing.
    late = page.context.new_page()
    late.goto(first)
    choose(late, "alan@example.com")
    expect(late.get_by_text("Your notebook didn't respond.")).to_be_visible()
    assert "code=" not in late.url
    late.close()
    with popup.expect_event("close"):
        choose(popup, "ada@example.com")
    expect(panel).to_contain_text("ada@example.com")
    expect(panel).to_have_attribute("data-status", "active")
    expect_nothing_open(page)


def test_a_browser_that_blocks_the_window(
    page: Page,
    project: DemoServer,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    page.add_init_script("window.open = () => null")
    page.goto(jupyter_lab(write_notebook("blocked", connect(project), OPEN)))
    run_all(page)
    panel = open_form(page)
    panel.get_by_role("button", name="Continue with Microsoft").click()
    expect(panel).to_contain_text("Your browser didn't open a window.")
    again = panel.get_by_role("button", name="Open sign-in page")
    expect_focus(page, "Open sign-in page")
    with page.context.expect_page() as opened:
        again.click()
    with opened.value.expect_event("close"):
        choose(opened.value, "grace@example.com")
    expect(panel).to_contain_text("grace@example.com")
    expect(panel).to_have_attribute("data-status", "active")
    expect_nothing_open(page)


def test_without_a_return_page_the_browser_returns_to_this_machine(
    page: Page,
    project: DemoServer,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    """As in VS Code and marimo, or where the extension isn't installed."""
    page.goto(jupyter_lab(write_notebook("listener", connect(project), OPEN)))
    run_all(page)
    page.evaluate("document.getElementById('jupyter-config-data').textContent = '{}'")
    panel = open_form(page)
    popup = click_provider(page, panel)
    choose(popup, "Cancel")
    expect(panel).to_contain_text("The user said no")
    expect_nothing_open(page)
    popup = click_provider(page, panel)
    choose(popup, "alan@example.com")
    expect(panel).to_contain_text("alan@example.com")
    expect(panel).to_have_attribute("data-status", "active")
    expect_nothing_open(page)


def test_two_notebooks_at_once_get_a_session_each(
    page: Page,
    project: DemoServer,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    other = page.context.new_page()
    opened: list[tuple[Page, Locator, Page]] = []
    for name, at in (("one", page), ("two", other)):
        workspace = jupyter_lab(write_notebook(f"both-{name}", connect(project)))
        at.goto(workspace.replace("/lab/tree", f"/lab/workspaces/{name}/tree"))
        run_all(at)
        panel = open_form(at)
        popup = click_provider(at, panel)
        expect(panel).to_contain_text("Continue in the window")
        opened.append((at, panel, popup))
    people = ["grace@example.com", "ada@example.com"]
    for (_, _, popup), who in zip(opened, people, strict=True):
        with popup.expect_event("close"):
            choose(popup, who)
    for (_, panel, _), who in zip(opened, people, strict=True):
        expect(panel).to_contain_text(who)
        expect(panel).to_have_attribute("data-status", "active")


def test_a_running_cell_and_a_restarted_kernel(
    page: Page,
    project: DemoServer,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
    tmp_path: Path,
) -> None:
    flag = tmp_path / "go-on"
    wait = f"import pathlib, time\nprint('it runs')\nwhile not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.05)"
    magic = "%supabase_sign_in --provider github"
    page.goto(jupyter_lab(write_notebook("busy-provider", connect(project), magic, wait)))
    run_all(page)
    panel = page.locator(".sb[data-kind=token_entry]")
    expect(page.locator(".jp-OutputArea").last).to_contain_text("it runs")
    popup = click_provider(page, panel)
    expect(panel).to_contain_text("A cell is running. This will continue when it finishes.")
    expect(popup.locator("body")).to_contain_text("A cell is running.")
    flag.touch()
    expect(panel).to_contain_text("Continue in the window")
    with popup.expect_event("close"):
        page.evaluate("() => void jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(panel.locator(".sb-form")).to_be_hidden()


def test_a_magic_offers_the_provider_alone(
    page: Page,
    project: DemoServer,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    magics = [f"%supabase_sign_in --provider {name}" for name in ("gitlab", "google")]
    page.goto(jupyter_lab(write_notebook("magic-provider", connect(project), OPEN, *magics)))
    wait_for_kernel(page)
    run_cell(page, 0)
    run_cell(page, 2)
    panel = page.locator(".sb[data-kind=token_entry]").last
    # One that the project doesn't offer is named.
    popup = click_provider(page, panel, "GitLab")
    expect(panel).to_contain_text("This project doesn't offer sign-in with GitLab.")
    if not popup.is_closed():
        popup.wait_for_event("close")
    panel.get_by_role("button", name="Other ways to sign in").click()
    expect(panel.get_by_role("button", name="Continue with GitHub")).to_be_visible()
    expect(panel.get_by_role("tab")).to_have_count(3)
    run_cell(page, 3)
    expect(panel.get_by_role("tab")).to_have_count(0)
    popup = click_provider(page, panel, "Google")
    with popup.expect_event("close"):
        choose(popup, "grace@example.com")
    expect(panel).to_contain_text("grace@example.com")
    expect(panel).to_have_attribute("data-status", "active")
    expect_nothing_open(page)


def test_as_an_anonymous_user(
    page: Page,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    with running_server(providers="") as project:
        page.goto(jupyter_lab(write_notebook("anonymous", connect(project), OPEN)))
        run_all(page)
        panel = page.locator(".sb[data-kind=panel]")
        panel.get_by_role("button", name="Sign in").click()
        before = len(project.admin("GET", "/users")["users"])
        panel.get_by_role("button", name="Continue as an anonymous user").dblclick()
        expect(panel).to_contain_text("Anonymous user")
        assert len(project.admin("GET", "/users")["users"]) == before + 1
        expect(panel).to_have_attribute("data-status", "active")
        expect_nothing_open(page)
    with running_server(providers="", disable_email=True) as project:
        page.goto(jupyter_lab(write_notebook("no-email", connect(project))))
        run_all(page)
        panel.get_by_role("button", name="Sign in").click()
        expect(panel.get_by_role("tab", name="Paste tokens", selected=True)).to_be_visible()
        expect(panel.get_by_role("tab")).to_have_count(1)
        expect(panel.get_by_label("Access token")).to_be_focused()
    with running_server(providers="", disable_signup=True) as project:
        page.goto(jupyter_lab(write_notebook("no-anonymous", connect(project))))
        run_all(page)
        panel.get_by_role("button", name="Sign in").click()
        expect(panel.get_by_label("Email or phone")).to_be_visible()
        expect(panel.locator(".sb-choices")).to_be_hidden()


MANY = (
    "apple,azure,bitbucket,discord,facebook,figma,github,gitlab,google,keycloak,linkedin_oidc,notion,"
    "slack_oidc,spotify,twitter"
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("providers", ["github,google", MANY], ids=["two", "many"])
def test_every_state_theme_and_width(
    providers: str,
    page: Page,
    hub: Server,
    run_all: Callable[[Page], None],
    node_modules: Path,
) -> None:
    def look(state: str) -> None:
        page.bring_to_front()
        for theme in THEMES:
            wear(page, theme)
            for width in (320, 640, 1400):
                panel.evaluate("(sb, width) => { sb.parentElement.style.width = `${width}px` }", width)
                assert faults(page) == [], f"{state}, {theme}, {width} px"
        wear(page, THEMES[0])

    with running_server(providers=providers) as project:
        path = write_into(hub.root, f"looks-{len(providers)}", connect(project))
        page.goto(place(hub, path, "lab/tree") + "?reset")
        run_all(page)
        page.add_script_tag(path=node_modules / "axe-core" / "axe.min.js")
        page.add_style_tag(content=".sb * { animation: none !important; transition: none !important }")
        panel = open_form(page)
        look("offered")
        if PICTURES and providers != MANY:
            page.wait_for_selector("#jupyterlab-splash", state="detached")  # shown while a theme loads
            page.mouse.move(0, 0)
            panel.evaluate("sb => { sb.parentElement.style.width = '600px'; document.activeElement.blur() }")
            title = panel.locator(".sb-form-title")
            title.evaluate("title => { title.textContent = 'Sign in to abcd.supabase.co' }")
            panel.screenshot(path=PICTURES / "sign-in-providers.png")
        popup = click_provider(page, panel)
        expect(panel).to_contain_text("Continue in the window")
        look("waiting")
        popup.close()
        expect(panel).to_contain_text("The window was closed")
        expect(panel.locator(".sb-elsewhere code")).to_be_visible()
        panel.get_by_label("URL of that page").press("Enter")
        expect(panel.locator(".sb-problem")).to_contain_text("Paste the whole URL")
        look("closed")
        panel.get_by_role("button", name="Cancel").click()
        page.evaluate("window.open = () => null")
        panel.get_by_role("button", name="Continue with GitHub").click()
        expect(panel).to_contain_text("Your browser didn't open a window.")
        look("blocked")
