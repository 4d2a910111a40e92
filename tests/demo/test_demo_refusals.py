"""Errors of the demo server that weren't recorded, and their texts."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from supabase_nb.demo import DemoServer, DemoServerError
from supabase_nb.demo._server import app as application
from supabase_nb.demo.testing import running_server

ADA = "ada@example.com"
WORDS = "correct horse battery"
PKCE = {"auth_code": "x", "code_verifier": "y"}
CASES: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/signup", {"phone": "123456", "password": WORDS}, 400, "phone_provider_disabled"),
    ("POST", "/signup", {"email": "n@example.com", "password": "x" * 73}, 400, "validation_failed"),
    ("POST", "/token?grant_type=password", {"email": ADA, "phone": "1"}, 400, "validation_failed"),
    ("POST", "/token?grant_type=password", {"phone": "1", "password": "x"}, 422, "phone_provider_disabled"),
    ("POST", "/token?grant_type=pkce", {"auth_code": "x"}, 400, "validation_failed"),
    ("POST", "/token?grant_type=pkce", PKCE, 404, "flow_state_not_found"),
    ("POST", "/otp", {}, 400, "validation_failed"),
    ("POST", "/otp", {"email": ADA, "phone": "1"}, 400, "validation_failed"),
    ("POST", "/otp", {"email": ADA, "channel": "sms"}, 400, "validation_failed"),
    ("POST", "/otp", {"phone": "1"}, 400, "phone_provider_disabled"),
    ("POST", "/recover", {}, 400, "validation_failed"),
    ("POST", "/verify", {}, 400, "validation_failed"),
    ("POST", "/verify", {"type": "email"}, 400, "validation_failed"),
    ("POST", "/verify", {"type": "email", "token": "1", "token_hash": "x"}, 400, "validation_failed"),
    ("POST", "/verify", {"type": "email", "token": "1"}, 400, "validation_failed"),
    ("POST", "/verify", {"type": "zzz", "token": "1"}, 400, "validation_failed"),
    ("GET", "/verify", None, 400, "validation_failed"),
    ("POST", "/logout", None, 401, "no_authorization"),
    ("POST", "/signup", [], 400, "bad_json"),
    ("POST", "/signup", {"email": {}}, 400, "bad_json"),
    ("POST", "/signup", {"data": "x"}, 400, "bad_json"),
]
ADMIN_CASES: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/users", {}, 400, "validation_failed"),
    ("POST", "/users", {"email": "n@example.com", "id": "x"}, 400, "validation_failed"),
    ("GET", "/users?page=x", None, 400, "validation_failed"),
    ("POST", "/generate_link", {"type": "zzz", "email": ADA}, 400, "validation_failed"),
    ("POST", "/generate_link", {"type": "signup", "email": ADA, "password": WORDS}, 422, "email_exists"),
    ("POST", "/generate_link", {"type": "signup", "email": "n@example.com"}, 400, "validation_failed"),
    ("POST", "/generate_link", {"type": "recovery", "email": "n@example.com"}, 404, "user_not_found"),
    ("POST", "/generate_link", {"type": "magiclink"}, 400, "validation_failed"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), CASES)
def test_refused(
    supabase_auth_server: DemoServer, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answer = httpx.request(method, supabase_auth_server.auth_url + path, json=body)
    assert (answer.status_code, answer.json()["error_code"], answer.json()["code"]) == (status, code, status)
    assert answer.headers["x-sb-error-code"] == code


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), ADMIN_CASES)
def test_refused_to_the_service_role(
    supabase_auth_server: DemoServer, method: str, path: str, body: Any, status: int, code: str
) -> None:
    server = supabase_auth_server
    headers = {"Authorization": f"Bearer {server.service_key}", "X-Supabase-Api-Version": "2024-01-01"}
    answer = httpx.request(method, f"{server.auth_url}/admin{path}", json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_users_cannot_change_app_metadata(server: DemoServer) -> None:
    headers = {"Authorization": f"Bearer {server.sign_in()['access_token']}"}
    url = f"{server.auth_url}/user"
    answer = httpx.put(url, json={"app_metadata": {"role": "admin"}}, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "not_admin")
    guest = server.request("POST", "/auth/v1/signup", {})
    headers = {"Authorization": f"Bearer {guest['access_token']}"}
    answer = httpx.put(url, json={"password": "a good password"}, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "validation_failed")


def test_disabled_features() -> None:
    with running_server(disable_signup=True) as server:
        answer = httpx.post(f"{server.auth_url}/otp", json={"email": "n@example.com"})
        assert (answer.status_code, answer.json()["error_code"]) == (422, "signup_disabled")
    with running_server(disable_email=True) as server:
        for path in ("/signup", "/otp"):
            new = {"email": "n@example.com", "password": WORDS}
            answer = httpx.post(server.auth_url + path, json=new)
            assert answer.json()["error_code"] == "email_provider_disabled"


def test_a_banned_user_cannot_sign_in(server: DemoServer) -> None:
    ada = server.sign_in()["user"]
    server.request("POST", "/auth/v1/otp", {"email": ADA})
    (mail,) = server.outbox()
    server.admin("PUT", f"/users/{ada['id']}", {"ban_duration": "24h"})
    sent = {"type": "email", "token_hash": mail["hashed_token"]}
    answer = httpx.post(f"{server.auth_url}/verify", json=sent)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "user_banned")
    page = httpx.get(f"{server.auth_url}/authorize?provider=demo", follow_redirects=True)
    link = next(part for part in page.text.split("<li>") if ADA in part).split('"')[1]
    answer = httpx.get(str(page.url.join(link.replace("&amp;", "&"))))
    assert answer.status_code == 302
    assert "error=access_denied&error_code=user_banned" in answer.headers["location"]


def test_the_demo_provider_without_pkce(server: DemoServer) -> None:
    page = httpx.get(f"{server.auth_url}/authorize?provider=demo", follow_redirects=True)
    link = next(part for part in page.text.split("<li>") if ADA in part).split('"')[1]
    location = httpx.get(str(page.url.join(link.replace("&amp;", "&")))).headers["location"]
    assert location.startswith(f"{server.url}/demo/welcome#access_token=")
    state = link.partition("state=")[2].partition("&")[0]
    answer = httpx.get(f"{server.auth_url}/callback?state={state}&code=x")
    assert answer.status_code == 303
    assert "error_code=bad_oauth_state" in answer.headers["location"]


def test_an_internal_failure_has_the_servers_format(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(call: object) -> Any:
        raise ZeroDivisionError("of the test")

    monkeypatch.setitem(application.AUTH_ROUTES["/health"], "GET", broken)
    with running_server() as server, caplog.at_level(logging.ERROR, "supabase_nb.demo"):
        answer = httpx.get(f"{server.auth_url}/health")
        assert (answer.status_code, answer.json()["error_code"]) == (500, "unexpected_failure")
        assert "unexpected failure at GET /health" in caplog.text
        assert httpx.get(f"{server.auth_url}/settings").status_code == 200


def external(server: DemoServer) -> dict[str, bool]:
    settings = server.request("GET", "/auth/v1/settings")
    found: dict[str, bool] = settings["external"]
    return found


def test_settings_say_that_phones_are_off_as_every_endpoint_does(server: DemoServer) -> None:
    assert external(server)["phone"] is False
    phone, token = {"phone": "+15550000000"}, server.sign_in()["access_token"]
    calls = [
        ("POST", "/signup", {**phone, "password": WORDS}),
        ("POST", "/token?grant_type=password", {**phone, "password": WORDS}),
        ("POST", "/otp", phone),
        ("PUT", "/user", phone),
    ]
    for method, path, body in calls:
        headers = {"Authorization": f"Bearer {token}"} if path == "/user" else {}
        answer = httpx.request(method, server.auth_url + path, json=body, headers=headers)
        assert (path, answer.json()["error_code"]) == (path, "phone_provider_disabled")
    with pytest.raises(DemoServerError, match="Invalid phone number format"):
        server.request("PUT", "/auth/v1/user", {"phone": "abc"}, token=token)


@pytest.mark.parametrize("off", [False, True])
def test_settings_say_what_can_be_switched_off(off: bool) -> None:
    with running_server(disable_email=off, disable_signup=off, autoconfirm=not off) as server:
        settings = server.request("GET", "/auth/v1/settings")
        assert settings["external"]["email"] is not off
        assert settings["disable_signup"] is off
        assert settings["mailer_autoconfirm"] is not off


def test_the_enabled_providers_of_the_settings_can_be_used(server: DemoServer) -> None:
    providers = external(server).keys() - {"anonymous_users", "email", "phone"}
    assert {"google", "github", "zoom"} <= providers
    assert [provider for provider in providers if external(server)[provider]] == ["github"]
    assert httpx.get(f"{server.auth_url}/authorize?provider=github").status_code == 302
    for provider in providers - {"github"}:
        answer = httpx.get(f"{server.auth_url}/authorize?provider={provider}")
        assert answer.json()["msg"] == "Unsupported provider: provider is not enabled"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "Unsupported provider: Provider  could not be found"),
        ("provider=zzz", "Unsupported provider: Provider zzz could not be found"),
        ("provider=google", "Unsupported provider: provider is not enabled"),
        (f"provider=demo&code_challenge={'x' * 43}", "PKCE flow requires code_challenge_method"),
        (
            f"provider=demo&code_challenge={'x' * 43}&code_challenge_method=zzz",
            "Invalid code_challenge_method",
        ),
        ("provider=demo&code_challenge=abc&code_challenge_method=s256", "between 43 and 128 characters"),
    ],
)
def test_authorize_refuses_in_the_servers_words(
    supabase_auth_server: DemoServer, query: str, message: str
) -> None:
    answer = httpx.get(f"{supabase_auth_server.auth_url}/authorize?{query}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "validation_failed")
    assert message in answer.json()["msg"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"type": "email", "token": "1", "token_hash": "x"}, 400, "either a token or a token hash"),
        ({"type": "email", "token_hash": "x", "email": ADA}, 400, "Only the token_hash and type should be"),
        ({"type": "zzz", "email": ADA, "token": "000000"}, 403, "Token has expired or is invalid"),
        ({"type": "zzz", "token_hash": "x"}, 400, "Invalid email verification type"),
        (
            {"type": "email", "token": "1", "email": ADA, "phone": "+1555"},
            400,
            "Only an email address or phone",
        ),
        ({"type": "sms", "token": "1"}, 400, "Only an email address or phone"),
        ({"type": "sms", "token": "1", "phone": "abc"}, 400, "Invalid phone number format"),
        ({"type": "sms", "token": "1", "phone": "+15550000000"}, 403, "Token has expired or is invalid"),
    ],
)
def test_verify_refuses_in_the_servers_words(
    supabase_auth_server: DemoServer, body: Any, status: int, message: str
) -> None:
    answer = httpx.post(f"{supabase_auth_server.auth_url}/verify", json=body)
    assert answer.status_code == status
    assert message in answer.json()["msg"]
