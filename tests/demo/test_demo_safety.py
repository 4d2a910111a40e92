"""The demo server is safe to leave running: hosts, request sizes, slow clients, files and the log."""

from __future__ import annotations

import json
import logging
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from supabase_nb.demo import DemoServer, DemoServerError, ensure_server, stop_server
from supabase_nb.demo.testing import running_server


def get(server: DemoServer, path: str, **headers: str) -> httpx.Response:
    return httpx.get(server.url + path, headers=headers)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.0.0.2", ""]
)
@pytest.mark.parametrize("path", ["/auth/v1/settings", "/health", "/demo/outbox", "/rest/v1/trips", "/nope"])
def test_foreign_hosts_are_refused(supabase_auth_server: DemoServer, host: str, path: str) -> None:
    answer = get(supabase_auth_server, path, Host=host)
    assert answer.status_code == 421
    assert answer.json().keys() == {"code", "error_code", "msg"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "[::1]:5"])
def test_names_of_this_machine_are_served(supabase_auth_server: DemoServer, host: str) -> None:
    assert get(supabase_auth_server, "/auth/v1/settings", Host=host).status_code == 200


def test_it_listens_on_loopback_only(supabase_auth_server: DemoServer) -> None:
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("no /proc/net/tcp here")
    port = f"{supabase_auth_server.port:04X}"
    listening = [line.split()[1] for line in table.read_text().splitlines()[1:] if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{port}")] == [f"0100007F:{port}"]


def test_pages_of_other_sites_cannot_use_the_controls(server: DemoServer) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert httpx.post(f"{server.url}/demo/outage", json={"seconds": 9}, headers=foreign).status_code == 403
    assert get(server, "/demo/outbox", **foreign).status_code == 403
    answer = get(server, "/auth/v1/settings", **foreign)
    assert "access-control-allow-origin" not in answer.headers  # so that the page can't read it
    preflight = {**foreign, "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{server.url}/auth/v1/token", headers=preflight)
    assert "access-control-allow-methods" not in answer.headers
    own = get(server, "/auth/v1/settings", Origin="http://localhost:8888")
    assert own.headers["access-control-allow-origin"] == "http://localhost:8888"


ADMIN = [
    ("GET", "/users"),
    ("POST", "/users"),
    ("POST", "/generate_link"),
    *[(m, "/users/x") for m in ("GET", "PUT", "DELETE")],
]


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_no_admin_without_the_service_key(supabase_auth_server: DemoServer, method: str, path: str) -> None:
    server = supabase_auth_server
    for token, status in (
        (None, "401"),
        (server.anon_key, "403"),
        (server.service_key[:-1], "403"),
        (server.sign_in()["access_token"], "403"),
    ):
        with pytest.raises(DemoServerError, match=status):
            server.request(method, f"/auth/v1/admin{path}", {}, token=token)


def test_keys_are_random() -> None:
    with running_server() as one, running_server() as other:
        assert one.service_key != other.service_key
        assert one.anon_key != other.anon_key
        assert one.service_key not in f"{one} {one!r}"


def test_a_wrong_apikey_is_refused_as_by_the_gateway(supabase_auth_server: DemoServer) -> None:
    server = supabase_auth_server
    answer = get(server, "/auth/v1/settings", apikey="wrong")
    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid API key")
    assert get(server, "/auth/v1/settings", apikey=server.anon_key).status_code == 200
    answer = get(server, "/rest/v1/trips")
    assert (answer.status_code, answer.json()["message"]) == (401, "No API key found in request")


def test_only_the_owner_can_read_the_state(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir(mode=0o755)
    with running_server(folder) as server:
        server.sign_in()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    locks = {name: mode for name, mode in modes.items() if name.endswith(".lock")}
    assert {"keys.json", "server.json", "demo.sqlite"} <= modes.keys()
    assert all(mode == 0o600 for name, mode in modes.items() if name not in locks)


def test_neither_passwords_nor_tokens_are_in_the_log(tmp_path: Path) -> None:
    server = ensure_server(tmp_path)
    try:
        session = server.sign_in()
        refreshed = server.request(
            "POST", "/auth/v1/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]}
        )
        server.request("GET", "/auth/v1/user", token=refreshed["access_token"])
        server.request("POST", "/auth/v1/otp", {"email": "ada@example.com"})
        (mail,) = server.outbox()
        link = httpx.get(mail["action_link"])
        assert "#access_token=" in link.headers["location"]
        with pytest.raises(DemoServerError):
            server.request(
                "POST", "/auth/v1/token?grant_type=password", {"email": "x", "password": "hunter22"}
            )
    finally:
        stop_server(tmp_path)
    log = (tmp_path / "server.log").read_text()
    assert "POST /auth/v1/token 200" in log
    secrets = [session[name] for name in ("access_token", "refresh_token")]
    secrets += [refreshed[name] for name in ("access_token", "refresh_token")]
    secrets += [mail["hashed_token"], mail["email_otp"], server.service_key, "hunter22", "correct horse"]
    assert [secret for secret in secrets if secret in log] == []
    assert b"correct horse" not in b"".join(path.read_bytes() for path in tmp_path.glob("demo.sqlite*"))


def test_bodies_over_a_mebibyte_are_refused(supabase_auth_server: DemoServer) -> None:
    server = supabase_auth_server
    url = f"{server.auth_url}/signup"
    answer = httpx.post(url, content=b"x" * ((1 << 20) + 1))
    assert answer.status_code == 413
    assert answer.json()["error_code"] == "validation_failed"

    def chunks() -> Any:
        for _ in range(17):
            yield b"x" * (1 << 16)

    assert httpx.post(url, content=chunks()).status_code == 413
    assert httpx.post(url, content=b"x" * (1 << 20)).status_code == 400


def test_slow_senders_are_cut_off() -> None:
    with running_server(body_timeout=0.3) as server:
        head = b"POST /auth/v1/signup HTTP/1.1\r\nHost: localhost\r\n"
        answers = {}
        for name, sent in (
            ("nothing", b""),
            ("half a header", head),
            ("half a body", head + b"Content-Length: 100\r\n\r\n{"),
        ):
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
                connection.sendall(sent)
                received = b""
                while piece := connection.recv(4096):
                    received += piece
                answers[name] = received
        assert answers["nothing"] == answers["half a header"] == b""
        assert answers["half a body"].startswith(b"HTTP/1.1 408 ")
        body = json.loads(answers["half a body"].partition(b"\r\n\r\n")[2])
        assert body["error_code"] == "request_timeout"


def test_a_waiting_connection_is_not_a_slow_sender() -> None:
    with running_server(body_timeout=0.3) as server, httpx.Client() as client:
        for _ in range(3):
            assert client.get(f"{server.auth_url}/health").status_code == 200
            pause = threading.Event()
            assert not pause.wait(0.5)  # longer than a slow sender has


def test_it_stops_without_requests(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "supabase_nb.demo")
    before = set(threading.enumerate())
    with running_server(idle_timeout=1) as server:
        (thread,) = set(threading.enumerate()) - before
        assert server.sign_in()
        thread.join(20)
        assert not thread.is_alive()
    assert "no request for 1 s: stopping" in caplog.text


def test_an_outage_affects_everything_except_the_controls(server: DemoServer) -> None:
    session = server.sign_in()
    server.outage(600)
    for path in ("/auth/v1/user", "/user", "/rest/v1/trips", "/nope"):
        assert get(server, path).status_code == 503
    assert server.stats()["outage"] == 4
    server.outage(0)
    server.request("GET", "/auth/v1/user", token=session["access_token"])
    server.reset_stats()
    assert server.stats() == {}
