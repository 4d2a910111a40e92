"""A kernel of our own to measure in."""

from __future__ import annotations

import tempfile
from typing import Any

from jupyter_client import BlockingKernelClient, KernelManager
from measure import environment


class Kernel:
    """A kernel in an empty folder, for as long as the block runs."""

    def __enter__(self) -> Kernel:
        self._folder = tempfile.TemporaryDirectory()
        home = self._folder.name
        self._manager = KernelManager()
        settings = {"HOME": home, "IPYTHONDIR": home, "JUPYTER_RUNTIME_DIR": home}
        self._manager.start_kernel(cwd=home, env={**environment(), **settings})
        self._client: BlockingKernelClient = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._folder.cleanup()

    def run(self, code: str, timeout: float = 300) -> str:
        """Run a cell; gives what it printed.

        Raises:
            RuntimeError: It failed.
        """
        printed: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])

        reply = self._client.execute_interactive(code, timeout=timeout, output_hook=hear, allow_stdin=False)
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"]["traceback"]))
        return "".join(printed)
