"""What displays cost while they are only looked at, and when their cells are run again and again."""

from __future__ import annotations

import json

from kernel import Kernel
from lab import Lab
from measure import Row

_VIEWS = 50
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
# What so many runs of a cell leave behind: points of comms, and of KiB.
def grow(cell):
    start, done, grown, comms, memory = state()["comms"], 0, 0.0, [], []
    for point in {points}:
        grown += again(cell, point - done) * (point - done)
        done = point
        comms.append([point, state()["comms"] - start])
        memory.append([point, grown / 1024])
    return comms, memory
before, ours, after = state(), grow("supabase.panel"), state()
plain, labels = grow("project.URL"), grow("ipywidgets.Label('59:59')")
print("found", json.dumps([before, after, ours, plain, labels]))
"""


def rows(quick: bool) -> list[Row]:
    return [*_live(2 if quick else 60), _rerun([1, 10] if quick else [1, 10, 100, 1_000, 10_000])]


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
    before, after, ours, plain, labels = json.loads(said.rpartition("found ")[2])
    for place, what in enumerate(("open comms", "KiB more")):
        curves[f"Running a display cell again: {what}"] = {
            "supabase.panel": ours[place],
            "ipywidgets.Label(…)": labels[place],
            "a text": plain[place],
        }
    grown = [f"{name} +{after[name] - before[name]}" for name in before]
    a_run, a_text = (memory[-1][1] / points[-1] for _, memory in (ours, plain))
    return Row(
        f"re-running a display cell {points[-1]:,} times",
        "a cell that shows a text, for memory",
        "no growth in comms, widgets, observers, memory",
        f"{', '.join(grown)}; memory {a_run:+.2f} KiB a run against {a_text:+.2f}",
        met=before == after and a_run <= a_text + 1,
        note="resident memory, a kibibyte a run allowed for the allocator",
    )
