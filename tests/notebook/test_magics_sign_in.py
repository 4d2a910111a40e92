"""`%supabase_sign_in`, `%supabase_set_auth` and `%supabase_connect`, in a shell with a server."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import made
import pytest
from shells import Shell

from supabase_nb._secrets.tokens import Secret
from supabase_nb.demo import DemoServer
from supabase_nb.notebook._magics import prompts, registration

PASSWORD = "correct horse battery"


class Person:
    """Answers hidden prompts."""

    def __init__(self) -> None:
        self.answers: list[object] = []
        self.asked: list[str] = []

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return str(answer() if callable(answer) else answer)


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    person = Person()
    monkeypatch.setattr(prompts, "get_prompt", lambda: person)
    monkeypatch.setattr("builtins.input", person)
    return person


@pytest.fixture
def here(shell: Shell, server: DemoServer, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Connected to the embedded server; the panel is a line of text."""
    monkeypatch.setattr(
        registration.SupabaseMagics,
        "show",
        lambda self, client: sys.stdout.write(f"<panel {client.auth.status} {list(client.auth.notices)}>\n"),
    )
    shell.run("%load_ext supabase_nb")
    assert shell.run(f"%supabase_connect {server.url} --key {server.anon_key} --storage memory").ok
    return shell


def who(shell: Shell) -> str | None:
    user = shell.ns["supabase"].auth.user  # type: ignore[attr-defined]
    return user and user.email


# -- sign in ------------------------------------------------------------------------------------------------


def test_the_password_is_asked_for_and_kept_nowhere(here: Shell, person: Person) -> None:
    person.answers = [PASSWORD]
    ran = here.run("%supabase_sign_in ada@example.com")
    assert ran.ok
    assert who(here) == "ada@example.com"
    assert person.asked == ["Password (not shown): "]
    assert "<panel active" in ran.text
    assert PASSWORD not in ran.text
    assert all(PASSWORD not in str(value) for value in here.ns.values())


def test_without_an_address_that_is_asked_for_too(here: Shell, person: Person) -> None:
    person.answers = ["grace@example.com", PASSWORD]
    assert here.run("%supabase_sign_in").ok
    assert who(here) == "grace@example.com"
    assert person.asked == ["Email address: ", "Password (not shown): "]


def test_the_address_may_be_a_variable(here: Shell, person: Person) -> None:
    here.ns["me"] = "ada@example.com"
    person.answers = [PASSWORD]
    assert here.run("r = %supabase_sign_in me").ok
    assert here.ns["r"].user.email == "ada@example.com"  # type: ignore[attr-defined]


def test_a_signed_in_user_is_not_asked_again(here: Shell, person: Person) -> None:
    """Restart and run all."""
    person.answers = [PASSWORD]
    here.run("%supabase_sign_in ada@example.com")
    session = here.ns["supabase"].auth.session  # type: ignore[attr-defined]
    for line in ("%supabase_sign_in ADA@example.com", "%supabase_sign_in", "%supabase_sign_in --code"):
        assert here.run(line).ok
    assert here.ns["supabase"].auth.session is session  # type: ignore[attr-defined]
    person.answers = [PASSWORD]
    assert here.run("%supabase_sign_in grace@example.com").ok
    assert who(here) == "grace@example.com"


def test_a_code_by_mail(here: Shell, person: Person, server: DemoServer) -> None:
    person.answers = [lambda: server.outbox("ada@example.com")[-1]["email_otp"]]
    ran = here.run("%supabase_sign_in ada@example.com --code")
    assert ran.ok
    assert "Sent to a•••@example.com" in ran.text
    assert who(here) == "ada@example.com"


def test_the_link_of_the_mail_instead_of_the_code(here: Shell, person: Person, server: DemoServer) -> None:
    def follow() -> str:
        return httpx.get(server.outbox("ada@example.com")[-1]["action_link"]).headers["location"]

    person.answers = [follow]
    assert here.run("%supabase_sign_in ada@example.com --code").ok
    assert who(here) == "ada@example.com"


def test_an_address_with_tokens(here: Shell, person: Person, server: DemoServer) -> None:
    link = server.admin("POST", "/generate_link", {"type": "magiclink", "email": "ada@example.com"})
    address = httpx.get(link["action_link"]).headers["location"]
    person.answers = [address]
    ran = here.run("%supabase_sign_in --link")
    assert ran.ok
    assert who(here) == "ada@example.com"
    assert parse_qs(urlsplit(address).fragment)["access_token"][0] not in ran.text


def test_anonymous_and_still_the_same_tomorrow(here: Shell, person: Person) -> None:
    assert here.run("%supabase_sign_in --anonymous").ok
    user = here.ns["supabase"].auth.user  # type: ignore[attr-defined]
    assert user.is_anonymous
    assert here.run("%supabase_sign_in --anonymous").ok
    assert here.ns["supabase"].auth.user == user  # type: ignore[attr-defined]
    assert person.asked == []


def test_a_wrong_password_is_one_line(here: Shell, person: Person) -> None:
    person.answers = ["planted-secret"]
    ran = here.run("%supabase_sign_in ada@example.com")
    assert not ran.ok
    assert ran.text.strip().startswith("AuthInvalidCredentials: ")
    assert "planted-secret" not in ran.text
    assert len(ran.text.strip().splitlines()) == 1


@pytest.mark.parametrize("line", ["", " ada@example.com", " --link", " ada@example.com --code"])
def test_without_interactive_input(here: Shell, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(prompts, "get_prompt", lambda: None)
    ran = here.run(f"%supabase_sign_in{line}")
    assert not ran.ok
    assert "UsageError: No interactive input is available here. Run this cell by hand once" in ran.text


@pytest.mark.parametrize("answer", ["", EOFError()])
def test_nothing_answered(here: Shell, person: Person, answer: object) -> None:
    person.answers = [answer]
    ran = here.run("%supabase_sign_in ada@example.com")
    assert not ran.ok
    assert "Nothing was entered" in ran.text


def test_a_password_is_no_argument(here: Shell) -> None:
    ran = here.run("%supabase_sign_in ada@example.com planted-secret")
    assert not ran.ok
    assert "too many arguments" in ran.text
    assert "planted-secret" not in ran.text


def test_the_form_takes_an_address_with_a_code_too(here: Shell, server: DemoServer) -> None:
    from supabase_nb.notebook._panel.panel_requests import HANDLERS

    auth = here.ns["supabase"].auth  # type: ignore[attr-defined]
    auth.sign_in_with_otp(email="ada@example.com")
    address = httpx.get(server.outbox("ada@example.com")[-1]["action_link"]).headers["location"]
    assert "?code=" in address
    assert HANDLERS["set_session"](auth, {"access_token": Secret(address)}) == "Signed in as ada@example.com."


# -- set auth -----------------------------------------------------------------------------------------------


def test_set_auth_and_back(here: Shell, person: Person, server: DemoServer) -> None:
    person.answers = [PASSWORD]
    here.run("%supabase_sign_in ada@example.com")
    supabase = here.ns["supabase"]
    here.ns["other"] = server.sign_in("grace@example.com")["access_token"]
    ran = here.run("%supabase_set_auth other")
    assert ran.ok
    assert "(set_auth)" in ran.text
    rows = "supabase.table('trips').select('start').limit(1).execute().data"
    assert here.run(f"rows = {rows}").ok
    assert here.ns["rows"] == [{"start": "New York"}]
    assert who(here) == "ada@example.com"
    assert "(set_auth)" not in here.run("%supabase_set_auth None").text
    here.run(f"rows = {rows}")
    assert here.ns["rows"] == [{"start": "London"}]
    assert supabase is here.ns["supabase"]


@pytest.mark.parametrize(
    ("line", "says"),
    [("", "An argument is missing"), (" nothing", "no variable"), (" text", "not an access token")],
)
def test_what_cannot_be_set(here: Shell, line: str, says: str) -> None:
    here.ns["text"] = "planted-secret"
    ran = here.run(f"%supabase_set_auth{line}")
    assert not ran.ok
    assert says in ran.text
    assert "planted-secret" not in ran.text


# -- connect ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    below = tmp_path / "project" / "notebooks"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return below


def test_connect_finds_the_project_and_says_where(here: Shell, server: DemoServer, folder: Path) -> None:
    (folder.parent / ".env").write_text(f"SUPABASE_URL={server.url}\nSUPABASE_ANON_KEY={server.anon_key}\n")
    ran = here.run("%supabase_connect --name found")
    assert ran.ok
    assert f"{server.url} (URL: SUPABASE_URL in ../.env; key: SUPABASE_ANON_KEY in ../.env)" in ran.text
    assert server.anon_key not in ran.text


def test_a_secret_key_is_refused_unless_allowed(
    here: Shell, server: DemoServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = made.jwt({"role": "service_role"})
    monkeypatch.setenv("SUPABASE_KEY", key)
    line = f"%supabase_connect {server.url} --storage memory --name admin"
    ran = here.run(line)
    assert not ran.ok
    assert "This is a secret key (SUPABASE_KEY): it bypasses Row Level Security" in ran.text
    assert key not in ran.text
    assert "admin" not in here.ns
    assert here.run(f"{line} --allow-secret-key").ok
    assert here.ns["admin"].key == key  # type: ignore[attr-defined]


def test_a_stored_session_is_restored_at_connect(here: Shell, person: Person, server: DemoServer) -> None:
    connect = f"%supabase_connect {server.url} --key {server.anon_key} --name second"
    assert here.run(connect).ok
    person.answers = [PASSWORD]
    assert here.run("%supabase_sign_in ada@example.com --name second").ok
    session = here.ns["second"].auth.session  # type: ignore[attr-defined]
    # Another kernel.
    here.run("%unload_ext supabase_nb")
    here.run("%load_ext supabase_nb")
    assert here.run(connect).ok
    auth = here.ns["second"].auth  # type: ignore[attr-defined]
    assert auth.session == session
    seen: list[tuple[str, object]] = []
    auth.on_auth_state_change(lambda event, session: seen.append((str(event), session)))
    assert seen[0] == ("INITIAL_SESSION", auth.session)
    auth.sign_out("local")


def test_several_projects_by_name(here: Shell, person: Person, server: DemoServer) -> None:
    for name, email in (("work", "ada@example.com"), ("home", "grace@example.com")):
        assert here.run(f"%supabase_connect {server.url} --key {server.anon_key} --name {name}").ok
        person.answers = [PASSWORD]
        assert here.run(f"%supabase_sign_in {email} --name {name}").ok
    assert here.ns["work"].auth.user.email == "ada@example.com"  # type: ignore[attr-defined]
    assert here.ns["home"].auth.user.email == "grace@example.com"  # type: ignore[attr-defined]
    assert here.ns["supabase"].auth.user is None  # type: ignore[attr-defined]
