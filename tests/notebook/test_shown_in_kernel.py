"""The output of magics in a real kernel: the panel once, then one line; with several clients, their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_kernel import Kernel

from supabase_nb.demo import DemoServer


class Notebook:
    """Cells with ids, as front ends have them."""

    def __init__(self, folder: Path) -> None:
        self.kernel = Kernel(folder)

    def run(self, cell: str, code: str) -> list[str]:
        """Run a cell; the kinds of displays that it shows."""
        self.kernel.said.clear()
        session = self.kernel.client.session
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        message = session.msg("execute_request", content | {"allow_stdin": False, "stop_on_error": True})
        message["metadata"]["cellId"] = cell
        self.kernel.client.shell_channel.send(message)
        shown: list[str] = []
        models: list[str] = []
        while True:
            said = self.kernel.client.get_iopub_msg(timeout=60)
            if said["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            data = said["content"].get("data", {})
            if said["msg_type"] == "display_data" and "application/vnd.jupyter.widget-view+json" in data:
                models.append(data["application/vnd.jupyter.widget-view+json"]["model_id"])
            if said["msg_type"] == "error":
                raise AssertionError(said["content"]["evalue"])
            if said["msg_type"] == "status" and said["content"]["execution_state"] == "idle":
                break
        self.kernel.client.get_shell_msg(timeout=60)
        for model in models:
            kind = self.value(f"getattr(__import__('ipywidgets').Widget.widgets[{model!r}], 'kind', '')")
            if kind:  # else the button of the notice about tokens in cells
                shown.append(kind)
        return shown

    def value(self, expression: str) -> str:
        return self.kernel.value(expression).strip("'")


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    notebook = Notebook(tmp_path_factory.mktemp("shown"))
    notebook.run("first", "%load_ext supabase_nb")
    yield notebook
    notebook.kernel.stop()


@pytest.fixture
def connect(notebook: Notebook, server: DemoServer) -> str:
    """The line that connects to a server that no client has been connected to yet."""
    pair = server.sign_in()
    notebook.run("setup", f"at, rt = {pair['access_token']!r}, {pair['refresh_token']!r}\nsupabase = None")
    return f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"


def test_the_panel_once_then_one_line(notebook: Notebook, connect: str) -> None:
    # One panel for a cell, however many magics there are in it.
    assert notebook.run("a", f"{connect}\n%supabase_set_session at rt\n%supabase_refresh") == ["panel"]
    assert notebook.run("b", "%supabase_refresh\n%supabase_refresh") == ["line"]
    assert notebook.run("c", "%supabase_session\n%supabase_refresh") == ["panel"]
    # A cell that showed the panel shows it again, and so does %supabase_session.
    assert notebook.run("c", "%supabase_refresh") == ["panel"]
    assert notebook.run("d", "supabase") == ["panel"]
    assert notebook.run("d", "%supabase_refresh\n%supabase_session\nsupabase") == ["panel"]
    assert notebook.run("e", "%supabase_refresh\n%supabase_session\nsupabase") == ["line", "panel"]
    # Parts are shown as often as they are asked for.
    assert notebook.run("e", "display(supabase.badge, supabase.panel)\nsupabase.panel") == [
        "badge",
        "panel",
        "panel",
    ]
    assert notebook.run("f", "%supabase_sign_out") == ["line"]
    # Run again from the top, the page looks as it did.
    assert notebook.run("a", connect) == ["panel"]
    assert notebook.run("b", "%supabase_sign_out") == ["line"]


def test_the_form_opens_in_the_panel(notebook: Notebook, connect: str) -> None:
    assert notebook.run("a", f"{connect}\n%supabase_set_session") == ["panel"]
    assert notebook.run("b", "%supabase_set_session") == ["token_entry"]
    assert notebook.run("c", "supabase.token_entry()") == ["token_entry"]
    # The panel is there: what signs in answers with a line.
    assert notebook.run("d", "%supabase_set_session at rt") == ["line"]


def test_another_client_has_its_own_panel(notebook: Notebook, connect: str) -> None:
    notebook.run("a", connect)
    assert notebook.run("b", f"{connect} --name other") == ["panel"]
    notebook.run("c", "from supabase_nb.notebook._displays.view import describe")
    views = "[describe({}.auth)[key] for key in ('client', 'option')]"
    assert notebook.value(views.format("other")) == "['other', ' --name other']"
    assert notebook.value(views.format("supabase")) == "['supabase', '']"
    notebook.run("d", "other.close()\nclosed, other = other, None")
    assert notebook.value(views.format("supabase")) == "[None, '']"
    assert notebook.value(views.format("closed")) == "['closed', ' --name closed']"
