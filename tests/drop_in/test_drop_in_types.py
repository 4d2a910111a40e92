"""Type checkers and editors understand the README's and the documentation's examples."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supabase_nb import AuthClient, Client

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a reader has before an example, from the magics or of their own.
BEFORE = """
from typing import Any

import distributed

import supabase as supabase_py
from supabase_nb.notebook.client_with_displays import NotebookClient

supabase = other = NotebookClient("https://abcd.supabase.co", "key")
at = rt = access_token = refresh_token = url = key = URL = code = ""
theirs = supabase_py.create_client(url, key)
cluster = distributed.Client()
days = ["2026-11-27"]


def trips() -> Any: ...


"""
# The types that an editor shows.
SHOWN = """
from typing import Literal

from typing_extensions import assert_type

from supabase_nb import (
    AuthError, AuthEvent, AuthOtpResponse, AuthResponse, ClaimsResponse, Session, SessionResponse, User,
    UserResponse, create_client,
)

from supabase_nb.models import AuthMFAEnrollResponse, AuthMFAListFactorsResponse, OAuthResponse

supabase = create_client(supabase_url="https://abcd.supabase.co", supabase_key="key")
auth = supabase.auth
Status = Literal["signed_out", "restoring", "active", "refreshing", "retrying", "expired"]
assert_type(auth.session, Session | None)
assert_type(auth.user, User | None)
assert_type(auth.status, Status)
assert_type(auth.last_event, AuthEvent | None)
assert_type(auth.last_error, AuthError | None)
assert_type(auth.next_refresh_at, float | None)
assert_type(auth.notices, tuple[str, ...])
if auth.session:
    assert_type(auth.session.expires_at, int)
assert_type(auth.set_session("at", "rt"), SessionResponse)
assert_type(auth.set_session({"access_token": "at", "refresh_token": "rt"}).session, Session)
assert_type(auth.set_session(auth.set_session("at", "rt")).session, Session)
assert_type(auth.set_session("at", "rt").session.user.email, str | None)
assert_type(auth.refresh_session().user, User)
assert_type(auth.sign_in_with_password({"email": "a", "password": "b"}).session, Session)
assert_type(auth.sign_up(email="a", password="b"), AuthResponse)
assert_type(auth.sign_in_with_otp(email="a"), AuthOtpResponse)
assert_type(auth.get_session(), Session | None)
assert_type(auth.get_user(), UserResponse)
assert_type(auth.get_user().user, User)
assert_type(auth.get_user().identities[0].provider, str)
assert_type(auth.get_claims(), ClaimsResponse)
assert_type(auth.sign_in_with_oauth({"provider": "github"}), OAuthResponse)
assert_type(auth.get_user_identities().identities[0].provider, str)
assert_type(auth.mfa.enroll({"factor_type": "totp"}), AuthMFAEnrollResponse)
assert_type(auth.mfa.challenge_and_verify(factor_id="f", code="c").user, User)
auth.sign_out({"scope": "local"})
auth.sign_out("others")
auth.on_auth_state_change(lambda event, session: None).unsubscribe()


async def main() -> None:
    assert_type(await auth.aio.set_session("at", "rt"), SessionResponse)
    assert_type((await auth.aio.refresh_session()).session.expires_at, int)
    assert_type(await auth.aio.get_user(), UserResponse)
    assert_type(await auth.aio.mfa.list_factors(), AuthMFAListFactorsResponse)
"""
# Each of these lines is a mistake.
MISTAKES = [
    "supabase.auth.session = None",
    "supabase.auth.session.expires_at",
    "supabase.auth.set_session('at')",
    "supabase.auth.set_session(1, 2)",
    "supabase.auth.sign_out('here')",
    "supabase.auth.sign_out({'scop': 'local'})",
    "supabase.auth.get_user().emial",
    "create_client(supabase_url='https://abcd.supabase.co')",
]


def code_of(page: Path) -> str:
    """The Python of a page's examples, without magics; what awaits is inside a coroutine function."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    parts = []
    for number, block in enumerate(blocks):
        code = re.sub(r"^( *)%.*$", r"\1pass", block, flags=re.MULTILINE)
        if re.search(r"^(await|async with|async for)\b", code, re.MULTILINE):
            code = f"async def example_{number}():\n" + re.sub("^", "    ", code, flags=re.MULTILINE)
        parts.append(code)
    return "\n\n".join(parts)


@pytest.fixture(scope="module")
def pyright() -> list[str]:
    """The command that runs pyright; it needs node, which comes with the extra `nodejs`."""
    command = [sys.executable, "-m", "pyright"]
    started = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, check=False, timeout=170, env=environment()
    )
    if started.returncode != 0:
        pytest.skip(f"pyright cannot be started: {(started.stderr or started.stdout).strip()[-200:]}")
    return command


def environment() -> dict[str, str]:
    return os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}


def errors(command: list[str], folder: Path) -> list[tuple[str, int, str]]:
    """What pyright finds wrong: file, line (from 0), message."""
    config = {"typeCheckingMode": "standard", "pythonVersion": "3.11", "include": ["."]}
    (folder / "pyrightconfig.json").write_text(json.dumps(config), "utf-8")
    ran = subprocess.run(
        [*command, "--outputjson", "--pythonpath", sys.executable, "--project", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
        env=environment(),
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    assert found["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py")))
    return [
        (Path(one["file"]).name, one["range"]["start"]["line"], one["message"])
        for one in found["generalDiagnostics"]
        if one["severity"] == "error"
    ]


def test_examples_have_no_type_errors(pyright: list[str], tmp_path: Path) -> None:
    codes = {page: code_of(page) for page in PAGES}
    assert sum(bool(code.strip()) for code in codes.values()) >= 8
    assert "set_session(access_token, refresh_token)" in codes[ROOT / "README.md"]
    for page, code in codes.items():
        (tmp_path / f"{page.stem.replace('-', '_')}_{page.parent.name}.py").write_text(BEFORE + code, "utf-8")
    assert errors(pyright, tmp_path) == []


def methods(of: type = AuthClient) -> dict[str, str]:
    """The public methods of a class that are its own, with their docstrings."""
    own = vars(of).keys() - {"set_trait", "notify_change"}  # traitlets' own
    found = {name: getattr(of, name) for name in own if not name.startswith("_")}
    return {name: inspect.getdoc(value) or "" for name, value in found.items() if inspect.isfunction(value)}


@pytest.mark.parametrize(("of", "at_least"), [(AuthClient, 16), (Client, 7)])
def test_each_method_has_one_example_without_type_errors(
    pyright: list[str], tmp_path: Path, of: type, at_least: int
) -> None:
    assert len(methods(of)) >= at_least
    examples = {
        name: re.findall(r"^Example:\n    ``(.+?)``", text, re.MULTILINE)
        for name, text in methods(of).items()
    }
    assert [name for name, found in examples.items() if len(found) != 1] == []
    code = "\n".join(found for [found] in examples.values())
    (tmp_path / "docstrings.py").write_text(
        f"{BEFORE}password = address = token = factor_id = challenge_id = code\n{code}\n", "utf-8"
    )
    assert errors(pyright, tmp_path) == []


def test_sources_that_methods_name_exist() -> None:
    supabase_auth = pytest.importorskip("supabase_auth")
    named = {name: re.findall(r"Source: supabase_auth's ``(\w+)``", text) for name, text in methods().items()}
    assert sum(map(len, named.values())) > 10
    for name, sources in named.items():
        for source in sources:
            assert hasattr(supabase_auth.SyncGoTrueClient, source), name


def test_editors_show_types(pyright: list[str], tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text(SHOWN, "utf-8")
    assert errors(pyright, tmp_path) == []


def test_mistakes_are_found(pyright: list[str], tmp_path: Path) -> None:
    head = (
        "from supabase_nb import create_client\nsupabase = create_client('https://abcd.supabase.co', 'key')\n"
    )
    (tmp_path / "mistakes.py").write_text(head + "\n".join(MISTAKES), "utf-8")
    lines = {line - 2 for _, line, _ in errors(pyright, tmp_path)}
    assert [MISTAKES[line] for line in range(len(MISTAKES)) if line not in lines] == []
