"""How the displays look: every kind, state, theme and width; accessibility; the contact sheet."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from supabase_nb.models import STATUSES

pytestmark = pytest.mark.browser
expect.set_options(timeout=20_000)

KINDS = ("badge", "user_card", "expiry", "timeline", "panel")
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
from supabase_nb.notebook.client import Displays
class Client(Displays):
    def __init__(self, auth): self.auth = auth
    def show(self):
        for kind in ("badge", "user_card", "expiry", "timeline", "panel"): display(getattr(self, kind))
"""
# Long names and ids, an anonymous user, a phone number and a token that lives for ages.
ODD = """\
auth = FakeAuth()
auth.sign_in(email="maximiliana-theodora.von-und-zu-hohenstein-wittgenstein@department-of-redundancy.example",
             id="x" * 200, app_metadata={"provider": "a-provider-with-quite-a-long-name"}, role="r" * 80)
auth.notices = ("Continued from storage.", "set_auth override is in force." * 8)
auth.happen("TOKEN_REFRESHED", "c" * 300)
long = Client(auth); long.show()
anonymous = Client(FakeAuth()); anonymous.auth.sign_in(email=None, is_anonymous=True); anonymous.show()
phone = Client(FakeAuth()); phone.show()
phone.auth.sign_in(email=None, phone="+491701234567", lifetime=1e15, left=1e15)
"""


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
    page.goto(notebook7(write_notebook("gallery", SETUP, *states, ODD)))
    run_all(page)
    expect(page.locator(".sb-live")).to_have_count(len(KINDS) * (len(STATUSES) + 3))
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
    expect(page.locator(f".sb-live:not([data-sb-theme={tone}])")).to_have_count(0)


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
@pytest.mark.firefox
def test_every_state_theme_and_width(gallery: Page) -> None:
    shots: dict[tuple[str, str, int], list[bytes]] = {}
    for theme in THEMES:
        wear(gallery, theme)
        for width in WIDTHS:
            squeeze(gallery, width)
            assert faults(gallery) == [], f"{theme}, {width} px"
            for place, kind in enumerate(KINDS if PICTURES else ()):
                displays = [
                    gallery.locator(".sb-live").nth(n * len(KINDS) + place) for n in range(len(STATUSES))
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
