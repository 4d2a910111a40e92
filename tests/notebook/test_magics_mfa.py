"""`%supabase_mfa` asks for the six digits, and shows the QR code of a new app without saving it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from shells import Shell
from test_magics_sign_in import Person

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server
from supabase_nb.notebook._displays import publishing
from supabase_nb.notebook._magics import prompts, registration

PASSWORD = "correct horse battery"


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    person = Person()
    monkeypatch.setattr(prompts, "get_prompt", lambda: person)
    return person


@pytest.fixture
def here(shell: Shell, server: DemoServer, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Signed in as Ada in a terminal; the panel is a line of text."""
    monkeypatch.setattr(
        registration.SupabaseMagics,
        "show",
        lambda self, client: sys.stdout.write(f"<{client.auth.status}>\n"),
    )
    monkeypatch.setattr(publishing, "in_terminal", lambda: True)
    shell.run("%load_ext supabase_nb")
    assert shell.run(f"%supabase_connect {server.url} --key {server.anon_key} --storage memory").ok
    sign_in(shell)
    return shell


def auth(shell: Shell) -> Any:
    return shell.ns["supabase"].auth  # type: ignore[attr-defined]


def sign_in(shell: Shell) -> None:
    auth(shell).sign_in_with_password(email="ada@example.com", password=PASSWORD)


def level(shell: Shell) -> str:
    return str(auth(shell).mfa.get_authenticator_assurance_level().current_level)


def code(server: DemoServer) -> str:
    return str(server.totp_codes("ada@example.com")[-1]["code"])


def enroll(shell: Shell, server: DemoServer, person: Person, name: str = "") -> Any:
    person.answers = [lambda: code(server)]
    ran = shell.run(f"%supabase_mfa --enroll {name}")
    assert ran.ok
    return ran


def test_an_app_is_added(here: Shell, server: DemoServer, person: Person) -> None:
    ran = enroll(here, server, person, '"my phone"')
    assert level(here) == "aal2"
    assert "Your other sessions at aal1 have ended" in ran.text
    assert [factor.friendly_name for factor in auth(here).mfa.list_factors().totp] == ["my phone"]
    assert person.asked == ["Six-digit code of your authenticator app (not shown): "]
    key = re.findall(r"Add this key to your authenticator app: ((?:[A-Z2-7]{4} ?){8})", ran.text)
    assert key
    if hasattr(here.ip.history_manager, "outputs"):
        assert key[0].strip() not in repr(here.ip.history_manager.outputs), (
            "what IPython keeps, %notebook saves"
        )
        assert "\u2580" not in repr(here.ip.history_manager.outputs), "nor the QR code"


def test_the_digits_are_asked_for(here: Shell, server: DemoServer, person: Person) -> None:
    enroll(here, server, person)
    sign_in(here)
    assert level(here) == "aal1"
    digits = code(server)
    person.answers = [digits]
    ran = here.run("%supabase_mfa")
    assert ran.ok
    assert level(here) == "aal2"
    assert digits not in ran.text
    assert "<active>" in ran.text


def test_run_again_it_asks_nothing(here: Shell, server: DemoServer, person: Person) -> None:
    enroll(here, server, person)
    person.answers = []
    assert here.run("%supabase_mfa").ok


def test_a_wrong_code_is_asked_for_again(here: Shell, server: DemoServer, person: Person) -> None:
    enroll(here, server, person)
    sign_in(here)
    person.answers = ["000000", lambda: code(server)]
    ran = here.run("%supabase_mfa")
    assert ran.ok
    assert "Enter the six digits that the app shows now" in ran.text
    assert level(here) == "aal2"


def test_three_wrong_codes_are_enough(here: Shell, server: DemoServer, person: Person) -> None:
    enroll(here, server, person)
    sign_in(here)
    person.answers = ["000000"] * 3
    ran = here.run("%supabase_mfa")
    assert not ran.ok
    assert "Invalid TOTP code" in ran.text
    assert person.answers == []
    assert level(here) == "aal1"


@pytest.mark.parametrize("answer", [KeyboardInterrupt(), EOFError(), ""])
def test_an_interrupted_enrollment_leaves_nothing(
    answer: Any, here: Shell, server: DemoServer, person: Person
) -> None:
    person.answers = [answer]
    assert not here.run('%supabase_mfa --enroll "my phone"').ok
    assert auth(here).mfa.list_factors().all == ()
    enroll(here, server, person, '"my phone"')  # the name is free


def test_without_an_app(here: Shell, person: Person) -> None:
    ran = here.run("%supabase_mfa")
    assert not ran.ok
    assert "Run %supabase_mfa --enroll to add one" in ran.text


def test_of_several_apps_one_is_named(here: Shell, server: DemoServer, person: Person) -> None:
    enroll(here, server, person, "first")
    here.ns["which"] = "second"
    enroll(here, server, person, "which")
    sign_in(here)
    ran = here.run("%supabase_mfa")
    assert not ran.ok
    assert "first, second" in ran.text
    assert "Choose one of: first, second" in here.run("%supabase_mfa third").text
    person.answers = [lambda: code(server)]
    assert here.run("%supabase_mfa second").ok
    assert level(here) == "aal2"


def test_where_no_input_is_possible(here: Shell, server: DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "get_prompt", lambda: None)
    assert not here.run("%supabase_mfa --enroll").ok
    assert auth(here).mfa.list_factors().all == ()


# -- in a notebook --------------------------------------------------------------------------------------------


@pytest.fixture
def notebook(here: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setattr(publishing, "in_terminal", lambda: False)
    monkeypatch.setattr(prompts, "can_show_form", lambda: True)
    return here


class Line:
    """What a widget sends, and what of it is state, which is saved with notebooks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from supabase_nb.notebook._displays.enrollment import Enrollment

        self.sent: list[dict[str, Any]] = []
        self.states: list[str] = []
        own = Enrollment.send

        def send(widget: Any, content: Any, buffers: Any = None) -> None:
            self.sent.append(content)
            self.states.append(repr(widget.get_state()))
            own(widget, content, buffers)

        monkeypatch.setattr(Enrollment, "send", send)


def test_the_qr_code_is_a_message_and_nothing_of_it_is_saved(
    notebook: Shell, server: DemoServer, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(monkeypatch)
    published: list[Any] = []
    monkeypatch.setattr(
        publishing, "_publish", lambda data, metadata=None: published.append((data, metadata))
    )
    ran = enroll(notebook, server, person)
    shown, over = line.sent
    assert shown["image"].startswith("<?xml")
    key = shown["key"].replace(" ", "")
    assert re.fullmatch("[A-Z2-7]{32}", key)
    assert over == {
        "type": "over",
        "text": "The app was added. In a new session, run %supabase_mfa to verify its code.",
    }
    assert len(published) == 2
    saved = unquote(repr(published)) + "".join(line.states) + ran.text
    for secret in (key, shown["key"], shown["image"][-200:], "otpauth"):
        assert secret not in saved
    assert "application/vnd.jupyter.widget-view+json" in saved


def test_the_qr_code_is_removed_if_the_enrollment_fails(
    notebook: Shell, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(monkeypatch)
    person.answers = [KeyboardInterrupt()]
    assert not notebook.run("%supabase_mfa --enroll").ok
    assert [message["type"] for message in line.sent] == ["show", "over"]
    assert "not added" in line.sent[-1]["text"]


def test_where_it_cannot_be_shown_without_being_saved(
    here: Shell, monkeypatch: pytest.MonkeyPatch, person: Person
) -> None:
    monkeypatch.setattr(publishing, "in_terminal", lambda: False)
    monkeypatch.setattr(prompts, "can_show_form", lambda: False)
    ran = here.run("%supabase_mfa --enroll")
    assert not ran.ok
    assert "in a terminal" in ran.text
    assert auth(here).mfa.list_factors().all == ()
