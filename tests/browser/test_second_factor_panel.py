"""The second factor's code in the panel, in real JupyterLab and Notebook 7: entered, verified, and not stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from test_token_entry import saved, traces

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

pytestmark = pytest.mark.browser

EMAIL = "ada@example.com"
RIGHT = "Verified. Your other sessions that weren't verified have ended."
WRONG = "That code is wrong or has expired. Enter the code that the app shows now."


@pytest.fixture
def server() -> Iterator[DemoServer]:
    """Ada has an authenticator app."""
    with running_server(reuse_interval=0) as running:
        enroll(running, "my phone")
        yield running


def enroll(server: DemoServer, name: str, token: str | None = None) -> str:
    """Give Ada an app; gives an access token at aal2."""
    token = token or server.sign_in(EMAIL)["access_token"]
    made = server.request(
        "POST", "/auth/v1/factors", {"factor_type": "totp", "friendly_name": name}, token=token
    )
    path = f"/auth/v1/factors/{made['id']}"
    challenge = server.request("POST", f"{path}/challenge", token=token)["id"]
    verified: str = server.request(
        "POST", f"{path}/verify", {"challenge_id": challenge, "code": code(server, name)}, token=token
    )["access_token"]
    return verified


def code(server: DemoServer, name: str = "my phone") -> str:
    shown: str = next(one["code"] for one in server.totp_codes(EMAIL) if one["friendly_name"] == name)
    return shown


def connect(server: DemoServer, name: str = "") -> str:
    name = f" --name {name}" if name else ""
    return (
        f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory{name}\n"
        f"{name[8:] or 'supabase'}.auth.sign_in_with_password(email='{EMAIL}', password='correct horse battery')\n"
    )


def digits_of(panel: Locator) -> Locator:
    return panel.get_by_label("Enter the six digits from your authenticator app")


def level(panel: Locator) -> Locator:
    return panel.locator(".sb-facts > div", has_text="Assurance level").locator("dd")


@pytest.mark.parametrize("front_end", ["jupyter_lab", "notebook7"])
def test_the_code_raises_the_session_and_is_not_stored(
    front_end: str,
    request: pytest.FixtureRequest,
    page: Page,
    write_notebook: Callable[..., Path],
    run_all: Callable[[Page], None],
    server: DemoServer,
    off_loopback: list[str],
) -> None:
    opened: Callable[[Path], str] = request.getfixturevalue(front_end)
    cells = (
        f"%load_ext supabase_nb\n{connect(server)}",
        "supabase.panel",
        f"{connect(server, 'other')}",
    )
    path = write_notebook(f"panel_{front_end}", *cells)
    page.goto(opened(path))
    run_all(page)
    panels = page.locator(".sb-live[data-kind=panel]")
    expect(panels).to_have_count(3)
    mine, again, other = (panels.nth(place) for place in range(3))
    field = digits_of(mine)
    for panel in (mine, again, other):
        expect(digits_of(panel)).to_be_visible()
    for attribute, value in (("inputmode", "numeric"), ("autocomplete", "one-time-code")):
        expect(field).to_have_attribute(attribute, value)
    expect(mine.get_by_label("App", exact=True)).to_be_hidden()
    expect(mine).to_contain_text("This ends your other sessions that haven't been verified.")

    # Too few digits are not sent, and stay; a wrong code is said, and leaves an empty field with the focus.
    height = (mine.bounding_box() or {})["height"]
    field.fill("12 34")
    field.press("Enter")
    expect(mine).to_contain_text("Enter all six digits.")
    expect(field).to_have_value("12 34")
    wrong = "000 000" if code(server) != "000000" else "111 111"
    field.fill(wrong)
    field.press("Enter")
    expect(mine).to_contain_text(WRONG)
    expect(field).to_have_value("")
    expect(field).to_be_focused()
    page.keyboard.press("Control+z")
    expect(field).to_have_value("")
    assert (mine.bounding_box() or {})["height"] == height, "nothing moved"
    expect(again).not_to_contain_text(WRONG)

    # Put off in one view only. It can be opened again from Details.
    again.get_by_role("button", name="Not now").click()
    expect(digits_of(again)).to_be_hidden()
    details = again.get_by_role("button", name="Details")
    expect(details).to_be_focused()
    expect(field).to_be_visible()
    details.click()
    expect(level(again)).to_have_text("aal1")
    again.get_by_role("button", name="Verify…").click()
    expect(digits_of(again)).to_be_focused()

    # While a cell runs it is verified at once, or after that: as the kernel takes messages.
    flag = path.with_suffix(".flag")
    page.evaluate(
        "code => void jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.requestExecute({code})",
        f"import pathlib, time\nwhile not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.05)",
    )
    right = code(server)
    field.fill(f"{right[:3]} {right[3:]}")
    field.press("Enter")
    expect(field).to_have_value("")
    flag.touch()
    expect(mine).to_contain_text(RIGHT)
    expect(mine.get_by_role("button", name="Details")).to_be_focused()
    for panel in (mine, again):
        expect(digits_of(panel)).to_be_hidden()
    expect(level(again)).to_have_text("aal2")
    expect(again.get_by_role("button", name="Verify…")).to_be_hidden()

    # The other client's session was at aal1: the server has ended it.
    other.get_by_role("button", name="Refresh now").click()
    expect(other).to_have_attribute("data-status", "expired")
    expect(digits_of(other)).to_be_hidden()

    spellings = (right, f"{right[:3]} {right[3:]}", wrong)
    assert traces(page, *spellings) == []
    assert not any(spelling in saved(page, path) for spelling in spellings)
    assert off_loopback == []


def test_one_of_several_apps_is_chosen_and_a_restarted_kernel_takes_the_field_away(
    page: Page,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
    server: DemoServer,
) -> None:
    token = server.sign_in(EMAIL)["access_token"]
    (phone,) = server.totp_codes(EMAIL)
    challenge = server.request("POST", f"/auth/v1/factors/{phone['factor_id']}/challenge", token=token)["id"]
    sent = {"challenge_id": challenge, "code": phone["code"]}
    verified = server.request("POST", f"/auth/v1/factors/{phone['factor_id']}/verify", sent, token=token)
    enroll(server, "work laptop", verified["access_token"])

    page.goto(jupyter_lab(write_notebook("apps", f"%load_ext supabase_nb\n{connect(server)}")))
    run_all(page)
    panel = page.locator(".sb[data-kind=panel]")
    field, app = digits_of(panel), panel.get_by_label("App", exact=True)
    expect(app.locator("option")).to_have_text(["my phone", "work laptop"])
    field.fill("123456")
    page.evaluate(
        "async () => { await jupyterapp.shell.currentWidget.context.sessionContext.restartKernel() }"
    )
    expect(panel).not_to_have_class(re.compile("sb-live"))
    expect(field).to_be_hidden()
    run_all(page)
    expect(field).to_be_visible()
    expect(field).to_have_value("")
    app.select_option("work laptop")
    field.fill(code(server, "work laptop"))
    panel.get_by_role("button", name="Verify", exact=True).click()
    expect(panel).to_contain_text(RIGHT)
    expect(field).to_be_hidden()


def test_an_outage_says_so_and_the_field_stays(
    page: Page,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
    server: DemoServer,
) -> None:
    page.goto(jupyter_lab(write_notebook("outage", f"%load_ext supabase_nb\n{connect(server)}")))
    run_all(page)
    panel = page.locator(".sb[data-kind=panel]")
    field, message = digits_of(panel), panel.locator(".sb-factor .sb-message")
    expect(field).to_be_visible()
    server.outage(60)
    field.fill(code(server))
    field.press("Enter")
    expect(message).to_have_attribute("data-mood", "bad")
    expect(message).to_contain_text("503")
    expect(field).to_be_focused()
    server.outage(0)
    field.fill(code(server))
    field.press("Enter")
    expect(panel).to_contain_text(RIGHT)
