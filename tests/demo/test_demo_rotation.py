"""Refresh tokens: concurrent requests, and changes over time. Single exchanges are in test_demo_replay."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from typing import Any

import hypothesis.strategies as st
import jwt
import pytest
from hypothesis import given
from replay import WIRE

from supabase_nb.demo import DemoServer, DemoServerError
from supabase_nb.demo._project.refresh_token_format import parse_v2, signature, write_v2
from supabase_nb.demo.testing import running_server

REFRESH = "/auth/v1/token?grant_type=refresh_token"


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refresh(server: DemoServer, token: str) -> dict[str, Any]:
    session: dict[str, Any] = server.request("POST", REFRESH, {"refresh_token": token})
    return session


@pytest.mark.parametrize("version", [1, 2])
def test_sixteen_exchanges_at_once_are_one_rotation(version: int) -> None:
    with running_server(refresh_token_version=version, reuse_interval=0) as server:
        token = server.sign_in()["refresh_token"]
        start, given = threading.Barrier(16), []

        def exchange() -> None:
            start.wait()
            given.append(refresh(server, token)["refresh_token"])

        threads = [threading.Thread(target=exchange) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert server.stats()["token.refresh_token"] == 16
        assert len(given) == 16
        assert len(set(given)) == 1
        assert given[0] != token
        # The session continues from there, and what was given out before is an ancestor now.
        refresh(server, refresh(server, given[0])["refresh_token"])
        with pytest.raises(DemoServerError, match="Already Used"):
            refresh(server, token)


def test_a_chain_of_exchanges_keeps_its_session() -> None:
    with running_server(refresh_token_version=2) as server:
        session = server.sign_in()
        session_id = jwt.decode(session["access_token"], options={"verify_signature": False})["session_id"]
        token = session["refresh_token"]
        for counter in range(1, 140):  # beyond one byte of the counter
            token = refresh(server, token)["refresh_token"]
            assert parse_v2(token)[:2] == (session_id, counter)


def test_a_version_2_token_of_another_server_is_unknown() -> None:
    with running_server(refresh_token_version=2) as one, running_server(refresh_token_version=2) as other:
        with pytest.raises(DemoServerError, match="Not Found"):
            refresh(other, one.sign_in()["refresh_token"])
        forged = one.sign_in()["refresh_token"]
        forged = forged[:30] + ("A" if forged[30] != "A" else "B") + forged[31:]
        with pytest.raises(DemoServerError, match="not valid"):
            refresh(one, forged)


def test_version_1_sessions_continue_after_the_server_changes_to_version_2(tmp_path: Any) -> None:
    with running_server(tmp_path / "demo", refresh_token_version=1) as server:
        token = server.sign_in()["refresh_token"]
    with running_server(tmp_path / "demo", refresh_token_version=2) as server:
        token = refresh(server, token)["refresh_token"]
        assert len(token) == 12
        refresh(server, token)
        assert len(server.sign_in()["refresh_token"]) == 51


def test_a_new_password_ends_the_other_sessions(server: DemoServer) -> None:
    mine, other = server.sign_in(), server.sign_in()
    server.request("PUT", "/auth/v1/user", {"password": "a new password"}, token=mine["access_token"])
    server.request("GET", "/auth/v1/user", token=mine["access_token"])
    with pytest.raises(DemoServerError, match="session_id claim"):
        server.request("GET", "/auth/v1/user", token=other["access_token"])
    server.sign_in(password="a new password")


def test_expired_by_order_until_refreshed(server: DemoServer) -> None:
    ada, grace = server.sign_in(), server.sign_in("grace@example.com")
    server.expire("ada@example.com")
    with pytest.raises(DemoServerError, match="token is expired"):
        server.request("GET", "/auth/v1/user", token=ada["access_token"])
    server.request("GET", "/auth/v1/user", token=grace["access_token"])
    renewed = refresh(server, ada["refresh_token"])
    server.request("GET", "/auth/v1/user", token=renewed["access_token"])
    with pytest.raises(DemoServerError, match="this email"):
        server.expire("nobody@example.com")


def test_the_clock_can_be_shifted() -> None:
    with running_server(access_token_lifetime=30) as server:
        session = server.sign_in()
        server.advance(31)
        with pytest.raises(DemoServerError, match="token is expired"):
            server.request("GET", "/auth/v1/user", token=session["access_token"])
        later = refresh(server, session["refresh_token"])
        assert later["expires_at"] - session["expires_at"] in (31, 32)


def test_recorded_version_2_tokens_are_read() -> None:
    recorded = json.loads((WIRE / "rotation-v2-refresh-tokens.json").read_text())
    bodies = [entry["response"]["body"] for entry in recorded]
    read = []
    for body in bodies:
        if "refresh_token" in body:
            claims = jwt.decode(body["access_token"], options={"verify_signature": False})
            session_id, counter, _ = parse_v2(body["refresh_token"])
            assert session_id == claims["session_id"]
            read.append(counter)
    assert read[:4] == [0, 1, 1, 2]


@given(session_id=st.uuids(), key=st.binary(min_size=32, max_size=32), counter=st.integers(0, 2**63 - 1))
def test_version_2_tokens_are_written_and_read(session_id: uuid.UUID, key: bytes, counter: int) -> None:
    token = write_v2(str(session_id), key, counter)
    given_id, given_counter, (signed, signed_with) = parse_v2(token)
    assert (given_id, given_counter, signed_with) == (str(session_id), counter, signature(key, signed))


@given(text=st.text(st.characters(codec="ascii"), max_size=70) | st.binary(max_size=46).map(base64url))
def test_other_texts_are_no_version_2_tokens(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64url|checksum|varint|counter"):
        parse_v2(text)


@pytest.mark.parametrize("version", [1, 2])
def test_copied_tokens_stay_the_same_until_their_session_ends(version: int) -> None:
    with running_server(refresh_token_version=version, reuse_interval=0) as server:
        copied = server.copied_tokens()
        assert server.copied_tokens("grace@example.com") != copied
        newer = refresh(server, refresh(server, copied[1])["refresh_token"])
        assert server.copied_tokens() == copied
        server.request("POST", "/auth/v1/logout", token=newer["access_token"])
        second = server.copied_tokens()
        assert second[1] != copied[1]
        refresh(server, refresh(server, second[1])["refresh_token"])
        with pytest.raises(DemoServerError, match="Already Used"):
            refresh(server, second[1])  # which revokes the family
        third = server.copied_tokens()
        assert third[1] != second[1]
        refresh(server, third[1])
