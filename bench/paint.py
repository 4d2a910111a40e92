"""How soon a person sees the badge, against a line of HTML by ipywidgets."""

from __future__ import annotations

from lab import Lab
from measure import WALL, Row, Spread

# Each time a client of its own, hence a badge that the browser does not know yet.
_SETUP = """
import time
import project, ipywidgets
from IPython.display import display
from supabase_nb import MemoryStorage
from supabase_nb.notebook.client import NotebookClient
token = project.access_token()
made = []
"""
# The clock runs when what is to be shown is ready: `set_session` has returned.
_OURS = """
supabase = NotebookClient(
    "https://abcd.supabase.co", project.KEY, storage=MemoryStorage(), transport=project.transport()
)
supabase.auth.set_session(token, project.REFRESH_TOKEN)
made.append(supabase)
print(f"began {time.time()}")
display(supabase.badge)
"""
_THEIRS = """
print(f"began {time.time()}")
display(ipywidgets.HTML("Active"))
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
    return Number(/began ([\\d.]+)/.exec(cell.textContent.split("display(").pop())[1]);
}"""


def rows(quick: bool) -> list[Row]:
    rounds = 2 if quick else 15
    found = []
    with Lab(_SETUP, _OURS, _THEIRS) as lab:

        def paint(number: int, selector: str) -> float:
            """Seconds from `set_session`'s return to the text on the screen."""
            # The last one's output goes first.
            lab.page.evaluate("() => jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
            lab.page.evaluate(_WATCH, [number, selector])
            lab.run_cell(number)
            painted = lab.page.evaluate("() => window.painted")
            began = lab.page.evaluate(_BEGAN, number)
            return float(painted) - float(began)

        lab.run_cell(0)
        both = ((1, "[data-kind=badge] .sb-badge"), (2, ".widget-html-content"))
        for number in range(rounds + 1):
            order = both if number % 2 == 0 else both[::-1]
            taken = {cell: paint(cell, selector) for cell, selector in order}
            found.append(taken[1] / taken[2])
    ratio = Spread.of(found[1:])
    return [
        Row(
            "first paint of the badge after `set_session` returns, in JupyterLab",
            "an ipywidgets `HTML` with the same text",
            "<= 1.2",
            f"{ratio.median:.2f}",
            str(ratio),
            WALL,
            ratio.median <= 1.2,
            "a new model each time; from the kernel's clock to the frame that shows the word, in Chromium",
        )
    ]
