"""What shows of the public objects, in every view of them that Python and its tools offer."""

import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supabase_nb.tokens import redact

ACCESS = jwt.encode({"sub": "planted", "role": "authenticated"}, "0" * 32, algorithm="HS256")
V1 = "vt2ehksbqlrt"
V2 = "ACJlgyS7J0mni-J7DfPrK9wCjujWOYq62DhrzODmVxXaEzooyQ4"
KEY = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"


@pytest.mark.parametrize("refresh", [V1, V2, "abcdefghijkl"])
@pytest.mark.parametrize(
    "write",
    [
        '"refresh_token": "{}"',
        '"refresh_token":"{}"',
        "'refresh_token': '{}'",
        "refresh_token='{}'",
        "refresh_token = {}\n",
        "refresh_token: {}\n",
        "refreshToken: '{}'",
        "REFRESH_TOKEN={}",
        "#refresh_token={}&type=magiclink",
        "(b'refresh_token', b'{}')",
        '"provider_refresh_token": "{}"',
        '"token": "{}"',
        "/verify?token={}&type=signup",
        '"token_hash": "{}"',
        '"password": "{}"',
        "password={}",
        "'apikey': '{}'",
        "(b'apikey', b'{}')",
        "apikey: {}",
        "/websocket?apikey={}&vsn=1.0.0",
        "(b'authorization', b'Bearer {}')",
        "Authorization: Bearer {}",
        "authorization: Basic {}",
        '"code_verifier": "{}"',
    ],
)
def test_what_is_named_as_a_secret_is_redacted(write, refresh):
    for text in (write, json.dumps(write), json.dumps(json.dumps(write))):
        redacted = redact(f"before {text} after".replace("{}", refresh))
        assert refresh not in redacted
        assert redacted.startswith("before ")
        assert redacted.endswith(" after")
        assert redact(redacted) == redacted


@pytest.mark.parametrize(
    "write",
    ["{}", '"{}"', "Bearer {}", "x={}&y", "\x1b[31m{}\x1b[0m", '\\"{}\\"', "a.{}.b"],
)
def test_access_tokens_and_keys_are_redacted_wherever_they_stand(write):
    for secret in (ACCESS, ACCESS.rsplit(".", 1)[0], ACCESS[:40], KEY):
        assert secret not in redact(write.format(secret))


@pytest.mark.parametrize(
    "write",
    [
        'set_session("{}", "{}")',
        "set_session('{}',\n    '{}')",
        "set_session('{}', refresh_token='{}')",
        "%supabase_set_session {} {}",
        '{{"code": "%supabase_set_session \\"{}\\" \\"{}\\""}}',
    ],
)
def test_a_refresh_token_beside_an_access_token_is_redacted(write):
    assert V1 not in redact(write.format(ACCESS, V1))


@pytest.mark.parametrize(
    "text",
    [
        "Invalid Refresh Token: Already Used. It was used before: sign in again and restore the new tokens.",
        "The refresh token is missing, and the access token has expired.",
        "refresh_token_already_used",
        "refresh_token=None",
        "token_type='bearer'",
        "Password should be at least 6 characters.",
        "AuthApiError('x', status=400, code='bad_jwt')",
        "session_id=5f45d14a-b91e-441f-a665-5cd13c51e050",
        "Authorization is needed",
    ],
)
def test_ordinary_texts_stay(text):
    assert redact(text) == text


@given(st.text())
def test_any_text_can_be_redacted(text):
    assert ACCESS not in redact(f"{text}{ACCESS}{text}")
