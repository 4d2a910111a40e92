"""`make demo` in a terminal: a link to the notebook, copies to work on, and nothing left running."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pexpect = pytest.importorskip("pexpect")


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGHUP"])
def test_it_opens_a_copy_of_the_quickstart_and_stops_completely(tmp_path: Path, how: str) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")},
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
    }
    terminal = pexpect.spawn(
        sys.executable,
        [str(ROOT / "tools" / "demo.py"), "lab"],
        env=environment,
        encoding="utf-8",
        timeout=120,
    )
    terminal.expect(r"Open the quickstart:\s+(http://\S+)/lab/tree/quickstart\.ipynb\?token=(\S+)")
    server, token = terminal.match.groups()
    terminal.expect(r"copies of the notebooks, in (\S+)\.\s+Press Ctrl-C to stop")
    copy = Path(terminal.match.group(1)) / "quickstart.ipynb"
    assert copy.read_bytes() == (ROOT / "notebooks" / "quickstart.ipynb").read_bytes()
    with urllib.request.urlopen(f"{server}/api/contents/quickstart.ipynb?content=0&token={token}") as answer:
        assert json.load(answer)["type"] == "notebook"

    if how == "Ctrl-C":
        terminal.sendintr()
    else:
        terminal.kill(getattr(signal, how))
    terminal.expect(pexpect.EOF)
    assert "Stopping" in terminal.before
    terminal.close()
    assert terminal.exitstatus == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(server)
    assert copy.exists()
    assert list(tmp_path.glob("supabase-nb-demo-*")) == []
