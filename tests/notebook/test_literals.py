"""Tokens that stand in a cell are found, whatever they look like there, and nothing else is touched."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_paste import ANON
from wire_tokens import make_jwt, make_refresh_token

from supabase_nb.notebook.literals import find_literals, pattern, replaced, rewritten
from supabase_nb.notebook.rewrite import edits_for
from supabase_nb.tokens import Secret

AT, RT = make_jwt(), make_refresh_token()
HEADER = "# Tokens were taken out of this cell"


def placed(cell: str, names=()) -> str:
    """The cell as it is executed, its placeholders numbered."""
    literals = find_literals(cell, names)
    numbers = {id(literal): f"T{number}" for number, literal in enumerate(literals, 1)}
    return replaced(
        cell,
        literals,
        lambda literal: {"name": "{}", "expansion": "{{{}}}", "comment": "•••"}[literal.way].format(
            numbers[id(literal)]
        ),
    )


def shown(cell: str, names=()) -> str:
    """The cell as people see it afterwards."""
    for start, end, text in reversed(rewritten(cell, find_literals(cell, names))):
        cell = cell[:start] + text + cell[end:]
    return cell


@pytest.mark.parametrize(
    ("cell", "executed", "seen"),
    [
        (f'%supabase_set_session "{AT}" "{RT}"', "%supabase_set_session T1 T2", "%supabase_set_session"),
        (f"%supabase_set_session '{AT}' '{RT}'", "%supabase_set_session T1 T2", "%supabase_set_session"),
        (f"%supabase_set_session {AT} {RT}", "%supabase_set_session T1 T2", "%supabase_set_session"),
        (f'supabase_set_session "{AT}" {RT}', "supabase_set_session T1 T2", "supabase_set_session"),
        ('%supabase_set_session "x.y" "z"', "%supabase_set_session T1 T2", "%supabase_set_session"),
        (
            f'r = %supabase_set_session "{AT}" "{RT}" --name two  # mine',
            "r = %supabase_set_session T1 T2 --name two  # mine",
            "r = %supabase_set_session --name two  # mine",
        ),
        (
            f'x = 1\n  %supabase_set_session --name "two" "{AT}" \\\n  "{RT}"\ny = 2',
            'x = 1\n  %supabase_set_session --name "two" T1 \\\n  T2\ny = 2',
            None,
        ),
        (f'%supabase_set_session "{AT} {RT}', "%supabase_set_session T1", "%supabase_set_session"),
        (f"%supabase_set_session at '{RT}'", "%supabase_set_session at T1", "%supabase_set_session at"),
        (f"%supabase_set_auth {AT}", "%supabase_set_auth T1", "%supabase_set_auth"),
        (f"%supabase_connect https://x.co --key {ANON}", None, None),
        ('%supabase_connect https://x.co --key "anon"', None, None),
        ("%supabase_connect u --key 'sb_secret_abc'", "%supabase_connect u --key T1", None),
        (
            f'supabase.auth.set_session("{AT}", "{RT}")',
            "supabase.auth.set_session(T1, T2)",
            "%supabase_set_session",
        ),
        (
            f"supabase.auth.set_session(\n    access_token='{AT}',\n    refresh_token='{RT}',\n)\nnext()",
            "supabase.auth.set_session(\n    access_token=T1,\n    refresh_token=T2,\n)\nnext()",
            "%supabase_set_session\nnext()",
        ),
        (
            f'r = client.auth . set_session("{AT}"[:], "{RT}").user',
            "r = client.auth . set_session(T1[:], T2).user",
            'r = client.auth . set_session(""[:], "").user',
        ),
        (
            f'supabase.auth.set_session("{AT[:9]}" "{AT[9:]}", rf"{RT}")',
            "supabase.auth.set_session(T1, T2)",
            "%supabase_set_session",
        ),
        ('supabase.auth.set_session("x", "y")', "supabase.auth.set_session(T1, T2)", "%supabase_set_session"),
        (
            f'await client.auth.aio.set_session("{AT}", "{RT}")',
            "await client.auth.aio.set_session(T1, T2)",
            'await client.auth.aio.set_session("", "")',
        ),
        (f'supabase.set_auth("{AT}")', "supabase.set_auth(T1)", 'supabase.set_auth("")'),
        (f'at = "{AT}"\nrt = "{RT}"', "at = T1\nrt = T2", 'at = ""\nrt = ""'),
        (f'at, rt = "{AT}", "{RT}"', "at, rt = T1, T2", 'at, rt = "", ""'),
        (f'd = {{"refresh_token": "{RT}"}}', 'd = {"refresh_token": T1}', 'd = {"refresh_token": ""}'),
        (f'u = """https://x.co/#access_token={AT}&x=1"""', "u = T1", 'u = ""'),
        (f'h = f"Bearer {AT} {{x}}"', 'h = f"Bearer {T1} {x}"', 'h = f"Bearer ••• {x}"'),
        (f"x = 1  # was {AT}", "x = 1  # was •••", "x = 1  # was •••"),
        (AT, "T1", '""'),
        (f"%env TOKEN={AT}", "%env TOKEN={T1}", "%env TOKEN=•••"),
        (f'!curl -H "Authorization: Bearer {AT}"', '!curl -H "Authorization: Bearer {T1}"', None),
    ],
)
def test_found(cell, executed, seen):
    executed = cell if executed is None else executed
    assert placed(cell, {"at"}) == executed
    if seen is not None:
        assert shown(cell, {"at"}).removeprefix("").split("it asks for them.\n")[-1] == seen
    text = shown(cell, {"at"})
    assert AT not in text
    assert RT not in text
    assert (HEADER in text) == ('""' in text)


@pytest.mark.parametrize(
    "cell",
    [
        "x = 1",
        "%supabase_set_session at rt",
        "%supabase_set_session pair['access_token'] pair[\"refresh_token\"]",
        "%supabase_set_session $AT ${RT}",
        "%supabase_set_session at rtt  # the \"second\" 'one'",
        "%supabase_connect https://abcd.supabase.co --key KEY --name 'n'",
        "supabase.auth.set_session(at, rt)",
        "supabase.auth.set_session(os.environ[name], rt)",
        'supabase.auth.set_session(pair["access_token"], pair["refresh_token"])',
        "supabase.auth.set_session(os.environ['ACCESS_TOKEN'], getpass('Refresh token: '))",
        f'key = "{ANON}"',
        'refresh_token = "short"',
        'refresh_token = "YOUR_REFRESH_TOKEN"',
        'keras.backend.set_session("main")',
        'solr.set_auth("name", "password")',
        'def set_session(access="a", refresh="b"): ...',
        'print("no set_session(" "eyJ")',
        "# supabase.auth.set_session('a', 'b')",
        f"%%writefile .env\nAT={AT}\nRT='{RT}'",
        "%%html\n<b>it's supabase_</b>",
        "supabase_connect = 5",
    ],
)
def test_left_alone(cell):
    assert find_literals(cell, {"at", "rt", "pair", "KEY"}) == []


def test_values_are_what_python_reads():
    cell = f'supabase.auth.set_session("""{AT}""", u"\\x61bc{RT}")'
    assert [literal.value for literal in find_literals(cell)] == [Secret(AT), Secret("abc" + RT)]


def test_a_pattern_finds_the_text_and_holds_no_token():
    text = f'x.set_session("{AT}", [a^b$c], "{RT}") // {{2}}'
    found = pattern(text, [Secret(AT), Secret(RT)])
    assert re.fullmatch(found, text)
    assert AT not in found
    assert RT not in found


def test_edits_count_as_javascript_does():
    cell = f'# 🦄 é\nsupabase.auth.set_session("{AT}", "a\\x62{RT}")'
    (edit,) = edits_for(cell, find_literals(cell))
    units = cell.encode("utf-16-le")
    old = units[2 * edit["start"] : 2 * edit["end"]].decode("utf-16-le")
    assert old.startswith("supabase.auth")
    assert re.fullmatch(edit["pattern"], old)
    assert edit["text"] == "%supabase_set_session"
    assert AT not in edit["pattern"]
    assert RT not in edit["pattern"]


_pieces = st.sampled_from(
    [
        AT,
        RT,
        '"',
        "'",
        '"""',
        "\\",
        "\n",
        "#",
        "%supabase_set_session ",
        ".set_session(",
        ")",
        "f",
        "{",
        "!",
        " ",
        "=",
    ]
)


@given(st.lists(st.one_of(_pieces, st.text(max_size=5)), max_size=12))
def test_any_cell_can_be_read_and_no_access_token_stays(pieces):
    cell = "".join(pieces)
    literals = find_literals(cell)
    assert all(a.end <= b.start for a, b in itertools.pairwise(literals))
    if not cell.lstrip().startswith("%%") and re.search(rf"(?<![\w.-]){re.escape(AT)}(?![\w.-])", cell):
        assert literals
    edits = rewritten(cell, literals)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(edits))
