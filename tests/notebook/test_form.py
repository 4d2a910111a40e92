"""The form: its messages to and from the kernel, and the hidden prompts in a terminal."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator

import httpx
import pytest
from shells import USER
from wire_tokens import make_jwt, make_refresh_token

from supabase_nb import MemoryStorage
from supabase_nb._secrets.tokens import Secret
from supabase_nb.demo._project.options import PASSWORD
from supabase_nb.errors import AuthError, AuthRetryableError
from supabase_nb.models import AuthResponse
from supabase_nb.notebook._displays.widgets import Display
from supabase_nb.notebook._magics import prompts
from supabase_nb.notebook._magics.prompts import ask_for_tokens
from supabase_nb.notebook._usage_error import SupabaseUsageError
from supabase_nb.notebook.client_with_displays import NotebookClient

AT, RT = make_jwt(), make_refresh_token()


def wait() -> None:
    """Until all submissions are answered."""
    for thread in threading.enumerate():
        if thread.name == "supabase-nb-ask":
            thread.join(10)


class Form:
    """The browser's end: sends submissions, and keeps what the kernel says."""

    def __init__(self, client: NotebookClient) -> None:
        self.entry: Display = client.token_entry()
        self.said: list[dict[str, object]] = []
        self.entry.send = lambda message, buffers=None: self.said.append(message)  # type: ignore[method-assign]

    def submit(self, access: object = AT, refresh: object = RT, number: str = "1") -> dict[str, object]:
        return self.ask("set_session", number, access_token=access, refresh_token=refresh)

    def ask(self, what: str, number: str = "1", **fields: object) -> dict[str, object]:
        message: dict[str, object] = {"type": "ask", "what": what, "id": number, "fields": fields}
        self.entry._handle_custom_msg(message, [])
        wait()
        return message

    def answers(self) -> list[dict[str, object]]:
        return [message for message in self.said if message["type"] == "answer"]


@pytest.fixture
def client() -> Iterator[NotebookClient]:
    client = NotebookClient("http://127.0.0.1:1", "anon", storage=MemoryStorage())
    yield client
    client.close()


@pytest.fixture
def given(client: NotebookClient, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Secret, Secret]]:
    """What reached `set_session`; nothing is asked of a server."""
    given: list[tuple[Secret, Secret]] = []

    def set_session(access_token: Secret, refresh_token: Secret) -> AuthResponse:
        given.append((access_token, refresh_token))
        return AuthResponse(USER, None)

    monkeypatch.setattr(client.auth, "set_session", set_session)
    return given


def test_a_submission_is_taken_and_answered_and_leaves_no_token(client, given):
    form = Form(client)
    message = form.submit()
    assert given == [(Secret(AT), Secret(RT))]
    assert [said["type"] for said in form.said if said["type"] != "view"] == ["taken", "answer"]
    assert form.answers() == [
        {"type": "answer", "id": "1", "ok": True, "text": "Signed in as ada@example.com."}
    ]
    # The kernel keeps the message until the next one; ipywidgets keeps the widget's state.
    for kept in (message, form.said, form.entry.get_state(), vars(form.entry)):
        assert AT not in repr(kept)
        assert RT not in repr(kept)


def test_a_missing_refresh_token_is_reported(server):
    client = NotebookClient(server.url, server.anon_key, storage=MemoryStorage())
    try:
        form = Form(client)
        form.submit(server.sign_in()["access_token"], "")
        (answer,) = form.answers()
        assert answer["ok"]
        assert "The refresh token was missing" in str(answer["text"])
        assert any("no refresh token" in notice for notice in client.auth.notices)
    finally:
        client.close()


def test_the_same_submission_twice_is_one(client, given):
    form = Form(client)
    form.submit()
    form.submit()
    form.submit(number="2")
    assert len(given) == 2


def test_many_threads_bring_one_submission(client, given):
    form = Form(client)
    fields = {"access_token": AT, "refresh_token": RT}
    messages = [{"type": "ask", "what": "set_session", "id": "1", "fields": dict(fields)} for _ in range(8)]
    threads = [
        threading.Thread(target=form.entry._handle_custom_msg, args=(message, [])) for message in messages
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait()
    assert len(given) == 1


@pytest.mark.parametrize(
    ("access", "refresh", "says"),
    [
        ("", "", "The input is empty"),
        (AT, AT, "These are two access tokens"),
        (f"https://x.co/#access_token={AT}", "", "no tokens in this URL"),
        (None, 7, ""),
        ({"a": AT}, [RT], ""),
    ],
)
def test_errors_do_not_repeat_the_token(client, monkeypatch, access, refresh, says):
    monkeypatch.setattr(client.auth, "set_session", _raise(AuthRetryableError("Try again later.")))
    form = Form(client)
    form.submit(access, refresh)
    (answer,) = form.answers()
    assert answer["ok"] is False
    assert says in str(answer["text"])
    assert AT not in str(form.said)


def _raise(error: Exception):
    def call(*_: object) -> None:
        raise error

    return call


def test_an_internal_error_gets_a_response_too(client, monkeypatch, caplog):
    monkeypatch.setattr(client.auth, "set_session", _raise(RuntimeError(AT)))
    form = Form(client)
    with caplog.at_level(logging.DEBUG):
        form.submit()
    assert form.answers() == [{"type": "answer", "id": "1", "ok": False, "text": ""}]
    assert "RuntimeError" in caplog.text
    assert AT not in caplog.text


@pytest.mark.parametrize(
    "message", [None, [], "tokens", {}, {"type": "ask", "what": "rm", "fields": []}, {"type": "ask"}]
)
def test_other_messages_are_ignored(client, given, message):
    form = Form(client)
    form.entry._handle_custom_msg(message, [])
    wait()
    assert given == []


def test_there_is_one_form_per_client_and_it_goes_with_it():
    client = NotebookClient("http://127.0.0.1:1", "anon", storage=MemoryStorage())
    entry = client.token_entry()
    assert client.token_entry() is entry
    client.close()
    assert entry.comm is not None  # it stays where it is shown, and says that it is closed
    del client
    gc.collect()
    fields = {"access_token": AT, "refresh_token": RT}
    message = {"type": "ask", "what": "set_session", "id": "9", "fields": fields}
    entry._on_message(None, message, [])
    assert AT not in str((message, fields))


def test_a_password_signs_in_and_leaves_no_trace(server):
    client = NotebookClient(server.url, server.anon_key, storage=MemoryStorage())
    try:
        form = Form(client)
        message = form.ask("sign_in_with_password", who=" ada@example.com ", password="wrong-planted-secret")
        message_2 = form.ask("sign_in_with_password", "2", who="ada@example.com", password=PASSWORD)
        refused, signed_in = form.answers()
        assert (refused["ok"], signed_in["ok"]) == (False, True)
        assert "Invalid login credentials" in str(refused["text"])
        assert signed_in["text"] == "Signed in as ada@example.com."
        assert client.auth.user.email == "ada@example.com"
        for kept in (message, message_2, form.said, form.entry.get_state(), vars(form.entry)):
            assert "planted-secret" not in repr(kept)
            assert PASSWORD not in repr(kept)
    finally:
        client.close()


@pytest.mark.parametrize("kept", ["in a variable", "in a list"])
def test_the_panel_stops_what_set_auth_began(client, shell, kept):
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("authorization"))
        return httpx.Response(200, json=[])

    url, transport = "http://127.0.0.1:1", httpx.MockTransport(answer)
    with NotebookClient(url, "anon", storage=MemoryStorage(), transport=transport) as mine:
        shell.ns["mine"] = mine if kept == "in a variable" else [mine]
        client.set_auth(AT)
        mine.set_auth(AT)
        mine.table("trips").select("*").execute()
        assert [notice.name for notice in mine.auth.notices] == ["set_auth"]
        form = Form(mine)
        form.ask("stop_set_auth")
        assert form.answers()[0]["ok"]
        assert mine.auth.notices == ()
        mine.table("trips").select("*").execute()
        assert asked[0] == f"Bearer {AT}"
        assert asked[1] != asked[0]
        assert [notice.name for notice in client.auth.notices] == ["set_auth"], "another client's"


def test_the_panel_stops_the_notice_of_a_client_that_is_gone():
    client = NotebookClient("http://127.0.0.1:1", "anon", storage=MemoryStorage())
    auth, form = client.auth, Form(client)
    client.set_auth(AT)
    del client
    gc.collect()
    form.ask("stop_set_auth")
    assert form.answers()[0]["ok"]
    assert auth.notices == ()
    auth.close()


def test_no_trait_holds_anything_but_words(client):
    entry = client.token_entry()
    synced = set(entry.traits(sync=True)) - {"_anywidget_id", "_esm", "_css"}
    assert {name for name in synced if not name.startswith("_")} <= {
        "kind",
        "words",
        "layout",
        "tabbable",
        "tooltip",
    }


# -- prompts ------------------------------------------------------------------------------------------------


def answers(monkeypatch, *given: str | BaseException) -> list[str]:
    asked: list[str] = []
    waiting = list(given)

    def ask(question: str) -> str:
        asked.append(question)
        answer = waiting.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(prompts, "get_prompt", lambda: ask)
    return asked


def test_two_prompts(monkeypatch):
    asked = answers(monkeypatch, AT, RT)
    assert ask_for_tokens() == (Secret(AT), Secret(RT))
    assert len(asked) == 2


def test_a_paste_of_both_answers_both(monkeypatch):
    asked = answers(monkeypatch, f"{AT}\n{RT}")
    assert ask_for_tokens() == (Secret(AT), Secret(RT))
    assert len(asked) == 1


@pytest.mark.parametrize("given", ["", EOFError()])
def test_nothing_given(monkeypatch, given):
    answers(monkeypatch, given)
    with pytest.raises(SupabaseUsageError, match="Nothing was entered"):
        ask_for_tokens()


def test_no_interactive_input(monkeypatch):
    monkeypatch.setattr(prompts, "get_prompt", lambda: None)
    with pytest.raises(SupabaseUsageError, match="No interactive input is available here"):
        ask_for_tokens()


def test_the_magic_asks_in_a_shell_and_says_what_to_do_where_it_cannot(connected, monkeypatch):
    asked = answers(monkeypatch, AT, RT)
    ran = connected.run("%supabase_set_session")
    assert ran.ok
    assert len(asked) == 2
    assert connected.ns["supabase"].auth.calls[-1] == ("set_session", Secret(AT), Secret(RT))
    monkeypatch.setattr(prompts, "get_prompt", lambda: None)
    ran = connected.run("%supabase_set_session --prompt")
    assert not ran.ok
    assert ran.text.startswith("UsageError: No interactive input is available here.")


def test_a_wrong_answer_to_a_prompt_is_reported_without_repeating_it(connected, monkeypatch):
    answers(monkeypatch, AT, AT)
    ran = connected.run("%supabase_set_session")
    assert ran.text.startswith("AuthError: These are two access tokens.")
    assert AT not in ran.text
    assert isinstance(connected.ip.last_execution_result.error_in_exec, AuthError)


def test_a_code_is_sent_and_then_signs_in(client, monkeypatch):
    asked: list[object] = []
    monkeypatch.setattr(client.auth, "sign_in_with_otp", lambda *a, **k: asked.append((a, k)))

    def verify_otp(*args: object, **named: object) -> AuthResponse:
        asked.append((args, named))
        return AuthResponse(USER, None)

    monkeypatch.setattr(client.auth, "verify_otp", verify_otp)
    form = Form(client)
    form.ask("send_code", "1", who="ada@example.com", code="")
    message = form.ask("verify_code", "2", who="ada@example.com", code=" 123456 ")
    assert [answer["ok"] for answer in form.answers()] == [True, True]
    email = ({"email": "ada@example.com"},)
    assert asked == [
        (email, {"should_create_user": False}),
        (email, {"token": Secret("123456"), "type": "email"}),
    ]
    assert "123456" not in repr((message, form.said, form.entry.get_state()))
