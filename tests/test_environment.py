"""Proxies and certificates from the environment."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import made
import pytest

from supabase_nb import AuthClient, Client, MemoryStorage
from supabase_nb._network.connection_pool import proxy_of
from supabase_nb.demo import DemoServer
from supabase_nb.errors import AuthError, AuthRetryableError

URL = "https://abcd.supabase.co"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing set but what a test sets."""
    for name in (*VARIABLES, *map(str.upper, VARIABLES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@contextlib.contextmanager
def asking() -> Iterator[list[BaseException]]:
    """The errors of a session's request and of a request for data."""
    caught: list[BaseException] = []
    auth = AuthClient(f"{URL}/auth/v1", storage=MemoryStorage(), auto_refresh=False)
    client = Client(URL, "sb_publishable_x", storage=MemoryStorage(), auto_refresh=False)
    for call in (
        lambda: auth.set_session(made.jwt(), "abcdefghijkl"),
        lambda: client.auth.set_session(made.jwt(), "abcdefghijkl"),
        lambda: client.http.get("/rest/v1/trips"),
    ):
        with pytest.raises(AuthError) as error:
            call()
        caught.append(error.value)
    yield caught
    auth.close()
    client.close()


NETWORKS = "localhost,127.0.0.1,fd07:b51a:cc66:f0::/64,10.0.0.0/8,[fe80::1]"


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_networks_in_no_proxy_break_nothing(
    name: str, environment: pytest.MonkeyPatch, server: DemoServer
) -> None:
    environment.setenv(name, NETWORKS)
    wire = server.sign_in("ada@example.com")
    auth = AuthClient(
        server.auth_url, headers={"apikey": server.anon_key}, storage=MemoryStorage(), auto_refresh=False
    )
    with contextlib.closing(auth):
        user = auth.set_session(wire["access_token"], wire["refresh_token"]).user
        assert user is not None
        assert user.email == "ada@example.com"


@pytest.mark.parametrize(
    ("host", "straight"),
    [
        ("[fd07:b51a:cc66:f0::7]", True),
        ("[fd07:b51a:cc66:f1::7]", False),
        ("[fe80::1]", True),
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("abcd.supabase.co", False),
    ],
)
def test_networks_in_no_proxy_are_reached_without_the_proxy(
    host: str, straight: bool, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("NO_PROXY", NETWORKS)
    environment.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert (proxy_of(httpx.URL(f"https://{host}")) is None) is straight


def test_a_proxy_without_a_scheme(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert proxy_of(httpx.URL(URL)) == "http://proxy.example:3128"


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY"])
def test_a_socks_proxy_names_the_package_it_needs(name: str, environment: pytest.MonkeyPatch) -> None:
    environment.setitem(sys.modules, "socksio", None)
    environment.setenv(name, "socks5://user:planted@127.0.0.1:9")
    with asking() as errors:
        for error in errors:
            assert 'pip install "httpx[socks]"' in str(error)
            assert "planted" not in str(error) + repr(error) + repr(error.__context__)


@pytest.mark.parametrize("proxy", ["socks4://user:planted@127.0.0.1:9", "http://user:planted@[::"])
def test_an_invalid_proxy_is_named_in_the_error(proxy: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ALL_PROXY", proxy)
    with asking() as errors:
        for error in errors:
            assert "sets a proxy" in str(error)
            assert "planted" not in str(error) + repr(error) + repr(error.__context__)


@pytest.mark.parametrize("content", [None, "no certificates"])
def test_an_unreadable_certificate_file_is_named_in_the_error(
    content: str | None, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "company.pem"
    if content is not None:
        file.write_text(content)
    environment.setenv("SSL_CERT_FILE", str(file))
    with asking() as errors:
        for error in errors:
            assert f"SSL_CERT_FILE is set to {file}" in str(error)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_unknown_certificate_authority_names_the_variable_that_counts(
    name: str, environment: pytest.MonkeyPatch
) -> None:
    network = made.Answers(
        **{"GET /auth/v1/user": httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")}
    )
    environment.setattr("supabase_nb.auth._session.retry._FIRST_PAUSE", 0.0)
    auth = AuthClient(f"{URL}/auth/v1", storage=MemoryStorage(), transport=network, auto_refresh=False)
    with contextlib.closing(auth):
        with pytest.raises(AuthRetryableError, match="set the environment variable SSL_CERT_FILE") as caught:
            auth.get_user(made.jwt())
        assert "CA_BUNDLE" not in str(caught.value)
        environment.setenv(name, "/etc/company.pem")
        with pytest.raises(AuthRetryableError, match=f"{name} is not used here"):
            auth.get_user(made.jwt())
