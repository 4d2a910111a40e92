"""How soon a person sees the badge, against a line of HTML by ipywidgets."""

from __future__ import annotations

from lab import Lab
from measure import WALL, Row, Spread, in_turn

# The client is shown once, as `%supabase_connect` does. When `set_session` has returned, the clock runs.
_SETUP = '''
import time
import project, anywidget, ipywidgets
from IPython.display import display
from supabase_nb import MemoryStorage
from supabase_nb.notebook.client import NotebookClient
%load_ext supabase_nb
def connect():
    return NotebookClient(
        "https://abcd.supabase.co", project.KEY, storage=MemoryStorage(), transport=project.transport()
    )
supabase = connect()
display(supabase)
at, rt = project.access_token(), project.REFRESH_TOKEN
restore = supabase.auth.set_session
def timed(*pair):
    global began
    response = restore(*pair)
    began = time.time()
    return response
supabase.auth.set_session = timed
made = []
class Least(anywidget.AnyWidget):
    _esm = """export default { render({ el }) {
      el.append(Object.assign(document.createElement("b"), { className: "least", textContent: "Active" }));
    } };"""
'''
_MAGIC = """
%supabase_set_session at rt
print(f"began {began}")
"""
# A client that nobody has seen yet, hence a badge that the browser does not know.
_NEW = """
made.append(connect())
made[-1].auth.set_session(at, rt)
began = time.time()
display(made[-1].badge)
print(f"began {began}")
"""
# Against what one would show instead then.
_HTML = """
supabase.auth.set_session(at, rt)
display(ipywidgets.HTML("Active"))
print(f"began {began}")
"""
_LEAST = """
supabase.auth.set_session(at, rt)
display(Least())
print(f"began {began}")
"""
# When the text stands in the output of this cell, and the frame with it has begun to be drawn.
_WATCH = """([number, selector]) => {
    const cell = jupyterapp.shell.currentWidget.content.widgets[number].node;
    window.painted = new Promise((resolve) => {
        const look = () => {
            const node = cell.querySelector(`.jp-OutputArea ${selector}`);
            if (!node || node.textContent.trim() !== "Active" || !node.checkVisibility()) return;
            observer.disconnect();
            requestAnimationFrame(() => resolve((performance.timeOrigin + performance.now()) / 1000));
        };
        const observer = new MutationObserver(look);
        const what = { subtree: true, childList: true, characterData: true, attributes: true };
        observer.observe(cell, what);
    });
}"""
_BEGAN = """(number) => {
    const cell = jupyterapp.shell.currentWidget.content.widgets[number].node;
    return Number(/began ([\\d.]+)/.exec(cell.querySelector(".jp-OutputArea").textContent)[1]);
}"""


def rows(quick: bool) -> list[Row]:
    with Lab(_SETUP, _MAGIC, _NEW, _HTML, _LEAST) as lab:
        lab.run_cell(0)
        lab.page.locator(".sb-live").wait_for()

        def paint(number: int, selector: str) -> float:
            """Seconds from `set_session`'s return to the text on the screen."""
            # The last one's output goes first.
            lab.page.evaluate("() => jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
            lab.page.evaluate(_WATCH, [number, selector])
            lab.run_cell(number)
            painted = lab.page.evaluate("() => window.painted")
            began = lab.page.evaluate(_BEGAN, number)
            return float(painted) - float(began)

        found = in_turn(
            2 if quick else 60,
            lambda: paint(1, ".sb-live .sb-badge"),
            lambda: paint(2, ".sb-live .sb-badge"),
            lambda: paint(3, ".widget-html-content"),
            lambda: paint(4, ".least"),
        )
    magic, new, least = (Spread.of([times[place] / times[2] for times in found]) for place in (0, 1, 3))
    against, goal = "an ipywidgets `HTML` with the same text", "<= 1.2"
    return [
        Row(
            "first paint of the badge after `set_session` returns, in JupyterLab",
            against,
            goal,
            f"{magic.median:.2f}",
            str(magic),
            WALL,
            magic.median <= 1.2,
            "`%supabase_set_session at rt`, after the client was shown as `%supabase_connect` does; from the "
            "kernel's clock to the frame that shows the word, in Chromium",
        ),
        Row(
            "the same, of a client that was never shown before",
            against,
            goal,
            f"{new.median:.2f}",
            str(new),
            WALL,
            new.median <= 1.2,
            f"an anywidget that does nothing but write the word takes {least.median:.2f}: its module is "
            "imported first, while `HTML` came with JupyterLab",
        ),
    ]
