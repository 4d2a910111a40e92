"""Masking known values: exact, bounded, thread-safe, and nothing else is masked."""

from __future__ import annotations

import base64
import json
import logging
import random
import string
import subprocess
import sys
import threading
import traceback
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_until

from supabase_nb._scan.detection import find
from supabase_nb._secrets import log_masking, masking
from supabase_nb._secrets.masking import (
    MAX_REMEMBERED,
    known_in,
    listen,
    mask,
    mask_colored,
    mask_for_logs,
    mask_lookalikes,
    remember,
    remember_pair,
)
from supabase_nb._secrets.token_search import find_tokens
from supabase_nb._secrets.tokens import Secret
from supabase_nb.errors import AuthError

_RANDOM = random.Random("known values")


def jwt(**claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    signature = base64.urlsafe_b64encode(_RANDOM.randbytes(32)).decode().rstrip("=")
    return f"{part({'alg': 'HS256'})}.{part(claims)}.{signature}"


def word(length: int = 12) -> str:
    return "".join(_RANDOM.choices(string.ascii_lowercase, k=length))


SESSION = {"sub": str(uuid.uuid4()), "role": "authenticated", "session_id": str(uuid.uuid4())}


@pytest.mark.parametrize(
    "write", ["{}", "x = '{}'", "{}.", "({})", "%22{}%22", "\\n{}\\t", "Bearer {}\n", "é🦄{}é"]
)
def test_a_session_and_a_service_role_show_by_their_claims(write):
    for token in (jwt(**SESSION), jwt(role="service_role", ref="abcd"), "sb_secret_" + word(30)):
        masked = mask(write.format(token))
        assert masked == write.format("*" * len(token))


@pytest.mark.parametrize(
    "token",
    [jwt(role="anon", ref="abcd"), jwt(sub="1234567890", name="John"), "eyJ.eyJ.eyJ", "eyJa.eyJb.c", word()],
)
def test_other_words_and_tokens_are_left(token):
    assert mask(f"x = '{token}'") == f"x = '{token}'"


def cookie(**fields: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


_COOKIE = cookie(access_token=jwt(**SESSION), refresh_token=word())


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"at = '{(token := jwt(**SESSION))}'", token),
        (f"--key {(token := jwt(role='service_role', ref='abcd'))}", token),
        (f"K={(token := 'sb_secret_' + word(30))}", token),
        (f"K={(token := 'sbp_' + '0123456789' * 4)}", token),
        (f"c = 'base64-{_COOKIE}'", _COOKIE),
        (f"sb-x-auth-token.0=base64-{_COOKIE[:180]};", _COOKIE[:180]),
        (f"base64-{(token := cookie(user=None, access_token=jwt(**SESSION)))}", token),
        (f"x = '{jwt(role='anon', ref='abcd')}'", ""),
        (f"x = '{jwt(sub='1234567890', name='John')}'", ""),
        (f"x = 'sb_publishable_{word(20)}'", ""),
        ("x = 'sb_secret_short'", ""),
        (f"x = '{jwt(**SESSION).rpartition('.')[0]}.signature'", ""),
    ],
)
def test_cells_and_the_scanner_recognize_the_same(text, secret):
    assert mask(text) == text.replace(secret, "*" * len(secret))
    assert [text[found.start : found.end] for found in find(text)] == [secret] * bool(secret)
    if secret:
        assert secret not in mask_lookalikes(text)


def test_remembered_values_are_masked():
    value = word()
    text = f"rt = '{value}'; other = '{word()}'; b'{value}'\n{value}é"
    assert mask(text) == text
    remember(value)
    assert mask(text) == text.replace(value, "*" * 12)
    assert len(mask(text)) == len(text)
    assert known_in(text) == {Secret(value)}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "at",
        "a" * 11,
        "two words here",
        "https://abcd.supabase.co",
        "a.b.c.d.e.f.g",
        "dummy_refresh",
        "refreshtoken",
        "not-used-refresh-token-here",
    ],
)
def test_values_that_cannot_be_tokens_are_not_remembered(value):
    remember(value, given=True)
    assert mask(f"x = '{value}'") == f"x = '{value}'"


def test_a_key_beside_a_known_access_token_is_not_remembered():
    session, key = Secret(jwt(**SESSION)), jwt(role="anon", ref=word())
    remember_pair(session, Secret(word()))
    remember_pair(session, Secret(key))
    assert mask(f"x = '{key}'") == f"x = '{key}'"


@pytest.mark.parametrize("shorter_first", [True, False])
def test_a_value_that_is_part_of_another(shorter_first):
    short = word()
    long = f"{short}-7{word()}"
    remember(*((short, long) if shorter_first else (long, short)))
    assert mask(f"{long} {short}") == f"{'*' * len(long)} {'*' * 12}"


def test_the_oldest_are_forgotten():
    first, values = word(), [word() for _ in range(MAX_REMEMBERED)]
    remember(first)
    remember(*values)
    assert mask(first) == first
    assert mask(values[0]) == "*" * 12
    assert mask(values[-1]) == "*" * 12


def test_many_threads():
    values = [f"7{word(19)}" for _ in range(200)]
    failures = []

    def work(mine: list[str]) -> None:
        for value in mine:
            remember(value, given=True)
            if mask(value) != "*" * 20:
                failures.append(value)

    threads = [threading.Thread(target=work, args=(values[number::8],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(mask(value) == "*" * 20 for value in values)


def test_colours_do_not_hide_a_value():
    value = "2" + word(11)
    remember(value)
    cut = f"\x1b[31m2\x1b[39m\x1b[32m{value[1:]}\x1b[39m"
    assert mask_colored(cut) == "*" * 12
    assert mask_colored(f"\x1b[31m{value}\x1b[39m") == f"\x1b[31m{'*' * 12}\x1b[39m"
    assert mask_colored("\x1b[31mx\x1b[39m") == "\x1b[31mx\x1b[39m"


def test_a_failing_listener_does_not_affect_others(caplog):
    value = word()

    def fail(*_: object) -> None:
        raise RuntimeError(value)

    received: list[tuple[Secret, ...]] = []
    stops = [listen(fail), listen(lambda values, given: received.append(values))]
    with caplog.at_level(logging.DEBUG):
        remember(value)
        wait_until(lambda: received)
        remember(value)
    for stop in stops:
        stop()
    assert received == [(Secret(value),)], "what came from the server is news once"
    assert value not in caplog.text


def test_logs_and_tracebacks_know_the_values(caplog, monkeypatch):
    value = word()
    remember(value)
    log_masking.install()
    with caplog.at_level(logging.DEBUG, "supabase_nb"):
        logging.getLogger("supabase_nb").debug("it is %s", value)
    assert value not in caplog.text
    with pytest.raises(AuthError) as caught:
        raise AuthError(f"about {value}")
    monkeypatch.setattr(AuthError, "show_traceback", True)
    assert value not in "".join(caught.value._render_traceback_())
    assert value in "".join(traceback.format_exception(caught.value)), "or there was nothing to mask"
    assert mask_for_logs(f"refresh_token={value}").count(value) == 0


def test_values_do_not_appear_in_any_view_of_the_module():
    value = word()
    remember(value, given=True)
    assert value not in repr(vars(masking)) + repr(masking.given_values()) + str(known_in(value))


@given(st.text(max_size=200), st.text(max_size=50))
def test_a_mask_keeps_the_length_of_any_text(before, after):
    token = jwt(**SESSION)
    text = f"{before}\n{token}\n{after}"
    assert len(mask(text)) == len(text)
    assert token not in mask(text)
    assert [text[shape.start : shape.end] for shape in find_tokens(text)].count(token) == 1


def test_it_is_light_to_import():
    code = (
        "import sys, supabase_nb._secrets.masking; "
        "print(sorted({'IPython', 'anywidget', 'httpx', 'sqlite3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("rest", ["", "\n1 + 1"], ids=["alone", "more code"])
@pytest.mark.parametrize(
    "written", [repr, json.dumps, lambda message: json.dumps(json.dumps(message)), lambda m: repr([str(m)])]
)
def test_a_logged_message_hides_a_refresh_token_of_letters(written, rest):
    """A kernel at DEBUG logs a cell inside of the message that asked to run it."""
    at, rt = jwt(**SESSION), word()
    logged = written({"code": f"%supabase_set_session {at} {rt}{rest}", "silent": False})
    assert at not in mask_for_logs(logged)
    assert rt not in mask_for_logs(logged)


def test_tokens_that_are_passed_again_are_looked_for_again():
    """They may be in a cell or an output that is new."""
    at, rt = Secret(jwt(**SESSION)), Secret(word())
    told = []
    stop = listen(lambda values, given: told.append((set(values), given)))
    try:
        for _ in range(2):
            remember_pair(at, rt)
    finally:
        stop()
    assert told == [({at, rt}, True)] * 2


def test_a_forgotten_value_is_no_longer_a_password():
    password = Secret(word(20))
    masking.remember_passwords([password])
    assert masking.is_password(password)
    remember(*(jwt(**SESSION) for _ in range(MAX_REMEMBERED)))
    assert not masking.is_password(password)
