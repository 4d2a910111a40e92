"""IPython in a real terminal: hidden prompts, and tokens that arrow keys can't bring back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import kill

from supabase_nb.demo import DemoServer

pexpect = pytest.importorskip("pexpect")

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


class Terminal:
    """IPython behind a pseudo-terminal."""

    def __init__(self, folder: Path, server: DemoServer) -> None:
        self.folder = folder
        environment = os.environ | {
            "IPYTHONDIR": str(folder / "ipython"),
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "SUPABASE_NB_SESSIONS": str(folder / "sessions"),
        }
        arguments = [
            "-m",
            "IPython",
            "--no-banner",
            "--TerminalInteractiveShell.autosuggestions_provider=None",
        ]
        self.child = pexpect.spawn(
            sys.executable, arguments, env=environment, encoding="utf-8", timeout=30, dimensions=(50, 400)
        )
        self.received = ""
        self.seen = 0  # up to where of the screen's text we have looked
        self.line = 0
        self.next_prompt()
        self.enter("%load_ext supabase_nb")
        self.enter(f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory")

    @property
    def screen(self) -> str:
        return _CODES.sub("", self.received)

    def wait_for(self, text: str) -> str:
        """Until a text is shown; gives what was shown before it."""
        deadline = time.monotonic() + 30
        while text not in self.screen[self.seen :]:
            assert time.monotonic() < deadline, self.screen[self.seen :]
            with contextlib.suppress(pexpect.TIMEOUT):
                self.received += self.child.read_nonblocking(4096, timeout=1)
        start, self.seen = self.seen, self.screen.index(text, self.seen) + len(text)
        return self.screen[start : self.seen]

    def next_prompt(self) -> str:
        self.line += 1
        return self.wait_for(f"In [{self.line}]: ")

    def enter(self, line: str) -> str:
        """Type a line; gives what is shown until the next prompt."""
        self.child.send(f"{line}\r")
        return self.next_prompt()

    def end(self) -> None:
        self.child.sendline("exit")
        self.child.expect(pexpect.EOF)
        self.child.close()

    def history(self) -> bytes:
        files = list((self.folder / "ipython").rglob("history.sqlite*"))
        assert files
        return b"".join(file.read_bytes() for file in files)


@pytest.fixture
def terminal(tmp_path: Path, server: DemoServer) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, server)
    yield terminal
    kill(terminal.child)


def test_a_literal_is_masked_in_the_history(terminal: Terminal, server: DemoServer) -> None:
    pair = server.sign_in()
    at, rt = pair["access_token"], pair["refresh_token"]
    shown = terminal.enter(f'%supabase_set_session "{at}" "{rt}"')
    assert "Two tokens were masked in the history." in shown
    assert "text that is still on the screen" in shown
    assert "Active" in shown
    # The arrow key brings back what was run, without the tokens.
    terminal.child.send("\x1b[A")
    shown = terminal.wait_for(f'"{"*" * len(rt)}"')
    terminal.child.send("\x15")  # the line is given up
    assert rt not in shown + terminal.enter("%history")
    terminal.end()
    assert at.encode() not in terminal.history()
    assert rt.encode() not in terminal.history()
    assert b'%supabase_set_session "***' in terminal.history()


@pytest.mark.parametrize("way", ["two answers", "a paste of several lines"])
def test_hidden_prompts(terminal: Terminal, server: DemoServer, way: str) -> None:
    pair = server.sign_in()
    at, rt = pair["access_token"], pair["refresh_token"]
    terminal.child.send("%supabase_set_session\r")
    terminal.wait_for("or the redirect URL):")
    if way == "two answers":
        terminal.child.send(f"{at}\r")
        terminal.wait_for("Refresh token:")
        shown = terminal.enter(rt)
    else:
        # A terminal marks what is pasted; without that each line would be an input of its own.
        text = json.dumps(pair, indent=2).replace("\n", "\r")
        shown = terminal.enter(f"\x1b[200~{text}\x1b[201~")
    assert "Active" in shown
    terminal.end()
    everything = terminal.screen + terminal.history().decode("latin-1")
    for token in (at, rt):
        assert token not in everything
        assert token[-9:] not in everything
