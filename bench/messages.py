"""What displays cost while they are only looked at, and when their cells are run again and again."""

from __future__ import annotations

import json

from kernel import Kernel
from lab import Lab
from measure import Row

_VIEWS, _RERUNS = 50, 1_000
#: For the plot: title -> line -> points.
curves: dict[str, dict[str, list[tuple[int, float]]]] = {}

_SETUP = """
import gc, json, os, threading, time
import comm, ipywidgets, project
from IPython.display import display
from pathlib import Path
from supabase_nb import MemoryStorage
from supabase_nb.notebook.client import NotebookClient
supabase = NotebookClient(
    "https://abcd.supabase.co", project.KEY, storage=MemoryStorage(), transport=project.transport()
)
supabase.auth.set_session(project.access_token(), project.REFRESH_TOKEN)
"""
_ALONE = """
alone = ipywidgets.Label("59:59")
display(supabase.panel, alone)
"""
_MANY = f"""
many = [ipywidgets.Label("59:59") for _ in range({_VIEWS})]
# In boxes: JupyterLab shows no more than 50 outputs of a cell.
display(ipywidgets.VBox([supabase.panel] * {_VIEWS}), ipywidgets.VBox(many))
"""
_START = """
def tick():
    began = time.monotonic()
    for second in range({seconds}):
        time.sleep(max(0.0, began + second + 0.5 - time.monotonic()))
        for label in [alone, *many]:
            label.value = f"59:{{second:02}}"
threading.Thread(target=tick, daemon=True).start()
print("ids", json.dumps([label.comm.comm_id for label in [alone, *many]]))
"""
_IDS = """() => {
    const output = jupyterapp.shell.currentWidget.content.widgets[3].model.outputs.get(0).toJSON();
    return JSON.parse([output.text].flat().join("").replace("ids ", ""));
}"""

_AGAIN = """
def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
def state():
    notifiers = supabase.auth._trait_notifiers
    return {{
        "comms": len(comm.get_comm_manager().comms),
        "widgets": len(ipywidgets.widgets.widget._instances),
        "observers": sum(len(found) for kinds in notifiers.values() for found in kinds.values()),
        "threads": threading.active_count(),
    }}
def again(cell, times):
    before = resident()
    for _ in range(times):
        # Without a history: IPython keeps what a cell gave, whatever it is.
        get_ipython().run_cell(cell, store_history=False)
    return (resident() - before) / times
supabase.panel
again("supabase.panel", 100)
again("project.URL", 100)
before, grown, found = state(), 0.0, []
points, done = {points}, 0
for point in points:
    taken = again("supabase.panel", point - done)
    grown += taken * (point - done)
    done = point
    found.append([point, state()["comms"]])
after = state()
plain = again("project.URL", done)
labels, made = [], 0
start = state()["comms"]
for point in [point for point in points if point <= 1000]:
    again("ipywidgets.Label('59:59')", point - made)
    made = point
    labels.append([point, state()["comms"] - start])
print("found", json.dumps([before, after, grown / done, plain, found, labels]))
"""


def rows(quick: bool) -> list[Row]:
    return [*_live(2 if quick else 60), _rerun([1, 10] if quick else [1, 10, 100, _RERUNS])]


def _live(seconds: int) -> list[Row]:
    with Lab(_SETUP, _ALONE, _MANY, _START.format(seconds=seconds)) as lab:
        for cell in range(3):
            lab.run_cell(cell)
        shown = lab.page.locator(".sb[data-kind=panel].sb-live")
        shown.nth(_VIEWS).wait_for(state="attached")
        # What was said when they were displayed is over when nothing has come for a while.
        while True:
            heard = len(lab.received)
            lab.page.wait_for_timeout(1_500)
            if heard == len(lab.received):
                break
        first = shown.first.locator(".sb-left").text_content()
        lab.received.clear()
        lab.run_cell(3)
        lab.page.wait_for_timeout(seconds * 1_000 + 500)
        frames = list(lab.received)
        alone, *many = (name.encode() for name in lab.page.evaluate(_IDS))
        assert shown.first.locator(".sb-left").text_content() != first, "the countdown stands still"
        assert shown.count() == _VIEWS + 1, "not all are live"
    of_one = sum(alone in frame for frame in frames)
    of_many = sum(any(name in frame for name in many) for frame in frames)
    ours = len(frames) - of_one - of_many
    note = "counted at the browser's websocket; all of them run in one and the same page"
    return [
        Row(
            f"kernel messages in {seconds} s of live countdown: {what}",
            f"{against} updated each second",
            f"0 against {seconds * count:,}",
            f"{ours} against {theirs:,}",
            met=ours == 0,
            note=note,
        )
        for what, against, count, theirs in (
            ("a panel", "an ipywidgets `Label`", 1, of_one),
            (f"{_VIEWS} displays of it", f"{_VIEWS} of them", _VIEWS, of_many),
        )
    ]


def _rerun(points: list[int]) -> Row:
    with Kernel() as kernel:
        kernel.run(_SETUP)
        said = kernel.run(_AGAIN.format(points=points))
    before, after, ours, plain, comms, labels = json.loads(said.rpartition("found ")[2])
    curves["Running a display cell again: open comms"] = {
        "supabase.panel": comms,
        "ipywidgets.Label(…)": labels,
    }
    grown = [f"{name} +{after[name] - before[name]}" for name in before]
    return Row(
        f"re-running a display cell {points[-1]:,} times",
        "a cell that shows a text, for memory",
        "no growth in comms, widgets, observers, memory",
        f"{', '.join(grown)}; memory {ours / 1024:+.1f} KiB a run against {plain / 1024:+.1f}",
        met=before == after and ours <= plain + 1024,
        note="resident memory, a kibibyte a run allowed for the allocator",
    )
