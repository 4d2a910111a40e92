"""Tokens written in cells in every form, with every method: no record keeps one, and notices are accurate."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from planted import Planted, search, table
from searched_kernel import SearchedKernel

from supabase_nb._secrets.tokens import Secret, read_claims
from supabase_nb.demo import DemoServer

_RANDOM = random.Random("cells with tokens")
_FROM_FILE = 'at, rt = __import__("json").load(open("{file}"))'


@dataclass(frozen=True)
class Written:
    """How tokens are written in cells, and how they are named then."""

    cells: tuple[str, ...]
    at: str = "at"
    rt: str = "rt"
    #: What the magic is given, where that is not the two names.
    magic: str = ""


MANNERS = {
    "any names": Written(('zq = "{at}"\nxv = "{rt}"',), "zq", "xv"),
    "several cells": Written(("a1 = '{at}'", "b1 = '{rt}'"), "a1", "b1"),
    "a dict": Written(('d = {{"x": "{at}", "y": "{rt}"}}',), 'd["x"]', 'd["y"]'),
    "a class": Written(('class K:\n    a = "{at}"\n    b = "{rt}"',), "K.a", "K.b"),
    "a function": Written(
        ('def fa(): return "{at}"\ndef fb(x="{rt}"): return x', "at, rt = fa(), fb()"),
    ),
    "a comment": Written((f"# {{at}}\n# or {{rt}}, then\n{_FROM_FILE}",)),
    "keyword arguments": Written(('kw = dict(one="{at}", two="{rt}")',), 'kw["one"]', 'kw["two"]'),
    "a missing quote": Written(('zq = "{at}', "xv = {rt}'", _FROM_FILE)),
    "%%time": Written(('%%time\nat = "{at}"\nrt = "{rt}"',)),
    "%%capture": Written(('%%capture\nat = "{at}"; rt = "{rt}"\nprint(at, rt)',)),
    "!": Written(("words = !echo {at} {rt}", "at, rt = words[0].split()", "!echo {rt}")),
    "%env": Written(
        ("%env ZQ={at}", "%env XV={rt}"), 'os.environ["ZQ"]', 'os.environ["XV"]', magic="$ZQ $XV"
    ),
    "a cookie": Written(
        (
            'c = "{cookie}"',
            'at, rt = map(json.loads(base64.b64decode(c[7:] + "==")).get, ["access_token", "refresh_token"])',
        ),
        magic="c",
    ),
    "an f-string": Written(("n = ''\nat = f\"{at}{{n}}\"\nrt = f'{{n}}{rt}'",)),
    "several lines": Written(('s = """\n{at}\n{rt}\n"""', "at, rt = s.split()")),
}
REFRESH_TOKENS = ("version 1", "version 1 without digits", "version 2")
METHODS = ("magic", "method", "form")
NAMES = [f"{manner}, {kind}, {method}" for method in METHODS for manner in MANNERS for kind in REFRESH_TOKENS]


def refresh_token(kind: str, access_token: str) -> str:
    """One that stays unused as long as the access token is valid."""
    if kind == "version 2":
        session = uuid.UUID(str((read_claims(Secret(access_token)) or {})["session_id"]))
        data = b"\0" + session.bytes + b"\1" + _RANDOM.randbytes(36)
        return base64.urlsafe_b64encode(data).decode().rstrip("=")
    letters = "abcdefghijklmnopqrstuvwxyz"
    word = "".join(_RANDOM.choice(letters) for _ in range(12))
    return word if "without" in kind else word[:5] + "4" + word[6:]


class Run:
    """All manners, one after the other, in one kernel for each method."""

    def __init__(self, folder: Path, server: DemoServer, method: str) -> None:
        self.server, self.method = server, method
        self.planted = Planted()
        self.kernel = SearchedKernel(folder)
        self.replies: dict[str, str] = {}
        #: What the kernel sent since the session was set, and its notices.
        self.later: dict[str, bytes] = {}
        self.notices: dict[str, str] = {}
        self.kernel.run("%load_ext supabase_nb\nimport base64, json, os")
        self.kernel.run(f"%supabase_connect {server.url} --key {server.anon_key}")
        if method == "form":
            self.kernel.run("%supabase_set_session")
            self.form = self.kernel.widget(lambda state: state.get("kind") == "token_entry")

    def take(self, name: str, written: Written, kind: str) -> None:
        kernel = self.kernel
        at = self.server.sign_in("grace@example.com")["access_token"]
        rt = refresh_token(kind, at)
        self.planted.add(name, access_token=at, refresh_token=rt)
        file = kernel.outside / "tokens.json"
        file.write_text(json.dumps([at, rt]))
        both = json.dumps({"access_token": at, "refresh_token": rt, "user": None})
        cookie = "base64-" + base64.urlsafe_b64encode(both.encode()).decode().rstrip("=")
        cells = [cell.format(at=at, rt=rt, cookie=cookie, file=file) for cell in written.cells]
        begun = len(kernel.said)
        for cell in cells:
            kernel.run(cell)
        if self.method == "form":
            self.enter(name, at, rt)
            self.replies[name] = kernel.run("pass")["status"]
        elif self.method == "method":
            call = f"supabase.auth.set_session({written.at}, {written.rt})"
            self.replies[name] = kernel.run(f"_ = {call}")["status"]
        else:
            magic = written.magic or f"{written.at} {written.rt}"
            self.replies[name] = kernel.run(f"%supabase_set_session {magic}")["status"]
        received = len(kernel.session.received)
        after = len(kernel.said)
        # The cells again, what they hold printed and raised, and the history.
        for cell in cells:
            kernel.run(cell)
        kernel.run(f"print({written.at}, {written.rt})\nraise ValueError({written.rt})")
        kernel.run(f"%history -l {len(cells) + 3}\n%recall -l {len(cells) + 3}")
        self.later[name] = b"\n".join(kernel.session.received[received:])
        assert len(kernel.said) > after
        self.notices[name] = " ".join(_notices(kernel.said[begun:]))

    def enter(self, name: str, at: str, rt: str) -> None:
        fields = {"access_token": at, "refresh_token": rt}
        self.kernel.send(self.form, {"type": "ask", "what": "set_session", "id": name, "fields": fields})

        def answered() -> list[bool]:
            sent = [m["content"]["data"] for m in self.kernel.said if m["msg_type"] == "comm_msg"]
            custom = [data["content"] for data in sent if data.get("method") == "custom"]
            return [one["ok"] for one in custom if one.get("type") == "answer" and one["id"] == name]

        self.kernel.wait_until(answered)
        assert answered() == [True]

    def records(self) -> Iterator[tuple[str, bytes | str]]:
        """The stored records, without the messages."""
        said = (
            "messages from the kernel",
            "kernel's own output at DEBUG",
            "loggers at DEBUG",
            "process environ",
        )
        yield from ((place, data) for place, data in self.kernel.places() if place not in said)


def _notices(said: list[dict[str, Any]]) -> Iterator[str]:
    for message in said:
        data = message["content"].get("data")
        if isinstance(data, dict) and "sb-cells" in str(data.get("text/html")):
            yield data["text/plain"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, demo) -> dict[str, Run]:
    runs = {}
    for method in METHODS:
        run = runs[method] = Run(tmp_path_factory.mktemp("cells"), demo, method)
        try:
            for manner, written in MANNERS.items():
                for kind in REFRESH_TOKENS:
                    run.take(f"{manner}, {kind}, {method}", written, kind)
            run.kernel.run("1 / 0")  # the last exception is an object of the person's own, and holds a token
            run.kernel.remember("all")
            run.found = search(run.records(), run.planted)
        finally:
            run.kernel.stop()
    return runs


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_kept_or_reported_again(name, runs):
    run = runs[name.rpartition(", ")[2]]
    assert run.replies[name] == "ok"
    kept = {key: needles for key, needles in run.found.items() if key[1] == name}
    assert not kept, "\n" + table(kept)
    said = {needle for needle in run.planted.find(run.later[name]) if needle[0] == name}
    assert not said


@pytest.mark.parametrize("name", NAMES)
def test_the_notice_claims_no_more_than_was_done(name, runs):
    """No browser is there: the cells hold the tokens still."""
    notice = runs[name.rpartition(", ")[2]].notices[name]
    assert "masked in the history" in notice
    assert "The cells haven't been checked yet" in notice
    assert "removed." not in notice
    for place in ("the copy on disk until you save", "older checkpoints and copies", "other browsers"):
        assert place in notice


#: The rows of the table in docs/security.md that a kernel can show, and the places that each is about.
TABLE = {
    "`In`, `_i…`, `%history`, IPython's history in memory": ("In, Out, _i", "history in memory"),
    "`history.sqlite` and the files next to it": ("history file",),
    "source lines quoted in tracebacks": ("linecache",),
    "messages to browsers: the cell's echo, outputs, errors": ("messages",),
    "a kernel's log at DEBUG": ("kernel's own output at DEBUG",),
    "your own variables": ("variables",),
}


def test_the_table_in_the_docs_is_what_is_measured(tmp_path, demo):
    kernel, planted = SearchedKernel(tmp_path), Planted()
    at = demo.sign_in("grace@example.com")["access_token"]
    rt = refresh_token("version 1", at)
    planted.add("cell", access_token=at, refresh_token=rt)

    def there(kind: str, since: int) -> dict[str, bool]:
        """Whether a token is in each row's places; of messages, those that came since then."""
        kernel.remember("now")
        variables = kernel.outside / "variables.txt"
        kernel.run(f"open({str(variables)!r}, 'w').write(zq + xv)", silent=True)
        found = dict.fromkeys(TABLE, False)
        messages = b"\n".join(kernel.session.received[since:])
        places = [*kernel.places(), ("messages", messages), ("variables", variables.read_text())]
        for place, data in places:
            hit = any(needle[1] == kind for needle in planted.find(data))
            for row, names in TABLE.items():
                found[row] |= hit and place in names
        return found

    try:
        kernel.run("%load_ext supabase_nb")
        kernel.run(f"%supabase_connect {demo.url} --key {demo.anon_key}")
        since = len(kernel.session.received)
        kernel.run(f'zq = "{at}"; xv = "{rt}"\nprint(zq, xv)')
        before = [there(kind, since) for kind in ("access token", "refresh token")]
        kernel.run("%supabase_set_session zq xv")
        since = len(kernel.session.received)
        kernel.run(f'zq = "{at}"; xv = "{rt}"\nprint(zq, xv)\nraise ValueError(xv)')
        after = [there(kind, since) for kind in ("access token", "refresh token")]
    finally:
        kernel.stop()
    docs = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    for row in TABLE:
        early = ["visible" if found[row] else "masked" for found in before]
        late = "visible" if any(found[row] for found in after) else "masked"
        late += " from then on" if "messages" in row else ""
        assert f"| {row} | {early[0]} | {early[1]} | {late} |" in docs
