"""The displays on the kernel's side: one model, driven by traits, no messages between events, no secrets."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import comm
import ipywidgets
import pytest
from comm.base_comm import BaseComm
from fake_auth import REFRESH_TOKEN, FakeAuth, enact
from ipywidgets.widgets.widget import _instances as every_widget
from shells import Shell

from supabase_nb import AuthClient
from supabase_nb.demo import DemoServer
from supabase_nb.errors import AuthRetryableError
from supabase_nb.models import STATUSES, Notice
from supabase_nb.notebook._displays import fallback, widgets
from supabase_nb.notebook._displays.view import describe
from supabase_nb.notebook._displays.widgets import KINDS, Display, display_of, view_sender
from supabase_nb.notebook.client_with_displays import Displays
from supabase_nb.notebook.text import WORDS


class RecordingComm(BaseComm):
    """A comm that records its messages."""

    said: list[tuple[str, dict[str, Any]]]

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        self.__dict__.setdefault("said", []).append((msg_type, data or {}))


class Page:
    """The browser's end of one display's line."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self.comm: RecordingComm = display.comm
        self.read = 0

    def send(self, **content: Any) -> None:
        message = {"content": {"data": {"method": "custom", "content": content}}, "buffers": []}
        self.comm.handle_msg(message)

    @property
    def news(self) -> list[dict[str, Any]]:
        return [data["content"] for _, data in list(self.comm.said) if data.get("method") == "custom"]

    def wait(self, found: Callable[[dict[str, Any]], bool], start: int = 0) -> tuple[int, dict[str, Any]]:
        """The first news from `start` on that is what we look for, and its place."""
        tick = threading.Event()
        for _ in range(1000):
            for place, news in enumerate(self.news[start:], start):
                if found(news):
                    return place, news
            tick.wait(0.01)
        raise AssertionError(f"it never came; there was {self.news[-3:]}")

    def wait_view(self, **fields: Any) -> dict[str, Any]:
        """The first view with these values after the view that was waited for last."""

        def fits(news: dict[str, Any]) -> bool:
            return news["type"] == "view" and all(news["view"][name] == fields[name] for name in fields)

        place, news = self.wait(fits, self.read)
        self.read = place + 1
        view: dict[str, Any] = news["view"]
        return view

    def wait_answer(self, wish: str) -> dict[str, Any]:
        return self.wait(lambda news: news["type"] == "answer" and news["id"] == wish)[1]


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(comm, "create_comm", RecordingComm)
    yield
    view_sender.stop()
    for display in displays_alive():
        display.close()


@pytest.fixture
def auth() -> FakeAuth:
    return FakeAuth()


def displays_alive() -> list[Display]:
    return [widget for widget in every_widget.values() if isinstance(widget, Display)]


class Client(Displays):
    def __init__(self, auth: FakeAuth) -> None:
        self.auth = auth  # type: ignore[assignment]


# -- one model ---------------------------------------------------------------------------------------------


def test_a_thousand_reruns_leave_one_model(auth: FakeAuth, shell: Shell) -> None:
    shell.ns["client"] = Client(auth)
    enact(auth, "active")
    for code in ("client.panel", "client"):
        assert shell.run(code).ok
    models, threads = len(every_widget), threading.active_count()
    # As a statement: IPython warns when its cache of 1,000 outputs is full.
    for _ in range(1000):
        assert shell.run("from IPython.display import display; display(client.panel)").ok
    assert [display.kind for display in displays_alive() if display.client_if_open() is auth] == ["panel"]
    assert len(every_widget) == models
    assert threading.active_count() <= threads


def test_each_kind_of_each_client_has_its_own(auth: FakeAuth) -> None:
    one, other = Client(auth), Client(FakeAuth())
    displays = [display_of(client.auth, kind) for client in (one, other) for kind in KINDS]
    assert len({display.model_id for display in displays}) == 2 * len(KINDS)
    assert [display_of(one.auth, kind) for kind in KINDS] == displays[: len(KINDS)]
    assert (one._display_(), one.token_entry()) == (one.panel, display_of(one.auth, "token_entry"))


def test_an_unknown_kind_of_display(auth: FakeAuth) -> None:
    with pytest.raises(ValueError, match="unknown display 'clock'; valid: badge, user_card"):
        display_of(auth, "clock")  # type: ignore[arg-type]


def test_in_a_layout(auth: FakeAuth) -> None:
    client = Client(auth)
    box = ipywidgets.VBox([client.badge, client.expiry])
    assert box.get_state()["children"] == [
        f"IPY_MODEL_{display.model_id}" for display in (client.badge, client.expiry)
    ]
    box.close()


def test_the_text_says_the_state(auth: FakeAuth) -> None:
    """Of a layout, nbconvert without widget state shows only this."""
    client = Client(enact(auth, "active"))
    assert repr(client.panel) == str(client.panel) == fallback.plain(describe(auth))
    assert "ada@example.com" not in repr(client.panel)
    box = ipywidgets.VBox([client.badge])
    assert "Active" in repr(box)
    box.close()


def test_a_display_whose_line_was_closed_is_made_anew(auth: FakeAuth) -> None:
    """marimo closes the line of a widget when the cell that made it runs again."""
    first = display_of(auth, "badge")
    first.comm.close()
    second = display_of(auth, "badge")
    assert second is not first
    assert display_of(auth, "badge") is second


# -- driven by the traits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
def test_every_state_is_shown(auth: FakeAuth, status: str) -> None:
    page = Page(display_of(auth, "badge"))
    enact(auth, status)
    view = page.wait_view(status=status)
    assert view["host"] == "abcd.supabase.co"
    assert (view["user"] is None) == (status == "signed_out")  # of an expired session, whose it was
    assert (view["message"] is not None) == (status in ("retrying", "expired"))


def test_a_new_view_gets_the_current_state(auth: FakeAuth) -> None:
    auth.sign_in(left=100, lifetime=200)
    page = Page(display_of(auth, "panel"))
    assert page.news == []
    page.send(type="hello")
    (news,) = page.news
    view = news["view"]
    assert 98 < view["time_left"] <= 100
    assert view["lifetime"] == 200
    assert 58 < view["refresh_in"] <= 60
    assert view["user"] == {
        "name": "ada.lovelace@example.com",
        "anonymous": False,
        "id": "4f6a52c1-93c4-4c5f-9d7f-2c6f2f0f7c11",
        "role": "authenticated",
        "provider": "email",
        "last_sign_in": pytest.approx(1770802212.123456),
        "session_id": "c0ffee00-5e55-4a0b-8f3e-0123456789ab",
        "aal": "aal1",
    }
    assert [(event["kind"], event["text"]) for event in view["events"]] == [
        ("SIGNED_IN", "Signed in with a password")
    ]
    json.dumps(view)


def test_one_change_of_many_traits_is_one_message(auth: FakeAuth) -> None:
    auth.sign_in()
    page = Page(display_of(auth, "panel"))
    changes = 0

    def count(_: object) -> None:
        nonlocal changes
        changes += 1

    auth.observe(count)
    auth.refresh_session()
    page.wait_view(status="active")
    assert changes >= 4
    # A slow machine may send views in between.
    assert len(page.news) <= 2


def test_a_view_that_is_sent_need_not_be_carried_too(auth: FakeAuth) -> None:
    panel, badge = display_of(auth, "panel"), display_of(auth, "badge")
    view_sender.stop()
    view_sender._scheduled = [panel, badge]
    panel.send_view()
    assert view_sender._scheduled == [badge]


def test_without_a_change_nothing_is_sent(auth: FakeAuth) -> None:
    auth.sign_in()
    page = Page(display_of(auth, "panel"))
    page.send(type="hello")
    said = len(page.comm.said)
    threading.Event().wait(0.3)
    assert len(page.comm.said) == said


def test_a_refresh_is_distinguished_from_other_changes(auth: FakeAuth) -> None:
    auth.sign_in()
    page = Page(display_of(auth, "badge"))
    page.send(type="hello")
    assert page.wait_view()["refreshed"] is None
    auth.refresh_session()
    refreshed = page.wait_view(status="active")["refreshed"]
    assert refreshed is not None
    auth.notices = (Notice("A sentence.", "name"),)
    told = [{"name": "name", "text": "A sentence."}]
    assert page.wait_view(notices=told)["refreshed"] == refreshed


def test_words_come_from_one_table(auth: FakeAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORDS, "status.active", "Aktiv")
    auth.sign_in()
    assert display_of(auth, "badge").words["status.active"] == "Aktiv"
    assert fallback.line(describe(auth)).startswith("● Aktiv · ")


# -- asking the kernel -------------------------------------------------------------------------------------


def test_a_click_does_not_hold_up_the_thread_that_brings_it(auth: FakeAuth) -> None:
    auth.sign_in()
    auth.go_on.clear()
    page = Page(display_of(auth, "panel"))
    page.send(type="ask", what="refresh", id="1")
    page.wait(lambda news: news == {"type": "taken", "id": "1"})
    assert not any(news["type"] == "answer" for news in page.news)
    auth.go_on.set()
    assert page.wait_answer("1") == {"type": "answer", "id": "1", "ok": True, "text": "Refreshed."}
    assert auth.asked == [("refresh_session", "supabase-nb-ask")]


def test_a_click_is_heard_once_however_often_it_arrives(auth: FakeAuth) -> None:
    auth.sign_in()
    page = Page(display_of(auth, "panel"))
    clicks = [
        threading.Thread(target=page.send, kwargs={"type": "ask", "what": "sign_out", "id": "1"})
        for _ in range(16)
    ]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    page.wait_answer("1")
    page.send(type="ask", what="refresh", id="2")
    page.wait_answer("2")
    assert [name for name, _ in auth.asked] == ["sign_out(local)", "refresh_session"]


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (AuthRetryableError("The auth server does not answer. Try again later."), "does not answer"),
        (RuntimeError("a fault"), ""),
    ],
)
def test_failures_are_answered_too(
    auth: FakeAuth, failure: Exception, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    auth.sign_in()
    auth.fails = failure
    page = Page(display_of(auth, "panel"))
    page.send(type="ask", what="refresh", id="1")
    answer = page.wait_answer("1")
    assert answer["ok"] is False
    assert text in answer["text"]
    assert ("refresh failed: RuntimeError" in caplog.text) == (not text)


def test_unknown_messages_are_ignored(auth: FakeAuth) -> None:
    page = Page(display_of(auth, "panel"))
    page.send(type="ask", what="delete_everything", id="1")
    page.send(type="ask")
    page.send()
    page.comm.handle_msg({"content": {"data": {"method": "custom", "content": "text"}}, "buffers": []})
    assert auth.asked == []
    assert page.news == []


# -- closing -----------------------------------------------------------------------------------------------


def test_stopping_sends_pending_changes_and_keeps_displays(auth: FakeAuth) -> None:
    pages = [Page(display_of(auth, kind)) for kind in KINDS]
    auth.sign_in()
    auth.closed = True
    view_sender.stop()
    view_sender.stop()
    assert "supabase-nb-displays" not in [thread.name for thread in threading.enumerate()]
    assert all(page.news[-1]["view"]["status"] == "closed" for page in pages)
    assert not any(said[0] == "comm_close" for page in pages for said in page.comm.said)


def test_a_display_that_is_closed_leaves_nothing(auth: FakeAuth) -> None:
    before = len(every_widget)
    page = Page(display_of(auth, "badge"))
    page.display.close()
    page.display.close()
    assert len(every_widget) == before
    assert page.comm.said[-1][0] == "comm_close"
    # The client may be shown again.
    auth.sign_in()
    page = Page(display_of(auth, "badge"))
    page.send(type="hello")
    assert page.wait_view()["status"] == "active"


def test_a_client_that_is_closed_is_shown_as_closed_and_asked_for_nothing(auth: FakeAuth) -> None:
    other = FakeAuth()
    auth.sign_in()
    page = Page(display_of(auth, "panel"))
    auth.closed = True
    view = page.wait_view(status="closed")
    assert (view["message"], view["refresh_in"]) == (None, None)
    assert view["user"]["name"] == "ada.lovelace@example.com"
    for ask in ({"type": "ask", "what": "refresh"}, {"type": "ask", "what": "sign_out"}):
        page.send(**ask, id="1")
    assert auth.asked == []
    # Also on a page that is loaded again, and where it is shown from now on; other clients are not concerned.
    for late in (page, Page(display_of(auth, "badge"))):
        late.send(type="hello")
        assert late.news[-1]["view"]["status"] == "closed"
    Page(display_of(other, "badge")).send(type="hello")
    assert Page(display_of(other, "badge")).wait_view()["status"] == "signed_out"


@pytest.mark.parametrize("closed", [False, True])
def test_a_display_of_a_collected_client_stays_and_says_closed(closed: bool) -> None:
    lone = FakeAuth()
    page = Page(display_of(lone, "badge"))
    lone.closed = closed
    if closed:
        page.wait_view(status="closed")
    gone = weakref.ref(lone)
    del lone
    gc.collect()
    assert gone() is None
    if not closed:
        page.wait(lambda news: news == {"type": "closed"})
    page.send(type="hello")
    page.send(type="ask", what="refresh", id="1")
    assert page.news[-1] == {"type": "closed"}
    assert not any(said[0] == "comm_close" for said in page.comm.said)


def test_a_display_that_fails_does_not_stop_the_others(
    auth: FakeAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page(display_of(auth, "badge"))
    broken = display_of(auth, "expiry")
    monkeypatch.setattr(broken, "send_view", lambda: 1 / 0)
    auth.sign_in()
    page.wait_view(status="active")
    monkeypatch.undo()


# -- secrets -----------------------------------------------------------------------------------------------


def test_nothing_that_syncs_says_who_it_is(auth: FakeAuth) -> None:
    auth.sign_in()
    for kind in KINDS:
        display = display_of(auth, kind)
        Page(display).send(type="hello")
        state = json.dumps(display.get_state(), default=str)
        assert auth.user is not None
        for private in ("ada.lovelace", auth.user.id, "c0ffee00", REFRESH_TOKEN):
            assert private not in state


def test_a_real_session_without_its_tokens(auth_client: AuthClient, server: DemoServer) -> None:
    pages = [Page(display_of(auth_client, kind)) for kind in KINDS]
    wire = server.sign_in()
    auth_client.set_session(wire["access_token"], wire["refresh_token"])
    pages[0].wait_view(status="active")
    pages[4].send(type="ask", what="refresh", id="1")
    assert pages[4].wait_answer("1")["ok"]
    session = auth_client.session
    assert session is not None
    assert session.access_token != wire["access_token"]
    pages[4].send(type="ask", what="sign_out", id="2")
    assert pages[4].wait_answer("2")["ok"]
    pages[4].wait_view(status="signed_out")
    said = json.dumps([page.comm.said for page in pages], default=str)
    assert "ada@example.com" in said
    for token in (wire["access_token"], wire["refresh_token"], session.access_token, session.refresh_token):
        assert token not in said
        assert token.rpartition(".")[2] not in said


@pytest.fixture
def auth_client(make_auth: Callable[..., AuthClient]) -> AuthClient:
    return make_auth()


# -- the modules -------------------------------------------------------------------------------------------


def test_one_thread_sends_all_views(auth: FakeAuth) -> None:
    for kind in KINDS:
        display_of(auth, kind)
    auth.sign_in()
    Page(display_of(auth, "badge")).wait_view(status="active")
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("supabase-nb-displays") == 1
    assert widgets.view_sender._scheduled == []
