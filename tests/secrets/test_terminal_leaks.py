"""The sign-in methods, typed into IPython in a real terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from planted import Planted, below, modes, new_user, processes, search, table, where_digits_are
from searched_kernel import own_environment
from waiting import kill, wait_until

from supabase_nb.demo import DemoServer

pexpect = pytest.importorskip("pexpect")

PROMPT = r"In \[(?:\x1b\[[0-9;]*m)*\d+(?:\x1b\[[0-9;]*m)*\]: "
READ = 'at, rt = __import__("json").load(open("{file}"))'

#: Lines, whether the tokens are typed (then the screen shows them), and whether the session is a dead one.
METHODS: dict[str, tuple[list[str], bool, bool]] = {
    "variables": ([READ, "%supabase_set_session at rt"], False, False),
    "variables, refused": (["%xmode Verbose", READ, "supabase.auth.set_session(at, rt)"], False, True),
    "prompts": (["%supabase_set_session", "{at}", "{rt}"], False, False),
    "prompts, refused": (["%supabase_set_session", "{at}", "{rt}"], False, True),
    "prompts, both at once": (
        ["%supabase_set_session", '{{"access_token":"{at}","refresh_token":"{rt}"}}'], False, False
    ),
    "shown": (
        [READ, "r = supabase.auth.set_session(at, rt)", "r", "print(r, vars(r.session))", "supabase"],
        False, False,
    ),
    "literals": (['%supabase_set_session "{at}" "{rt}"'], True, False),
    "literals, bare": (["%supabase_set_session {at} {rt}"], True, False),
    "literals, refused": (["%xmode Verbose", '%supabase_set_session "{at}" "{rt}"'], True, True),
    "literals, call": (['supabase.auth.set_session("{at}", "{rt}")'], True, False),
    "literals, call, refused": (['supabase.auth.set_session("{at}", "{rt}")'], True, True),
    "literals to variables": (
        ['at = "{at}"; rt = "{rt}"', "%supabase_set_session at rt", "%whos"], True, False
    ),
    "a failure behind it": (['supabase.auth.set_session("{at}", "{rt}"); 1 / 0'], True, False),
    "a syntax error": (['supabase.auth.set_session("{at}", "{rt}"]'], True, False),
    "a name that is none": (['supabaze.auth.set_session("{at}", "{rt}")'], True, False),
}  # fmt: skip


class Terminal:
    """IPython behind a pseudo-terminal, every logger at DEBUG."""

    def __init__(self, folder: Path, server: DemoServer) -> None:
        self.home, self.outside = folder / "home", folder / "outside"
        self.outside.mkdir()
        environment = own_environment(self.home) | {
            "TERM": "xterm",
            "NO_COLOR": "1",
            "PROMPT_TOOLKIT_NO_CPR": "1",
        }
        arguments = [
            "-m",
            "IPython",
            "--no-banner",
            "--TerminalInteractiveShell.autosuggestions_provider=None",
        ]
        self.child: Any = pexpect.spawn(
            sys.executable, arguments, env=environment, cwd=str(self.home), encoding="utf-8", timeout=30,
            dimensions=(50, 2000),
        )  # fmt: skip
        self.screens: dict[str, str] = {}
        self.screen = ""
        self.child.expect(PROMPT)
        self.enter(f"import kernel_probe; kernel_probe.log_all({str(self.outside / 'loggers.log')!r})")
        self.enter("%load_ext supabase_nb")
        self.enter(f"%supabase_connect {server.url} --key '{server.anon_key}'")

    def enter(self, line: str) -> str:
        """Type a line and wait for the next prompt, of IPython or of the magic."""
        self.child.send(f"{line}\r")
        self.child.expect(r"\r\n")
        self.child.expect(
            [PROMPT, r"(?:Access|Refresh) token[^\r\n]{0,60}:", r"Six-digit code[^\r\n]{0,60}:"]
        )
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.child.before + self.child.after)
        self.screen += shown
        return shown

    def places(self) -> Iterator[tuple[str, bytes | str]]:
        path = self.outside / "probe.json"
        path.unlink(missing_ok=True)
        self.enter(f"kernel_probe.dump({str(path)!r})")
        # A prompt may have been drawn twice, and taken for the next one.
        wait_until(path.exists)
        yield from json.loads(path.read_text()).items()
        yield "loggers at DEBUG", (self.outside / "loggers.log").read_bytes()
        yield from processes(self.child.pid)
        yield from (("files", data) for _, data in below(self.home, but=self.home / "sessions"))


@pytest.fixture(scope="module")
def terminal(tmp_path_factory, supabase_auth_server):
    terminal = Terminal(tmp_path_factory.mktemp("terminal"), supabase_auth_server)
    yield terminal
    kill(terminal.child)


@pytest.mark.parametrize("name", METHODS)
def test_no_token_is_anywhere(name, terminal, supabase_auth_server):
    lines, typed, dead = METHODS[name]
    wire = supabase_auth_server.sign_in()
    at, rt = wire["access_token"], wire["refresh_token"]
    if dead:
        supabase_auth_server.request("POST", "/auth/v1/logout?scope=local", token=at)
    planted = Planted()
    planted.add(name, access_token=at, refresh_token=rt)
    file = terminal.outside / "tokens.json"
    file.write_text(json.dumps([at, rt]))
    terminal.screen = ""
    for line in lines:
        terminal.enter(line.format(at=at, rt=rt, file=file))
    if "syntax" in name or "none" in name:  # it is known once it is used
        terminal.enter(READ.format(file=file))
        terminal.enter("_ = supabase.auth.set_session(at, rt); del at, rt")
    elif not dead:
        assert f"'{wire['user']['id']}'" in terminal.enter("supabase.auth.user.id")
    planted.add_stored(name, terminal.home / "sessions")
    places = list(terminal.places())
    if not typed:
        places.append(("the screen", terminal.screen))
    leaks = search(places, planted)
    assert not leaks, "\n" + table(leaks)
    assert modes(terminal.home / "sessions") == []


def test_nothing_of_a_second_factor_is_anywhere_but_on_the_screen(terminal, supabase_auth_server):
    email, password = new_user(supabase_auth_server, "terminal-second-factor")
    file, planted, wrong = terminal.outside / "password.txt", Planted(), "planted wrong code"
    file.write_text(password)
    planted.add("signing in", password=password)
    planted.add("the prompt", password=wrong)
    sign_in = f"_ = supabase.auth.sign_in_with_password(email={email!r}, password=open({str(file)!r}).read())"
    terminal.enter(sign_in)
    terminal.screen = ""
    terminal.enter("%supabase_mfa --enroll")
    (key,) = re.findall(r"authenticator app: ((?:[A-Z2-7]{4} ?){8})", terminal.screen)
    planted.add("the key", password=key.strip())
    planted.add("the secret", password=key.replace(" ", ""))
    terminal.enter(wrong)
    right = supabase_auth_server.totp_codes(email)[0]["code"]
    assert "Verified: this session is at aal2" in terminal.enter(right)
    terminal.enter(sign_in)
    terminal.enter("%supabase_mfa")
    terminal.enter(wrong)
    again = supabase_auth_server.totp_codes(email)[0]["code"]
    assert "Verified" in terminal.enter(again)
    planted.add_stored("the session", terminal.home / "sessions")
    places = list(terminal.places())
    leaks = search(places, planted)
    assert not leaks, "\n" + table(leaks)
    assert where_digits_are(places, right, again) == []
    assert where_digits_are([("a leak", f"code={right}")], right), "it would be seen"
    assert wrong not in terminal.screen
    assert where_digits_are([("the screen", terminal.screen)], right, again) == [], "it isn't echoed"


def test_the_search_sees_a_leak_in_every_place(terminal):
    planted = Planted()
    token = "planted-refresh-token"
    planted.add("planted", refresh_token=token)
    file = terminal.outside / "leak.txt"
    file.write_text(token)
    terminal.enter(f"tok = open({str(file)!r}).read()")
    for line in (
        "In.append(tok)",
        "get_ipython().history_manager._iii = tok",
        "import linecache; linecache.cache['x'] = (1, None, [tok], 'x')",
        "get_ipython().Completer.full_text = tok",
        "import sys; sys.last_exc = sys.last_value = ValueError(tok)",
        "supabase.auth.kept = tok",
        "get_ipython().history_manager.db.execute('INSERT INTO history VALUES (1, 999, ?, ?)', (tok, tok))",
        "get_ipython().history_manager.db.commit()",
        "import logging; logging.getLogger('some.other').debug('x %s', tok)",
        "open('somewhere', 'w').write(tok)",
        "import os, subprocess",
        "a = subprocess.Popen([sys.executable, '-c', 'input()', tok], stdin=-1, env=os.environ | {'T': tok})",
        "tok",
    ):
        terminal.enter(line)
    for _ in range(10):
        places = list(terminal.places())
        seen = {place for place, _ in search(places, planted)}
        if "prompt_toolkit's history" in seen:
            break  # prompt_toolkit reads the history anew at some later prompt
    terminal.enter("a.kill(); a.wait()")
    assert "prompt_toolkit's history" in seen, "what was typed is one arrow key away"
    assert {place for place, _ in places} - seen <= {"last result", "widget state", "current request"}
    assert os.path.exists(terminal.home / "somewhere")
