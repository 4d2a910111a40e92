"""Every sign-in method in a real kernel: afterwards, no token is anywhere where others could see it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from planted import Planted, modes, search, table
from searched_kernel import SearchedKernel
from sign_in_methods import ENTRIES, METHODS, USE, USED_LATER, Method, filled, tokens

from supabase_nb.demo import DemoServer
from supabase_nb.demo.server_process import LOG_FILE

pytestmark = pytest.mark.slow


class Run:
    """All methods, one after the other, in one kernel."""

    def __init__(self, folder: Path, server: DemoServer) -> None:
        self.server = server
        self.planted = Planted()
        self.database = server.state_dir / "demo.sqlite"
        with closing(sqlite3.connect(self.database, timeout=10)) as database, database:
            # Also of those that are removed again.
            database.execute("CREATE TABLE made_apps (secret TEXT)")
            database.execute(
                "CREATE TRIGGER making AFTER INSERT ON factors "
                "BEGIN INSERT INTO made_apps VALUES (new.secret); END"
            )
        self.replies: dict[str, str] = {}
        self.kernel = SearchedKernel(folder)
        self.sessions = self.kernel.home / "sessions"
        self.kernel.run("%load_ext supabase_nb")
        self.kernel.run(f"%supabase_connect {server.url} --key {server.anon_key}")

    def plant(self, method: str, at: str, rt: str) -> None:
        access_token = at.replace("ü", "")
        self.planted.add(method, access_token=access_token, refresh_token=rt)

    def begin(self, name: str, kind: str) -> dict[str, Any]:
        """Plant what a method needs; gives what its cells are filled with."""
        file = self.kernel.outside / "tokens.json"
        fill = {"at": "", "rt": "", "file": file, "url": self.server.url, "email": "", "pw": ""}
        if kind == "user":
            password = f"planted {len(self.replies)} correct horse"
            fill |= {"pw": password, "email": f"u{len(self.replies)}@example.com"}
            self.planted.add(name, password=password)
            user = {"email": fill["email"], "password": password, "email_confirm": True}
            self.server.admin("POST", "/users", user)
            file.write_text(password)
        else:
            at, rt = tokens(self.server, kind)
            self.plant(name, at, rt)
            fill |= {"at": at, "rt": rt}
            file.write_text(json.dumps([at, rt]))
        return fill

    def plant_apps(self, name: str) -> None:
        """Plant the secrets of authenticator apps that were made meanwhile."""
        with closing(sqlite3.connect(self.database, timeout=10)) as database:
            for (secret,) in database.execute("SELECT secret FROM made_apps"):
                self.planted.add(name, password=secret)

    def take(self, name: str, method: Method) -> None:
        fill = self.begin(name, method.tokens)
        if method.before:
            self.kernel.run(filled(method.before, **fill))
        if method.tokens == "outage":
            self.server.outage(30)
        answers = [filled(answer, **fill) for answer in method.answers] if method.answers else None
        reply = self.kernel.run(filled(method.cell, **fill), answers=answers)
        if method.tokens == "outage":
            self.server.outage(0)
        self.replies[name] = reply["status"]
        if name in USED_LATER:
            self.kernel.run(filled(USE, **fill))
        self.kernel.remember(name)
        self.planted.add_stored(name, self.sessions)
        self.plant_apps(name)
        if method.after:
            self.kernel.run(method.after)
        self.kernel.run("%xmode Context", silent=True)

    def enter(self, name: str, shape: str, kind: str = "valid") -> None:
        """By the form, as its JavaScript would."""
        at, rt = tokens(self.server, kind)
        self.plant(name, at, rt)
        kernel = self.kernel
        kernel.run("%supabase_set_session")
        form = kernel.widget(lambda state: state.get("kind") == "token_entry")
        fields = dict(zip(("access_token", "refresh_token"), ENTRIES[shape](at, rt), strict=True))
        kernel.send(form, {"type": "ask", "what": "set_session", "id": name, "fields": fields})

        def answers() -> list[dict[str, Any]]:
            sent = [m["content"]["data"] for m in kernel.said if m["msg_type"] == "comm_msg"]
            custom = [data["content"] for data in sent if data.get("method") == "custom"]
            return [one for one in custom if one.get("type") == "answer" and one["id"] == name]

        kernel.wait_until(answers)
        answer = answers()[0]
        self.replies[name] = "ok" if answer["ok"] else "error"
        kernel.remember(name)
        self.planted.add_stored(name, self.sessions)

    def restart(self, name: str) -> None:
        """A new kernel restores from storage; then one cell loads the extension and holds the tokens."""
        self.kernel.stop()
        self.kernel.start()
        connect = f"%supabase_connect {self.server.url} --key {self.server.anon_key}"
        self.kernel.run("%load_ext supabase_nb")
        reply = self.kernel.run(f"{connect}\nassert supabase.auth.session\nsupabase.auth.refresh_session()")
        self.replies[name] = reply["status"]
        self.planted.add_stored(name, self.sessions)
        self.kernel.remember(name)

    def places(self) -> Iterator[tuple[str, bytes | str]]:
        yield from self.kernel.places()
        yield "the auth server's log", (self.server.state_dir / LOG_FILE).read_bytes()


FORMS = [*(f"form, {shape}" for shape in ENTRIES), "form, refused"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory, demo):
    run = Run(tmp_path_factory.mktemp("kernel"), demo)
    try:
        for name, method in METHODS.items():
            run.take(name, method)
        for shape in ENTRIES:
            run.enter(f"form, {shape}", shape)
        run.enter("form, refused", "two fields", "revoked")
        run.restart("restored from storage")
        run.leaks = search(run.places(), run.planted)
        yield run
    finally:
        run.kernel.stop()


def test_only_the_owner_can_read_the_storage_folder(ran):
    assert modes(ran.sessions) == []


@pytest.mark.parametrize("name", METHODS)
def test_each_method_works(name, ran):
    """Otherwise a way that never reached its end would count as clean."""
    assert ran.replies[name] == ("error" if METHODS[name].fails else "ok")


def test_so_do_the_other_methods(ran):
    assert {name: ran.replies[name] for name in FORMS} == {
        name: "error" if name in ("form, nonsense around", "form, refused") else "ok" for name in FORMS
    }
    assert ran.replies["restored from storage"] == "ok"


@pytest.mark.parametrize("name", [*METHODS, *FORMS, "restored from storage"])
def test_no_token_is_anywhere(name, ran):
    leaks = {key: needles for key, needles in ran.leaks.items() if key[1] == name}
    if name in ECHOED:
        reach = {key for key in leaks if key[0] in OUT_OF_REACH}
        assert {kind for key in reach for _, kind in leaks[key]} <= {"refresh token"}
        leaks = {key: needles for key, needles in leaks.items() if key not in reach}
    assert not leaks, "\n" + table(leaks)


def test_only_the_echo_of_the_cell_itself_can_hold_a_refresh_token(ran):
    """Without its access token next to it, it looks like any other word until it is used."""
    kinds = {
        message["msg_type"]
        for message in ran.kernel.said
        if ran.planted.find(json.dumps(message["content"], ensure_ascii=False))
    }
    assert kinds <= {"execute_input", "error"}


#: Ways that write a refresh token apart from its access token, or fail before this package sees them.
ECHOED = {
    "literals, triple quotes", "literals, f-strings", "literals to variables", "literals to variables, listed",
    "literals, over two lines", "literals, call over lines", "swapped", "too many", "damaged", "damaged, call",
    "an unclosed quote", *USED_LATER,
}  # fmt: skip

#: Before a value is known, nothing can keep a cell's text from being sent on and logged.
OUT_OF_REACH = {"messages from the kernel", "kernel's own output at DEBUG", "loggers at DEBUG"}


@pytest.mark.parametrize(
    ("method", "behind"),
    [
        ("literals", ""),
        ("literals, call", "\n1 / 0"),
        ("literals to variables", "\n%supabase_set_session nope rt"),
        ("refused, Verbose", ""),
    ],
)
def test_the_cell_that_loads_the_extension(method, behind, tmp_path, demo):
    kernel, planted = SearchedKernel(tmp_path), Planted()
    try:
        at, rt = tokens(demo, METHODS[method].tokens)
        planted.add(method, access_token=at, refresh_token=rt)
        load = f"%load_ext supabase_nb\n%supabase_connect {demo.url} --key {demo.anon_key}\n"
        kernel.run("%xmode Verbose")
        reply = kernel.run(load + filled(METHODS[method].cell, at=at, rt=rt) + behind)
        assert reply["status"] == ("error" if behind or METHODS[method].fails else "ok")
        shown = [m["content"]["data"]["text/plain"] for m in kernel.said if m["msg_type"] == "display_data"]
        assert any("Not reachable" in text for text in shown)

        def holds(message: dict[str, Any]) -> bool:
            return bool(planted.find(json.dumps(message["content"])))

        # The echo of the cell, before it ran, is the only message that holds them.
        echoes = [m for m in kernel.said if m["msg_type"] == "execute_input" and holds(m)]
        assert len(echoes) == 1
        others = [m for m in kernel.said if m not in echoes and holds(m)]
        assert others == []
        kernel.remember(method)
        found = search(kernel.places(), planted)
        assert {place for place, _ in found} <= OUT_OF_REACH, "\n" + table(found)
    finally:
        kernel.stop()


#: For every place a cell that puts a token there; ``tok`` holds it.
LEAKS = {
    "messages from the kernel": "print(tok)",
    "In, Out, _i": "In.append(tok)",
    "history in memory": "get_ipython().history_manager._iii = tok",
    "linecache": "import linecache; linecache.cache['x'] = (1, None, [tok], 'x')",
    "last result": "tok",
    "current request": "get_ipython().kernel.kept = tok",
    "completer": "get_ipython().Completer.full_text = tok",
    "last exception": "import sys; sys.last_exc = sys.last_value = ValueError(tok)",
    "objects": "supabase.auth.kept = tok",
    "widget state": "import ipywidgets; w = ipywidgets.Text(tok)",
    "history file": (
        "import sqlite3; db = sqlite3.connect(get_ipython().history_manager.hist_file)\n"
        "db.execute('INSERT INTO history VALUES (999, 1, ?, ?)', (tok, tok)); db.commit(); db.close()"
    ),
    "kernel's own output at DEBUG": "import os; os.write(2, tok.encode())",
    "loggers at DEBUG": "import logging; logging.getLogger('some.other').debug('x %s', tok)",
    "process cmdline": (
        "import subprocess, sys\n"
        "args = subprocess.Popen([sys.executable, '-c', 'input()', tok], stdin=subprocess.PIPE)"
    ),
    "process environ": (
        "import os, subprocess, sys\n"
        "env = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1, env=os.environ | {'T': tok})"
    ),
    "other files": (
        "import tempfile\n"
        "with tempfile.NamedTemporaryFile(delete=False) as file: file.write(tok.encode())"
    ),
    "the auth server's log": "open(LOG, 'a').write(tok)",
}  # fmt: skip


def test_the_search_sees_a_leak_in_every_place(ran):
    kernel, planted = ran.kernel, Planted()
    for number, (place, cell) in enumerate(LEAKS.items()):
        token = f"planted{number:02}x{'abcdefghij'[number % 10] * 9}"
        planted.add(place, refresh_token=token)
        file = kernel.outside / "leak.txt"
        file.write_text(token)
        kernel.run(f"tok = open({str(file)!r}).read()")
        reply = kernel.run(cell.replace("LOG", repr(str(ran.server.state_dir / LOG_FILE))))
        assert reply["status"] == "ok", (place, reply)
        kernel.remember(place)
    found = search(ran.places(), planted)
    kernel.run("for child in (args, env):\n    child.kill(); child.wait()")
    assert {place for place in LEAKS if (place, place) in found} == set(LEAKS)
    assert {place for place, _ in ran.places()} == set(LEAKS), (
        "a place that has no leak to show that it is seen"
    )


@pytest.mark.parametrize("opened", [0o755, 0o701])
def test_the_mode_check_sees_files_open_to_others(tmp_path, opened):
    folder = tmp_path / "sessions"
    folder.mkdir(mode=0o700)
    (folder / "sb-a-auth-token.json").touch(0o600)
    assert modes(folder) == []
    folder.chmod(opened)
    (folder / "sb-a-auth-token.json").chmod(0o640)
    (folder / ".sb-a.tmp").touch()
    assert sorted(modes(folder)) == [".sb-a.tmp is left over", "sb-a-auth-token.json", "the folder"]
