"""Every way in, in a real kernel: afterwards no token is anywhere that others could see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from planted import Planted, table
from searched_kernel import SearchedKernel
from ways_in import ENTRIES, WAYS, Way, filled

from supabase_nb.demo import DemoServer
from supabase_nb.demo.process import LOG_FILE, ensure_server, stop_server

PASSWORD = "planted correct horse"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The embedded server as a process of its own, with its log."""
    folder = tmp_path_factory.mktemp("demo")
    yield ensure_server(folder)
    stop_server(folder)


def tokens(server: DemoServer, kind: str) -> tuple[str, str]:
    """The tokens of a new session."""
    wire = server.sign_in("grace@example.com")
    at, rt = wire["access_token"], wire["refresh_token"]
    if kind == "revoked":
        server.request("POST", "/auth/v1/logout?scope=local", token=at)
    if kind == "mixed":
        server.expire("grace@example.com")
        rt = server.sign_in("alan@example.com")["refresh_token"]
    if kind == "damaged":
        at = at[:-3] + "ü" + at[-3:]
    if kind == "expired":
        server.expire("grace@example.com")
    return at, rt


class Run:
    """All the ways, one after the other, in one kernel."""

    def __init__(self, folder: Path, server: DemoServer) -> None:
        self.server = server
        self.planted = Planted()
        self.replies: dict[str, str] = {}
        self.kernel = SearchedKernel(folder)
        self.sessions = self.kernel.home / "sessions"
        self.kernel.run("%load_ext supabase_nb")
        self.kernel.run(f"%supabase_connect {server.url} --key {server.anon_key}")

    def plant(self, way: str, at: str, rt: str) -> None:
        access_token = at.replace("ü", "")
        self.planted.add(way, access_token=access_token, refresh_token=rt)

    def take(self, name: str, way: Way) -> None:
        at, rt = tokens(self.server, way.tokens)
        self.plant(name, at, rt)
        file = self.kernel.outside / "tokens.json"
        file.write_text(json.dumps([at, rt]))
        fill = {"at": at, "rt": rt, "file": file, "url": self.server.url}
        if way.before:
            self.kernel.run(way.before)
        if way.tokens == "outage":
            self.server.outage(30)
        answers = [filled(answer, **fill) for answer in way.answers] if way.answers else None
        reply = self.kernel.run(filled(way.cell, **fill), answers=answers)
        if way.tokens == "outage":
            self.server.outage(0)
        self.replies[name] = reply["status"]
        self.kernel.remember(name)
        self.planted.add_stored(name, self.sessions)
        if way.after:
            self.kernel.run(way.after)
        self.kernel.run("%xmode Context", silent=True)

    def enter(self, name: str, shape: str, kind: str = "valid") -> None:
        """By the form, as its JavaScript would."""
        at, rt = tokens(self.server, kind)
        self.plant(name, at, rt)
        kernel = self.kernel
        kernel.run("%supabase_set_session")
        form = kernel.widget(lambda state: state.get("kind") == "token_entry")
        fields = dict(zip(("access_token", "refresh_token"), ENTRIES[shape](at, rt), strict=True))
        kernel.send(form, {"type": "tokens", "id": name, **fields})

        def answers() -> list[dict[str, Any]]:
            sent = [m["content"]["data"] for m in kernel.said if m["msg_type"] == "comm_msg"]
            custom = [data["content"] for data in sent if data["method"] == "custom"]
            return [one for one in custom if one.get("type") == "answer" and one["id"] == name]

        kernel.wait_until(answers)
        answer = answers()[0]
        self.replies[name] = "ok" if answer["ok"] else "error"
        kernel.remember(name)
        self.planted.add_stored(name, self.sessions)

    def found(self):
        found = self.kernel.search(self.planted)
        log = (self.server.state_dir / LOG_FILE).read_bytes()
        for way, kind in self.planted.find(log):
            found.setdefault(("the auth server's log", way), set()).add((way, kind))
        return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory, demo):
    run = Run(tmp_path_factory.mktemp("kernel"), demo)
    try:
        for name, way in WAYS.items():
            run.take(name, way)
        for shape in ENTRIES:
            run.enter(f"form, {shape}", shape)
        run.enter("form, refused", "two fields", "revoked")
        run.leaks = run.found()
        yield run
    finally:
        run.kernel.stop()


@pytest.mark.parametrize("name", WAYS)
def test_a_way_does_what_it_is_to_do(name, ran):
    """Otherwise a way that never reached its end would count as clean."""
    assert ran.replies[name] == ("error" if WAYS[name].fails else "ok")


@pytest.mark.parametrize("name", [*WAYS, *(f"form, {shape}" for shape in ENTRIES), "form, refused"])
def test_no_token_is_anywhere(name, ran):
    leaks = {key: needles for key, needles in ran.leaks.items() if key[1] == name}
    assert not leaks, "\n" + table(leaks)
