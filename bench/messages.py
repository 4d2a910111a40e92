"""What displays cost while they are only looked at: messages between kernel and browser."""

from __future__ import annotations

import json

from lab import opened
from measure import Row

_VIEWS = 50
_SETUP = f"""
import json, threading, time
import ipywidgets, project
from IPython.display import display
from supabase_nb import MemoryStorage
from supabase_nb.notebook.client import NotebookClient
supabase = NotebookClient(
    "https://abcd.supabase.co", project.KEY, storage=MemoryStorage(), transport=project.transport()
)
supabase.auth.set_session(project.access_token(), project.REFRESH_TOKEN)
label = ipywidgets.Label("59:59")
# In a box: JupyterLab shows no more than 50 outputs of a cell.
display(ipywidgets.VBox([supabase.panel] * {_VIEWS}), label)
"""
#: In its own thread, or the kernel would be busy.
_UPDATE = """
def update():
    for second in range({seconds}):
        time.sleep(1)
        label.value = f"59:{{second:02}}"
threading.Thread(target=update, daemon=True).start()
print(json.dumps(label.comm.comm_id))
"""
_OUTPUT = """() => {
    const output = jupyterapp.shell.currentWidget.content.widgets[1].model.outputs.get(0).toJSON();
    return [output.text].flat().join("");
}"""


def rows(quick: bool) -> list[Row]:
    seconds = 3 if quick else 60
    with opened(_SETUP, _UPDATE.format(seconds=seconds)) as lab:
        lab.run_cell(0)
        shown = lab.page.locator(".sb[data-kind=panel].sb-live")
        shown.nth(_VIEWS - 1).wait_for(state="attached")
        # What is said when they are displayed is over when nothing has come for a while.
        heard = -1
        while heard != len(lab.messages):
            heard = len(lab.messages)
            lab.page.wait_for_timeout(1_500)
        first = shown.first.locator(".sb-until").text_content()
        lab.messages.clear()
        lab.run_cell(1)
        lab.page.wait_for_timeout(seconds * 1_000 + 1_500)
        messages = list(lab.messages)
        label = json.loads(lab.page.evaluate(_OUTPUT)).encode()
        assert shown.first.locator(".sb-until").text_content() != first, "the countdown stands still"
        assert shown.count() == _VIEWS, "not all are live"
    of_label = sum(label in message for message in messages)
    assert of_label >= seconds, "messages were not counted"
    ours = len(messages) - of_label
    return [
        Row(
            f"messages in {seconds} s while idle: {_VIEWS} live panels that count down",
            "one ipywidgets `Label` that is updated each second",
            "0",
            f"{ours} against {of_label:,}",
            ours == 0,
            note="both ways, counted at the browser's websocket",
        )
    ]
