"""The variables that a magic's arguments refer to: the same as for Python code in its place."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from types import SimpleNamespace

import numpy
import pandas
import polars
import pyarrow
import pydantic
import pytest
import supabase_auth.types
from hypothesis import given
from hypothesis import strategies as st
from shells import USER, FakeClient
from wire_tokens import make_jwt, make_refresh_token

from supabase_nb import models
from supabase_nb._secrets.tokens import Secret
from supabase_nb.notebook._magics.magic_parser import MagicParser
from supabase_nb.notebook._usage_error import SupabaseUsageError
from supabase_nb.notebook._variables.argument_values import resolve, strip_keywords

#: The notebook's user, whose tokens have the names that the functions below use too.
AT, RT = make_jwt(sub="notebook"), make_refresh_token()
#: The user whose session the test sets.
MY_AT, MY_RT = make_jwt(sub="mine"), make_refresh_token()
MINE = ("set_session", Secret(MY_AT), Secret(MY_RT))


@pytest.fixture
def notebook(connected, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    connected.ns.update(at=AT, rt=RT, mine=(MY_AT, MY_RT))
    return connected


def sent(shell):
    calls = shell.ns["supabase"].auth.calls
    return [call for call in calls if call[0] == "set_session"]


CALL = "get_ipython().run_line_magic('supabase_set_session', 'at rt')"
SCOPES = {
    "function": "def login(at, rt):\n    %supabase_set_session at rt\nlogin(*mine)",
    "default": "def login(at=mine[0], rt=mine[1]):\n    %supabase_set_session at rt\nlogin()",
    "method": "class C:\n    def login(self, at, rt):\n        %supabase_set_session at rt\nC().login(*mine)",
    "static": "class C:\n    @staticmethod\n    def f(at, rt):\n        %supabase_set_session at rt\nC.f(*mine)",
    "lambda": f"(lambda at, rt: {CALL})(*mine)",
    "list": f"[{CALL} for at, rt in [mine]]",
    "set": f"{{str({CALL}) for at, rt in [mine]}}",
    "generator expression": f"list({CALL} for at, rt in [mine])",
    "generator": "def g(at, rt):\n    yield\n    %supabase_set_session at rt\nlist(g(*mine))",
    "async": "async def f(at, rt):\n    %supabase_set_session at rt\nawait f(*mine)",
    "class": "class C:\n    at, rt = mine\n    %supabase_set_session at rt",
    "captured": "def f(at, rt):\n    def g():\n        at, rt\n        %supabase_set_session at rt\n    g()\nf(*mine)",
    "loop": "def f():\n    for at, rt in [mine]:\n        %supabase_set_session at rt\nf()",
    "exec": f'exec("{CALL}", globals(), dict(at=mine[0], rt=mine[1]))',
    "exec in a function": f'def f(at, rt):\n    exec("{CALL}")\nf(*mine)',
    "eval in a function": f'def f(at, rt):\n    eval("{CALL}")\nf(*mine)',
    "own globals": f'exec("{CALL}", dict(at=mine[0], rt=mine[1], get_ipython=get_ipython))',
    "time": "def f(at, rt):\n    %time %supabase_set_session at rt\nf(*mine)",
    "timeit": "def f(at, rt):\n    %timeit -n1 -r1 %supabase_set_session at rt\nf(*mine)",
    "alias": "%alias_magic login supabase_set_session\ndef f(at, rt):\n    %login at rt\nf(*mine)",
    "thread": (
        "import threading\ndef f(at, rt):\n    %supabase_set_session at rt\n"
        "t = threading.Thread(target=f, args=mine); t.start(); t.join()"
    ),
    "with": (
        "import contextlib\n@contextlib.contextmanager\ndef c(at, rt):\n    %supabase_set_session at rt\n    yield\n"
        "with c(*mine): pass"
    ),
    "decorated": (
        "import functools\ndef d(f):\n    @functools.wraps(f)\n    def g(*a): return f(*a)\n    return g\n"
        "@d\ndef f(at, rt):\n    %supabase_set_session at rt\nf(*mine)"
    ),
    "nested with its own": (
        "def f():\n    def g(at, rt):\n        %supabase_set_session at rt\n    g(*mine)\nf()"
    ),
    "keywords": 'def f(**k):\n    %supabase_set_session k["at"] k["rt"]\nf(at=mine[0], rt=mine[1])',
}


@pytest.mark.parametrize("cell", SCOPES.values(), ids=SCOPES)
def test_a_name_is_that_of_the_code_that_calls_the_magic(notebook, cell):
    ran = notebook.run(cell)
    assert ran.ok, ran.text
    assert sent(notebook) == [MINE]


HIDDEN = {
    "nested function": "def f(at, rt):\n    def g():\n        %supabase_set_session at rt\n    g()\nf(*mine)",
    "lambda in a function": f"def f(at, rt):\n    (lambda: {CALL})()\nf(*mine)",
    "generator expression": f"def f(at, rt):\n    list({CALL} for _ in [1])\nf(*mine)",
    "method": (
        "def f(at, rt):\n    class C:\n        def g(self):\n            %supabase_set_session at rt\n    C().g()\nf(*mine)"
    ),
    "class body": "def f(at, rt):\n    class C:\n        %supabase_set_session at rt\nf(*mine)",
    "class body in a nested function": (
        "def f(at, rt):\n    def g():\n        class C:\n            %supabase_set_session at rt\n    g()\nf(*mine)"
    ),
    "called later": (
        "def f(at, rt):\n    def g():\n        %supabase_set_session at rt\n    return g\nlater = f(*mine)\nlater()"
    ),
    "three deep": (
        "def f(at, rt):\n    def g():\n        def h():\n            %supabase_set_session at rt\n        h()\n    g()\nf(*mine)"
    ),
    "time": "def f(at, rt):\n    def g():\n        %time %supabase_set_session at rt\n    g()\nf(*mine)",
    "exec": f'def f(at, rt):\n    def g():\n        exec("{CALL}")\n    g()\nf(*mine)',
    "exec with other locals": f'def f(at, rt):\n    exec("{CALL}", globals(), {{}})\nf(*mine)',
}


@pytest.mark.parametrize("cell", HIDDEN.values(), ids=HIDDEN)
def test_a_variable_that_python_did_not_pass_in_is_no_global_of_that_name(notebook, cell):
    ran = notebook.run(cell)
    assert not ran.ok or "%time" in cell
    assert "`at` is not a variable of this function" in ran.text
    assert "Assign it to a variable of this function first" in ran.text
    assert sent(notebook) == []


def test_a_variable_without_a_value_yet_is_no_global_of_that_name(notebook):
    cell = "def f():\n    %supabase_set_session at rt\n    at, rt = mine\nf()"
    ran = notebook.run(cell)
    assert "`at` has no value yet in this function" in ran.text
    assert not ran.ok
    assert notebook.run("def f(at, rt):\n    del at\n    %supabase_set_session at rt\nf(*mine)").ok is False
    assert sent(notebook) == []


def test_a_function_sees_the_notebooks_variables_as_python_does(notebook):
    assert notebook.run("def f():\n    %supabase_set_session at rt\nf()").ok
    assert notebook.run("def f():\n    global at\n    %supabase_set_session at rt\nf()").ok
    assert notebook.run("class C:\n    %supabase_set_session at rt").ok
    assert sent(notebook) == [("set_session", Secret(AT), Secret(RT))] * 3


@pytest.mark.parametrize("how", ["%run {0}.py", "import {0}"])
def test_a_script_and_a_module_have_variables_of_their_own(notebook, tmp_path, how):
    head = "from IPython import get_ipython\n"
    (tmp_path / "own_names.py").write_text(f"{head}at, rt = {(MY_AT, MY_RT)!r}\n{CALL}\n")
    (tmp_path / "in_function.py").write_text(
        f"{head}at = rt = None\ndef f(at, rt):\n    {CALL}\nf(*{(MY_AT, MY_RT)!r})\n"
    )
    (tmp_path / "no_names.py").write_text(f"{head}{CALL}\n")
    try:
        assert notebook.run(how.format("own_names")).ok
        notebook.ns.update(at=AT, rt=RT)
        assert notebook.run(how.format("in_function")).ok
        assert sent(notebook) == [MINE, MINE]
        notebook.ns.update(at=AT, rt=RT)
        assert "There is no variable `at`" in notebook.run(how.format("no_names")).text
        assert sent(notebook) == [MINE, MINE]
    finally:
        for name in ("own_names", "in_function", "no_names"):
            sys.modules.pop(name, None)


def test_an_ipython_script_has_the_notebooks_variables(notebook, tmp_path):
    (tmp_path / "cells.ipy").write_text("at, rt = mine\n%supabase_set_session at rt\n")
    assert notebook.run("%run cells.ipy").ok
    assert sent(notebook) == [MINE]


def test_the_client_is_that_of_the_function_too(notebook):
    assert notebook.run("%supabase_connect https://two.supabase.co --key 'k' --name two").ok
    two = notebook.ns["two"].auth
    assert notebook.run("def f(supabase):\n    %supabase_set_session at rt\nf(two)").ok
    assert notebook.run("def f(client):\n    %supabase_set_session at rt --name client\nf(two)").ok
    assert len([call for call in two.calls if call[0] == "set_session"]) == 2
    ran = notebook.run("def f(supabase):\n    %supabase_set_session at rt\nf(7)")
    assert "`supabase` is a variable of this function, but not a client" in ran.text
    assert sent(notebook) == []


def test_the_client_of_a_module(notebook, tmp_path):
    head = "from IPython import get_ipython\n"
    (tmp_path / "with_client.py").write_text(f"{head}def f(at, rt):\n    {CALL}\n")
    (tmp_path / "with_package.py").write_text(f"{head}import json as supabase\ndef f(at, rt):\n    {CALL}\n")
    assert notebook.run("%supabase_connect https://two.supabase.co --key 'k' --name two").ok
    try:
        assert notebook.run("import with_client\nwith_client.supabase = two\nwith_client.f(*mine)").ok
        assert MINE in notebook.ns["two"].auth.calls
        assert sent(notebook) == []
        assert notebook.run("import with_package\nwith_package.f(*mine)").ok
        assert sent(notebook) == [MINE]
    finally:
        for name in ("with_client", "with_package"):
            sys.modules.pop(name, None)


def test_a_suggestion_beside_a_variable_without_a_value_yet(notebook):
    ran = notebook.run("def f(rt):\n    %supabase_set_session att rt\n    at = 1\nf('x')")
    assert "There is no variable `att`." in ran.text
    assert "Did you mean `at`" not in ran.text


def test_the_other_magics_take_the_functions_variables(notebook):
    notebook.ns.update(where="https://wrong.supabase.co", key="wrong")
    cell = "def f(where, key):\n    %supabase_connect where --key key --name {name}\nf('https://right.supabase.co', 'right')"
    assert notebook.run(cell.format(name="made")).ok
    assert (notebook.ns["made"].url, notebook.ns["made"].key) == ("https://right.supabase.co", "right")
    ran = notebook.run(
        "def f(where, key):\n    def g():\n        %supabase_connect where --key key --name bad\n    g()\nf(1, 2)"
    )
    assert not ran.ok
    assert "bad" not in notebook.ns


# -- paths, the environment, literals -----------------------------------------------------------------------

PATHS = [
    "response.session.access_token response.session.refresh_token",
    'tokens["access_token"] tokens["refresh_token"]',
    "tokens['access_token'], tokens['refresh_token']",
    'df.loc[0, "at"] df.loc[0, "rt"]',
    "df.iloc[-1, 0] df.iloc[-1, 1]",
    'df["at"][0] df["rt"][0]',
    "df.at[0] df.rt[0]",
    'os.environ["AT_OF_TEST"] os.environ["RT_OF_TEST"]',
    "$AT_OF_TEST $RT_OF_TEST",
    "${AT_OF_TEST} ${RT_OF_TEST}",
    '"$AT_OF_TEST" "$RT_OF_TEST"',
    "{a} {r}",
    '{tokens["access_token"]} {tokens["refresh_token"]}',
    '"a" "r"',
    "a, r",
    "a,  r;",
    "a r;",
    "a r ;",
    "a r,",
    "a r  # it's this morning's pair",
    "a \\\n    r",
    "a=a r=r".replace("a=", "at=").replace("r=", "rt="),
    "access_token=a refresh_token=r",
    "refresh_token=r access_token=a",
    "(a, r)",
    "(a,r)",
    "deep[0]['x'].y[1][:][0] deep[0]['x'].y[1][:][1]",
    'keyed["a b"] keyed[("c", 1)]',
    "café.tokens[0] café.tokens[1]",
]


@pytest.fixture
def rich(notebook, monkeypatch):
    """A notebook whose variables hold tokens in many ways."""
    monkeypatch.setenv("AT_OF_TEST", MY_AT)
    monkeypatch.setenv("RT_OF_TEST", MY_RT)
    notebook.ns.update(
        response=SimpleNamespace(session=SimpleNamespace(access_token=MY_AT, refresh_token=MY_RT)),
        tokens={"access_token": MY_AT, "refresh_token": MY_RT},
        df=pandas.DataFrame({"at": [MY_AT], "rt": [MY_RT]}),
        os=os,
        a=MY_AT,
        r=MY_RT,
        deep=[{"x": SimpleNamespace(y=[0, (MY_AT, MY_RT)])}],
        keyed={"a b": MY_AT, ("c", 1): MY_RT},
        café=SimpleNamespace(tokens=[MY_AT, MY_RT]),
    )
    notebook.ns["df"].columns = ["at", "rt"]
    return notebook


@pytest.mark.parametrize("words", PATHS)
def test_what_two_arguments_may_be(rich, words):
    if words.startswith("df.at"):
        words = words.replace("df.at[0] df.rt[0]", 'df["at"].iloc[0] df.rt[0]')
    ran = rich.run(f"%supabase_set_session {words}")
    assert ran.ok, ran.text
    assert sent(rich) == [MINE]
    assert ran.text == "<panel supabase>\n"  # and no warning about a token in the cell


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("respnse.session.access_token r", "There is no variable `respnse`. Did you mean `response`?"),
        ("response.session.acces_token r", "`response` has no such attribute or key"),
        ("deep[7] r", "`deep` has no such attribute or key"),
        ("a.b.c r", "`a` has no such attribute or key"),
        ("tokens.get('access_token') r", "This is not a variable"),
        ("tokens[a] r", "This is not a variable"),
        ("tokens[(lambda: 1)()] r", "This is not a variable"),
        ("a+r r", "This is not a variable"),
        ("tokens['access_token' r", "A bracket is missing"),
        ("a = a r = r", "Pass the two tokens without `=`"),
        ("at=a other=r", "Pass the two tokens without `=`"),
        ("token=a token=r", "Pass the two tokens without `=`"),
    ],
)
def test_what_cannot_be_an_argument_is_explained(rich, words, says):
    ran = rich.run(f"%supabase_set_session {words}")
    assert not ran.ok
    assert says in ran.text
    assert len(ran.text.strip().splitlines()) == 1
    assert MY_AT not in ran.text
    assert sent(rich) == []


@given(st.text(alphabet=st.sampled_from("atr0.,;:=[](){}$'\"\\ \n#-_é@/")) | st.text())
def test_any_text_is_understood_or_refused(text):
    parser = MagicParser("supabase_test", "For this test.")
    parser.add_argument("words", nargs="*")
    names = {"at": MY_AT, "rt": MY_RT, "a": {"t": [MY_AT]}}
    with contextlib.suppress(SupabaseUsageError):
        for word in strip_keywords(parser.parse_line(text).words):
            resolve(word, names, what="the access token", environ={})


def test_long_lines_are_read_in_linear_time(notebook):
    # Quadratic ones would not end.
    for words in (
        "[" * 300_000,
        "a" * 300_000,
        "a." * 200_000 + "b r",
        "a, " * 100_000,
        "a[0]" * 100_000 + " r",
        "(" * 99_999,
    ):
        assert not notebook.run(f"%supabase_set_session {words}").ok


def test_nothing_is_called(rich):
    called = []
    rich.ns["f"] = lambda *_: called.append(1)
    for words in ("f() r", "f(1)[0] r", "{f()} r", "tokens[f()] r", "(f(), r)", "f.x[f()] r"):
        assert not rich.run(f"%supabase_set_session {words}").ok
    assert called == []


@pytest.mark.parametrize(
    "line",
    [
        'd["url"] --key d["key"]',
        "cfg.supabase.url --key cfg.supabase.anon",
        'os.environ["U_OF_TEST"] --key os.environ["K_OF_TEST"]',
        "$U_OF_TEST --key $K_OF_TEST",
        "{d['url']} --key {d['key']}",
        '"$U_OF_TEST" --key "$K_OF_TEST"',
        '"https://x.supabase.co" --key "the-key"',
        "https://x.supabase.co --key=d['key'];",
        'd["url"], --key d["key"]',
        "--key d['key'] d['url']  # it's mine",
        "x.supabase.co --key d['key']",
    ],
)
def test_url_and_key_are_named_like_any_value(rich, monkeypatch, line):
    monkeypatch.setenv("U_OF_TEST", "https://x.supabase.co")
    monkeypatch.setenv("K_OF_TEST", "the-key")
    rich.ns.update(
        d={"url": "https://x.supabase.co", "key": "the-key"},
        cfg=SimpleNamespace(supabase=SimpleNamespace(url="https://x.supabase.co", anon="the-key")),
    )
    ran = rich.run(
        f"%supabase_connect {line} --name made"
        if not line.endswith(("mine", ";"))
        else f"%supabase_connect --name made {line}"
    )
    assert ran.ok, ran.text
    assert (rich.ns["made"].url, rich.ns["made"].key) == ("https://x.supabase.co", "the-key")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("https://x.supabase.co --key a+b", "Assign the project's key to a variable and pass its name."),
        ("sb_publishable_0123456789ab --key https://x.supabase.co", "Assign the project's key to a variable"),
        ("d['url']+'x' --key 'k'", "Assign the URL to a variable and pass its name."),
        ("https://x.supabase.co --key 'k' --name class", "--name must be a valid variable name"),
        ("https://x.supabase.co --key 'k' --name 2nd", "--name must be a valid variable name"),
    ],
)
def test_what_cannot_be_connected_to_is_explained(rich, line, says):
    ran = rich.run(f"%supabase_connect {line}")
    assert not ran.ok
    assert says in ran.text
    assert "%supabase_set_session" not in ran.text


def test_auth_url_too(rich):
    rich.ns["d"] = {"url": "https://x.supabase.co", "auth": "https://auth.example.com"}
    assert rich.run('%supabase_connect d["url"] --key "k" --auth-url d["auth"] --name made').ok
    assert rich.ns["made"].auth_url == "https://auth.example.com"


# -- one value that is a whole session ----------------------------------------------------------------------

WIRE = {"access_token": MY_AT, "refresh_token": MY_RT}
USER_WIRE = {
    "id": "7f3b", "aud": "authenticated", "app_metadata": {}, "user_metadata": {},
    "created_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
THEIRS = supabase_auth.types.Session(
    **WIRE, expires_in=3600, token_type="bearer", user=supabase_auth.types.User(**USER_WIRE)
)
OURS = models.Session(MY_AT, MY_RT, expires_at=2e9, expires_in=3600, user=USER)


class Settings(pydantic.BaseModel):
    access_token: pydantic.SecretStr
    refresh_token: pydantic.SecretStr


WHOLE = {
    "our session": OURS,
    "our response": models.AuthResponse(USER, OURS),
    "their session": THEIRS,
    "their response": supabase_auth.types.AuthResponse(user=THEIRS.user, session=THEIRS),
    "dict": WIRE,
    "dict with a session": {"session": WIRE, "user": {}},
    "dict of supabase-js": {"data": {"session": WIRE}, "error": None},
    "dict with their session": {"session": THEIRS},
    "JSON": json.dumps(WIRE),
    "JSON with a session": json.dumps({"session": WIRE}),
    "JSON in bytes": json.dumps(WIRE).encode(),
    "tuple": (MY_AT, MY_RT),
    "list": [MY_AT, MY_RT],
    "tuple of bytes": (MY_AT.encode(), MY_RT.encode()),
    "settings": Settings(**WIRE),
    "SecretStr of JSON": pydantic.SecretStr(json.dumps(WIRE)),
    "tuple of SecretStr": (pydantic.SecretStr(MY_AT), pydantic.SecretBytes(MY_RT.encode())),
    "Secret": Secret(json.dumps(WIRE)),
    "array": numpy.array([MY_AT, MY_RT]),
    "row": pandas.Series(WIRE),
    "frame of one row": pandas.DataFrame([WIRE]),
    "namespace": SimpleNamespace(**WIRE),
    "a scalar of JSON": numpy.array(json.dumps(WIRE)),
}


@pytest.mark.parametrize("value", WHOLE.values(), ids=WHOLE)
def test_one_value_that_holds_a_session(notebook, value):
    notebook.ns["s"] = value
    ran = notebook.run("%supabase_set_session s")
    assert ran.ok, ran.text
    assert sent(notebook) == [MINE]


@pytest.mark.parametrize(
    "wrap",
    [
        str.encode,
        pydantic.SecretStr,
        numpy.str_,
        numpy.array,
        lambda text: pandas.Series([text]),
        lambda text: polars.Series([text]),
        pyarrow.scalar,
        Secret,
    ],
    ids=["bytes", "SecretStr", "numpy str", "numpy array", "pandas", "polars", "pyarrow", "Secret"],
)
def test_a_token_in_another_type(notebook, wrap):
    notebook.ns.update(a=wrap(MY_AT), r=wrap(MY_RT))
    ran = notebook.run("%supabase_set_session a r")
    assert ran.ok, ran.text
    assert sent(notebook) == [MINE]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (SimpleNamespace(user=None, session=None), "`s` contains no session: its session is None"),
        ({"access_token": MY_AT}, "Pass both tokens"),
        ((MY_AT, MY_RT, "x"), "Pass both tokens"),
        (7, "Pass both tokens"),
        (None, "Pass both tokens"),
        (b"\xff\xfe", "Pass both tokens"),
        (numpy.array([1.0, 2.0]), "Pass both tokens"),
        (FakeClient, "Pass both tokens"),
        ({"session": {"session": {"session": {"session": {"session": {}}}}}}, "Pass both tokens"),
    ],
)
def test_a_value_without_a_session_is_explained(notebook, value, says):
    notebook.ns["s"] = value
    ran = notebook.run("%supabase_set_session s")
    assert not ran.ok
    assert says in ran.text
    assert sent(notebook) == []


def test_none_of_these_packages_is_imported():
    import subprocess

    code = (
        "import sys, supabase_nb.notebook._variables.token_extraction as v\n"
        "v.token_pair({'session': (1, 2)}), v.to_secret(b'x')\n"
        "print(sorted({'pandas', 'numpy', 'pydantic', 'supabase_auth'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
