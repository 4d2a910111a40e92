"""Starts, finds and stops the embedded auth server, whose process outlives the one that starts it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from .._runtime.environment import IN_BROWSER
from ._project.options import SECRET_VARIABLE, Options, absolute_state_dir
from .server_handle import DemoServer, DemoServerError

STATE_FILE = "server.json"
LOG_FILE = "server.log"
INSTALL = 'pip install "supabase-nb[demo]"'
_NEEDED = ("argon2", "segno", "starlette", "uvicorn")


def check_installed() -> None:
    """Check that the extra ``demo`` is installed.

    Raises:
        DemoServerError: It isn't.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoServerError(f"the embedded server needs {', '.join(missing)}: {INSTALL}")


def find_server(state_dir: Path | None = None) -> DemoServer | None:
    """The server of this state folder, if it is running.

    Args:
        state_dir: Default: ``$SUPABASE_NB_DEMO_STATE``, or ``demo`` in the user's data folder.
    """
    if IN_BROWSER:
        from ._server import pyodide_server

        return pyodide_server.find()
    folder = absolute_state_dir(state_dir)
    try:
        state = json.loads((folder / STATE_FILE).read_text("utf-8"))
        server = DemoServer(**state, auth_url=f"{state['url']}/auth/v1", state_dir=folder)
        alive = server.request("GET", "/demo/instance", timeout=5)
    except (OSError, ValueError, TypeError, KeyError, DemoServerError):
        return None
    # Another server may have taken the port of a killed one.
    return server if alive == {"instance": server.instance} else None


def ensure_server(
    state_dir: Path | None = None,
    *,
    access_token_lifetime: int | None = None,
    reuse_interval: int | None = None,
    timeout: float = 20,
    **options: Any,
) -> DemoServer:
    """Find the server of this state folder, or start it. Concurrent callers get the same server.

    In a browser, the only server runs in the kernel itself.

    A running server with other options is restarted with these, and keeps its state.

    Args:
        state_dir: Default: ``$SUPABASE_NB_DEMO_STATE``, or ``demo`` in the user's data folder.
        access_token_lifetime: Seconds; default 3600.
        reuse_interval: Seconds that a used refresh token is still accepted; default 10.
        timeout: Seconds to wait for the server to start.
        **options: Other fields of `Options`.

    Raises:
        DemoServerError: It didn't start: the extra is missing, the port is in use, or the folder can't be
            used.
        TypeError: An unknown option.
    """
    given = {"access_token_lifetime": access_token_lifetime, "reuse_interval": reuse_interval, **options}
    wanted = {name: value for name, value in given.items() if value is not None}
    if IN_BROWSER:
        from ._server import pyodide_server

        return pyodide_server.ensure(wanted)
    from filelock import FileLock, Timeout

    check_installed()
    chosen = Options(**wanted)
    folder = absolute_state_dir(state_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / "start.lock", timeout=timeout):
            server = find_server(folder)
            if server is not None:
                if "jwt_secret" not in wanted and wanted.items() <= server.options.items():
                    return server
                stop_server(folder)
            return _start(folder, chosen, timeout)
    except Timeout:
        raise DemoServerError(f"another process is still starting a server in {folder}") from None
    except OSError as error:
        raise DemoServerError(f"the state folder {folder} can't be used: {error}") from error


def _start(folder: Path, options: Options, timeout: float) -> DemoServer:
    command = [
        sys.executable,
        "-m",
        "supabase_nb",
        "serve",
        "--foreground",
        "--announce",
        "--state",
        str(folder),
    ]
    command += options.arguments()
    environment = {**os.environ, **({SECRET_VARIABLE: options.jwt_secret} if options.jwt_secret else {})}
    descriptor = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=environment,
            start_new_session=True,  # a Ctrl-C in the kernel's terminal must not stop it
        )
    said: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def watch() -> None:
        # In a thread, because not every system can wait for a pipe with a timeout. The thread stays to reap
        # the child.
        assert process.stdout is not None
        with process.stdout as out:
            said.put(out.readline())
        process.wait()

    threading.Thread(target=watch, name="supabase-nb-demo", daemon=True).start()
    with contextlib.suppress(queue.Empty):
        if said.get(timeout=timeout).strip() == b"ready" and (server := find_server(folder)):
            return server
    process.kill()
    tail = (folder / LOG_FILE).read_text("utf-8", "replace").strip().splitlines()[-1:]
    reason = " ".join(tail).removeprefix("supabase-nb: ")
    raise DemoServerError(f"the demo server didn't start: {reason or 'no response in time'}")


def stop_server(state_dir: Path | None = None) -> bool:
    """Stop the server of this state folder. Its state is kept.

    Returns:
        Whether it was running.

    Raises:
        DemoServerError: It doesn't stop.
    """
    if IN_BROWSER:
        from ._server import pyodide_server

        return pyodide_server.stop()
    from filelock import FileLock, Timeout

    folder = absolute_state_dir(state_dir)
    server = find_server(folder)
    if server is None:
        return False
    with contextlib.suppress(DemoServerError):
        server.request("POST", "/demo/stop", token=server.service_key)
    try:
        # A server holds this lock while it is running.
        with FileLock(folder / "serve.lock", timeout=10):
            return True
    except Timeout:
        raise DemoServerError(f"the demo server doesn't stop; end its process ({server.pid})") from None
