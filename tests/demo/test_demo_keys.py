"""Signing keys: what the JWKS shows, and what verifies against it, as clients do it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from supabase_nb.demo import DemoServer, DemoServerError
from supabase_nb.demo.testing import running_server

KEYS = "/auth/v1/.well-known/jwks.json"


def verified(server: DemoServer, token: str) -> dict[str, Any]:
    """What a client does: the key by its id, then the signature."""
    by_id = {key["kid"]: key for key in server.request("GET", KEYS)["keys"]}
    key = jwt.PyJWK(by_id[jwt.get_unverified_header(token)["kid"]])
    claims: dict[str, Any] = jwt.decode(token, key, audience="authenticated", issuer=server.auth_url)
    return claims


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_tokens_verify_against_the_jwks(algorithm: str) -> None:
    with running_server(signing_alg=algorithm) as server:
        session = server.sign_in()
        assert jwt.get_unverified_header(session["access_token"])["alg"] == algorithm
        assert verified(server, session["access_token"])["email"] == "ada@example.com"
        (key,) = server.request("GET", KEYS)["keys"]
        assert not {"d", "p", "q", "dp", "dq", "qi"} & key.keys()


def test_hs256_has_no_jwks() -> None:
    with running_server(signing_alg="HS256", jwt_secret="s" * 40) as server:
        token = server.sign_in()["access_token"]
        assert server.request("GET", KEYS) == {"keys": []}
        assert jwt.decode(token, "s" * 40, ["HS256"], audience="authenticated")["email"] == "ada@example.com"
        with pytest.raises(DemoServerError, match="HS256"):
            server.rotate_keys()


def test_standby_rotate_revoke(server: DemoServer) -> None:
    before = server.sign_in()["access_token"]
    server.rotate_keys("standby")
    first, standby = (key["kid"] for key in server.request("GET", KEYS)["keys"])
    assert jwt.get_unverified_header(server.sign_in()["access_token"])["kid"] == first
    server.rotate_keys()
    after = server.sign_in()["access_token"]
    assert jwt.get_unverified_header(after)["kid"] == standby
    for token in (before, after):
        verified(server, token)
        server.request("GET", "/auth/v1/user", token=token)
    server.rotate_keys("revoke")
    assert [key["kid"] for key in server.request("GET", KEYS)["keys"]] == [standby]
    server.request("GET", "/auth/v1/user", token=after)
    with pytest.raises(DemoServerError, match="unrecognized JWT kid"):
        server.request("GET", "/auth/v1/user", token=before)


def test_only_the_service_role_changes_keys(server: DemoServer) -> None:
    with pytest.raises(DemoServerError, match="403 User not allowed"):
        server.request("POST", "/demo/keys", {"do": "rotate"}, token=server.sign_in()["access_token"])
    with pytest.raises(DemoServerError, match="401"):
        server.request("POST", "/demo/keys", {"do": "rotate"})


def test_keys_last_and_the_algorithm_can_change(tmp_path: Path) -> None:
    with running_server(tmp_path / "demo") as server:
        first = server.sign_in()["access_token"]
        kid = jwt.get_unverified_header(first)["kid"]
    with running_server(tmp_path / "demo", issuer=server.auth_url) as server:
        assert jwt.get_unverified_header(server.sign_in()["access_token"])["kid"] == kid
    with running_server(tmp_path / "demo", signing_alg="RS256") as server:
        assert [key["alg"] for key in server.request("GET", KEYS)["keys"]] == ["ES256", "RS256"]
        server.request("GET", "/auth/v1/user", token=first)


def forged(token: str, header: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), b"", signature]
    encoded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([encoded[0], token.split(".")[1], encoded[2]])


def test_no_algorithm_confusion(server: DemoServer) -> None:
    token = server.sign_in()["access_token"]
    kid = jwt.get_unverified_header(token)["kid"]
    (key,) = server.request("GET", KEYS)["keys"]
    for header in (
        {"alg": "none"},
        {"alg": "none", "kid": kid},
        {"alg": "HS256", "kid": kid},
        {"alg": "HS256"},
        {"alg": "RS256", "kid": kid},
        {"alg": ["ES256"], "kid": kid},
        {"alg": "ES256", "kid": {}},
        {"alg": "ES256"},
    ):
        for secret in (b"", json.dumps(key).encode()):
            with pytest.raises(DemoServerError, match="403 invalid JWT"):
                server.request("GET", "/auth/v1/user", token=forged(token, header, secret))
