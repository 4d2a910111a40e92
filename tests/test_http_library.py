"""Only one module imports httpx, so moving to another library is a small change. httpx2 may be missing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import supabase_nb

_PACKAGE = Path(supabase_nb.__file__).parent

#: A request of someone's own client, signed out: it carries the project's key, and it doesn't when redirected.
_ASK = """
from supabase_nb import MemoryStorage, SessionAuth, create_client
asked = []
def answer(request):
    asked.append("apikey" in request.headers)
    elsewhere = {"location": "https://elsewhere.example"}
    return library.Response(307, headers=elsewhere) if len(asked) == 1 else library.Response(200)
supabase = create_client("https://abcd.supabase.co", "sb_publishable_abc", storage=MemoryStorage())
auth, transport = SessionAuth(supabase), library.MockTransport(answer)
with library.Client(auth=auth, transport=transport, follow_redirects=True) as own:
    own.get("https://abcd.supabase.co/rest/v1/trips")
print(asked)
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def imported(file: Path) -> set[str]:
    """The packages that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_one_module_imports_the_http_library() -> None:
    naming = [file for file in _PACKAGE.rglob("*.py") if imported(file) & {"httpx", "httpx2", "httpcore"}]
    assert [str(file.relative_to(_PACKAGE)) for file in naming] == ["_network/http_library.py"]


def test_session_auth_without_httpx2() -> None:
    hidden = "import sys; sys.modules['httpx2'] = None; import httpx as library"
    assert run(hidden + _ASK) == "[True, False]"


def test_session_auth_made_before_httpx2_is_imported() -> None:
    pytest.importorskip("httpx2")
    later = _ASK.replace(
        "auth, transport = SessionAuth(supabase),",
        "auth = SessionAuth(supabase); import httpx2 as library; transport =",
    )
    assert run(later) == "[True, False]"


def test_everything_works_where_httpx2_stands_in_for_httpx() -> None:
    """Everything that moving to it would take, of a user's program or of ours."""
    pytest.importorskip("httpx2")
    aliased = "import httpx2; httpx2.alias_httpx(); import httpx as library; assert library is httpx2"
    assert run(aliased + _ASK) == "[True, False]"


def test_a_client_does_not_import_httpx2() -> None:
    """It takes as long as httpx: only someone who asks for a `SessionAuth` may need it."""
    pytest.importorskip("httpx2")
    code = "import sys, supabase_nb; supabase_nb.create_client('https://abcd.supabase.co', 'sb_publishable_abc'); "
    assert run(code + "print('httpx2' in sys.modules, 'httpx' in sys.modules)") == "False True"


def test_loading_the_extension_imports_no_http_library() -> None:
    code = (
        "import sys; from IPython.testing.globalipapp import start_ipython; shell = start_ipython(); "
        "before = set(sys.modules); shell.run_line_magic('load_ext', 'supabase_nb'); "
        "print(sorted({'httpx', 'httpx2', 'httpcore', 'supabase_nb._network.http_library'} & (set(sys.modules) - before)))"
    )
    assert run(code) == "[]"
