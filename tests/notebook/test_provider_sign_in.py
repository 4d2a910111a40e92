"""Sign-in with a provider from the panel: the messages between the page and the kernel."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from test_form import Form, wait
from test_sign_in_with_browser import choose
from waiting import wait_until

from supabase_nb import MemoryStorage
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server
from supabase_nb.notebook._panel import provider_requests
from supabase_nb.notebook._panel.provider_requests import provider_label
from supabase_nb.notebook.client_with_displays import NotebookClient

PAGE = "http://127.0.0.1:8888/user/ada/lab/extensions/supabase-nb/static/returned.html"


@pytest.fixture
def connect() -> Iterator[Callable[[DemoServer], NotebookClient]]:
    clients = []

    def make(server: DemoServer) -> NotebookClient:
        clients.append(NotebookClient(server.url, server.anon_key, storage=MemoryStorage()))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def form(connect: Callable[[DemoServer], NotebookClient], server: DemoServer) -> Form:
    client = connect(server)
    form = Form(client)
    form.client = client  # type: ignore[attr-defined]
    return form


def answer(form: Form, what: str, number: str = "1", **fields: object) -> dict[str, object]:
    form.ask(what, number, **fields)
    (answer,) = (said for said in form.answers() if said["id"] == number)
    return answer


def begin(form: Form, number: str = "begin", page: str = PAGE, provider: str = "github") -> dict[str, object]:
    return answer(form, "begin_with_provider", number, provider=provider, return_page=page)


def came_back_to(url: object, who: str) -> str:
    """The address that a browser is sent back to; nothing listens there."""
    page = httpx.get(str(url), follow_redirects=True)
    entry = next(part for part in page.text.split("<li>") if who in part)
    link = re.findall(r'href="([^"]+)"', entry)[0].replace("&amp;", "&")
    return httpx.get(str(page.url.join(link))).headers["location"]


def expect_nothing_open() -> None:
    def open_threads() -> list[str]:
        names = ("supabase-nb-provider", "supabase-nb-sign-in")
        return [thread.name for thread in threading.enumerate() if thread.name in names]

    wait_until(lambda: not open_threads())
    assert provider_requests._attempts == {}


def who(form: Form) -> str | None:
    user = form.client.auth.user  # type: ignore[attr-defined]
    return user and user.email


def outcomes(form: Form) -> list[dict[str, object]]:
    return [said for said in form.said if said["type"] == "returned"]


# -- what is offered ----------------------------------------------------------------------------------------


def test_the_form_receives_what_the_project_offers(connect):
    with running_server(providers="github,azure,linkedin,linkedin_oidc,slack") as server:
        offered = answer(Form(connect(server)), "sign_in_options")
    assert offered["ok"]
    assert offered["providers"] == [
        {"name": "github", "label": "GitHub"},
        {"name": "linkedin_oidc", "label": "LinkedIn"},
        {"name": "azure", "label": "Microsoft"},
        {"name": "slack", "label": "Slack"},
    ]
    assert offered["anonymous"] is True
    assert offered["email"] is True


def test_nothing_is_asked_before_the_form_is_opened(connect):
    with running_server() as server:
        form = Form(connect(server))
        form.entry._handle_custom_msg({"type": "hello"}, [])
        assert server.stats().get("settings", 0) == 0
        answer(form, "sign_in_options")
        assert server.stats().get("settings", 0) == 1


def test_a_kernel_in_the_page_offers_providers_only_where_they_can_return(form, monkeypatch):
    monkeypatch.setattr(provider_requests, "IN_BROWSER", True)
    assert answer(form, "sign_in_options", "1", return_page=PAGE)["providers"] != []
    offered = answer(form, "sign_in_options", "2", return_page="")
    assert offered["providers"] == []
    assert offered["anonymous"] is True
    assert "doesn't work on this page" in str(begin(form, page="")["text"])
    expect_nothing_open()


def test_a_project_without_new_users_offers_no_anonymous_ones(connect):
    with running_server(disable_signup=True) as server:
        assert answer(Form(connect(server)), "sign_in_options")["anonymous"] is False


def test_without_an_answer_the_form_stays_as_it_is():
    client = NotebookClient("http://127.0.0.1:1", "anon", storage=MemoryStorage())
    try:
        refused = answer(Form(client), "sign_in_options")
        assert refused["ok"] is False
        assert "providers" not in refused
    finally:
        client.close()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("github", "GitHub"),
        ("google", "Google"),
        ("azure", "Microsoft"),
        ("slack_oidc", "Slack"),
        ("custom:my-company", "My Company"),
        ("x" * 99, "X" + "x" * 38 + "…"),
    ],
)
def test_names_of_providers(name, label):
    assert provider_label(name) == label


# -- a sign-in ----------------------------------------------------------------------------------------------


def test_the_verifier_and_the_code_stay_in_the_kernel(form):
    begun = begin(form)
    assert begun["ok"]
    query = parse_qs(urlsplit(str(begun["url"])).query)
    assert query["code_challenge_method"] == ["s256"]
    returns_to = urlsplit(query["redirect_to"][0])
    assert returns_to._replace(query="").geturl() == PAGE
    assert parse_qs(returns_to.query) == {"supabase_nb_state": [begun["nonce"]]}
    address = came_back_to(begun["url"], "grace@example.com")
    message: dict[str, object] = {
        "type": "ask",
        "what": "finish_with_provider",
        "id": "finish",
        "fields": {"attempt": begun["attempt"], "returned_address": address},
    }
    form.entry._handle_custom_msg(message, [])
    wait()
    assert form.answers()[-1] == {
        "type": "answer",
        "id": "finish",
        "ok": True,
        "text": "Signed in as grace@example.com.",
    }
    assert who(form) == "grace@example.com"
    code = parse_qs(urlsplit(address).query)["code"][0]
    for kept in (message, form.said, form.entry.get_state(), vars(form.entry)):
        assert code not in repr(kept)
    assert "verifier" not in repr(form.said)
    expect_nothing_open()


def test_without_a_page_the_browser_returns_to_this_machine(form):
    begun = begin(form, page="")
    page = choose(str(begun["url"]), "ada@example.com")
    assert "You're signed in as ada@example.com" in page.text.replace("&#x27;", "'")
    wait_until(lambda: outcomes(form))
    assert outcomes(form) == [
        {
            "type": "returned",
            "attempt": begun["attempt"],
            "ok": True,
            "text": "Signed in as ada@example.com.",
        }
    ]
    assert who(form) == "ada@example.com"
    expect_nothing_open()


def test_without_a_page_an_error_is_shown_and_the_listener_stops(form):
    begun = begin(form, page="")
    choose(str(begun["url"]), "Cancel")
    wait_until(lambda: outcomes(form))
    (said,) = outcomes(form)
    assert said["ok"] is False
    assert "The user said no" in str(said["text"])
    expect_nothing_open()


@pytest.mark.parametrize("page", [PAGE, "", "javascript:alert(1)"])
def test_cancelled(form, page):
    begun = begin(form, page=page)
    assert answer(form, "cancel_with_provider", "cancel", attempt=begun["attempt"])["ok"]
    expect_nothing_open()
    assert outcomes(form) == []
    late = answer(
        form, "finish_with_provider", "late", attempt=begun["attempt"], returned_address=f"{PAGE}?code=x"
    )
    assert (late["ok"], late["text"]) == (False, "This sign-in has ended. Start again.")


@pytest.mark.parametrize("page", ["javascript:alert(1)", "file:///etc/passwd", "nonsense"])
def test_other_pages_are_not_returned_to(form, page):
    begun = begin(form, page=page)
    (redirect_to,) = parse_qs(urlsplit(str(begun["url"])).query)["redirect_to"]
    assert redirect_to.startswith("http://127.0.0.1:")
    answer(form, "cancel_with_provider", "cancel", attempt=begun["attempt"])


def test_the_second_drops_the_first_and_tells_its_form(form):
    first, second = begin(form, "1", page=""), begin(form, "2")
    assert [said["attempt"] for said in outcomes(form)] == [first["attempt"]]
    assert "because a newer one was started here" in str(outcomes(form)[0]["text"])
    # To cancel the first does not cancel the second.
    answer(form, "cancel_with_provider", "3", attempt=first["attempt"])
    address = came_back_to(second["url"], "ada@example.com")
    assert answer(form, "finish_with_provider", "4", attempt=second["attempt"], returned_address=address)[
        "ok"
    ]
    expect_nothing_open()


def test_the_form_of_the_first_is_told_even_if_the_second_begins_in_the_panel(form):
    first = begin(form)
    panel = Form(form.client)
    panel.entry = form.client.panel
    heard: list[dict[str, object]] = []
    panel.entry.send = lambda message, buffers=None: heard.append(message)
    panel.ask("begin_with_provider", "2", provider="github", return_page=PAGE)
    assert [said["attempt"] for said in outcomes(form)] == [first["attempt"]]
    (second,) = (said for said in heard if said["type"] == "answer")
    assert not any(said["type"] == "returned" for said in heard)
    panel.ask("cancel_with_provider", "3", attempt=second["attempt"])
    expect_nothing_open()


def test_the_address_of_another_sign_in_is_refused_and_the_right_one_may_follow(form):
    begun = begin(form)
    address = came_back_to(begun["url"], "ada@example.com")
    for number, wrong in enumerate((address.replace(str(begun["nonce"]), "other"), "nonsense", "")):
        assert not answer(
            form, "finish_with_provider", f"wrong {number}", attempt=begun["attempt"], returned_address=wrong
        )["ok"]
    assert who(form) is None
    assert answer(form, "finish_with_provider", "right", attempt=begun["attempt"], returned_address=address)[
        "ok"
    ]
    expect_nothing_open()


@pytest.mark.parametrize("provider", ["gitlab", "", "no such"])
def test_a_provider_that_is_not_enabled(form, provider):
    refused = begin(form, provider=provider)
    assert refused["ok"] is False
    assert "This project doesn't offer sign-in with" in str(refused["text"])
    expect_nothing_open()


def test_it_ends_by_itself_and_with_the_client(form, monkeypatch):
    monkeypatch.setattr(provider_requests, "LIFETIME", 0.0)
    begun = begin(form, page="")
    wait_until(lambda: outcomes(form))
    assert outcomes(form)[0]["attempt"] == begun["attempt"]
    assert "within five minutes" in str(outcomes(form)[0]["text"])
    expect_nothing_open()
    monkeypatch.undo()
    begin(form, "2", page="")
    form.client.close()
    expect_nothing_open()


def test_an_anonymous_user(form):
    signed_in = answer(form, "sign_in_anonymously")
    assert (signed_in["ok"], signed_in["text"]) == (True, "Signed in as Anonymous user.")
    assert form.client.auth.user.is_anonymous


def test_a_page_can_name_the_provider_that_a_magic_asked_for(form):
    form.entry.open_form("azure")
    form.entry.open_form()
    assert [said["provider"] for said in form.said if said["type"] == "open"] == [
        {"name": "azure", "label": "Microsoft"},
        None,
    ]
