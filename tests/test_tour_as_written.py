"""The tour of the documentation: each block of code runs as written, also after the kernel is restarted."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import nbclient
import nbformat
import pytest

from supabase_nb.demo import stop_server

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[1] / "docs" / "tour.md").read_text("utf-8")
#: Section -> code of ours that shows whether the section's steps did what it says.
CHECKS = {
    # A session that was stored is restored first: the server confirms it a moment later.
    "Connect": """
import time
until = time.monotonic() + 30
while supabase.auth.status == "restoring" and time.monotonic() < until: time.sleep(0.05)
print(supabase.auth.status)
""",
    "Restore a session": "print(supabase.auth.status, supabase.auth.user.email, *supabase.auth.notices)",
    "Watch it refresh": """
import time
def wait_until(true):
    until = time.monotonic() + 60
    while not true() and time.monotonic() < until: time.sleep(0.05)
    return true()
before = supabase.auth.session.expires_at
print("refreshed:", wait_until(lambda: supabase.auth.session.expires_at > before))
""",
    # Half a minute is for readers.
    "Lose the network": """
print("retrying:", wait_until(lambda: supabase.auth.status == "retrying"))
demo.outage(0)
print("active again:", wait_until(lambda: supabase.auth.status == "active"))
""",
    "Sign out": "print(supabase.auth.status)",
}


def sections() -> dict[str, list[str]]:
    """Heading -> the section's blocks of Python."""
    parts = re.split(r"^## (.+)\n", PAGE, flags=re.MULTILINE)
    return {
        heading: re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def run(folder: Path, leave_out: str = "") -> dict[str, str]:
    """Run the tour in a new kernel: section -> what it shows as text."""
    cells = [
        nbformat.v4.new_code_cell(code, metadata={"section": heading})
        for heading, blocks in sections().items()
        if heading != leave_out
        for code in [*blocks, *([CHECKS[heading]] if heading in CHECKS else [])]
    ]
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(cells=cells),
        timeout=90,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    environment = os.environ | {
        "SUPABASE_NB_DEMO_STATE": str(folder / "demo"),
        "SUPABASE_NB_SESSIONS": str(folder / "sessions"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    asyncio.run(client.async_execute(env=environment))  # raises what a cell raised
    shown: dict[str, str] = {}
    for cell in client.nb.cells:
        text = "".join(
            output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs
        )
        shown[cell.metadata.section] = shown.get(cell.metadata.section, "") + text
    return shown


@pytest.mark.timeout(300)
def test_each_step_works_as_written(tmp_path: Path) -> None:
    assert sections().keys() >= CHECKS.keys()
    try:
        first = run(tmp_path, leave_out="Sign out")
        # "Restart the kernel and run all cells."
        second = run(tmp_path, leave_out="Lose the network")
    finally:
        stop_server(tmp_path / "demo")
    assert "signed_out" in first["Connect"]
    assert "active ada@example.com\n" in first["Restore a session"]
    assert "active" in second["Connect"]
    assert "active ada@example.com Resumed your saved session" in second["Restore a session"]
    for shown in (first, second):
        assert "refreshed: True" in shown["Watch it refresh"]
        assert all(town in shown["Query as the user"] for town in ("London", "Turin", "Geneva"))
        assert "Boston" not in shown["Query as the user"], "another user's"
    assert "retrying: True\nactive again: True" in first["Lose the network"]
    assert "signed_out" in second["Sign out"]


def test_the_pictures_are_there() -> None:
    pictures = re.findall(r"\]\((images/[\w.-]+)\)", PAGE)
    assert len(pictures) == 5
    for picture in pictures:
        assert (Path(__file__).parents[1] / "docs" / picture).is_file()
