"""Tokens in transit: where they are sent, and what is shown of servers in between."""

from __future__ import annotations

import datetime
import errno
import http.server
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import made
import pytest
from planted import Planted, modes, processes

from supabase_nb import AuthClient, Client, FileStorage, MemoryStorage
from supabase_nb.errors import AuthError, AuthRetryableError, AuthStorageError, AuthUnknownError

WIRE = made.session("plantedrefr3", marker="planted")
PLANTED = Planted()
PLANTED.add("any", access_token=WIRE["access_token"], refresh_token=WIRE["refresh_token"])


class Seen:
    """What a server was sent: the raw bytes of each request, as far as it read them."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def leaks(self) -> list[bytes]:
        return [request for request in self.requests if PLANTED.find(request)]


@contextmanager
def serving(
    answer: Callable[[str, str], tuple[int, dict[str, str], bytes]], tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, Seen]]:
    """A server on this machine: `answer` gives status, headers and body for a method and a path."""
    seen = Seen()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            seen.requests.append(self.raw_requestline + bytes(self.headers) + body)
            status, headers, content = answer(self.command, self.path)
            self.send_response(status)
            for name, value in ({"content-length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that does not trust the certificate hangs up

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def answers(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    """An auth server that says yes to everything."""
    user = "/user" in path
    return 200, {"content-type": "application/json"}, json.dumps(WIRE["user"] if user else WIRE).encode()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supabase_nb.auth._session.retry._FIRST_PAUSE", 0.0)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def client(url: str, **options: Any) -> AuthClient:
    options = {"storage": MemoryStorage(), "auto_refresh": False} | options
    return AuthClient(f"{url}/auth/v1", **options)


def enter(auth: AuthClient) -> None:
    auth.set_session(WIRE["access_token"], WIRE["refresh_token"])


# -- in the clear ----------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://abcd.supabase.co", "http://10.0.0.7:8000", "http://192.168.1.1", "http://[2001:db8::1]",
        "http://localhost.example.com", "http://127.0.0.1.example.com", "http://127.0.0.1@evil.example",
        "HTTP://abcd.supabase.co", "http://0x7f000001.example", "ftp://127.0.0.1", "//127.0.0.1",
    ],
)  # fmt: skip
def test_tokens_are_not_sent_unencrypted(url):
    with pytest.raises(AuthError) as caught:
        client(url)
    assert caught.value.code in ("insecure_url", "invalid_url")
    with pytest.raises(AuthError):
        Client(url, "anon", storage=MemoryStorage())
    with pytest.raises(AuthError):
        Client("https://abcd.supabase.co", "anon", auth_url=f"{url}/auth/v1", storage=MemoryStorage())


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "https://abcd.supabase.co"]
)
def test_on_this_machine_they_may(url):
    client(url).close()


def test_plain_http_to_another_machine_can_be_allowed():
    client("http://10.0.0.7:8000", allow_http=True).close()


# -- elsewhere ----------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_of_an_auth_request_is_followed(status):
    with serving(answers) as (evil, evil_seen):

        def elsewhere(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
            return status, {"location": f"{evil}{path}"}, b""

        with serving(elsewhere) as (url, seen):
            auth = client(url)
            with pytest.raises(AuthUnknownError) as caught:
                enter(auth)
            with pytest.raises(AuthError):
                auth.refresh_session(WIRE["refresh_token"])
            auth.close()
    assert caught.value.code == "unexpected_redirect"
    assert seen.leaks(), "the test has sent tokens"
    assert evil_seen.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_data_to_another_origin_carries_no_token(status):
    def data(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        if path.startswith("/rest"):
            return status, {"location": f"{evil}/x"}, b""
        return answers(method, path)

    with serving(answers) as (evil, evil_seen), serving(data) as (url, seen):
        project = Client(url, "anonkeyanonkey", storage=MemoryStorage(), auto_refresh=False)
        enter(project.auth)
        project.http.get("/rest/v1/trips")
        project.http.post("/rest/v1/trips", json={})
        project.http.get(f"{evil}/straight")
        project.close()
    assert [request for request in seen.leaks() if b"/rest/v1/trips" in request]
    assert len(evil_seen.requests) == 3
    assert evil_seen.leaks() == []
    assert not [request for request in evil_seen.requests if b"anonkey" in request]


# -- TLS ----------------------------------------


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrusted certificate for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def tls(self_signed: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed)
    return context


def test_a_certificate_that_cannot_be_verified_gets_no_token(self_signed):
    with serving(answers, tls(self_signed)) as (url, seen):
        auth = client(url)
        with pytest.raises(AuthRetryableError, match=r"certificate of 127\.0\.0\.1"):
            enter(auth)
        auth.close()
        project = Client(url, "anon", storage=MemoryStorage(), auto_refresh=False)
        project.set_auth(WIRE["access_token"])
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            project.http.get("/rest/v1/trips")
        project.close()
    assert seen.requests == []


def test_neither_does_one_beside_a_project_without_tls(self_signed):
    """The project is on this machine, but its auth server has another address."""
    with serving(answers, tls(self_signed)) as (auth_url, seen), serving(answers) as (url, _):
        project = Client(
            url, "anon", auth_url=f"{auth_url}/auth/v1", storage=MemoryStorage(), auto_refresh=False
        )
        with pytest.raises(AuthError):
            enter(project.auth)
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            project.http.get(f"{auth_url}/x")
        project.close()
    assert seen.requests == []


def test_a_private_certificate_authority_is_trusted(self_signed, monkeypatch):
    """By the usual variable; so the refusal above is for the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed))
    with serving(answers, tls(self_signed)) as (url, seen):
        auth = client(url)
        enter(auth)
        auth.close()
    assert seen.leaks()


# -- proxies ----------------------------------------

PAGE = b"<html><script>alert(1)</script><h1>Proxy Authentication Required</h1> user: mallory</html>"


def refuses(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    return 407, {"proxy-authenticate": "Basic", "content-type": "text/html"}, PAGE


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
def test_a_proxys_page_is_not_shown_and_it_sees_no_token(variable, monkeypatch):
    with serving(refuses) as (proxy, seen):
        monkeypatch.setenv(variable, proxy.replace("//", "//mallory:planted-proxy-pass@"))
        for make in (
            client,
            lambda url: Client(url, "anon", storage=MemoryStorage(), auto_refresh=False).auth,
        ):
            auth = make("https://abcd.supabase.co")
            with pytest.raises(AuthError) as caught:
                enter(auth)
            auth.close()
            said = f"{caught.value} {caught.value!r} {vars(caught.value)}"
            assert "<" not in said
            assert "mallory" not in said
            assert "planted-proxy-pass" not in said
    assert [request[:28] for request in seen.requests][:1] == [b"CONNECT abcd.supabase.co:443"]
    assert seen.leaks() == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_requests_to_this_machine_do_not_use_a_proxy(variable, monkeypatch):
    """Without TLS the proxy, another machine, would read the tokens."""
    with serving(refuses) as (proxy, proxy_seen), serving(answers) as (url, seen):
        monkeypatch.setenv(variable, proxy)
        auth = client(url)
        enter(auth)
        auth.close()
        project = Client(url, "anon", storage=MemoryStorage(), auto_refresh=False)
        enter(project.auth)
        project.http.get("/rest/v1/trips")
        project.close()
    assert proxy_seen.requests == []
    assert len(seen.leaks()) >= 3


@pytest.mark.parametrize("status", [200, 401, 403, 407, 502, 511])
def test_a_page_in_between_is_not_shown(status):
    with serving(lambda method, path: (status, {"content-type": "text/html"}, PAGE)) as (url, _):
        auth = client(url)
        with pytest.raises(AuthError) as caught:
            enter(auth)
        auth.close()
    assert "<" not in str(caught.value)
    assert "mallory" not in str(caught.value)


# -- stored -----------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_whatever_the_umask(umask, tmp_path):
    folder = tmp_path / "deep" / "sessions"
    before = os.umask(umask)
    try:
        with serving(answers) as (url, _):
            auth = client(url, storage=FileStorage(folder))
            enter(auth)
            enter(auth)
            auth.refresh_session()
            auth.close()
    finally:
        os.umask(before)
    assert list(folder.glob("*.json"))
    assert modes(folder) == []


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666])
def test_a_file_that_others_can_read_is_closed_or_refused(mode, tmp_path, monkeypatch):
    storage = FileStorage(tmp_path / "sessions")
    storage.set("key", json.dumps(WIRE))
    [file] = storage.path.glob("*.json")
    file.chmod(mode)
    assert storage.get("key") == json.dumps(WIRE)
    assert modes(storage.path) == []
    file.chmod(mode)

    def chmod(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "chmod", chmod)
    with pytest.raises(AuthStorageError, match="chmod 600") as caught:
        storage.get("key")
    assert not PLANTED.find(str(caught.value))


@pytest.mark.skipif(os.name != "posix", reason="links and modes are POSIX's")
def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path):
    """Somebody else's link would make us write, or read, where they like."""
    storage = FileStorage(tmp_path / "sessions")
    storage.set("key", json.dumps(WIRE))
    [file] = storage.path.glob("*.json")
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    elsewhere.chmod(0o644)
    file.symlink_to(elsewhere)
    with pytest.raises(AuthStorageError):
        storage.get("key")
    storage.set("key", json.dumps(WIRE))
    assert not file.is_symlink()
    assert modes(storage.path) == []


WORKS = """
import sys
from supabase_nb import AuthClient, FileStorage
at, rt = sys.stdin.readline().split()
auth = AuthClient(sys.argv[1], storage=FileStorage(sys.argv[2]), auto_refresh=False)
auth.set_session(at, rt)
auth.refresh_session()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_shows_nothing_to_others(tmp_path):
    """Neither its arguments, nor its environment, nor the names of its open files, nor temporary files."""
    folder = tmp_path / "sessions"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with serving(answers) as (url, _):
        process = subprocess.Popen(
            [sys.executable, "-c", WORKS, f"{url}/auth/v1", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{WIRE['access_token']} {WIRE['refresh_token']}\n".encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        shown = [data for _, data in processes(process.pid)]
        shown += [os.readlink(path).encode() for path in Path(f"/proc/{process.pid}/fd").iterdir()]
        process.communicate(b"\n", timeout=20)
    assert shown
    assert not [data for data in shown if PLANTED.find(data)]
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and PLANTED.find(path.read_bytes())]
    # Neither the index nor the list of tokens that were sent holds one.
    others = {*folder.glob("*-sessions.json"), *folder.glob("*-sent.json")}
    assert len(others) == 2
    assert sorted(holders) == sorted(set(folder.glob("*.json")) - others)
    assert modes(folder) == []


def test_these_tests_can_see():
    with serving(answers) as (url, seen):
        import urllib.request

        headers = {"Authorization": f"Bearer {WIRE['access_token']}"}
        urllib.request.urlopen(urllib.request.Request(f"{url}/x", headers=headers)).read()
    assert seen.leaks()
