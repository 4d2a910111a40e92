"""A kernel: a process with one client, which is controlled through a pipe, and can be killed or stopped."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import supabase_nb
from supabase_nb import AuthClient, FileStorage
from supabase_nb.models import Session

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["httpx", "filelock", "supabase_nb.auth", "faults.kernel_process"])

#: Where a kernel can be killed on the way from the request to the last subscriber, in this order.
KILL_POINTS = (
    "before the request",
    "with the answer",
    "before saving",
    "before replacing",
    "after replacing",
    "before the traits",
    "before the events",
)


class KernelProcess:
    """The parent's end."""

    def __init__(self, url: str, folder: Path, **options: Any) -> None:
        self._pipe, theirs = _context.Pipe()
        self.process = _context.Process(target=_main, args=(theirs, url, str(folder), options), daemon=True)
        self.process.start()
        theirs.close()

    def begin(self, command: str, *arguments: Any) -> None:
        """Tell it what to do; `result` has what came of it."""
        self._pipe.send((command, arguments))

    def result(self, timeout: float = 60.0) -> Any:
        if not self._pipe.poll(timeout):
            raise TimeoutError("the kernel does not answer")
        kind, value = self._pipe.recv()
        if kind == "error":
            raise KernelError(value)
        return value

    def do(self, command: str, *arguments: Any) -> Any:
        self.begin(command, *arguments)
        return self.result()

    def send_signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self, timeout: float = 30.0) -> int | None:
        """Wait for its end. Returns how it ended: ``-9`` by SIGKILL."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, "the kernel lives"
        return self.process.exitcode

    def __enter__(self) -> KernelProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._pipe.close()


class KernelError(Exception):
    """What a client in a kernel raised: the name of its type, its code, its text."""

    def __init__(self, what: tuple[str, str | None, str]) -> None:
        super().__init__(*what)
        self.kind, self.code, self.text = what


# -- the child's end ----------------------------------------------------------------------------------------


def _main(pipe: Connection, url: str, folder: str, options: dict[str, Any]) -> None:
    kernel = _Kernel(AuthClient(url, storage=FileStorage(folder), **options))
    while True:
        try:
            command, arguments = pipe.recv()
        except EOFError:
            return
        try:
            outcome = ("ok", getattr(kernel, command)(*arguments))
        except supabase_nb.AuthError as error:
            outcome = ("error", (type(error).__name__, error.code, str(error)))
        pipe.send(outcome)


class _Kernel:
    def __init__(self, auth: AuthClient) -> None:
        self.auth = auth
        self.seen: list[tuple[str, str | None]] = []

    def pid(self) -> int:
        return os.getpid()

    def status(self) -> str:
        return str(self.auth.status)

    def events(self) -> list[tuple[str, str]]:
        return [(str(event.kind), event.cause) for event in self.auth.events]

    def set_session(self, access_token: str, refresh_token: str) -> Any:
        return _wire(self.auth.set_session(access_token, refresh_token).session)

    def get_session(self) -> Any:
        return _wire(self.auth.get_session())

    def held_session(self) -> Any:
        """Without asking: as a badge shows it."""
        return _wire(self.auth.session)

    def refresh_session(self) -> Any:
        return _wire(self.auth.refresh_session().session)

    def sign_out(self, scope: str) -> None:
        self.auth.sign_out(scope)

    def renew_at(self, moment: float, threads: int, seen: str) -> list[str]:
        """So many threads ask at the same moment for another token than `seen`. Returns what they got."""
        found: list[str] = []

        def ask() -> None:
            time.sleep(max(moment - time.time(), 0.0))
            token = supabase_nb._secrets.tokens.Secret(seen)
            refresh = self.auth._manager.refresher.refresh
            found.append(self.auth._run(lambda: refresh(token)).access_token)

        workers = [threading.Thread(target=ask) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return found

    def use_for(self, seconds: float, pause: float) -> tuple[int, int]:
        """Get the session and verify it, again and again. Returns the number of calls and of failures."""
        asked = refused = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            session = self.auth.get_session()
            asked += 1
            try:
                self.auth.get_user(session.access_token if session else "")
            except supabase_nb.AuthError:
                refused += 1
            time.sleep(pause)
        return asked, refused

    def refresh_without_end(self) -> None:
        while True:
            self.auth.refresh_session()

    def kill_at(self, point: str) -> None:
        """SIGKILL at this point of the next change."""
        manager = self.auth._manager
        changes = manager.changes
        where: dict[str, tuple[Any, str, bool]] = {
            "before the request": (manager.api, "_send", True),
            "with the answer": (manager.api, "_send", False),
            "before saving": (manager.store.storage, "set", True),
            "before replacing": (os, "replace", True),
            "after replacing": (os, "replace", False),
            "before the traits": (changes, "_set_traits", True),
        }
        if point == "before the events":
            self.auth.on_auth_state_change(lambda event, _: event != "INITIAL_SESSION" and _die())
        else:
            _die_around(*where[point])


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_around(owner: Any, name: str, before: bool) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        if before:
            _die()
        original(*arguments, **named)
        _die()

    async def call_async(*arguments: Any, **named: Any) -> Any:
        if before:
            _die()
        await original(*arguments, **named)
        _die()

    setattr(owner, name, call_async if inspect.iscoroutinefunction(original) else call)


def _wire(session: Session | None) -> dict[str, Any] | None:
    return None if session is None else session.to_wire()
