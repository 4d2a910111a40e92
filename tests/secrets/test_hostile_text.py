"""Names, metadata and messages from others are shown as plain text everywhere."""

from __future__ import annotations

import html.parser
import json
import re
import unicodedata

import httpx
import made
import pytest
from hostile_text import HOSTILE, hostile_auth

from supabase_nb import AuthClient, MemoryStorage
from supabase_nb.errors import AuthError
from supabase_nb.models import AuthResponse, Session, User, mask_email
from supabase_nb.notebook._displays import fallback
from supabase_nb.notebook._displays.view import describe


class Elements(html.parser.HTMLParser):
    """The elements and attributes of a text, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {f"{name}={value}" for name, value in attrs}

    def handle_data(self, data: str) -> None:
        self.words += data


def steers(text: str) -> list[str]:
    """Characters that do something else than being read."""
    return [
        f"U+{ord(char):04X}"
        for char in text
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and char != "\n"
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_sent_to_displays(name):
    view = describe(hostile_auth(HOSTILE[name]))
    sent = json.dumps(view, ensure_ascii=False)
    sent.encode()
    assert steers("".join(json.loads(f"[{sent}]")[0]["user"]["name"])) == []
    assert steers(sent) == []
    assert len(sent) < 10_000


@pytest.mark.parametrize("name", HOSTILE)
def test_static_html(name):
    page = fallback.html(describe(hostile_auth(HOSTILE[name])))
    found = Elements(page)
    assert found.tags == {"style", "div", "p", "strong", "small", "br"}
    assert found.attributes == {"class=sb-snap mathjax_ignore tex2jax_ignore"}
    assert page.count("<style>") == 1
    assert steers(page) == []
    assert len(page) < 10_000


@pytest.mark.parametrize("name", HOSTILE)
def test_text_for_terminals_and_saved_notebooks(name):
    view = describe(hostile_auth(HOSTILE[name]))
    for shown in (fallback.line(view), fallback.plain(view)):
        assert steers(shown) == []
        assert "\n" not in shown
        assert len(shown) < 3000
    coloured = fallback.line(view, color=True)
    assert len(re.findall("\x1b", coloured)) == 2, "ours: on and off"


@pytest.mark.parametrize("name", HOSTILE)
def test_reprs(name):
    text = HOSTILE[name]
    wire = made.session() | {
        "user": made.user(text, email=f"{text}@{text}.example", user_metadata={"x": text})
    }
    session = Session.from_wire(wire)
    for value in (
        session.user,
        session,
        AuthResponse(session.user, session),
        User.from_wire(made.user(text)),
    ):
        assert steers(repr(value)) == []
        assert "\n" not in repr(value)
        assert len(repr(value)) < 1000
    assert session.user.id == text, "what is kept stays as it came"
    assert steers(mask_email(text)) == []


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("field", ["code", "message", "both"])
def test_what_a_server_says(name, field):
    text = HOSTILE[name]
    body = {"code": "x", "message": "y"} | (
        {field: text} if field != "both" else {"code": text, "message": text}
    )
    transport = httpx.MockTransport(
        lambda request: httpx.Response(400, json=body, headers={"sb-auth-session-id": "x\ty"})
    )
    auth = AuthClient(
        "https://abcd.supabase.co/auth/v1", storage=MemoryStorage(), auto_refresh=False, transport=transport
    )
    with pytest.raises(AuthError) as caught:
        auth.set_session(made.jwt(), "abcdefghijkl")
    auth.close()
    for shown in (str(caught.value), repr(caught.value), "".join(caught.value._render_traceback_())):
        assert steers(shown) == []
        assert len(shown) < 2000


def test_these_tests_can_see():
    assert Elements(HOSTILE["image"]).tags == {"img"}
    assert "onmouseover=alert(1)" in Elements(f'<p class="{HOSTILE["attribute"]}">').attributes
    for name in ("direction", "colours", "control", "surrogate"):
        assert steers(HOSTILE[name])
