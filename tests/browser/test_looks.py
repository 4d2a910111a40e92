"""How the displays look: every kind, state, theme and width; accessibility; the contact sheet."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from supabase_nb.models import STATUSES
from supabase_nb.notebook._displays.widgets import KINDS

pytestmark = pytest.mark.browser

WIDTHS = (320, 640, 1600)
THEMES = ("JupyterLab Light", "JupyterLab Dark")
HIGH_CONTRAST = "JupyterLab Dark High Contrast"
#: `make screenshots` renews the pictures of the documentation.
PICTURES = (
    Path(__file__).parents[2] / "docs" / "images" if os.environ.get("SUPABASE_NB_SCREENSHOTS") else None
)

SETUP = """\
from IPython.display import display
from fake_auth import FakeAuth, enact
from supabase_nb.models import Notice
from supabase_nb.notebook.client_with_displays import NotebookClient
from supabase_nb.notebook._displays.widgets import KINDS, display_of
class Client(NotebookClient):
    def __init__(self, auth): self.auth = auth
    def show(self):
        for kind in KINDS: display(display_of(self.auth, kind))
"""
# Long names and ids, notices of all colours, second factors of all kinds, an anonymous user, a phone number, a token
# that lives for ages, and a client that is closed.
ODD = """\
def factor(id, name, kind="totp"):
    return {"id": id, "friendly_name": name, "factor_type": kind, "status": "verified"}
auth = FakeAuth()
auth.sign_in(email="maximiliana-theodora.von-und-zu-hohenstein-wittgenstein@department-of-redundancy.example",
             id="x" * 200, app_metadata={"provider": "a-provider-with-quite-a-long-name"}, role="r" * 80,
             factors=[factor("f1", "a" * 120), factor("f2", "")])
auth.uses_secret_key = True
auth.notices = (Notice("Data of this project is deleted every night.", "demo"),
                Notice("Another program refreshes this session too.", "shared"),
                Notice("Requests are sent as alan@example.com (set_auth). " * 8, "set_auth"))
auth.happen("TOKEN_REFRESHED", "c" * 300)
long = Client(auth); long.show()
"""
ODD_TOO = """\
anonymous = Client(FakeAuth()); anonymous.auth.sign_in(email=None, is_anonymous=True, factors=[factor("f1", "my phone")]); anonymous.show()
phone = Client(FakeAuth()); phone.show()
phone.auth.sign_in(email=None, phone="+491701234567", lifetime=1e15, left=1e15,
                   factors=[factor("f1", "", "phone")])
_closed = Client(enact(FakeAuth(), "active")); _closed.auth.closed = True; _closed.show()
"""
ODD_CLIENTS = 4
# Of these, the last is not live.
CLIENTS = len(STATUSES) + ODD_CLIENTS

#: The clients of the gallery, by their places.
CLIENT_OF = {name: place for place, name in enumerate((*STATUSES, "odd", "anonymous", "phone", "closed"))}
#: What the documentation's pictures show.
PICTURED = {
    "panel": ("active", "retrying", "expired", "signed_out", "closed"),
    "token_entry": ("signed_out",),
    "line": ("active", "retrying", "signed_out"),
    "badge": ("active", "refreshing", "retrying", "expired", "signed_out", "closed"),
    "user_card": ("active",),
    "expiry": ("active", "retrying"),
    "timeline": ("active",),
}


@pytest.fixture
def gallery(
    page: Page,
    node_modules: Path,
    write_notebook: Callable[..., Path],
    notebook7: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> Page:
    """A notebook that shows every kind in every state, all of it live."""
    # Their variables begin with a _, so that they aren't named as one of several clients.
    states = [f"_{status} = Client(enact(FakeAuth(), '{status}')); _{status}.show()" for status in STATUSES]
    page.set_viewport_size({"width": 1800, "height": 1000})
    page.goto(notebook7(write_notebook("gallery", SETUP, *states, ODD, ODD_TOO)))
    run_all(page)
    expect(page.locator(".sb-shown")).to_have_count(len(KINDS) * CLIENTS)
    # Screenshots and contrast without animations, and no output in a separate scroll area.
    page.add_style_tag(
        content=".sb *, .sb::after { animation: none !important; transition: none !important }"
        ".jp-OutputArea-child, .jp-OutputArea, .jp-Cell-outputWrapper { max-height: none !important }"
    )
    page.evaluate(
        "document.querySelectorAll('.jp-mod-outputsScrolled')"
        ".forEach(cell => cell.classList.remove('jp-mod-outputsScrolled'))"
    )
    page.add_script_tag(path=node_modules / "axe-core" / "axe.min.js")
    return page


def wear(page: Page, theme: str) -> None:
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    tone = "dark" if "Dark" in theme else "light"
    expect(page.locator(f".sb-shown:not([data-sb-theme={tone}])")).to_have_count(0)


def squeeze(page: Page, width: int) -> None:
    """Give every output this width."""
    page.evaluate(
        """width => document.querySelectorAll('.jp-OutputArea-output')
            .forEach(output => { output.style.flex = 'none'; output.style.width = `${width}px` })""",
        width,
    )


def faults(page: Page) -> list[str]:
    """What axe-core finds, and what sticks out of its display."""
    found: list[str] = page.evaluate(
        """async () => {
            const { violations } = await axe.run('.sb', { resultTypes: ['violations'] });
            const seen = violations.flatMap(({ id, nodes }) =>
                nodes.map(node => `${id}: ${node.html}: ${node.failureSummary}`));
            const wide = [...document.querySelectorAll('.sb')]
                .filter(sb => sb.scrollWidth > sb.clientWidth + 1);
            return [...seen, ...wide.map(sb => `too wide: ${sb.dataset.kind}`)];
        }"""
    )
    return found


@pytest.mark.timeout(300)
@pytest.mark.firefox
def test_every_state_theme_and_width(gallery: Page) -> None:
    shots: dict[str, list[bytes]] = {}
    for theme in THEMES:
        wear(gallery, theme)
        for width in WIDTHS:
            squeeze(gallery, width)
            assert faults(gallery) == [], f"{theme}, {width} px"
            # What the refresher does moves nothing on the page.
            steady = [STATUSES.index(status) for status in ("restoring", "active", "refreshing", "retrying")]
            for kind in ("badge", "user_card", "expiry", "panel"):
                shown = gallery.locator(f".sb[data-kind={kind}]")
                boxes = [shown.nth(number).bounding_box() for number in (*steady, CLIENTS - 1)]
                assert len({round(box["height"], 1) for box in boxes if box}) == 1, (
                    f"{kind}, {width} px: {boxes}"
                )
            if PICTURES and (theme, width) == (THEMES[0], 640):
                for kind, wanted in PICTURED.items():
                    shown = gallery.locator(f".sb[data-kind={kind}]")
                    shots[kind] = [shown.nth(CLIENT_OF[state]).screenshot() for state in wanted]
    wear(gallery, HIGH_CONTRAST)
    assert faults(gallery) == [], HIGH_CONTRAST
    gallery.emulate_media(forced_colors="active", reduced_motion="reduce")
    assert faults(gallery) == [], "forced colours"
    gallery.emulate_media(forced_colors="none", reduced_motion="no-preference")
    wear(gallery, THEMES[0])
    gallery.evaluate("async () => { await jupyterapp.shell.currentWidget.context.sessionContext.shutdown() }")
    expect(gallery.locator(".sb-live")).to_have_count(0)
    assert faults(gallery) == [], "without a kernel"
    if PICTURES:
        PICTURES.mkdir(parents=True, exist_ok=True)
        for kind, images in shots.items():
            picture(gallery.context.new_page(), images, PICTURES / f"display-{kind.replace('_', '-')}.png")


def picture(page: Page, images: list[bytes], path: Path) -> None:
    """Several displays below one another, at the size that they have in a notebook."""
    sources = [f"data:image/png;base64,{base64.b64encode(image).decode()}" for image in images]
    page.set_content(
        "<style>body { margin: 0; padding: 8px; display: inline-grid; gap: 10px; justify-items: start }</style>"
        + "".join(f'<img src="{source}">' for source in sources)
    )
    page.locator("body").screenshot(path=path)
    page.close()


def test_displays_in_rows_and_columns(
    page: Page,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    rows = (
        "from ipywidgets import HBox, VBox\none = Client(enact(FakeAuth(), 'active'))\n"
        "VBox([HBox([one.user_card, one.expiry, one.timeline]), one.panel, HBox([one.badge, one.badge])])"
    )
    page.goto(jupyter_lab(write_notebook("rows", SETUP, rows)))
    run_all(page)
    expect(page.locator(".sb-live")).to_have_count(6)
    boxes = {
        kind: page.locator(f".sb[data-kind={kind}]").first.bounding_box()
        for kind in ("user_card", "expiry", "timeline", "panel", "badge")
    }
    user, expiry, timeline, panel, badge = (box for box in boxes.values() if box)
    for card in (expiry, timeline):
        assert (card["y"], card["height"]) == (user["y"], user["height"]), boxes
    assert expiry["x"] - user["x"] - user["width"] >= 8
    assert timeline["x"] - expiry["x"] - expiry["width"] >= 8
    assert panel["y"] - user["y"] - user["height"] >= 8
    assert badge["y"] - panel["y"] - panel["height"] >= 8
    assert panel["width"] > 400


def test_all_countdowns_of_a_page_agree(
    page: Page,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    """Five displays of three models that get their messages one after another, checked 200 times."""
    cells = ["one.panel", "one.expiry", "one.panel", "one.token_entry()", "one.expiry"]
    setup = f"{SETUP}\none = Client(enact(FakeAuth(), 'active'))"
    page.goto(jupyter_lab(write_notebook("countdowns", setup, *cells)))
    run_all(page)
    expect(page.locator(".sb-live")).to_have_count(5)
    looks = page.evaluate(
        """() => new Promise(done => {
            const looks = [];
            const look = () => {
                looks.push([...document.querySelectorAll(".sb-until")].map(each => each.textContent));
                if (looks.length === 200) { clearInterval(looking); done(looks); }
            };
            const looking = setInterval(look, 20);
        })"""
    )
    assert all(len(look) == 5 for look in looks)
    assert [look for look in looks if len(set(look)) != 1] == []
    assert len({look[0] for look in looks}) > 2, "they tick"


def test_motion_only_where_it_is_wanted(
    page: Page,
    write_notebook: Callable[..., Path],
    notebook7: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    path = write_notebook("motion", SETUP, "motion = Client(enact(FakeAuth(), 'refreshing')); motion.badge")
    page.goto(notebook7(path))
    run_all(page)
    shape = page.locator(".sb-live .sb-shape")
    expect(shape).to_have_css("animation-name", "sb-turn")
    page.emulate_media(reduced_motion="reduce")
    expect(shape).to_have_css("animation-name", "none")
