"""Methods, slashes, bodies and grants that no client should send get the real server's responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NOT_SIGNED_IN = (401, "no_authorization")


@pytest.fixture(scope="module")
def switched_off() -> Iterator[DemoServer]:
    """A project that has switched off what can be."""
    with running_server(manual_linking=False, oauth_server=False) as server:
        yield server


def ask(server: DemoServer, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
    headers = {**more.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
    return httpx.request(method, server.auth_url + path, headers=headers, **more)


@pytest.mark.parametrize("prefix", ["", "/auth/v1"])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/user/", 200),
        ("DELETE", "/user", 405),
        ("DELETE", "/user/", 405),
        ("POST", "/user", 405),
        ("GET", "/user/x", 404),
        ("GET", "/factors", 405),
        ("GET", "/factors/x", 405),
    ],
)
def test_below_user_the_server_first_asks_who_it_is(
    supabase_auth_server: DemoServer, prefix: str, method: str, path: str, status: int
) -> None:
    server, url = supabase_auth_server, supabase_auth_server.url + prefix + path
    refused = httpx.request(method, url)
    assert (refused.status_code, refused.json()["error_code"]) == NOT_SIGNED_IN
    forged = httpx.request(method, url, headers={"Authorization": "Bearer a.b.c"})
    assert (forged.status_code, forged.json()["error_code"]) == (403, "bad_jwt")
    token = server.sign_in()["access_token"]
    assert httpx.request(method, url, headers={"Authorization": f"Bearer {token}"}).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/admin/users/", 200),
        ("DELETE", "/admin/users", 405),
        ("GET", "/admin/nothing", 404),
        ("GET", "/admin", 404),
    ],
)
def test_below_admin_too(supabase_auth_server: DemoServer, method: str, path: str, status: int) -> None:
    server = supabase_auth_server
    assert ask(server, method, path).json()["error_code"] == "no_authorization"
    user = ask(server, method, path, server.sign_in()["access_token"])
    assert (user.status_code, user.json()["error_code"]) == (403, "not_admin")
    assert ask(server, method, path, server.service_key).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *[(method, "/token", 405) for method in ("GET", "PUT", "DELETE")],
        *[("GET", path, 405) for path in ("/signup", "/otp", "/recover", "/logout", "/resend")],
        *[("POST", path, 405) for path in ("/settings", "/health", "/authorize", "/.well-known/jwks.json")],
        *[("POST", path, 404) for path in ("/token/", "/signup/", "/otp/", "/recover/", "/logout/")],
        *[
            ("GET", path, 404)
            for path in ("/settings/", "/health/", "/users", "/usernames", "/administrator")
        ],
        *[("POST", path, 404) for path in ("/invite", "/magiclink")],
        ("POST", "/reauthenticate", 405),
    ],
)
def test_on_other_paths_only_the_router_responds(
    supabase_auth_server: DemoServer, method: str, path: str, status: int
) -> None:
    answer = ask(supabase_auth_server, method, path)
    text = {405: "", 404: "404 page not found\n"}[status]
    assert (answer.status_code, answer.text) == (status, text)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, ("invalid request", "id_token required")),
        ({"id_token": "x"}, ("invalid request", "provider or client_id and issuer required")),
    ],
)
@pytest.mark.parametrize("version", [{}, {"X-Supabase-Api-Version": "2024-01-01"}])
def test_an_id_token_is_missing(
    supabase_auth_server: DemoServer, body: Any, error: tuple[str, str], version: dict[str, str]
) -> None:
    answer = ask(supabase_auth_server, "POST", "/token?grant_type=id_token", json=body, headers=version)
    assert answer.status_code == 400
    assert answer.json() == dict(zip(("error", "error_description"), error, strict=True))
    assert "x-sb-error-code" not in answer.headers


@pytest.mark.parametrize(
    ("grant", "body", "status", "code", "message"),
    [
        ("id_token", {"id_token": "x", "provider": "zzz"}, 400, "validation_failed", '"zzz" not allowed'),
        (
            "id_token",
            {"id_token": "x", "provider": "custom:x"},
            400,
            "validation_failed",
            '"custom:x" not found',
        ),
        (
            "id_token",
            {"id_token": "x", "provider": "google"},
            400,
            "provider_disabled",
            'Provider (issuer "https://accounts.google.com") is not enabled',
        ),
        ("id_token", {"id_token": 5}, 400, "bad_json", "IdTokenGrantParams.id_token of type string"),
        ("web3", {}, 422, "web3_provider_disabled", "Web3 provider is disabled"),
        ("zzz", {}, 400, "invalid_credentials", "unsupported_grant_type"),
        ("", {}, 400, "invalid_credentials", "unsupported_grant_type"),
    ],
)
def test_grants_that_are_switched_off(
    supabase_auth_server: DemoServer, grant: str, body: Any, status: int, code: str, message: str
) -> None:
    answer = ask(supabase_auth_server, "POST", f"/token?grant_type={grant}", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert message in answer.json()["msg"]


@pytest.mark.parametrize("path", ["/signup", "/token?grant_type=password", "/otp", "/recover", "/verify"])
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"email=ada%40example.com", "invalid character 'e' looking for beginning of value"),
        (b"type=recovery", "invalid character 'y' in literal true (expecting 'r')"),
        (b"number=1", "invalid character 'm' in literal null (expecting 'l')"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b"{email: 1}", "invalid character 'e' looking for beginning of object key string"),
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b"tru", "unexpected end of JSON input"),
    ],
)
def test_bodies_that_are_no_json(supabase_auth_server: DemoServer, path: str, body: bytes, why: str) -> None:
    answer = ask(supabase_auth_server, "POST", path, content=body, headers=FORM)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "bad_json"
    assert answer.json()["msg"] == f"Could not parse request body as JSON: {why}"


@pytest.mark.parametrize("path", ["/signup", "/token?grant_type=password", "/otp", "/recover", "/verify"])
def test_a_list_is_no_body(supabase_auth_server: DemoServer, path: str) -> None:
    answer = ask(supabase_auth_server, "POST", path, json=[])
    assert (answer.status_code, answer.json()["error_code"]) == (400, "bad_json")
    assert "cannot unmarshal array into Go value of type api." in answer.json()["msg"]


def test_the_content_type_doesnt_matter(server: DemoServer) -> None:
    body = b'{"email": "ada@example.com", "password": "correct horse battery"}'
    answer = ask(
        server, "POST", "/token?grant_type=password", content=body, headers={"Content-Type": "text/plain"}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/factors", {"factor_type": "webauthn"}, 422, "mfa_webauthn_enroll_not_enabled"),
        ("POST", "/factors", {"factor_type": "phone"}, 422, "mfa_phone_enroll_not_enabled"),
        ("GET", "/user/identities/authorize?provider=google", None, 404, "manual_linking_disabled"),
        ("DELETE", "/user/identities/x", None, 404, "manual_linking_disabled"),
    ],
)
def test_features_that_are_switched_off(
    switched_off: DemoServer, method: str, path: str, body: Any, status: int, code: str
) -> None:
    server = switched_off
    refused = ask(server, method, path, json=body)
    assert (refused.status_code, refused.json()["error_code"]) == NOT_SIGNED_IN
    answer = ask(server, method, path, server.sign_in()["access_token"], json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/.well-known/oauth-authorization-server"),
        ("GET", "/oauth/authorize"),
        ("POST", "/oauth/clients/register"),
        ("POST", "/oauth/token"),
    ],
)
def test_the_project_has_no_oauth_server(switched_off: DemoServer, method: str, path: str) -> None:
    answer = ask(switched_off, method, path)
    text = {"code": 404, "error_code": "feature_disabled", "msg": "OAuth server is disabled"}
    assert (answer.status_code, answer.json()) == (404, text)
