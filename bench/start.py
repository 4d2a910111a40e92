"""How fast it starts: `%load_ext` in a kernel, a restored session in a fresh process."""

from __future__ import annotations

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

IN_KERNEL = """
import time
began = time.process_time()
get_ipython().run_line_magic("load_ext", "supabase_nb")
ours = time.process_time()
import supabase
print(ours - began, time.process_time() - ours)
"""


def rows(quick: bool) -> list[Row]:
    return [_load_ext(3 if quick else 15), *_fresh_process(3 if quick else 21)]


def _load_ext(rounds: int) -> Row:
    printed = []

    def on_output(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as home:
            own = {"HOME": home, "IPYTHONDIR": home, "JUPYTER_RUNTIME_DIR": home}
            with run_kernel(startup_timeout=float("inf"), cwd=home, env={**environment(), **own}) as kernel:
                reply = kernel.execute_interactive(IN_KERNEL, output_hook=on_output)
                assert reply["content"]["status"] == "ok", reply["content"]
    found = [[float(number) for number in text.split()] for text in printed if text.strip()]
    return Row.of_ratios(
        "`%load_ext supabase_nb` in a running kernel",
        "`import supabase` in it",
        [ours / theirs for ours, theirs in found],
        0.10,
        "each round in a new kernel, first ours, which loads no module that supabase needs",
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
