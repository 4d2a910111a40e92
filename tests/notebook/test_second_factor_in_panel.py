"""The second factor in the panel, on the kernel's side: when it is asked for, and how the code is handled."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import made
import pytest
from fake_auth import FakeAuth, enact, make_session, make_user
from test_form import Form

from supabase_nb import AuthClient, MemoryStorage
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server
from supabase_nb.notebook._displays import fallback
from supabase_nb.notebook._displays.view import describe
from supabase_nb.notebook.client_with_displays import NotebookClient

NUMBERS = itertools.count()
EMAIL, PASSWORD = "ada@example.com", "correct horse battery"


def factor(kind: str = "totp", status: str = "verified", **fields: str) -> dict[str, str]:
    return {"id": "f1", "factor_type": kind, "status": status, **fields}


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with running_server(reuse_interval=0) as running:
        yield running


@pytest.fixture
def client(server: DemoServer) -> Iterator[NotebookClient]:
    """Signed in at aal1, by a user who has an authenticator app."""
    with NotebookClient(server.url, server.anon_key, storage=MemoryStorage()) as client:
        client.auth.sign_in_with_password(email=EMAIL, password=PASSWORD)
        enrolled = client.auth.mfa.enroll(factor_type="totp", friendly_name="my phone")
        client.auth.mfa.challenge_and_verify(factor_id=enrolled.id, code=code(server))
        client.auth.sign_in_with_password(email=EMAIL, password=PASSWORD)
        yield client


def code(server: DemoServer) -> str:
    digits: str = server.totp_codes(EMAIL)[0]["code"]
    return digits


def asked(auth: AuthClient | FakeAuth) -> Any:
    return describe(auth)["second_factor"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ([], None),
        ([factor(status="unverified")], None),
        ([factor()], {"apps": [{"id": "f1", "name": None}], "other": None}),
        (
            [factor("phone"), factor(friendly_name="a"), factor(id="f2", friendly_name="b")],
            {"apps": [{"id": "f1", "name": "a"}, {"id": "f2", "name": "b"}], "other": None},
        ),
        ([factor(status="unverified"), factor("phone")], {"apps": [], "other": "phone"}),
        ([factor("webauthn")], {"apps": [], "other": "webauthn"}),
    ],
)
def test_it_is_asked_for_where_the_user_has_a_verified_factor(factors: Any, expected: Any) -> None:
    auth = FakeAuth()
    auth.sign_in(factors=factors)
    assert asked(auth) == expected


def test_it_is_asked_for_at_aal1_only_and_not_once_the_session_is_over() -> None:
    auth = FakeAuth()
    user = make_user(factors=[factor()])
    for level, expected in (("aal1", True), ("aal2", False), ("aal3", False), (None, False)):
        auth.session = make_session(user, aal=level)
        assert bool(asked(auth)) is expected, level
    for status in ("expired", "signed_out"):
        assert asked(enact(FakeAuth(), status)) is None


def test_a_snapshot_says_nothing_of_it() -> None:
    auth = FakeAuth()
    auth.sign_in(factors=[factor(id="id-of-the-factor", friendly_name="name-of-the-app")])
    view = describe(auth)  # type: ignore[arg-type]
    for text in (fallback.html(view), fallback.plain(view), fallback.line(view)):
        assert "id-of-the-factor" not in text
        assert "name-of-the-app" not in text


def verify(client: NotebookClient, digits: str, factor_id: str | None = None) -> tuple[Form, dict[str, Any]]:
    view = describe(client.auth)
    assert view["second_factor"] is not None
    form = Form(client)
    app = factor_id or view["second_factor"]["apps"][0]["id"]
    sent = form.ask("verify_factor", str(next(NUMBERS)), factor_id=app, code=digits)
    (answer,) = form.answers()
    for kept in (sent, form.said, form.entry.get_state(), vars(form.entry)):
        assert digits not in repr(kept)
    return form, answer


def test_the_code_raises_the_session_to_aal2(client: NotebookClient, server: DemoServer, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    digits = code(server)
    _, answer = verify(client, f"{digits[:3]} {digits[3:]}")
    assert answer["ok"]
    assert "have ended" in answer["text"], "what became of the user's other sessions"
    assert asked(client.auth) is None
    assert describe(client.auth)["user"]["aal"] == "aal2"  # type: ignore[index]
    assert digits not in caplog.text


def test_the_panel_knows_it_from_the_session_without_a_request(
    client: NotebookClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = client.auth._manager.api
    monkeypatch.setattr(api, "request_object", lambda *_: pytest.fail("the server was asked"))
    monkeypatch.setattr(api, "get_user", lambda *_: pytest.fail("the server was asked"))
    assert asked(client.auth)["apps"][0]["name"] == "my phone"


def test_a_wrong_code_can_be_tried_again(client: NotebookClient, server: DemoServer) -> None:
    _, answer = verify(client, "000000" if code(server) != "000000" else "111111")
    assert not answer["ok"]
    assert answer["text"] == "That code is wrong or has expired. Enter the code that the app shows now."
    assert asked(client.auth)
    assert verify(client, code(server))[1]["ok"]


class Limited(httpx.HTTPTransport):
    """Codes were tried too often from this address."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/verify"):
            return made.refusal(429, "over_request_rate_limit", "Request rate limit reached")
        return super().handle_request(request)


def test_too_many_tries_say_to_wait(client: NotebookClient, server: DemoServer) -> None:
    options: Any = {"storage": MemoryStorage(), "transport": Limited()}
    with NotebookClient(server.url, server.anon_key, **options) as limited:
        limited.auth.sign_in_with_password(email=EMAIL, password=PASSWORD)
        _, answer = verify(limited, code(server))
        assert not answer["ok"]
        assert "Request rate limit reached" in answer["text"]
        assert "Wait a minute, then try again." in answer["text"]
        assert asked(limited.auth), "the field stays"


def test_an_outage_says_so(client: NotebookClient, server: DemoServer) -> None:
    server.outage(30)
    _, answer = verify(client, code(server))
    server.outage(0)
    assert not answer["ok"]
    assert "503" in answer["text"]
    assert asked(client.auth), "the field stays"
    assert client.auth.session is not None


def test_an_app_that_was_removed_elsewhere_is_no_longer_offered(
    client: NotebookClient, server: DemoServer
) -> None:
    user = client.auth.user
    assert user is not None
    (app,) = asked(client.auth)["apps"]
    server.admin("DELETE", f"/users/{user.id}/factors/{app['id']}")
    _, answer = verify(client, "123456", app["id"])
    assert not answer["ok"]
    assert answer["text"] == "That app is no longer one of your second factors."
    assert asked(client.auth) is None
