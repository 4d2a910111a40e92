"""Whatever people paste is understood, or refused without repeating it."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_tokens import make_jwt, make_refresh_token

from supabase_nb.errors import AuthError
from supabase_nb.notebook.paste import read_paste
from supabase_nb.tokens import Secret

AT, RT = make_jwt(), make_refresh_token()
STORED = {"access_token": AT, "refresh_token": RT, "expires_at": 2_000_000_000, "user": {"id": "7f3b"}}
ADDRESS = (
    f"https://app.example.com/welcome#access_token={AT}&expires_in=3600&refresh_token={RT}&type=magiclink"
)


@pytest.mark.parametrize(
    "text",
    [
        f"{AT} {RT}",
        f"{AT}\n{RT}\n",
        f"  {AT}\t\r\n\r\n{RT}",
        f'"{AT}", "{RT}"',
        f"'{AT}' '{RT}'",
        f"{RT} {AT}",
        f"Bearer {AT}\n{RT}",
        f"access_token: {AT}\nrefresh_token: {RT}",
        f"SUPABASE_REFRESH_TOKEN={RT}\nSUPABASE_ACCESS_TOKEN={AT}",
        f'at = "{AT}"\nrefresh_token = "{RT}"\naccess_token = "{AT}"',
        json.dumps(STORED),
        json.dumps(STORED, indent=2),
        json.dumps({"currentSession": STORED, "expiresAt": 1}),
        json.dumps({"data": {"session": STORED}}),
        json.dumps([STORED]),
        json.dumps([AT, RT, None, None]),
        repr(STORED | {"provider_token": None}),
        "base64-" + base64.urlsafe_b64encode(json.dumps(STORED).encode()).decode().rstrip("="),
        ADDRESS,
        ADDRESS.replace("#", "?"),
        ADDRESS.split("/welcome")[1],
        f"http://localhost:3000/#access_token={quote(AT)}&refresh_token={quote(RT)}",
        f"access_token={AT}&refresh_token={RT}",
        f"myapp://callback#refresh_token={RT}&access_token={AT}",
    ],
)
def test_both_tokens_in_one_text(text):
    assert read_paste(text) == (Secret(AT), Secret(RT))
    assert read_paste("", text) == (Secret(AT), Secret(RT))


def test_one_token_in_each_field_in_either_order():
    assert read_paste(f" {AT}", f"'{RT}'\n") == (Secret(AT), Secret(RT))
    assert read_paste(RT, AT) == (Secret(AT), Secret(RT))
    assert read_paste(AT) == (Secret(AT), Secret(""))
    assert read_paste("not.readable", RT) == (Secret("not.readable"), Secret(RT))


ANON = ".".join(
    [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "HS256"}, {"role": "anon", "iss": "supabase", "exp": 2e9})
    ]
    + ["c2lnbmF0dXJl"]
)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (("", ""), "Nothing was given"),
        ((" \n", "''"), "Nothing was given"),
        ((f"{AT} {AT}",), "several access tokens"),
        ((AT, AT), "Both of these are access tokens"),
        ((f"{AT} {RT} {RT}",), "Two tokens are needed and nothing else"),
        (("these are three words",), "Two tokens are needed"),
        ((json.dumps(STORED)[:-9],), "not complete"),
        ((json.dumps({"access_token": AT}),), "no access_token beside a refresh_token"),
        ((json.dumps([[[[[[[STORED]]]]]]]),), "no access_token beside a refresh_token"),
        (("base64-%%%",), "not complete"),
        (("https://app.example.com/",), "no tokens in this address"),
        ((f"https://app.example.com/#access_token={AT}",), "no tokens in this address"),
        (("https://app.example.com/#error=access_denied&error_code=otp_expired",), "sign-in failed"),
        (("https://app.example.com/?code=1234-5678",), "holds a code"),
        (("https://abcd.supabase.co/auth/v1/verify?token=abc&type=magiclink",), "not followed yet"),
        (("https://[/#access_token=",), "cannot be read"),
        ((ANON, RT), "a project's anon key"),
        (("x" * 300_000,), "far too long"),
    ],
)
def test_what_is_no_pair_is_told_and_not_repeated(fields, says):
    with pytest.raises(AuthError, match=says) as caught:
        read_paste(*fields)
    assert caught.value.code == "paste"
    for token in (AT, RT, ANON):
        assert token not in str(caught.value)
    assert caught.value.__context__ is None


_tricky = st.sampled_from(
    ["{", "[" * 3000, "://", "#", "access_token=", "refresh_token: ", AT, RT, " ", "&", '"']
)


@given(st.lists(st.one_of(st.text(), _tricky), max_size=6), st.text())
def test_nothing_makes_it_raise_anything_else(parts, other):
    try:
        pair: object = read_paste("".join(parts), other)
    except AuthError as error:
        pair = error
    assert RT not in str(pair)
    assert AT not in str(pair)
