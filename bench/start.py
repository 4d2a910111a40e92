"""How soon it is there: `%load_ext` in a kernel, a restored session in a fresh process."""

from __future__ import annotations

import json
import tempfile

from kernel import Kernel
from measure import CPU, Row, Spread, cpu_of_process, in_turn

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
    return [_load_ext(quick), *_fresh_process(quick)]


def _load_ext(quick: bool) -> Row:
    with Kernel() as kernel:
        found = json.loads(kernel.run(IN_KERNEL.format(rounds=1 if quick else 15)))
    ratio = Spread.of([ours / theirs for ours, theirs in found])
    return Row(
        "`%load_ext supabase_nb` in a running kernel",
        "`import supabase` in it",
        "<= 0.10",
        f"{ratio.median:.3f}",
        f"{ratio.low:.3f} to {ratio.high:.3f}",
        CPU,
        ratio.median <= 0.10,
        "each in a fork of one running kernel, so that neither finds what the other imported",
    )


def _fresh_process(quick: bool) -> list[Row]:
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        wire = server.sign_in()
        arguments = (server.url, server.anon_key, wire["access_token"], wire["refresh_token"], folder)
        programs = [cpu_of_process("-c", code, *arguments) for code in (OURS, THEIRS, FLOOR)]
        found = in_turn(1 if quick else 21, *programs)
    against_theirs = Spread.of([ours / theirs for ours, theirs, _ in found])
    against_floor = Spread.of([ours / floor for ours, _, floor in found])
    note = "CPU time of the whole process, the bare interpreter's start included in all of them"
    return [
        Row(
            "fresh process to a restored session (import, connect, `set_session`, embedded server)",
            "the same with supabase_auth",
            "<= 0.60",
            f"{against_theirs.median:.2f}",
            str(against_theirs),
            CPU,
            against_theirs.median <= 0.60,
            note + "; ours also saves the session to a file",
        ),
        Row(
            "the same process",
            "the floor: bare httpx import and one `GET /user`",
            "<= 1.25",
            f"{against_floor.median:.2f}",
            str(against_floor),
            CPU,
            against_floor.median <= 1.25,
            note,
        ),
    ]
