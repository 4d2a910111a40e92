"""A kernel whose messages, records and files can all be searched."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jupyter_client import BlockingKernelClient, KernelManager
from jupyter_client.session import Session
from planted import below, processes

import supabase_nb

HERE = Path(__file__).parent


class _RecordingSession(Session):
    """Keeps the bytes of every message that comes from the kernel."""

    received: list[bytes]

    def deserialize(self, msg_list: Any, *args: Any, **more: Any) -> Any:
        self.received.append(b"\n".join(bytes(frame) for frame in msg_list))
        return super().deserialize(msg_list, *args, **more)


def own_environment(home: Path) -> dict[str, str]:
    """The environment of a process whose files are all below one folder."""
    for name in ("tmp", "sessions"):
        (home / name).mkdir(parents=True, mode=0o700, exist_ok=True)
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "SUPABASE", "IPYTHON", "XDG"))
    }
    return kept | {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "jupyter-config"),
        "JUPYTER_DATA_DIR": str(home / "jupyter-data"),
        "JUPYTER_RUNTIME_DIR": str(home / "jupyter-runtime"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "SUPABASE_NB_SESSIONS": str(home / "sessions"),
        "PYTHONPATH": os.pathsep.join([str(HERE), str(Path(supabase_nb.__file__).parents[1])]),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONFAULTHANDLER": "1",
    }


class SearchedKernel:
    """An ipykernel at DEBUG that a person works in.

    Args:
        folder: For all of its files.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.outside = folder / "outside"  # what the person keeps for themselves: not searched
        self.outside.mkdir(parents=True)
        self.environment = own_environment(self.home)
        self.session = _RecordingSession()
        self.session.received = []
        self.said: list[dict[str, Any]] = []
        self.answers: list[str] = []
        self.dumps: dict[str, dict[str, str]] = {}
        self.start()

    # -- living -------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.manager = KernelManager()
        self.manager.kernel_spec.argv = [
            sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--debug",
            "--log-level=10",
        ]  # fmt: skip
        self.output = (self.outside / "kernel.log").open("ab")
        self.manager.start_kernel(
            env=self.environment, cwd=str(self.home), stdout=self.output, stderr=self.output
        )
        self.client = BlockingKernelClient(session=self.session, parent=self.manager)
        self.client.load_connection_info(self.manager.get_connection_info())
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        log = self.outside / "loggers.log"
        self.run(f"import kernel_probe; kernel_probe.log_all({str(log)!r})", silent=True)

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.output.close()

    @property
    def pid(self) -> int:
        pid = self.manager.provisioner.pid
        assert pid is not None
        return int(pid)

    # -- working ------------------------------------------------------------------------------------------

    def run(self, code: str, *, silent: bool = False, answers: list[str] | None = None) -> dict[str, Any]:
        """Run a cell; gives the reply. `answers` are typed into the prompts that it opens."""
        self.answers = list(answers or [])
        content = {
            "code": code, "silent": silent, "store_history": not silent, "user_expressions": {},
            "allow_stdin": answers is not None, "stop_on_error": False,
        }  # fmt: skip
        message = self.client.session.msg("execute_request", content)
        message["metadata"] = {"cellId": "a-cell"}
        return self._ask(message)

    def ask(self, kind: str, **content: Any) -> dict[str, Any]:
        """Send a request of another kind on the shell channel."""
        return self._ask(self.client.session.msg(kind, content))

    def send(self, comm_id: str, content: Any) -> None:
        """Send a widget's custom message, as its JavaScript does with `model.send`."""
        data = {"method": "custom", "content": content}
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self.client.shell_channel.send(message)
        self._until(lambda: self._idle(message["header"]["msg_id"]))

    def widget(self, named: Callable[[dict[str, Any]], bool]) -> str:
        """The id of the newest widget whose state is like this."""
        for message in reversed(self.said):
            if message["msg_type"] == "comm_open" and named(message["content"]["data"].get("state", {})):
                return str(message["content"]["comm_id"])
        raise LookupError("no such widget")

    def state(self, comm_id: str) -> dict[str, Any]:
        """What a widget's synced traits are now."""
        state: dict[str, Any] = {}
        for message in self.said:
            content = message["content"]
            if message["msg_type"] in ("comm_open", "comm_msg") and content["comm_id"] == comm_id:
                state |= content["data"].get("state", {})
        return state

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Read what the kernel says until a condition holds."""
        self._until(condition)

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        asked = message["header"]["msg_id"]
        self.client.shell_channel.send(message)
        replies: list[dict[str, Any]] = []

        def done() -> bool:
            replies.extend(r for r in self._replies() if r["parent_header"].get("msg_id") == asked)
            return bool(replies) and self._idle(asked)

        self._until(done)
        return dict(replies[0]["content"])

    def _idle(self, asked: str) -> bool:
        return any(
            message["msg_type"] == "status"
            and message["content"]["execution_state"] == "idle"
            and message["parent_header"].get("msg_id") == asked
            for message in reversed(self.said)
        )

    def _replies(self) -> Iterator[dict[str, Any]]:
        while self.client.shell_channel.msg_ready():
            yield self.client.get_shell_msg(timeout=1)

    def _until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the kernel did not answer in time"
            if self.client.stdin_channel.msg_ready():
                self.client.get_stdin_msg(timeout=1)
                self.client.input(self.answers.pop(0))
            if self.client.iopub_channel.socket.poll(50):
                self.said.append(self.client.get_iopub_msg(timeout=1))

    # -- searching ----------------------------------------------------------------------------------------

    def remember(self, method: str) -> None:
        """Let the kernel write down what it remembers now."""
        path = self.outside / "probe.json"
        reply = self.run(f"kernel_probe.dump({str(path)!r})", silent=True)
        assert reply["status"] == "ok", (reply.get("ename"), reply.get("evalue"))
        self.dumps[method] = json.loads(path.read_text())

    def places(self) -> Iterator[tuple[str, bytes | str]]:
        """All places to search, by name."""
        yield "messages from the kernel", b"\n".join(self.session.received)
        for method in self.dumps:
            yield from self.dumps[method].items()
        for path in (self.home / "ipython").rglob("history.sqlite*"):
            yield "history file", path.read_bytes()
        yield "kernel's own output at DEBUG", (self.outside / "kernel.log").read_bytes()
        yield "loggers at DEBUG", (self.outside / "loggers.log").read_bytes()
        yield from processes(self.pid)
        for _, data in below(self.home, but=self.home / "sessions"):
            yield "other files", data
