"""Passwords and one-time codes in cells are masked in records like tokens, but the cells don't change."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from test_cell_redaction import last, places

from supabase_nb._secrets import log_masking, masking
from supabase_nb.demo import DemoServer, ensure_server, stop_server

PASSWORD = "tulips-in-May-7"


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Iterator[DemoServer]:
    folder = tmp_path_factory.mktemp("demo-server")
    yield ensure_server(folder, idle_timeout=900)
    stop_server(folder)


@pytest.fixture
def client(shell, demo, monkeypatch):
    """A shell with a client that has a server, and nothing known yet."""
    for name, empty in (("_remembered", {}), ("_known", ()), ("_passwords", set())):
        monkeypatch.setattr(masking, name, empty)
    shell.run("%load_ext supabase_nb")
    ran = shell.run(f"%supabase_connect {demo.url} --key {demo.anon_key} --storage memory")
    assert ran.ok, ran.text
    return shell


def kept(shell, value: str) -> list[str]:
    return [place for place, text in places(shell.ip).items() if value in text]


CALLS = {
    "sign in": 'sign_in_with_password({"email": "no@example.com", "password": secret})',
    "sign up": 'sign_up({"email": "not an address", "password": secret})',
    "new password": "update_user(password=secret)",
    "code": 'verify_otp({"email": "no@example.com", "token": secret, "type": "email"})',
    "hash of a link": 'verify_otp({"token_hash": secret, "type": "email"})',
    "code of a redirect": 'exchange_code_for_session({"auth_code": secret})',
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_records_are_cleaned_when_it_is_used_even_if_it_is_refused(client, call):
    client.run(f'secret = "{PASSWORD}"')
    assert {"history", "user_ns"} <= set(kept(client, PASSWORD))
    ran = client.run(f"supabase.auth.{call}")
    assert not ran.ok
    assert PASSWORD not in ran.text
    assert kept(client, PASSWORD) == []
    assert client.ns["secret"] == PASSWORD
    later = client.run(f'x = "{PASSWORD}"; print(x)\nraise ValueError("{PASSWORD}")')
    assert PASSWORD not in later.text.partition("Traceback")[2]
    assert last(client).startswith(f'x = "{"*" * len(PASSWORD)}"')
    assert PASSWORD not in client.run("%history").text


def test_the_notice_says_that_it_is_still_in_the_cell(client):
    call = CALLS["sign in"].replace("secret", f'"{PASSWORD}"')
    said = client.run(f"supabase.auth.{call}").text
    assert (
        said.count("This code contains a password. It is masked in the history, but still in the cell") == 1
    )
    assert "oken" not in said.partition("supabase-nb:")[2]
    assert "password" not in client.run(f"y = '{PASSWORD}'").text, "said once"


@pytest.mark.parametrize("value", ["123456", "12345678", "sunshine", "transactions", "abc-12", "a1b2c3d"])
def test_values_that_could_be_ordinary_text_are_not_masked(client, value):
    """A numeric one-time code, a word, and a value that is too short to differ from other text."""
    for call in (CALLS["sign in"], CALLS["code"]):
        client.run(f"secret = {value!r}\nsupabase.auth.{call}")
    cell = f"x{value.replace('-', '')} = 1  # {value} and {value}0"
    client.run(cell)
    assert last(client) == cell


@pytest.mark.parametrize(
    "value", ["sun-shine", "s3cretsecret", "correct horse battery", "correcthorsebattery", "1234567x"]
)
def test_distinctive_values_are_masked(client, value):
    client.run(f"secret = {value!r}\nsupabase.auth.{CALLS['sign in']}")
    assert kept(client, value) == []


def test_logs_do_not_show_it(client, caplog):
    client.run(f'secret = "{PASSWORD}"\nsupabase.auth.{CALLS["sign in"]}')
    log = logging.getLogger("a kernel")
    log_masking.install([log])
    with caplog.at_level(logging.DEBUG, "a kernel"):
        log.debug("%s", {"content": {"code": f"login('{PASSWORD}', 'x')"}})
    assert "login(" in caplog.text
    assert PASSWORD not in caplog.text
