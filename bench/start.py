"""How fast it starts: `%load_ext` in a kernel, a restored session in a fresh process."""

from __future__ import annotations

import json
import tempfile
from typing import Any

from jupyter_client.manager import run_kernel
from measure import Row, cpu_of_process, environment, in_turn

from supabase_nb.demo.testing import running_server

OURS = """
import sys
from supabase_nb import Client, FileStorage
url, key, access_token, refresh_token, folder = sys.argv[1:]
supabase = Client(url, key, storage=FileStorage(folder))
supabase.auth.set_session(access_token, refresh_token)
assert supabase.auth.session.user.email
"""
THEIRS = """
import sys
from supabase_auth import SyncGoTrueClient
url, key, access_token, refresh_token, folder = sys.argv[1:]
auth = SyncGoTrueClient(url=url + "/auth/v1", headers={"apikey": key})
assert auth.set_session(access_token, refresh_token).session.user.email
auth.close()
"""
FLOOR = """
import sys, httpx
url, key, access_token, refresh_token, folder = sys.argv[1:]
headers = {"apikey": key, "Authorization": "Bearer " + access_token}
assert httpx.Client().get(url + "/auth/v1/user", headers=headers).json()["email"]
"""

# Each in a fork of one and the same running kernel, so that neither finds what the other has imported.
IN_KERNEL = """
import json, os, signal, time
def cpu_of(statement):
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(60)
            began = time.process_time()
            statement()
            os.write(into, str(time.process_time() - began).encode())
        finally:
            os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    with os.fdopen(out) as answer:
        return float(answer.read())
def ours():
    get_ipython().run_line_magic("load_ext", "supabase_nb")
def theirs():
    import supabase
found = []
for number in range({rounds} + 1):
    pair = [(ours, theirs), (theirs, ours)][number % 2]
    taken = {{each.__name__: cpu_of(each) for each in pair}}
    found.append((taken["ours"], taken["theirs"]))
print(json.dumps(found[1:]))
"""


def rows(quick: bool) -> list[Row]:
    return [_load_ext(3 if quick else 15), *_fresh_process(3 if quick else 21)]


def _load_ext(rounds: int) -> Row:
    printed = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    with tempfile.TemporaryDirectory() as home:
        own = {"HOME": home, "IPYTHONDIR": home, "JUPYTER_RUNTIME_DIR": home}
        with run_kernel(startup_timeout=float("inf"), cwd=home, env={**environment(), **own}) as kernel:
            reply = kernel.execute_interactive(IN_KERNEL.format(rounds=rounds), output_hook=hear)
            assert reply["content"]["status"] == "ok", reply["content"]
    return Row.of_ratios(
        "`%load_ext supabase_nb` in a running kernel",
        "`import supabase` in it",
        [ours / theirs for ours, theirs in json.loads("".join(printed))],
        0.10,
        "each in a fork of one running kernel, so that neither uses modules that the other imported",
    )


def _fresh_process(rounds: int) -> list[Row]:
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        wire = server.sign_in()
        arguments = (server.url, server.anon_key, wire["access_token"], wire["refresh_token"], folder)
        programs = [cpu_of_process("-c", code, *arguments) for code in (OURS, THEIRS, FLOOR)]
        found = in_turn(rounds, *programs)
    return [
        Row.of_ratios(
            "new process until the session is restored (import, connect, `set_session`)",
            "the same with supabase_auth",
            [ours / theirs for ours, theirs, _ in found],
            0.65,
            "the whole process, including Python's start, on the embedded auth server. supabase-nb also saves the session to a file",
        ),
        Row.of_ratios(
            "the same process",
            "a bare `httpx` client that sends the same request",
            [ours / floor for ours, _, floor in found],
            1.30,
            "as above",
        ),
    ]
