"""Serves a demo project with uvicorn, in this process or in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h11
import uvicorn
from filelock import FileLock, Timeout
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..._secrets import private_files
from .._project.options import Options
from .._project.project import Project
from ..server_handle import DemoServer, DemoServerError
from ..server_process import STATE_FILE
from .app import build

#: What the names of the server's own files start with. A folder that contains others keeps its mode.
_FILES = (
    "demo.sqlite",
    "keys.json",
    "serve.lock",
    "server.json",
    "server.log",
    "start.lock",
    ".supabase-nb-",
)


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, which disconnects clients that don't finish a request's headers in time."""

    patience = 10.0

    def connection_made(self, transport: Any) -> None:
        """Start the timer."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.patience, self._cut_off)

    def data_received(self, data: bytes) -> None:
        """Restart the timer after each complete request."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._deadline.cancel()
        elif self._deadline.cancelled():
            self._deadline = self.loop.call_later(self.patience, self._cut_off)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._deadline.cancel()
        super().connection_lost(exc)

    def _cut_off(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server, which reports when it listens, and stops after a long time without requests."""

    def __init__(self, project: Project, ready: Callable[[], None], gone: Callable[[], None]) -> None:
        patience = type("Protocol", (PatientProtocol,), {"patience": project.options.body_timeout})
        super().__init__(
            uvicorn.Config(
                build(project),
                http=patience,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,  # the gate adds it, by the server's own clock
                timeout_keep_alive=75,
                timeout_graceful_shutdown=2,
            )
        )
        self._project, self._ready, self._gone = project, ready, gone
        project.stop = self.stop

    def stop(self) -> None:
        """Stop soon. Can be called in any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then call `ready`."""
        await super().startup(sockets)
        self._idle = asyncio.get_running_loop().create_task(self._end_when_idle())
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down, then call `gone`. uvicorn may then end the process with its signal."""
        await super().shutdown(sockets)
        self._gone()

    async def _end_when_idle(self) -> None:
        limit = self._project.options.idle_timeout
        while limit:
            quiet = time.monotonic() - self._project.last_request
            if quiet >= limit:
                logging.getLogger("supabase_nb.demo").info("no request for %d s: stopping", limit)
                self.stop()
                return
            await asyncio.sleep(limit - quiet)


def listen(options: Options, last_port: int) -> socket.socket:
    """A socket on 127.0.0.1, on the requested port, or else on the previous one if it is free, or on any.

    Raises:
        DemoServerError: The requested port is in use.
    """
    for port in [options.port] if options.port else [last_port, 0]:
        # With an explicit protocol, asyncio turns off Nagle's algorithm. Otherwise each response takes 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name == "posix":  # elsewhere this would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError:
            listener.close()
            continue
        return listener
    raise DemoServerError(f"port {options.port} on 127.0.0.1 is in use: choose another, or 0 for a free one")


def serve(options: Options, state_dir: Path, ready: Callable[[DemoServer, Callable[[], None]], None]) -> None:
    """Serve until stopped.

    Args:
        options: The settings.
        state_dir: The state folder. It is created if needed, with access only for its owner.
        ready: Called when the server listens, with the server and a function that stops it.

    Raises:
        DemoServerError: Another server uses the folder, a file in it is damaged, or the port is in use.
    """
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if all(name.startswith(_FILES) for name in os.listdir(state_dir)):
        state_dir.chmod(0o700)  # in any case, the files with secrets have mode 0600
    lock = FileLock(state_dir / "serve.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DemoServerError(
            f"another server uses {state_dir}: stop it with supabase-nb stop, or choose another folder "
            "(--state)"
        ) from None
    with contextlib.ExitStack() as stack:
        stack.callback(lock.release)
        project = _open(options, state_dir)
        stack.callback(project.close)
        listener = stack.enter_context(listen(options, project.keys.port))
        port = listener.getsockname()[1]
        project.keys.save(port=port)
        project.url = f"http://127.0.0.1:{port}"
        server = DemoServer(
            url=project.url,
            auth_url=f"{project.url}/auth/v1",
            anon_key=project.keys.anon_key,
            service_key=project.keys.service_key,
            pid=os.getpid(),
            port=port,
            state_dir=state_dir,
            instance=project.instance,
            options=options.public(),
        )

        state_file = state_dir / STATE_FILE

        def announce() -> None:
            private_files.replace(state_file, json.dumps(server.to_state()).encode())
            ready(server, uvicorn_server.stop)

        uvicorn_server = Server(project, announce, lambda: state_file.unlink(missing_ok=True))
        uvicorn_server.run(sockets=[listener])


def _open(options: Options, state_dir: Path) -> Project:
    try:
        return Project(options, state_dir)
    except sqlite3.DatabaseError as error:
        raise DemoServerError(
            f"{state_dir / 'demo.sqlite'} can't be used: {error}. Restore it, or move it away to start with "
            "new users."
        ) from None
