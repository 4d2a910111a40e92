"""All rows of a table as a DataFrame, against a loop of `range()` through postgrest: time and memory."""

from __future__ import annotations

import json
import subprocess
import sys

from measure import Row, environment

#: Seconds that an answer is on its way, there and back: a server on the same continent.
DELAY = 0.03
SERVER = """
import asyncio, socket, sys
from urllib.parse import parse_qsl
import uvicorn
from supabase_nb.demo._project.postgrest import Database
from supabase_nb.demo._project.seeds import READINGS, readings
database = Database()
database.create(READINGS, readings("3d21f9ee-d85e-5a10-bda2-dff7da80567a", int(sys.argv[1])))
async def app(scope, receive, send):
    headers = {name.decode(): text.decode() for name, text in scope["headers"]}
    name, query = scope["path"].rpartition("/")[2], parse_qsl(scope["query_string"].decode())
    status, sent, body = database.answer(scope["method"], name, query, headers, "*")
    await asyncio.sleep(float(sys.argv[2]))
    sent = [(name.encode(), text.encode()) for name, text in {**sent, "content-length": str(len(body))}.items()]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named: no Nagle
listener.bind(("127.0.0.1", 0)), listener.listen()
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False)
uvicorn.Server(config).run(sockets=[listener])
"""
MEASURED = """
import json, resource, sys, time
import httpx, pandas as pd, pyarrow
from postgrest import SyncPostgrestClient
from supabase_nb import Client, MemoryStorage
url = "http://127.0.0.1:" + sys.argv[1]
supabase = Client(url, "sb_publishable_bench", storage=MemoryStorage())
postgrest = SyncPostgrestClient(url + "/rest/v1", headers={}, http_client=httpx.Client())
def ours(most):
    table = supabase.table("readings").select("*")
    return supabase.frame(table.limit(most) if most else table, progress=False)
def theirs(most):
    rows, page = [], [None]
    while page and len(rows) != most:
        table = postgrest.from_("readings").select("*").order("id")
        page = table.range(len(rows), len(rows) + 999).execute().data
        rows += page
    return pd.DataFrame(rows)
read = {"ours": ours, "theirs": theirs}[sys.argv[2]]
read(2000)  # connected, and all modules imported
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
made = read(None)
took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert made["id"].tolist() == list(range(1, int(sys.argv[3]) + 1))
print(json.dumps([took, after - before]))
"""


def rows(quick: bool) -> list[Row]:
    return [row for count in ((5_000,) if quick else (25_000, 250_000)) for row in _rows(count, quick)]


def _rows(count: int, quick: bool) -> list[Row]:
    command = [sys.executable, "-c", SERVER, str(count), str(DELAY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as server:
        try:
            port = (server.stdout or sys.stdin).readline().strip()
            found = [
                [_once(port, who, count) for who in ("ours", "theirs")] for _ in range(2 if quick else 5)
            ]
        finally:
            server.kill()
    note = f"each response {DELAY * 1000:.0f} ms away; on the embedded auth server"
    made = []
    for place, (what, goal) in enumerate((("time", 0.33), ("peak memory", 0.5))):
        ratios = [ours[place] / theirs[place] for ours, theirs in found]
        what = f"`supabase.frame` of {count:,} rows: {what}"
        made.append(Row.of_ratios(what, "a loop of `range()`, then `pd.DataFrame`", ratios, goal, note))
    return made


def _once(port: str, who: str, count: int) -> list[float]:
    command = [sys.executable, "-c", MEASURED, port, who, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, env=environment())
    return list(json.loads(done.stdout))
