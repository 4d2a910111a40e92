"""The server's options: replacing a given project, and limits for demos."""

from __future__ import annotations

from typing import Any

import httpx
import jwt
import pytest

from supabase_nb.demo import DemoServerError
from supabase_nb.demo._project.options import Options
from supabase_nb.demo.testing import running_server

SECRET = "37c304f8-51aa-419a-a1af-06154e63707a"


def test_tokens_signed_with_the_secret_are_accepted() -> None:
    """Other clients' test suites sign their own service role."""
    service = jwt.encode({"role": "service_role"}, SECRET, "HS256")
    with running_server(jwt_secret=SECRET) as server:
        headers = {"Authorization": f"Bearer {service}", "apikey": service}
        for path in ("/auth/v1/admin/users", "/admin/users"):
            assert len(httpx.get(server.url + path, headers=headers).json()["users"]) == 3
        rows = httpx.get(f"{server.url}/rest/v1/trips", headers=headers).json()
        assert len(rows) == 8
        header = jwt.get_unverified_header(server.sign_in()["access_token"])
        assert header["alg"] == "ES256"
        wrong = jwt.encode({"role": "service_role"}, SECRET[::-1], "HS256")
        with pytest.raises(DemoServerError, match="signature is invalid"):
            server.request("GET", "/auth/v1/admin/users", token=wrong)
        anon = jwt.encode({"role": "anon"}, SECRET, "HS256")
        with pytest.raises(DemoServerError, match="403 User not allowed"):
            server.request("GET", "/auth/v1/admin/users", token=anon)


def test_the_issuer() -> None:
    with running_server(issuer="https://abcd.supabase.co/auth/v1") as server:
        claims = jwt.decode(server.sign_in()["access_token"], options={"verify_signature": False})
        assert claims["iss"] == "https://abcd.supabase.co/auth/v1"


def test_the_rate_limit_is_per_address_and_ends() -> None:
    with running_server(rate_limit=3) as server:
        url = f"{server.auth_url}/token?grant_type=refresh_token"

        def statuses(address: str, count: int) -> list[int]:
            headers = {"X-Forwarded-For": address}
            sent = {"refresh_token": "abcdefghijkl"}
            return [httpx.post(url, json=sent, headers=headers).status_code for _ in range(count)]

        assert statuses("203.0.113.7", 5) == [400, 400, 400, 429, 429]
        assert statuses("203.0.113.8", 1) == [400]
        server.advance(100)  # a third of five minutes
        assert statuses("203.0.113.7", 2) == [400, 429]


def test_the_time_box() -> None:
    with running_server(timebox=60) as server:
        token = server.sign_in()["refresh_token"]
        server.advance(59)
        path = "/auth/v1/token?grant_type=refresh_token"
        token = server.request("POST", path, {"refresh_token": token})["refresh_token"]
        server.advance(2)
        with pytest.raises(DemoServerError, match="Session Expired"):
            server.request("POST", path, {"refresh_token": token})


def test_counts_per_endpoint_and_grant() -> None:
    with running_server() as server:
        session = server.sign_in()
        server.request("GET", "/auth/v1/user", token=session["access_token"])
        for path in ("/auth/v1/token?grant_type=zzz", "/auth/v1/signup"):
            with pytest.raises(DemoServerError):
                server.request("POST", path, [])
        server.admin("GET", "/users")
        assert server.stats() == {
            "admin.users.get": 1,
            "signup": 1,
            "token.other": 1,
            "token.password": 1,
            "user.get": 1,
        }


@pytest.mark.parametrize(
    "wrong",
    [
        {"access_token_lifetime": 0},
        {"reuse_interval": -1},
        {"signing_alg": "none"},
        {"refresh_token_version": 3},
        {"port": 70000},
    ],
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Options(**wrong)


def test_a_typo_is_an_error() -> None:
    with pytest.raises(TypeError, match="acess_token_lifetime"), running_server(acess_token_lifetime=5):
        pass


def test_the_secret_is_not_shown() -> None:
    options = Options(jwt_secret=SECRET, access_token_lifetime=5, autoconfirm=False)
    assert SECRET not in repr(options)
    assert SECRET not in str(options.public())
    assert options.arguments() == ["--access-token-lifetime", "5", "--no-autoconfirm"]
