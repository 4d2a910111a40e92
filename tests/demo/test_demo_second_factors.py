"""The demo's second factors, ID tokens and OAuth server, beyond the recordings."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from supabase_nb.demo import DemoServer, DemoServerError
from supabase_nb.demo.testing import running_server

CALLBACK = "http://127.0.0.1:8899/callback"
VERIFIER = "a-verifier-of-more-than-forty-three-characters-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


def enroll(server: DemoServer, token: str) -> Any:
    return server.request("POST", "/auth/v1/factors", {"factor_type": "totp"}, token=token)


def test_the_code_of_a_factor_can_be_seen(server: DemoServer) -> None:
    token = server.sign_in()["access_token"]
    factor = enroll(server, token)
    (shown,) = server.totp_codes("ada@example.com")
    assert shown["factor_id"] == factor["id"]
    path = f"/auth/v1/factors/{factor['id']}"
    challenge = server.request("POST", f"{path}/challenge", token=token)
    sent = {"challenge_id": challenge["id"], "code": shown["code"]}
    assert server.request("POST", f"{path}/verify", sent, token=token)["user"]["factors"]


def test_the_next_code_is_another_one(server: DemoServer) -> None:
    factor = enroll(server, server.sign_in()["access_token"])
    before = server.totp_codes()[0]
    assert before["factor_id"] == factor["id"]
    server.advance(90)
    assert server.totp_codes()[0]["code"] != before["code"]


def test_an_id_token_signs_in(server: DemoServer) -> None:
    nonce = hashlib.sha256(b"raw").hexdigest()
    sent = {"provider": "github", "id_token": server.id_token("grace@example.com", nonce=nonce)}
    path = "/auth/v1/token?grant_type=id_token"
    assert server.request("POST", path, {**sent, "nonce": "raw"})["user"]["email"] == "grace@example.com"
    with pytest.raises(DemoServerError, match="Nonces mismatch"):
        server.request("POST", path, {**sent, "nonce": "another"})


@pytest.mark.parametrize("provider", ["demo", "github"])
def test_the_provider_page_can_be_cancelled(server: DemoServer, provider: str) -> None:
    query = urlencode({"provider": provider, "redirect_to": f"{CALLBACK}?nonce=abc"})
    page = httpx.get(f"{server.auth_url}/authorize?{query}", follow_redirects=True)
    (cancel,) = re.findall(r'href="([^"]*error=access_denied[^"]*)"', page.text)
    back = httpx.get(str(page.url.join(html.unescape(cancel))))
    fields = parse_qs(urlsplit(back.headers["location"]).query)
    assert (fields["error"], fields["nonce"]) == (["access_denied"], ["abc"])


@pytest.mark.parametrize("action", ["approve", "deny"])
def test_the_consent_page(server: DemoServer, action: str) -> None:
    client = server.request(
        "POST",
        "/auth/v1/oauth/clients/register",
        {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "client_name": "<b>My</b> app"},
    )
    asked = {"client_id": client["client_id"], "redirect_uri": CALLBACK, "response_type": "code"}
    asked |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256", "state": "s"}
    page = httpx.get(f"{server.auth_url}/oauth/authorize?{urlencode(asked)}", follow_redirects=True)
    assert "&lt;b&gt;My&lt;/b&gt; app asks for access" in page.text
    line = next(part for part in page.text.split("<li>") if "alan@example.com" in part)
    link = next(link for link in re.findall(r'href="([^"]+)"', line) if action in link)
    back = httpx.get(str(page.url.join(html.unescape(link))))
    fields = parse_qs(urlsplit(back.headers["location"]).query)
    assert fields["state"] == ["s"]
    if action == "deny":
        assert fields["error"] == ["access_denied"]
        return
    sent = {"grant_type": "authorization_code", "code": fields["code"][0], "code_verifier": VERIFIER}
    sent |= {"client_id": client["client_id"], "redirect_uri": CALLBACK}
    session = httpx.post(f"{server.auth_url}/oauth/token", data=sent).json()
    refresh = {"refresh_token": session["refresh_token"]}
    with pytest.raises(DemoServerError, match="Client authentication required"):
        server.request("POST", "/auth/v1/token?grant_type=refresh_token", refresh)
    sent = {**refresh, "grant_type": "refresh_token", "client_id": client["client_id"]}
    assert httpx.post(f"{server.auth_url}/oauth/token", data=sent).status_code == 200


def test_a_database_of_an_older_version(tmp_path: Path) -> None:
    """It lacks the new columns; users and sessions stay."""
    with running_server(tmp_path) as server:
        session, factor = server.sign_in("grace@example.com"), "factors"
    with closing(sqlite3.connect(tmp_path / "demo.sqlite")) as db, db:
        for table in (factor, "challenges", "oauth_clients", "oauth_authorizations", "oauth_consents"):
            db.execute(f"DROP TABLE {table}")
        for column in ("client_id", "scope"):
            db.execute(f"ALTER TABLE sessions DROP COLUMN {column}")
        for column in ("provider", "linking", "provider_tokens"):
            db.execute(f"ALTER TABLE flow_states DROP COLUMN {column}")
        db.execute("PRAGMA user_version = 1")
    with running_server(tmp_path) as server:
        sent = {"refresh_token": session["refresh_token"]}
        answer = server.request("POST", "/auth/v1/token?grant_type=refresh_token", sent)
        assert enroll(server, answer["access_token"])["totp"]["secret"]
        assert httpx.get(f"{server.auth_url}/authorize?provider=github").status_code == 302
