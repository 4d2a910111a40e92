"""What a type checker, and so the editor, says of the examples in README and docs: no error."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What the examples take for granted.
PRELUDE = """\
import asyncio
import os
from typing import Any
import httpx
import supabase_nb
from supabase_nb import *
from supabase_nb import Client, create_client
URL = url = key = code = at = rt = access_token = refresh_token = token = ""
from supabase_nb.notebook.client import NotebookClient
supabase: NotebookClient = NotebookClient(url, key)
days: Any = None
trips: Any = None
auth = supabase.auth
cluster: Any = None
response = supabase.auth.set_session(at, rt)
def show(*values: object) -> None: ...
"""
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def without_magics(code: str) -> str:
    return "\n".join(line for line in code.splitlines() if not re.match(r"\s*[%!?]", line))


def examples() -> dict[str, str]:
    found = {}
    for page in PAGES:
        for number, code in enumerate(CODE.findall(page.read_text("utf-8"))):
            found[f"{page.stem.replace('-', '_')}_{number}"] = without_magics(code)
    return found


#: What the editor shows of the values that people meet first.
SHOWN = {
    "supabase.auth.session": "Session | None",
    "supabase.auth.status": (
        "Literal['signed_out', 'restoring', 'active', 'refreshing', 'retrying', 'expired']"
    ),
    "supabase.auth.last_error": "AuthError | None",
    "supabase.auth.next_refresh_at": "float | None",
    "supabase.auth.notices": "tuple[str, ...]",
    "response.session.expires_at": "int",
    "response.session.user.email": "str | None",
    "supabase.auth.refresh_session().session.access_token": "str",
    "supabase.auth.get_session()": "Session | None",
    "supabase.auth.get_user().email": "str | None",
    "supabase.auth.get_user().user.email": "str | None",
    "supabase.auth.sign_in_with_password(email='a', password='b').session": "Session | None",
}


def pyright(node_modules: Path, folder: Path) -> list[dict[str, object]]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    (folder / "pyrightconfig.json").write_text(
        json.dumps(
            {"typeCheckingMode": "standard", "extraPaths": [str(ROOT)], "reportMissingImports": "warning"}
        )
    )
    done = subprocess.run(
        [
            node,
            str(node_modules / "pyright" / "index.js"),
            "--outputjson",
            "--pythonpath",
            sys.executable,
            "--project",
            str(folder),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    report: list[dict[str, object]] = json.loads(done.stdout)["generalDiagnostics"]
    return report


def test_the_examples_have_no_type_errors(node_modules: Path, tmp_path: Path) -> None:
    written = examples()
    assert len(written) > 10
    for name, code in written.items():
        body = "\n".join(f"    {line}" for line in code.splitlines())
        # In a function, so that examples may `await` at their top level, as in a notebook.
        (tmp_path / f"{name}.py").write_text(f"{PRELUDE}\nasync def example() -> Any:\n{body}\n    pass\n")
    errors = [
        f"{Path(str(found['file'])).stem}: {found['message']}"
        for found in pyright(node_modules, tmp_path)
        if found["severity"] == "error"
    ]
    assert not errors, "\n".join(errors)


def test_values_have_types(node_modules: Path, tmp_path: Path) -> None:
    lines = [f"reveal_type({expression})" for expression in SHOWN]
    (tmp_path / "shown.py").write_text(PRELUDE + "\n".join(lines) + "\n")
    said = [
        str(found["message"])
        for found in pyright(node_modules, tmp_path)
        if "Type of" in str(found["message"])
    ]
    types = [message.rpartition(" is ")[2].strip('"') for message in said]
    assert dict(zip(SHOWN, types, strict=True)) == SHOWN
