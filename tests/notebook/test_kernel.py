"""The magics in a real kernel: notebooks that are run, run again, and interrupted."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
import pytest
from jupyter_client import BlockingKernelClient, KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from waiting import wait_until
from wire_tokens import make_jwt, make_refresh_token

from supabase_nb.demo import DemoServer, stop_server
from supabase_nb.demo.testing import running_server

ROOT = Path(__file__).parents[2]


class Kernel:
    """A kernel that a person works in."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel(cwd=str(folder))
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.said: list[dict[str, Any]] = []

    def run(self, code: str, *, meanwhile: Callable[[], object] = lambda: None) -> dict[str, Any]:
        """Run a cell; gives the reply. `meanwhile` is called once the kernel has begun."""

        def hear(message: dict[str, Any]) -> None:
            self.said.append(message)
            if message["msg_type"] == "execute_input":
                threading.Thread(target=meanwhile, daemon=True).start()

        reply = self.client.execute_interactive(code, timeout=60, output_hook=hear, allow_stdin=False)
        content: dict[str, Any] = reply["content"]
        return content

    def value(self, expression: str) -> str:
        """What an expression is in the kernel, as text."""
        reply = self.client.execute_interactive(
            "", timeout=60, silent=True, user_expressions={"it": expression}, output_hook=lambda _: None
        )
        answer = reply["content"]["user_expressions"]["it"]
        return str(answer["data"]["text/plain"] if answer["status"] == "ok" else answer["evalue"])

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    yield kernel
    kernel.stop()


@pytest.fixture
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """A server that takes a request and never answers; and whether it got one."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                kept.append(connection)
                if connection.recv(1):
                    asked.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in kept:
            connection.close()


def test_a_session_from_connecting_to_signing_out(kernel: Kernel, server: DemoServer) -> None:
    pair = server.sign_in()
    connect = f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"
    assert kernel.run("%load_ext supabase_nb")["status"] == "ok"
    assert kernel.run(connect)["status"] == "ok"
    kernel.run(f"import os\nos.environ.update(AT={pair['access_token']!r}, RT={pair['refresh_token']!r})")
    assert kernel.run("r = %supabase_set_session $AT $RT")["status"] == "ok"
    assert kernel.value("r.user.email, supabase.auth.status") == "('ada@example.com', 'active')"
    assert kernel.run("%supabase_refresh")["status"] == "ok"
    assert kernel.value("supabase.auth.session.access_token != r.session.access_token") == "True"
    assert kernel.run("%supabase_sign_out")["status"] == "ok"
    assert kernel.value("supabase.auth.status") == "'signed_out'"
    failed = kernel.run("%supabase_refresh")
    assert failed["status"] == "error"
    assert len(failed["traceback"]) == 1
    assert failed["traceback"][0].startswith("AuthSessionMissing: Not signed in.")


def test_a_provider_opens_the_form_for_a_person_and_is_an_error_for_a_program(
    kernel: Kernel, server: DemoServer
) -> None:
    kernel.run("%load_ext supabase_nb")
    kernel.run(f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory --name fresh")
    magic = "%supabase_sign_in --provider github --name fresh"
    reply = kernel.run(magic)  # as nbclient and papermill run it, where no user can click or answer
    assert reply["status"] == "error"
    assert "No interactive input is available here." in str(reply["traceback"])
    said: list[dict[str, Any]] = []
    asked: list[dict[str, Any]] = []
    answer = kernel.client.execute_interactive(
        magic, timeout=60, allow_stdin=True, stdin_hook=asked.append, output_hook=said.append
    )
    assert answer["content"]["status"] == "ok"
    assert asked == []
    (opened,) = (
        message["content"]["data"]["content"]
        for message in said
        if message["msg_type"] == "comm_msg"
        and message["content"]["data"].get("content", {}).get("type") == "open"
    )
    assert opened["provider"] == {"name": "github", "label": "GitHub"}


@pytest.mark.parametrize(
    "cell", ['%supabase_set_session "{at}" "{rt}"', 'supabase.auth.set_session("{at}", "{rt}")']
)
def test_a_literal_is_not_echoed(kernel: Kernel, server: DemoServer, cell: str) -> None:
    pair = server.sign_in()
    at, rt = pair["access_token"], pair["refresh_token"]
    kernel.run("%load_ext supabase_nb")
    kernel.run(f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory")
    kernel.said.clear()
    reply = kernel.run(cell.format(at=at, rt=rt))
    assert reply["status"] == "ok"
    assert reply["payload"] == [], "what was typed meanwhile stays"
    assert kernel.value("supabase.auth.session.user.email") == "'ada@example.com'"
    assert at not in str(kernel.said) + str(reply)
    assert rt not in str(kernel.said) + str(reply)
    assert rt not in kernel.value("In") + kernel.value("[v for n, v in globals().items() if n[:2] == '_i']")


def test_code_that_a_magic_puts_into_a_cell_is_whole(kernel: Kernel, tmp_path: Path) -> None:
    """The cell is run next, so it must contain what the file contains."""
    code = f"at = '{make_jwt()}'\nkey = 'sb_secret_abcdefghijklmnop1234'\n"
    (tmp_path / "settings.py").write_text(code)
    kernel.run("%load_ext supabase_nb")
    (payload,) = kernel.run(f"%load {tmp_path / 'settings.py'}")["payload"]
    assert payload["text"].endswith(code)
    (shown,) = kernel.run(f"%pycat {tmp_path / 'settings.py'}")["payload"]
    assert "sb_secret_" not in str(shown)


SHOWN = """
from collections import namedtuple
from IPython.display import JSON
rt = {rt!r}
display(JSON({{rt: 1, "list": [{{rt: [rt]}}]}}))
display(JSON({{"pair": namedtuple("Pair", "at rt")("at", rt), "set": (1, rt)}}))
"""


def test_names_in_what_is_shown(kernel: Kernel, server: DemoServer) -> None:
    """A token may be the name of a value, or in a tuple with names."""
    pair = server.sign_in()
    kernel.run("%load_ext supabase_nb")
    kernel.run(f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory")
    kernel.run(f'%supabase_set_session "{pair["access_token"]}" "{pair["refresh_token"]}"')
    kernel.said.clear()
    assert kernel.run(SHOWN.format(rt=pair["refresh_token"]))["status"] == "ok"
    assert sum("application/json" in message["content"].get("data", {}) for message in kernel.said) == 2
    assert pair["refresh_token"] not in str(kernel.said)


def test_the_browser_is_sent_lengths_and_hashes(kernel: Kernel, server: DemoServer) -> None:
    """In a message, not in a trait; with another salt each time."""
    kernel.run("%load_ext supabase_nb")
    kernel.run(f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory")
    sent = []
    for _ in range(2):
        pair = server.sign_in()
        kernel.said.clear()
        kernel.run(f'%supabase_set_session "{pair["access_token"]}" "{pair["refresh_token"]}"')
        data = [m["content"]["data"] for m in kernel.said if m["msg_type"] == "comm_msg"]
        messages = [each["content"] for each in data if each.get("method") == "custom"]
        sent += [each for each in messages if each.get("type") == "clean"]
        hashes = [
            hashlib.sha256((sent[-1]["salt"] + pair[name]).encode()).hexdigest()
            for name in ("access_token", "refresh_token")
        ]
        assert set(hashes) <= {value["hash"] for value in sent[-1]["values"]}
        states = [m["content"]["data"].get("state") for m in kernel.said if m["msg_type"] == "comm_open"]
        assert not any(value["hash"] in str(states) for value in sent[-1]["values"])
    assert sent[0]["salt"] != sent[1]["salt"]
    assert not {each["hash"] for each in sent[0]["values"]} & {each["hash"] for each in sent[1]["values"]}


LOGIN = "get_ipython().run_line_magic('supabase_set_session', 'at rt')"


@pytest.mark.parametrize(
    "cell",
    [
        "def f(at, rt):\n    %supabase_set_session at rt\nf(*mine)",
        "class C:\n    def f(self, at, rt):\n        %supabase_set_session at rt\nC().f(*mine)",
        f"(lambda at, rt: {LOGIN})(*mine)",
        f"[{LOGIN} for at, rt in [mine]]",
        "async def f(at, rt):\n    %supabase_set_session at rt\nawait f(*mine)",
        f"exec({LOGIN!r}, globals(), dict(at=mine[0], rt=mine[1]))",
        "import threading\ndef f(at, rt):\n    %supabase_set_session at rt\n"
        "t = threading.Thread(target=f, args=mine); t.start(); t.join()",
        "def f(at, rt):\n    %time %supabase_set_session at rt\nf(*mine)",
        f"open('own.py', 'w').write('at, rt = ' + repr(mine) + {chr(10) + LOGIN!r})\n%run own.py",
        "%supabase_set_session response.session.access_token response.session.refresh_token",
        "%supabase_set_session table.loc[0, 'at'] table.loc[0, 'rt']",
        "%supabase_set_session mine",
        "%supabase_set_session mine[0], mine[1];",
    ],
)
def test_a_name_is_that_of_the_code_that_calls_the_magic(
    kernel: Kernel, server: DemoServer, cell: str
) -> None:
    """Never the notebook's of the same name: another user's."""
    notebooks, mine = server.sign_in("ada@example.com"), server.sign_in("grace@example.com")
    kernel.run("%load_ext supabase_nb")
    kernel.run(f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory")
    kernel.run("%supabase_sign_out")
    kernel.run(
        f"import json, types\nat, rt = json.loads({json.dumps([notebooks['access_token'], notebooks['refresh_token']])!r})\n"
        f"mine = tuple(json.loads({json.dumps([mine['access_token'], mine['refresh_token']])!r}))\n"
        "response = types.SimpleNamespace(session=types.SimpleNamespace(\n"
        "    access_token=mine[0], refresh_token=mine[1]))\n"
        "class Loc(dict):\n    loc = property(lambda self: self)\n"
        "table = Loc({(0, 'at'): mine[0], (0, 'rt'): mine[1]})"
    )
    reply = kernel.run(cell)
    assert reply["status"] == "ok", reply
    assert kernel.value("supabase.auth.user.email") == "'grace@example.com'"


def test_a_closure_is_never_another_users(kernel: Kernel, server: DemoServer) -> None:
    pair = server.sign_in("ada@example.com")
    kernel.run("%load_ext supabase_nb")
    kernel.run(f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory")
    kernel.run("%supabase_sign_out")
    kernel.run(
        f"import json\nat, rt = json.loads({json.dumps([pair['access_token'], pair['refresh_token']])!r})"
    )
    reply = kernel.run("def f(at, rt):\n    def g():\n        %supabase_set_session at rt\n    g()\nf(1, 2)")
    assert reply["status"] == "error"
    assert "`at` is not a variable of this function" in "".join(reply["traceback"])
    assert kernel.value("supabase.auth.user") == "None"


def test_ctrl_c_leaves_a_sound_state(
    kernel: Kernel, server: DemoServer, silent_server: tuple[str, threading.Event]
) -> None:
    url, asked = silent_server
    pair = server.sign_in()
    at, rt = pair["access_token"], pair["refresh_token"]
    kernel.run("%load_ext supabase_nb")
    kernel.run(f"%supabase_connect {url} --key 'k' --storage memory --name slow")
    kernel.run(f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory")
    kernel.run(f"import os\nos.environ.update(AT={at!r}, RT={rt!r})")

    process = int(kernel.value("os.getpid()"))

    def interrupt() -> None:
        if asked.wait(30):
            os.kill(process, signal.SIGINT)

    kernel.run("%xmode Verbose")
    reply = kernel.run("%supabase_set_session $AT $RT --name slow", meanwhile=interrupt)
    kernel.run("%xmode Context")
    assert reply["status"] == "error"
    assert reply["traceback"] == ["Interrupted. You can run the cell again."]
    assert kernel.value("slow.auth.status, slow.auth.session") == "('signed_out', None)"
    assert kernel.run("%supabase_set_session $AT $RT --name supabase")["status"] == "ok"
    assert kernel.value("supabase.auth.status") == "'active'"


def test_unloading_leaves_the_kernel_as_it_was(kernel: Kernel, server: DemoServer) -> None:
    kernel.run("%load_ext supabase_nb")
    kernel.run(f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory")
    pair = server.sign_in()
    kernel.run(f"%supabase_set_session '{pair['access_token']}' '{pair['refresh_token']}'")
    kernel.run("supabase.token_entry()")
    assert "supabase-nb" in kernel.value("[thread.name for thread in __import__('threading').enumerate()]")
    assert kernel.run("%unload_ext supabase_nb")["status"] == "ok"
    handler = "get_ipython().kernel.shell_handlers['execute_request']"
    assert kernel.value(f"{handler} == get_ipython().kernel.execute_request") == "True"
    assert kernel.value("'supabase' in globals()") == "False"
    assert kernel.value("get_ipython().kernel.log.filters") == "[]"
    threads = "sorted(t.name for t in __import__('threading').enumerate() if 'supabase' in t.name)"
    kernel.run("import threading\nfor t in threading.enumerate():\n    if 'supabase' in t.name: t.join(10)")
    assert kernel.value(threads) == "[]"
    # What was displayed stays where it is, and says that it is closed.
    widgets = "{type(w).__name__ for w in __import__('ipywidgets').Widget.widgets.values()}"
    assert kernel.value(f"{widgets} - {{'Display', 'TokenEntry', 'Layout'}}") == "set()"


def test_a_client_that_python_made_refreshes_automatically_after_unloading(kernel: Kernel) -> None:
    with running_server(access_token_lifetime=6) as server:
        url, key, pair = server.url, server.anon_key, server.sign_in()
        kernel.run("%load_ext supabase_nb")
        kernel.run(f"%supabase_connect {url} --key '{key}' --storage memory")
        kernel.run("%supabase_sign_in --anonymous")
        kernel.run("from supabase_nb import MemoryStorage, create_client")
        kernel.run(f"mine = create_client('{url}', '{key}', storage=MemoryStorage())")
        kernel.run(f"mine.auth.set_session('{pair['access_token']}', '{pair['refresh_token']}')")
        assert kernel.run("%unload_ext supabase_nb")["status"] == "ok"
        last_event = "str(mine.auth.last_event.cause)"
        wait_until(lambda: "refreshed automatically" in kernel.value(last_event), timeout=30)


# -- whole notebooks ----------------------------------------------------------------------------------------


@pytest.fixture
def demo_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Separate folders for the embedded server and the sessions."""
    folder = tmp_path / "demo"
    monkeypatch.setenv("SUPABASE_NB_DEMO_STATE", str(folder))
    monkeypatch.setenv("SUPABASE_NB_SESSIONS", str(tmp_path / "sessions"))
    yield folder
    stop_server(folder)


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    NotebookClient(notebook, timeout=90, resources={"metadata": {"path": str(folder)}}).execute()


def text_of(notebook: nbformat.NotebookNode) -> str:
    # Not by lines: a busy kernel sends one in two pieces.
    return "".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )


def test_the_quickstart_and_the_quickstart_tomorrow(demo_folder: Path, tmp_path: Path) -> None:
    source = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4)
    for cell in source.cells:
        cell.source = cell.source.replace("access_token_lifetime=20", "access_token_lifetime=6")
    asking = nbformat.v4.new_code_cell("supabase.auth.session.session_id, supabase.auth.notices")
    source.cells.append(asking)
    today = nbformat.from_dict(source)
    execute(today, tmp_path)
    assert "The token was refreshed: True" in text_of(today)
    # Tomorrow, with a new kernel: the same session, though the tokens in the notebook were used up long ago.
    tomorrow = nbformat.from_dict(source)
    execute(tomorrow, tmp_path)
    first, again = (run.cells[-1].outputs[0].data["text/plain"] for run in (today, tomorrow))
    assert again.split("'")[1] == first.split("'")[1]
    assert "Resumed your saved session" not in first
    assert "Resumed your saved session" in again
    for run in (today, tomorrow):
        assert "Turin" in text_of(run)


def test_a_failing_magic_stops_run_all(server: DemoServer, tmp_path: Path) -> None:
    cells = [
        "%load_ext supabase_nb",
        f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory",
        f"import os\nos.environ.update(AT={make_jwt(exp=1)!r}, RT={make_refresh_token()!r})",
        "%supabase_set_session $AT $RT",
        "print('never')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.raises(CellExecutionError, match="AuthApiError"):
        execute(notebook, tmp_path)
    (error,) = [output for output in notebook.cells[3].outputs if output.output_type == "error"]
    assert len(error.traceback) == 1
    assert "Refresh Token Not Found" in error.traceback[0]
    assert not notebook.cells[4].outputs


def test_a_kernel_that_ends_leaves_on_screen_what_is_there(tmp_path: Path) -> None:
    """Its namespace is emptied at the end, the clients in it go; a display says by itself that it is not live."""
    kernel = Kernel(tmp_path)
    try:
        kernel.run(
            "import gc, time\n"
            "from supabase_nb import MemoryStorage\n"
            "from supabase_nb.notebook.client_with_displays import NotebookClient\n"
            'supabase = NotebookClient("https://abcd.supabase.co", "sb_publishable_abc", storage=MemoryStorage())\n'
            "display(supabase)\n"
            "class Slow:\n"  # a busy machine: it takes until what the end caused is under way
            "    def __del__(self, collect=gc.collect, sleep=time.sleep): collect(), sleep(1)\n"
            "slow = Slow()"
        )
        assert "comm_open" in {message["msg_type"] for message in kernel.said}
        kernel.client.shutdown()
        said = []
        with suppress(Empty):
            while True:
                said.append(kernel.client.get_iopub_msg(timeout=4)["msg_type"])
        assert "shutdown_reply" in said
        assert "comm_close" not in said
        assert "comm_msg" not in said
    finally:
        kernel.stop()
