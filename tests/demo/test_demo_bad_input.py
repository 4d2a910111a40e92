"""Bad input of any kind gets an error in the right format: never a 500, never no response.

``SUPABASE_NB_FUZZ`` sets the number of requests; `make soak` asks for 50,000.
"""

from __future__ import annotations

import http.client
import json
import os
import re
from collections import Counter
from collections.abc import Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from supabase_nb.demo import DemoServer
from supabase_nb.demo._server.app import AUTH_ROUTES, DEMO_ROUTES
from supabase_nb.demo.testing import running_server

REQUESTS = int(os.environ.get("SUPABASE_NB_FUZZ", "4000"))
ROUTES = [("", AUTH_ROUTES), ("/auth/v1", AUTH_ROUTES), ("", DEMO_ROUTES)]
ENDPOINTS = [(method, prefix + path) for prefix, table in ROUTES for path in table for method in table[path]]
ENDPOINTS += [("GET", "/rest/v1/trips"), ("GET", "/rest/v1/{x}"), ("POST", "/rest/v1/trips"), ("GET", "/{x}")]
ENDPOINTS.remove(("POST", "/demo/stop"))
FIELDS = """
email password phone data refresh_token auth_code code_verifier code_challenge code_challenge_method
create_user type token token_hash redirect_to user_metadata app_metadata ban_duration email_confirm role id
seconds advance do
""".split()  # noqa: SIM905
QUERIES = """
grant_type scope type token redirect_to state code provider page per_page code_challenge select order limit
offset km day to prefix
""".split()  # noqa: SIM905


class Sender:
    """One connection, opened anew when the server closed it."""

    def __init__(self, server: DemoServer) -> None:
        self.server = server
        self.tokens = [
            server.sign_in()["access_token"],
            server.service_key,
            server.anon_key,
            "a.b.c",
            "eyJ.e30.",
        ]
        self.statuses: Counter[int] = Counter()
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)

    def send(self, method: str, path: bytes, headers: dict[bytes, bytes], body: bytes) -> None:
        lines = [method.encode() + b" " + path + b" HTTP/1.1", b"Host: 127.0.0.1"]
        lines += [name + b": " + value for name, value in headers.items()]
        lines += [b"Content-Length: %d" % len(body), b"", body]
        if self.connection.sock is None:
            self.connection.connect()
        self.connection.sock.sendall(b"\r\n".join(lines))
        response = http.client.HTTPResponse(self.connection.sock, method=method)
        response.begin()
        answered = response.read()
        if response.will_close:
            self.connection.close()
        response.close()
        self.statuses[response.status] += 1
        assert response.status < 500, answered
        if method != "HEAD":
            self.check(response, answered, headers)

    def check(self, response: http.client.HTTPResponse, body: bytes, sent: dict[bytes, bytes]) -> None:
        status, kind = response.status, response.getheader("content-type", "")
        if status < 400 or (status in (404, 405) and not kind.startswith("application/json")):
            return
        if kind.startswith("text/plain"):
            assert body == b"Invalid HTTP request received."  # no HTTP: before there is an endpoint
            return
        error = json.loads(body)
        versioned = sent.get(b"X-Supabase-Api-Version") == b"2024-01-01"
        shapes = [{"code", "message"}, {"message", "hint"}, {"code", "details", "hint", "message"}]
        if not versioned:
            shapes[0] = {"code", "error_code", "msg"}
        assert error.keys() - {"weak_password"} in shapes, error


@pytest.fixture(scope="module")
def sender() -> Iterator[Sender]:
    with running_server() as server:
        one = Sender(server)
        yield one
        one.connection.close()
        print("answers by status:", dict(sorted(one.statuses.items())))  # noqa: T201 - `make soak` shows it


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(
        ["ada@example.com", "x@example.com", "magiclink", "email", "signup", "correct horse battery"]
    ),
    st.sampled_from(
        ["24h", "none", "abcdefghijkl", "\ud800", "\0", "rotate", "http://127.0.0.1/x", 1e308, "S256"]
    ),
)
values = st.recursive(
    junk, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
objects = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6).map(
    lambda value: json.dumps(value).encode()
)
# Bodies that get far: of the right form, with now and then a field that isn't.
plausible = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["ada@example.com", "x@example.com", "y@example.com", "no address"]),
        "new_email": st.sampled_from(["z@example.com", "grace@example.com", ""]),
        "password": st.sampled_from(["correct horse battery", "another password", "x"]),
        "type": st.sampled_from(
            ["signup", "invite", "magiclink", "recovery", "email_change_new", "email", "sms"]
        ),
        "token": st.sampled_from(["123456", "000000", ""]),
        "data": st.dictionaries(st.text(max_size=4), junk, max_size=2),
        "user_metadata": st.dictionaries(st.text(max_size=4), values, max_size=2),
        "ban_duration": st.sampled_from(["1ms", "none", "x"]),
        "email_confirm": st.booleans(),
        "id": st.uuids().map(str),
        "create_user": st.booleans(),
        "code_challenge": st.sampled_from(["a" * 43, "short"]),
        "code_challenge_method": st.sampled_from(["s256", "plain", "x"]),
        "do": st.just("standby"),
        "advance": st.integers(-5, 5),
    },
).map(lambda value: json.dumps(value).encode())
bodies = st.one_of(
    plausible,
    objects,
    values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
    st.sampled_from(
        [b"[" * 5000, b'{"data":' * 5000, b"1" * 6000, b'{"data":{"x":1e999}}', b'{"email":"\\ud800@x.yz"}']
    ),
)
percent = st.binary(max_size=12).map(lambda raw: b"".join(b"%%%02X" % byte for byte in raw))
names = st.sampled_from([b"Authorization", b"Origin", b"Prefer", b"Accept", b"X-Forwarded-For"])
words = st.one_of(
    percent,
    st.sampled_from([b"password", b"refresh_token", b"pkce", b"demo", b"eq.1", b"*", b"id.desc", b"9"]),
)
queries = st.lists(st.tuples(st.sampled_from(QUERIES), words), max_size=3)
header_values = st.binary(max_size=40).map(lambda raw: bytes(b for b in raw if b >= 0x20 and b != 0x7F))


@settings(
    max_examples=-(-REQUESTS // len(ENDPOINTS)),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    query=queries,
    inserted=st.one_of(percent, st.just(b"3d21f9ee-d85e-5a10-bda2-dff7da80567a")),
    headers=st.dictionaries(names, header_values, max_size=2),
    versioned=st.booleans(),
    body=bodies,
    who=st.integers(0, 7),
    other_method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW"]),
)
def test_no_request_breaks_it(
    sender: Sender,
    query: list[tuple[str, bytes]],
    inserted: bytes,
    headers: dict[bytes, bytes],
    versioned: bool,
    body: bytes,
    who: int,
    other_method: str,
) -> None:
    """The same junk to every endpoint."""
    given_headers = dict(headers)
    if versioned:
        given_headers[b"X-Supabase-Api-Version"] = b"2024-01-01"
    if who < len(sender.tokens):
        given_headers[b"Authorization"] = b"Bearer " + sender.tokens[who].encode()
    for index, (method, path) in enumerate(ENDPOINTS):
        target = re.sub(rb"\{\w+\}", inserted.replace(b"\\", rb"\\"), path.encode())
        target += b"?" + b"&".join(name.encode() + b"=" + value for name, value in query)
        sent = dict(given_headers)
        if path.startswith("/rest/"):
            sent[b"apikey"] = sender.server.anon_key.encode()
        harmless = path in ("/demo/outage", "/demo/keys")  # no outage during this test, no thousand keys
        some_method = other_method if index == len(body) % len(ENDPOINTS) else method
        sender.send(some_method, target, sent, b'{"seconds": 0}' if harmless else body)


@settings(max_examples=max(60, REQUESTS // 50), deadline=None, database=None)
@given(raw=st.binary(min_size=1, max_size=300))
def test_no_bytes_break_it(sender: Sender, raw: bytes) -> None:
    """What isn't HTTP at all is answered, or cut off; and the next one is served."""
    other = http.client.HTTPConnection("127.0.0.1", sender.server.port, timeout=20)
    other.connect()
    other.sock.sendall(raw + b"\r\n\r\n")
    response = http.client.HTTPResponse(other.sock, method="GET")
    try:
        response.begin()
        assert response.status < 500
    except http.client.HTTPException:
        pass  # cut off
    finally:
        other.close()
    sender.send("GET", b"/health", {}, b"")


def test_the_fuzz_reached_the_endpoints(sender: Sender) -> None:
    """The answers are of all kinds: it wasn't all turned away at the door."""
    sender.send(
        "POST", b"/token?grant_type=password", {}, b'{"email": "ada@example.com", "password": "wrong"}'
    )
    if REQUESTS >= 1000:
        assert {200, 400, 401, 403, 404, 405} <= sender.statuses.keys()
