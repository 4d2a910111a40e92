"""Pasted text is understood, or refused without repeating it."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_tokens import make_jwt, make_refresh_token

from supabase_nb._secrets.tokens import Secret
from supabase_nb.errors import AuthError
from supabase_nb.notebook._paste.paste import read_paste

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
    assert read_paste(f"{AT[:-8]}\n{AT[-8:]}") == (Secret(AT), Secret(""))
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
        (("", ""), "The input is empty"),
        ((" \n", "''"), "The input is empty"),
        ((f"{AT} {AT}",), "several access tokens"),
        ((AT, AT), "These are two access tokens"),
        ((f"{AT} {RT} {RT}",), "Paste exactly two tokens"),
        (("these are three words",), "Paste exactly two tokens"),
        ((json.dumps(STORED)[:-9],), "not complete"),
        ((json.dumps({"access_token": AT}),), "both an access_token and a refresh_token"),
        ((json.dumps([[[[[[[[[[STORED]]]]]]]]]]),), "both an access_token and a refresh_token"),
        (("base64-%%%",), "not complete"),
        (("https://app.example.com/",), "no tokens in this URL"),
        ((f"https://app.example.com/#access_token={AT}",), "no tokens in this URL"),
        (("https://app.example.com/#error=access_denied&error_code=otp_expired",), "sign-in failed"),
        (("https://app.example.com/?code=1234-5678",), "contains a code"),
        (("https://abcd.supabase.co/auth/v1/verify?token=abc&type=magiclink",), "not been opened yet"),
        (("https://[/#access_token=",), "can't be read"),
        ((ANON, RT), "a project's anon key"),
        (("x" * 300_000,), "too long"),
    ],
)
def test_an_invalid_paste_is_explained_and_not_repeated(fields, says):
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


# -- what browsers give -------------------------------------------------------------------------------------

USER = {
    "id": "7f3b",
    "email": "ada@example.com",
    "app_metadata": {"provider": "github", "access_token": make_jwt(sub="x"), "refresh_token": "nested"},
    "user_metadata": {
        "avatar_url": "https://avatars.example.com/u/1?v=4&size=80",
        "full_name": "Ada “the first” L; =, 'Countess' {of} Løvelace",
        "bio": "sb-x-auth-token=1; access_token: no, refresh_token=no",
    },
}
FULL = {
    "provider_token": "gho_0123456789abcdef",
    "provider_refresh_token": "ghr_0123456789",
    "access_token": AT,
    "token_type": "bearer",
    "expires_in": 3600,
    "refresh_token": RT,
    "user": USER,
}
JSON = json.dumps(FULL, ensure_ascii=False, separators=(",", ":"))
COOKIE = "base64-" + base64.urlsafe_b64encode(JSON.encode()).decode().rstrip("=")
NAME = "sb-abcd-auth-token"
THIRD = len(COOKIE) // 3
CHUNKS = [COOKIE[:THIRD], COOKIE[THIRD : 2 * THIRD], COOKIE[2 * THIRD :]]
ENCODED = quote(JSON, safe="")
OTHERS = 'theme=dark; _ga=GA1.1.2; prefs={"a":1}; '
TREE = f"""access_token:"{AT}"
expires_at:1700000000
provider_refresh_token:"ghr_0123456789"
provider_token:"gho_0123456789abcdef"
refresh_token:"{RT}"
token_type:"bearer"
user:Object
avatar_url:"https://avatars.example.com/u/1"
"""


def har(**entry: object) -> str:
    """What is copied of a request in the network panel, as HAR."""
    return json.dumps({"log": {"version": "1.2", "entries": [{"startedDateTime": "2026-01-01", **entry}]}})


FORMS = {
    "the value": JSON,
    "the value, indented": json.dumps(FULL, indent=2),
    "Chrome: a row of local storage": f"{NAME}\t{JSON}",
    "Chrome: several rows": f'theme\tdark\n{NAME}\t{JSON}\nother\t{{"a": 1}}',
    "Chrome: a row under the app's own key": f"my-session\t{JSON}",
    "console: quoted": json.dumps(JSON),
    "console: quoted twice": json.dumps(json.dumps(JSON)),
    "console: single quotes": "'" + JSON.replace("'", "\\'") + "'",
    "console: an object": f"{{access_token: '{AT}', refresh_token: '{RT}', provider_token: 'gho_x'}}",
    "console: all of local storage": json.dumps({"theme": "dark", NAME: JSON}),
    "Firefox: copied": f"{NAME}:{json.dumps(JSON)}",
    "Firefox: copied, quotes as they are": f'{NAME}:"{JSON}"',
    "Firefox: parsed value": f"{NAME}:Object\n{TREE}",
    "Firefox: parsed value, its fields alone": TREE,
    "Firefox: a cookie with its attributes": f'{NAME}:"{COOKIE}"\nCreated:"Wed, 01 Jan 2025 10:00:00 GMT"\n'
    'Domain:"localhost"\nExpires / Max-Age:"Session"\nHostOnly:true\nPath:"/"\nSize:2000',
    "Safari: a row": f"{NAME}\t{JSON}\n",
    "Safari: name and value": f"{NAME} {JSON}",
    "a cookie": COOKIE,
    "a cookie, padded": COOKIE + "=" * (-(len(COOKIE) - 7) % 4),
    "a cookie, wrapped": "\n".join(COOKIE[at : at + 76] for at in range(0, len(COOKIE), 76)),
    "a cookie with its name": f"{NAME}={COOKIE}",
    "a cookie under the app's own name": f"my_session={COOKIE}",
    "a cookie, URL-encoded": f"{NAME}={ENCODED}",
    "a cookie's value, URL-encoded": ENCODED,
    "a cookie, URL-encoded twice": quote(ENCODED, safe=""),
    "document.cookie": f"{OTHERS}{NAME}={COOKIE}; last=1",
    "document.cookie, quoted": json.dumps(f"{OTHERS}{NAME}={COOKIE}; last=1"),
    "a Cookie header": f"Cookie: {OTHERS}{NAME}={ENCODED}; last=1",
    "parts": "; ".join(f"{NAME}.{number}={part}" for number, part in enumerate(CHUNKS)),
    "parts, backwards": "; ".join(f"{NAME}.{number}={CHUNKS[number]}" for number in (2, 1, 0)),
    "parts under the app's own name": "; ".join(f"own.{number}={CHUNKS[number]}" for number in (1, 0, 2)),
    "parts among others": f"Cookie: {OTHERS}{NAME}.1={CHUNKS[1]}; x=1; {NAME}.0={CHUNKS[0]}; "
    f"{NAME}.2={CHUNKS[2]}",
    "Chrome: rows of cookies": "\n".join(
        f"{NAME}.{number}\t{part}\tlocalhost\t/\t2026-01-01T00:00:00Z\t3200\t\t\tLax\t\t\tMedium"
        for number, part in enumerate(CHUNKS)
    ),
    "Chrome: rows of cookies, decoded": "\n".join(
        f"{NAME}.{number}\t{part}\tlocalhost\t/\t2026-01-01T00:00:00Z\t3200"
        for number, part in enumerate((JSON[:400], JSON[400:700], JSON[700:]))
    ),
    "parts, URL-encoded": f"{NAME}.0={ENCODED[:601]}; {NAME}.1={ENCODED[601:]}",
    "cookies as JSON": json.dumps(
        [{"name": f"{NAME}.{number}", "value": part, "path": "/"} for number, part in enumerate(CHUNKS)]
    ),
    "curl": f"curl 'https://app.example.com/api' \\\n  -H 'accept: */*' \\\n  -b '{OTHERS}{NAME}={COOKIE}' "
    f"\\\n  -H 'authorization: Bearer {AT}'",
    "curl, as cmd.exe quotes it": 'curl ^"https://app.example.com/api^" ^\r\n  -H ^"accept: */*^" ^\r\n  -b ^"'
    + "; ".join(f"{NAME}.{number}={part}" for number, part in enumerate(CHUNKS))
    + '^" ^\r\n  -H ^"user-agent: x^"',
    "HAR: a request with cookies": har(
        request={"cookies": [{"name": f"{NAME}.{n}", "value": part} for n, part in enumerate(CHUNKS)]}
    ),
    "HAR: a response": har(response={"content": {"mimeType": "application/json", "text": JSON}}),
    "fetch": f'fetch("https://app.example.com/", {{"headers": {{"cookie": "a=b; {NAME}={COOKIE}"}}}});',
    "a Python tuple": repr((AT, RT)),
    "a Python dict": repr(FULL),
    "a Python bytes": repr(JSON.encode()),
    "supabase-py's repr": f"Session(provider_token='gho_1', provider_refresh_token='ghr_1', "
    f"access_token='{AT}', refresh_token='{RT}', user=User(id='7f3b'))",
    "supabase-py's response": f"AuthResponse(user=User(id='7f3b', user_metadata={{'name': 'Ada'}}, factors=None), "
    f"session=Session(access_token='{AT}', refresh_token='{RT}', user=User(user_metadata={{}})))",
    "supabase-py's response, printed": f"user=User(id='7f3b', user_metadata={{'name': 'Ada'}}) "
    f"session=Session(access_token='{AT}', refresh_token='{RT}', user=User(user_metadata={{}}))",
    "supabase-py's response as a dictionary": "{'user': {'id': '7f3b', 'user_metadata': {}, 'created_at': "
    "datetime.datetime(2024, 1, 1, 0, 0, tzinfo=TzInfo(UTC))}, "
    f"'session': {{'access_token': '{AT}', 'refresh_token': '{RT}', 'user': {{'user_metadata': {{}}}}}}}}",
    "Python assignments": f'at = "{AT}"\nrt = "{RT}"',
    "a Python assignment": f'at, rt = "{AT}", "{RT}"',
    "shell assignments": f"at={AT};rt={RT}",
    "a Python call": f'supabase.auth.set_session("{AT}", "{RT}")',
    "a magic": f"%supabase_set_session {AT} {RT}",
    "JavaScript's names in JSON": json.dumps({"accessToken": AT, "refreshToken": RT}),
    "other assignments": f'os.environ["AT"] = "{AT}"\nos.environ["RT"] = "{RT}"',
    "annotated assignments": f'access: str = "{AT}"\nrefresh: str = "{RT}"',
    "an .env file": f"AT={AT}\nRT='{RT}'  # both are Ada's\n",
    "fish": f"set -x ACCESS {AT}\nset -x REFRESH {RT}",
    "CSV": f"access_token,refresh_token\n{AT},{RT}",
    "HTML": f"<code>{AT}</code><br><code>{RT}</code>",
    "Markdown": f"> **access:** `{AT}`\n> **refresh:** `{RT}`",
    "a Markdown table": f"| access_token | refresh_token |\n|---|---|\n| {AT} | {RT} |",
    "a message": f"Hi Ada,\nhere are the tokens:\n\n{AT}\n\n{RT}\n\nCheers, Grace",
    "two cookies": f"Cookie: {OTHERS}sb-access-token={AT}; sb-refresh-token={RT}",
    "Chrome: rows of two cookies": f"sb-access-token\t{AT}\tlocalhost\t/\nsb-refresh-token\t{RT}\tlocalhost\t/",
    "React Native's storage": json.dumps([["supabase.auth.token", JSON]]),
    "a bulleted list": f"- {AT}\n- {RT}",
    "a bulleted list of a word processor": f"•\t{AT}\n•\t{RT}",
    "a numbered list": f"1. {AT}\n2) {RT}",
    "PowerShell": "$session = New-Object Microsoft.PowerShell.Commands.WebRequestSession\n"
    + "".join(
        f'$session.Cookies.Add((New-Object System.Net.Cookie("{NAME}.{number}", "{part}", "/", "localhost")))\n'
        for number, part in enumerate(CHUNKS)
    )
    + 'Invoke-WebRequest -UseBasicParsing -Uri "http://localhost/" `\n-WebSession $session `\n-Headers @{\n'
    '"method"="GET"\n  "scheme"="http"\n}',
    "PowerShell: a header": f'Invoke-WebRequest -Headers @{{"a"="b"; "Cookie"="{NAME}={COOKIE}"}}',
    "Chrome's console: localStorage": f"Storage {{theme: 'dark', {NAME}: '{JSON}', length: 2}}",
    "an address from HTML": f"https://app.example.com/#access_token={AT}&amp;refresh_token={RT}&amp;type=x",
    "an address from Slack": f"<https://app.example.com/#access_token={AT}&refresh_token={RT}|app.example.com>",
    "zero-width characters": f"\u200b\ufeff{AT}\u200d \u2060{RT}\u200b",
    "soft hyphens": f"{AT[:50]}\u00ad{AT[50:]}\u00a0{RT}",
    "smart quotes": f"“{AT}”, “{RT}”",
    "smart quotes in JSON": f"{{“access_token”: “{AT}”, “refresh_token”: “{RT}”}}",
    "a terminal's marks": f"\x1b[200~{AT} {RT}\x1b[201~",
    "JSON, wrapped": "\r\n".join(
        json.dumps(STORED)[at : at + 60] for at in range(0, len(json.dumps(STORED)), 60)
    ),
    "a wrapped token": "\n".join([*(AT[at : at + 120] for at in range(0, 240, 120)), AT[240:], RT]),
    "an address with a provider's tokens": f"https://app.example.com/#access_token={AT}&provider_token=gho_1"
    f"&provider_refresh_token=ghr_1&refresh_token={RT}&token_type=bearer",
}


@pytest.mark.parametrize("form", FORMS)
def test_formats_of_browsers_and_tools(form):
    assert read_paste(FORMS[form]) == (Secret(AT), Secret(RT))
    assert read_paste("", FORMS[form]) == (Secret(AT), Secret(RT))
    assert read_paste(FORMS[form], FORMS[form]) == (Secret(AT), Secret(RT))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_json_that_was_broken_into_lines_anywhere(newline):
    text = json.dumps(STORED)
    for width in range(20, 200):
        broken = newline.join(text[at : at + width] for at in range(0, len(text), width))
        assert read_paste(broken) == (Secret(AT), Secret(RT)), width


def test_a_whole_signature_says_where_a_wrapped_token_ends():
    head, body, _ = AT.split(".")
    token = f"{head}.{body}.{'s' * 86}"
    assert read_paste(f"{token[:-20]}\n{token[-20:]}\n{RT}") == (Secret(token), Secret(RT))
    assert read_paste(f"{token[:-12]}\n{token[-12:]}") == (Secret(token), Secret(""))


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        (f"{NAME}.0={COOKIE[:300]}", f"{NAME}.1={COOKIE[300:]}"),
        (f"{NAME}.0\t{COOKIE[:300]}", f"{NAME}.1\t{COOKIE[300:]}"),
        (COOKIE[:300], COOKIE[300:]),
        (JSON[:300], JSON[300:]),
        (f"{NAME}.1={CHUNKS[1]}", f"{NAME}.2={CHUNKS[2]}; {NAME}.0={CHUNKS[0]}"),
        (JSON, RT),
        (f"access_token={AT}", f"refresh_token={RT}"),
        (f"curl https://x.co -H 'Authorization: Bearer {AT}' -H 'apikey: {ANON}'", RT),
    ],
)
def test_a_session_over_the_two_fields(fields, swap):
    assert read_paste(*(fields[::-1] if swap else fields)) == (Secret(AT), Secret(RT))


def test_a_refresh_token_that_begins_like_bytes():
    assert read_paste(f"access_token: {AT}\nrefresh_token: b23456abcdef") == (
        Secret(AT),
        Secret("b23456abcdef"),
    )
    assert read_paste(f"access_token=b'{AT}', refresh_token=b'{RT}'") == (Secret(AT), Secret(RT))


AT2, RT2 = make_jwt(session_id="another", sub="someone"), make_refresh_token()
JSON2 = json.dumps(FULL | {"access_token": AT2, "refresh_token": RT2})


@pytest.mark.parametrize(
    "fields",
    [
        (f"{JSON}\n{JSON2}",),
        (JSON, JSON2),
        (JSON, RT2),
        (f"{NAME}\t{JSON}\nsb-efgh-auth-token\t{JSON2}",),
        (json.dumps({NAME: JSON, "sb-efgh-auth-token": JSON2}),),
        (json.dumps([FULL, json.loads(JSON2)]),),
        (ADDRESS + f"&access_token={AT2}",),
        (f"{TREE}\nrefresh_token: {RT2}",),
        (f"{NAME}={COOKIE}; sb-efgh-auth-token={quote(JSON2, safe='')}",),
    ],
)
def test_two_sessions_are_never_mixed(fields):
    with pytest.raises(AuthError, match="two different sessions"):
        read_paste(*fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ((f"{NAME}.0={COOKIE[:300]}",), r'one of two parts of a cookie.*"\.1" is missing'),
        ((f"{NAME}.1={COOKIE[300:]}",), r'one of two parts of a cookie.*"\.0" is missing'),
        ((f"{NAME}.0={CHUNKS[0]}; {NAME}.2={CHUNKS[2]}",), r'two of three parts.*"\.1" is missing'),
        ((f"{NAME}.0={CHUNKS[0]}; {NAME}.1={CHUNKS[1]}",), r'two of three parts.*"\.2" is missing'),
        ((COOKIE[:300],), "one of two parts of a cookie"),
        ((f"{NAME}.0={ENCODED[:300]}",), "one of two parts of a cookie"),
        ((f"{NAME}\t{JSON[:-5]}",), "not complete"),
        ((f"{NAME}={COOKIE[:-50]}",), "one of two parts"),
        ((f"{NAME}-code-verifier=base64-IjEyMyI",), "an unfinished sign-in"),
        ((json.dumps({"access_token": "ya29.x", "refresh_token": "1//0g"}),), "both an access_token"),
        ((json.dumps({"access_token": AT, "user": USER}),), "both an access_token"),
        ((json.dumps({"user": USER}),), "both an access_token"),
        ((json.dumps({"refresh_token": RT, "provider_token": AT}),), "both an access_token"),
        ((f"provider_token: {AT}\nprovider_refresh_token: {RT}",), "Paste exactly two tokens"),
        ((f"access_token: {AT}\nprovider_refresh_token: {RT}",), "no refresh token"),
        ((f"curl https://x.co -H 'Authorization: Bearer {AT}'",), "no refresh token"),
        (
            (f"curl https://x.co/token -H 'apikey: {ANON}' --data-raw '{{\"refresh_token\":\"{RT}\"}}'",),
            "both an access_token",
        ),
        ((RT,), "no access token"),
        ((AT[:90], RT), "access token is incomplete"),
        ((f"{AT[:-1]} {RT}",), "access token is incomplete: its end is missing"),
        ((AT[:-20], RT), "access token is incomplete: its end is missing"),
        ((AT[:-20],), "access token is incomplete: its end is missing"),
        (
            (json.dumps({**STORED, "access_token": AT[:-3]}),),
            "access token is incomplete: its end is missing",
        ),
        (
            (
                f'fetch("https://x.co", {{"headers": {{"apikey": "{ANON}", "authorization": "Bearer {AT}"}}}});',
            ),
            "Paste exactly two tokens",
        ),
        (
            ("https://app.example.com/#error=access_denied&error_description=Email+link+is+invalid",),
            "sign-in failed: Email link is invalid",
        ),
        ((ANON,), "a project's anon key"),
        ((f"{ANON} {RT}",), "Paste exactly two tokens|anon key"),
        ((f"Ada: {AT}, {RT}. Grace: {RT2}",), "Paste exactly two tokens"),
        ((f"The token of Ada is {AT}",), "Paste exactly two tokens"),
        ((f"{AT}\ntrace of https://x.co: {RT}",), "Paste exactly two tokens"),
        (("sb_secret_0123456789abcdef", RT), "a project's secret key"),
        (("sb_publishable_0123456789abcdef",), "a project's publishable key"),
        (("sbp_0123456789abcdef0123456789abcdef01234567",), "management API"),
    ],
)
def test_an_incomplete_paste_is_explained(fields, says):
    with pytest.raises(AuthError, match=says) as caught:
        read_paste(*fields)
    for token in (AT, RT, ANON):
        assert token not in str(caught.value)


_pieces = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *FORMS.values(),
            AT,
            RT,
            JSON2,
            ANON,
            *CHUNKS,
            NAME,
            ".0=",
            ".1=",
            "=",
            "\t",
            "; ",
            '"',
            "'",
            "{",
            "}",
            "access_token: ",
            "refresh_token=",
            "provider_",
            "user_metadata",
            "\n",
            " ",
            "Bearer ",
            "#",
            "&",
            "%22",
        ]
    ),
    st.sampled_from(list(FORMS.values())).flatmap(
        lambda form: st.tuples(st.integers(0, len(form)), st.integers(0, len(form))).map(
            lambda ends: form[min(ends) : max(ends)]
        )
    ),
)


@given(st.lists(_pieces, max_size=6), st.lists(_pieces, max_size=2))
def test_any_text_gives_tokens_of_one_session_or_an_error(first, second):
    said = ""
    refresh = Secret("")
    try:
        _, refresh = read_paste("".join(first), "".join(second))
    except AuthError as error:
        said = str(error)
    assert AT not in said
    assert RT not in said
    assert refresh.reveal() not in ("gho_0123456789abcdef", "ghr_0123456789", "nested")


@given(st.sampled_from(list(FORMS.values())), st.integers(0, 4000), st.integers(0, 4000))
def test_a_part_of_a_form_gives_its_tokens_or_an_error(form, start, stop):
    start, stop = start % len(form), stop % len(form)
    try:
        access, refresh = read_paste(form[:stop] if start % 2 else form[start:])
    except AuthError:
        return
    assert refresh in (Secret(RT), Secret(""))
    # What is cut inside the signature of a token alone, only the server can tell.
    assert access == Secret(AT) if refresh else AT.startswith(access.reveal())


HOSTILE = [
    "a", " ", "a.", ".", "=", '"', "'", "\\", "{", "[", "(", '{"a":', "eyJ", "eyJ ", "eyJa.eyJa.a ", "%", "%7B", "://",
    "base64-", "access_token", "access_token:", "access_token=x ", "Bearer ", "sb-a-auth-token=", 'sb-a-auth-token="',
    'sb-a-auth-token={"a":"', "a.1=", "a.1\t", "a.1=b;", "&a=b", "#a=b&", "\\\"", "“", "\u200b", "('a',", "a\t{", "\n",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("start", ["", "x ", '{"a":'])
def test_the_longest_hostile_text_ends(piece, start):
    """A quarter of a megabyte: anything worse than linear would meet the suite's time limit."""
    text = (start + piece * 262_144)[:262_144]
    with pytest.raises(AuthError):
        read_paste(text)
