"""How the displays look: every kind, state, theme and width; accessibility; the contact sheet."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from supabase_nb.models import STATUSES
from supabase_nb.notebook.widgets import KINDS

pytestmark = pytest.mark.browser
expect.set_options(timeout=20_000)

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
from supabase_nb.notebook.client import Displays
from supabase_nb.notebook.widgets import KINDS, display_of
class Client(Displays):
    def __init__(self, auth): self.auth = auth
    def show(self):
        for kind in KINDS: display(display_of(self.auth, kind))
"""
# Long names and ids, notices of all colours, an anonymous user, a phone number, a token that lives for ages, and a
# client that is closed.
ODD = """\
auth = FakeAuth()
auth.sign_in(email="maximiliana-theodora.von-und-zu-hohenstein-wittgenstein@department-of-redundancy.example",
             id="x" * 200, app_metadata={"provider": "a-provider-with-quite-a-long-name"}, role="r" * 80)
auth.uses_secret_key = True
auth.notices = (Notice("Data of this project is deleted every night.", "demo"),
                Notice("Requests are sent as alan@example.com (set_auth). " * 8, "set_auth"))
auth.happen("TOKEN_REFRESHED", "c" * 300)
long = Client(auth); long.show()
"""
ODD_TOO = """\
anonymous = Client(FakeAuth()); anonymous.auth.sign_in(email=None, is_anonymous=True); anonymous.show()
phone = Client(FakeAuth()); phone.show()
phone.auth.sign_in(email=None, phone="+491701234567", lifetime=1e15, left=1e15)
closed = Client(enact(FakeAuth(), "active")); closed.auth.closed = True; closed.show()
"""
ODD_CLIENTS = 4
# Of these, the last is not live.
CLIENTS = len(STATUSES) + ODD_CLIENTS


@pytest.fixture
def gallery(
    page: Page,
    node_modules: Path,
    write_notebook: Callable[..., Path],
    notebook7: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> Page:
    """A notebook that shows every kind in every state, all of it live."""
    states = [f"{status} = Client(enact(FakeAuth(), '{status}')); {status}.show()" for status in STATUSES]
    page.set_viewport_size({"width": 1800, "height": 1000})
    page.goto(notebook7(write_notebook("gallery", SETUP, *states, ODD, ODD_TOO)))
    run_all(page)
    expect(page.locator(".sb-shown")).to_have_count(len(KINDS) * CLIENTS)
    # Pictures and contrast of what stands, not of what moves; and no output in a box of its own.
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
            const { violations } = await axe.run('.sb');
            const seen = violations.flatMap(({ id, nodes }) =>
                nodes.map(node => `${id}: ${node.html}: ${node.failureSummary}`));
            const wide = [...document.querySelectorAll('.sb')]
                .filter(sb => sb.scrollWidth > sb.clientWidth + 1);
            return [...seen, ...wide.map(sb => `too wide: ${sb.dataset.kind}`)];
        }"""
    )
    return found


@pytest.mark.timeout(300)
def test_every_state_theme_and_width(gallery: Page) -> None:
    shots: dict[tuple[str, str, int], list[bytes]] = {}
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
                assert len({box["height"] for box in boxes if box}) == 1, f"{kind}, {width} px: {boxes}"
            for place, kind in enumerate(KINDS if PICTURES else ()):
                displays = [
                    gallery.locator(".sb-shown").nth(n * len(KINDS) + place) for n in range(len(STATUSES))
                ]
                shots[theme, kind, width] = [display.screenshot() for display in displays]
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
        contact_sheet(gallery.context.new_page(), shots, PICTURES / "displays.png")


def contact_sheet(page: Page, shots: dict[tuple[str, str, int], list[bytes]], path: Path) -> None:
    """Every kind in every state, theme and width on one picture."""
    heads = "".join(f"<th>{status.replace('_', ' ')}" for status in STATUSES)
    html = ""
    for theme in THEMES:
        rows = f"<tr><th>{heads}"
        for kind, width in ((kind, width) for kind in KINDS for width in WIDTHS):
            cells = "".join(
                f'<td><img src="data:image/png;base64,{base64.b64encode(image).decode()}">'
                for image in shots[theme, kind, width]
            )
            rows += f"<tr><th>{kind.replace('_', ' ')}<br>{width} px{cells}"
        html += f'<table class="{theme.split()[1]}">{rows}</table>'
    page.set_viewport_size({"width": 2120, "height": 800})
    page.set_content(
        f"""<style>
        body {{ margin: 0; font: 11px system-ui }}
        td, th {{ padding: 5px; text-align: start; vertical-align: top }}
        table {{ width: 100%; padding: 12px; border-collapse: separate }} img {{ zoom: .46; display: block }}
        .Light {{ background: #fff; color: #555 }} .Dark {{ background: #111; color: #aaa }}
        </style>{html}"""
    )
    page.screenshot(path=path, full_page=True)
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
    assert expiry["x"] - user["x"] - user["width"] >= 4
    assert timeline["x"] - expiry["x"] - expiry["width"] >= 4
    assert panel["y"] - user["y"] - user["height"] >= 8
    assert badge["y"] - panel["y"] - panel["height"] >= 8
    assert panel["width"] > 400


def test_all_countdowns_of_a_page_agree(
    page: Page,
    write_notebook: Callable[..., Path],
    jupyter_lab: Callable[[Path], str],
    run_all: Callable[[Page], None],
) -> None:
    """Five of them, of three models that are told one after another, looked at 200 times."""
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
