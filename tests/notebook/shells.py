"""A new IPython shell for a test, and a client that needs no server."""

from __future__ import annotations

import io
import linecache
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from supabase_nb._secrets.credential_checks import refuse_mixed_up_tokens
from supabase_nb._secrets.tokens import Secret, clean
from supabase_nb.auth._session.session_record import TokenPair
from supabase_nb.errors import AuthSessionMissing
from supabase_nb.models import AuthResponse, Session, User


@dataclass
class Ran:
    ok: bool
    text: str
    value: object


class Shell:
    """Runs cells and keeps what they show."""

    def __init__(self, ip: InteractiveShell) -> None:
        self.ip = ip

    def run(self, code: str) -> Ran:
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            result = self.ip.run_cell(code, store_history=True)
        return Ran(result.success, out.getvalue(), result.result)

    def complete(self, text: str) -> list[str]:
        with provisionalcompleter():
            return sorted(found.text for found in self.ip.Completer.completions(text, len(text)))

    @property
    def ns(self) -> dict[str, object]:
        return self.ip.user_ns


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name in ("SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    InteractiveShell.clear_instance()
    linecache.clearcache()
    for name in ("last_exc", "last_value", "last_traceback"):
        monkeypatch.delattr(sys, name, raising=False)
    config = Config()
    config.InteractiveShell.colors = "nocolor"
    config.HistoryManager.hist_file = str(tmp_path / "history.sqlite")
    ip = InteractiveShell.instance(config=config)
    try:
        yield Shell(ip)
    finally:
        ip.extension_manager.unload_extension("supabase_nb")
        ip.displayhook.do_full_cache = False  # or it collects all garbage, which takes longer than most tests
        ip._atexit_once()
        ip.restore_sys_module_state()
        InteractiveShell.clear_instance()


USER = User.from_wire({"id": "7f3b", "email": "ada@example.com"})


class FakeAuth:
    """As much of an AuthClient as magics touch."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.calls: list[tuple[object, ...]] = []
        self.fails: BaseException | None = None

    def _call(self, *call: object) -> None:
        self.calls.append(call)
        if self.fails is not None:
            raise self.fails

    def get_session(self) -> Session | None:
        self._call("get_session")
        return self.session

    def set_session(self, access_token: str | Secret, refresh_token: str | Secret) -> AuthResponse:
        TokenPair.from_tokens(access_token, refresh_token)  # they are masked from now on
        self._call("set_session", clean(access_token), clean(refresh_token))
        refuse_mixed_up_tokens(clean(access_token), clean(refresh_token), "https://abcd.supabase.co/auth/v1")
        self.session = Session(
            clean(access_token), clean(refresh_token), expires_at=2e9, expires_in=3600, user=USER
        )
        return AuthResponse(USER, self.session)

    def refresh_session(self) -> AuthResponse:
        self._call("refresh_session")
        if self.session is None:
            raise AuthSessionMissing("There is no session. Run %supabase_set_session.")
        return AuthResponse(USER, self.session)

    def sign_out(self, scope: str = "global") -> None:
        self._call("sign_out", scope)
        self.session = None


class FakeClient:
    def __init__(self, url, key, *, auth_url=None, storage=None, name=""):
        self.url, self.key, self.auth_url, self.storage, self.name = url, key, auth_url, storage, name
        self.auth = FakeAuth()
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def __repr__(self) -> str:
        return f"<panel {self.name or 'supabase'}>"


@pytest.fixture
def connected(shell, monkeypatch):
    """A shell with the extension loaded, whose clients ask no server."""
    from supabase_nb.notebook._magics import registration, session_magics

    def make(url, key, auth_url, storage, name):
        return FakeClient(
            url, key, auth_url=auth_url, storage=storage, name="" if name == "supabase" else name
        )

    monkeypatch.setattr(session_magics, "_make_client", make)
    monkeypatch.setattr(
        registration.SupabaseMagics, "show", lambda self, client, **_: sys.stdout.write(f"{client}\n")
    )
    shell.run("%load_ext supabase_nb")
    assert shell.run("%supabase_connect https://abcd.supabase.co --key 'anon'").ok
    return shell


__all__ = ["USER", "FakeClient", "Shell", "connected", "shell"]
