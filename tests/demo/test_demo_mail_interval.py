"""At least 60 seconds between two emails of the same kind to a user, as on the real server (``otp``, ``recover``)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

ADA = {"email": "ada@example.com"}
NEW = {"email": "new@example.com", "password": "a good password"}
WAIT = "For security purposes, you can only request this after 59 seconds."


def again(server: DemoServer, method: str, path: str, body: Any, token: str | None = None) -> httpx.Response:
    """Ask twice; the second answer."""
    server.request(method, f"/auth/v1{path}", body, token=token)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, server.auth_url + path, json=body, headers=headers)


@pytest.mark.parametrize("path", ["/otp", "/recover"])
def test_a_second_mail_within_a_minute_is_refused(server: DemoServer, path: str) -> None:
    answer = again(server, "POST", path, ADA)
    assert answer.status_code == 429
    assert answer.json() == {"code": 429, "error_code": "over_email_send_rate_limit", "msg": WAIT}
    assert answer.headers["x-sb-error-code"] == "over_email_send_rate_limit"
    assert "retry-after" not in answer.headers
    assert len(server.outbox()) == 1
    server.request("POST", f"/auth/v1{path}", {"email": "grace@example.com"})
    server.advance(61)
    server.request("POST", f"/auth/v1{path}", ADA)
    assert len(server.outbox("ada@example.com")) == 2


def test_a_second_confirmation_within_a_minute_is_refused() -> None:
    with running_server(autoconfirm=False) as server:
        assert again(server, "POST", "/signup", NEW).status_code == 429
        server.advance(61)
        server.request("POST", "/auth/v1/signup", NEW)


def test_a_used_mail_counts_too(server: DemoServer) -> None:
    server.request("POST", "/auth/v1/otp", ADA)
    (mail,) = server.outbox()
    verify = {"type": "email", "token_hash": mail["hashed_token"]}
    server.request("POST", "/auth/v1/verify", verify)
    assert httpx.post(f"{server.auth_url}/otp", json=ADA).status_code == 429


@pytest.mark.parametrize("path", ["/otp", "/recover"])
def test_the_interval_can_be_switched_off(path: str) -> None:
    with running_server(mail_interval=0) as server:
        assert again(server, "POST", path, ADA).status_code == 200
        assert len(server.outbox()) == 2
