"""Tokens in cells are masked in everything that IPython stores. Tests in a kernel: tests/secrets."""

from __future__ import annotations

import base64
import itertools
import json
import linecache
import logging
import sys
import traceback
from pathlib import Path

import pytest
from wire_tokens import make_jwt, make_refresh_token

from supabase_nb._secrets import log_masking, masking
from supabase_nb._secrets.masking import known_in, mask, remember
from supabase_nb._secrets.token_search import find_tokens
from supabase_nb._secrets.tokens import Secret
from supabase_nb.errors import AuthSessionMissing
from supabase_nb.notebook._masking.ipython_records import clean_files, clean_memory

AT, RT = make_jwt(), make_refresh_token()


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """What other tests used as tokens."""
    monkeypatch.setattr(masking, "_remembered", {})
    monkeypatch.setattr(masking, "_known", ())


def places(ip) -> dict[str, str]:
    """Everything that IPython keeps of the cells, as text, by place."""
    history = ip.history_manager
    history.writeout_cache()
    path = Path(history.hist_file)
    files = {file.name: file.read_bytes().decode("latin-1") for file in path.parent.glob(f"{path.name}*")}
    assert files
    variables = {name: value for name, value in ip.user_ns.items() if name.startswith("_i") or name == "In"}
    result = ip.last_execution_result
    error = getattr(sys, "last_value", None)
    lines = traceback.TracebackException.from_exception(error) if error else None
    return files | {
        "user_ns": repr(variables) + repr(ip.user_ns_hidden),
        "history": repr([history.input_hist_raw, history.input_hist_parsed, history.db_input_cache]),
        "history_i": repr([history._i, history._ii, history._iii, history._i00]),
        "exceptions": repr(getattr(history, "exceptions", {})),
        "outputs": repr(getattr(history, "outputs", {})) + repr(history.output_hist_reprs),
        "linecache": repr(list(linecache.cache.values())),
        "result": repr([result.info.raw_cell, getattr(result.info, "transformed_cell", None), str(result)]),
        "traceback": "".join(lines.format()) if lines else "",
        "completer": repr([getattr(ip.Completer, name, "") for name in ("line_buffer", "full_text")]),
    }


def leaks(ip, *more: str) -> list[str]:
    found = places(ip) | {f"output {number}": text for number, text in enumerate(more)}
    return [place for place, text in found.items() if AT in text or AT.split(".")[2] in text or RT in text]


def test_the_search_sees_each_place(shell):
    """With nothing to keep them out, tokens are found everywhere."""
    shell.run(f'x = "{AT}"; 1 / 0')
    shell.ip.Completer.full_text = AT
    shell.ip.history_manager.output_hist_reprs[1] = AT
    elsewhere = {"history.sqlite-journal"}
    if not hasattr(shell.ip.history_manager, "exceptions"):  # before IPython 9.1
        elsewhere.add("exceptions")
    assert sorted(leaks(shell.ip)) == sorted(set(places(shell.ip)) - elsewhere)


def last(shell) -> str:
    return shell.ip.history_manager.input_hist_raw[-1]


CELLS = {
    "magic": f'%supabase_set_session "{AT}" "{RT}"',
    "magic, bare": f"%supabase_set_session {AT} {RT}",
    "call": f'supabase.auth.set_session("{AT}", "{RT}")',
    "variables": f'at = "{AT}"\nrt = "{RT}"\n%supabase_set_session at rt',
    "assigned": f'r = %supabase_set_session "{AT}" "{RT}"',
    "in a function": f'def restore():\n    return supabase.auth.set_session("{AT}", "{RT}")\nrestore()',
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize(
    ("mode", "fails"),
    [("Context", None), ("Verbose", RuntimeError("a bug")), ("Verbose", KeyboardInterrupt())],
)
def test_masked_whether_it_succeeds_or_fails(connected, cell, mode, fails):
    connected.run(f"%xmode {mode}")
    auth = connected.ns["supabase"].auth
    auth.fails = fails
    ran = connected.run(cell)
    assert ran.ok == (fails is None)
    assert auth.calls[-1] == ("set_session", Secret(AT), Secret(RT))
    assert leaks(connected.ip, ran.text, connected.run("%tb").text, connected.run("%history").text) == []
    assert ran.text.count("supabase-nb: Tokens in a cell. Two tokens were masked in the history.") == 1
    assert "%supabase_sign_out --scope global" in ran.text


def test_what_is_kept_can_be_read_and_keeps_its_place(connected):
    connected.run(CELLS["magic"])
    assert last(connected) == f'%supabase_set_session "{"*" * len(AT)}" "{"*" * len(RT)}"'
    ran = connected.run(f'x = "{AT}"; supabase.nothing')
    line, carets = next(
        (line, below)
        for line, below in itertools.pairwise([*ran.text.splitlines(), ""])
        if "supabase.nothing" in line and line.startswith("----> 1")
    )
    assert "*" * len(AT) in line
    assert not carets or carets.index("^") == line.index("supabase.nothing")


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("after", ["", "\n1 / 0", "\n%supabase_set_session nope rt"])
def test_the_cell_that_loads_the_extension_is_cleaned(shell, connected, cell, after):
    shell.run("%unload_ext supabase_nb")
    shell.run("%xmode Verbose")
    load = "%load_ext supabase_nb\n%supabase_connect https://abcd.supabase.co --key 'anon'\n"
    ran = shell.run(load + cell + after)
    assert ran.ok == (not after)
    assert shell.ns["supabase"].auth.calls[-1] == ("set_session", Secret(AT), Secret(RT))
    assert leaks(shell.ip, ran.text, shell.run("%tb").text) == []
    assert "Two tokens were masked in the history." in ran.text


def test_cells_from_before_the_extension_was_loaded(shell, connected):
    shell.run("%unload_ext supabase_nb")
    shell.run(f'zq = "{AT}"\nxv = "{RT}"')
    shell.run("%load_ext supabase_nb")
    shell.run("%supabase_connect https://abcd.supabase.co --key 'anon'")
    assert leaks(shell.ip)
    ran = shell.run("%supabase_set_session zq xv")
    assert ran.ok
    assert "Two tokens were masked in the history." in ran.text
    assert leaks(shell.ip, ran.text) == []
    assert "supabase-nb" not in shell.run("%supabase_set_session zq xv").text


def test_what_an_earlier_session_left_in_the_history_file(shell, connected):
    db = shell.ip.history_manager.db
    db.execute("INSERT INTO history VALUES (1, 99, ?, ?)", (f"x = '{RT}'", f"x = '{RT}'"))
    db.commit()
    assert leaks(shell.ip)
    shell.ns.update(at=AT, rt=RT)
    assert "masked in the history" in shell.run("%supabase_set_session at rt").text
    assert leaks(shell.ip) == []


def test_a_session_that_was_set_before_the_extension_was_loaded(shell, connected):
    shell.run("%unload_ext supabase_nb")
    shell.run(f'zq = "{AT}"\nxv = "{RT}"')
    shell.run(
        "from supabase_nb.auth._session.session_record import TokenPair; TokenPair.from_tokens(zq, xv)"
    )  # as every call does
    assert leaks(shell.ip)
    assert "masked in the history" in shell.run("%load_ext supabase_nb").text
    assert leaks(shell.ip) == []


def test_a_later_cell_is_masked_as_it_is_recorded(connected):
    assert connected.run(f'%supabase_set_session "{AT}" "{RT}"').ok
    for cell in (f"zq = '{AT}'", f"xv = '{RT}'", f"def f():\n    return '{RT}' / 1\nf()", f"f('{RT}'"):
        connected.run(cell)
        assert leaks(connected.ip) == []
    assert connected.ns["xv"] == RT


def test_a_cell_without_a_history_entry(connected):
    connected.ip.run_cell(f"zq = '{AT}'\nxv = '{RT}'", store_history=False)
    assert leaks(connected.ip)
    connected.run("%supabase_set_session zq xv")
    assert leaks(connected.ip) == []


def test_a_syntax_error_before_the_session_was_set(connected):
    connected.run(f"f('{RT}'")
    assert "traceback" in leaks(connected.ip)
    connected.ns.update(at=AT, rt=RT)
    connected.run("%supabase_set_session at rt")
    assert leaks(connected.ip) == []


def test_a_cookie_in_two_parts(connected):
    both = json.dumps(
        {"access_token": AT, "token_type": "bearer", "refresh_token": RT, "user": {"id": "7f3b" * 30}}
    )
    cookie = "base64-" + base64.urlsafe_b64encode(both.encode()).decode().rstrip("=")
    cut = len(cookie) - 200
    connected.run(f'one = "{cookie[:cut]}"\ntwo = "{cookie[cut:]}"')
    connected.run('h = f"sb-x-auth-token.0={one}; sb-x-auth-token.1={two}"')
    ran = connected.run("%supabase_set_session h")
    assert ran.ok, ran.text
    kept = "".join(connected.ns["In"]) + "".join(places(connected.ip).values())
    assert cookie[7:90] not in kept
    assert cookie[cut : cut + 60] not in kept
    assert cookie[-60:] not in kept


def test_other_cells_are_not_touched(connected):
    for cell in (
        "a = 'set_session'  # eyJ\nb = 2",
        'refresh_token_table = "transactions"; rt = "abcdefghijkl"',
        f'c = "{RT[:-1]}a"; d = "{AT[:40]}"',
        'user = "ada@example.com"; key = "sb_publishable_abcdefghijklmnop"',
    ):
        assert connected.run(cell).ok
        assert last(connected) == cell
    connected.run("%supabase_set_session AT RT".replace("AT", AT).replace("RT", RT))
    for cell in connected.ns["In"][-5:-1]:
        assert "***" not in cell


def test_a_mistyped_argument_masks_no_word(connected):
    """A word of twelve letters without an access token, and a key instead of a token."""
    connected.ns["supabase"].auth.fails = AuthSessionMissing("refused")
    connected.run('table = "transactions"\n%supabase_set_session table table')
    anon = make_jwt(role="anon", sub=None)
    connected.run(f'key = "{anon}"\n%supabase_set_session key key')
    cells = connected.ns["In"]
    assert 'table = "transactions"' in cells[-2]
    assert anon in cells[-1]


#: What code makes of a literal; `{at}` and `{rt}` are the tokens.
MEANINGS = [
    'value = "{at}"', "value = b'{at}'", "value = '%s' % '{at}'", "value = str('{at}')", 'value = f"Bearer {at}"',
    "value = repr('{rt}')", "value = len('{at}'), hash('{rt}')", "value = '{at}'.split('.')", "value = '{rt}'[::-1]",
    '%time value = "Bearer {at}"', '%%time\nvalue = "{at}" + "{rt}"', '%%capture value\nprint("{rt}")',
    'def tok(): return "{at}"\nvalue = tok()', "value = (lambda x='{rt}': x)()", "value = {{'a': '{at}', 'b': ['{rt}']}}",
    "class K:\n    a = '{at}'\nvalue = vars(K)['a']", "value = json.dumps({{'refresh_token': '{rt}'}})",
    "value = pickle.dumps('{at}')", "value = copy.deepcopy(['{rt}'])", "value = '{at}' == AT, '{rt}' is rt",
    "value = dict(httpx.QueryParams({{'t': '{rt}'}}))", "value = str(httpx.URL('https://x.co', params={{'t': '{at}'}}))",
    "value = dict(httpx.Request('GET', 'https://x.co', headers={{'Authorization': 'Bearer {at}'}}).headers)",
    "value = !echo {at} \\\n  {rt}", "%env ZQ={at}\nvalue = os.environ['ZQ']", "value = get_ipython().getoutput('echo {rt}')",
    "value = eval(\"'{at}'\")", "exec(\"value = '{rt}'\")", "value = type('{at}'), isinstance('{rt}', str)",
    "import inspect\ndef g(x='{rt}'): ...\nvalue = str(inspect.signature(g))", "value = '{at}'\n# {rt}\nvalue += '{rt}'",
    "import re\nvalue = re.findall(r'[a-z0-9]{{12}}', '{rt} transactions')", "try:\n    {{}}['{rt}']\nexcept KeyError as e:\n    value = e.args",
    "value = '''\n{at}\n{rt}\n'''", "value = [c for c in '{rt}']", "await_ = 1\nvalue = '{at}' 'x' \"{rt}\"",
]  # fmt: skip


@pytest.mark.parametrize("cell", MEANINGS)
@pytest.mark.parametrize("known", [False, True], ids=["before", "after the session is set"])
def test_code_computes_what_it_would_without_the_extension(shell, connected, cell, known):
    names = "import copy, json, os, pickle, httpx"
    code = cell.format(at=AT, rt=RT)
    shell.run("%unload_ext supabase_nb")
    shell.run(names)
    shell.ns.update(AT=AT, rt=RT, value=None)
    plain = shell.run(code)
    expected, kept = shell.ns["value"], plain.ok
    shell.run("%load_ext supabase_nb")
    shell.run("%supabase_connect https://abcd.supabase.co --key 'anon'")
    if known:
        assert shell.run("%supabase_set_session AT rt").ok
    shell.ns["value"] = None
    ran = shell.run(code)
    assert ran.ok == kept
    value = shell.ns["value"]
    assert type(value) is type(expected)
    if hasattr(expected, "stdout"):
        value, expected = value.stdout, expected.stdout
    assert value == expected
    assert str(value) == str(expected)


def test_a_secret_key_gets_its_own_advice(connected):
    cell = "KEY = 'sb_secret_abcdefghijklmnop1234'"
    said = connected.run(cell).text
    assert "replace the key in the project's settings" in said
    assert "oken" not in said
    assert "sign_out" not in said
    assert "sb_secret_" not in last(connected) + connected.run("%history").text
    assert connected.ns["KEY"] == "sb_secret_abcdefghijklmnop1234"
    service = make_jwt(role="service_role", sub=None)
    assert "bypasses Row Level Security" in connected.run(f"KEY = '{service}'").text
    assert service not in last(connected)
    assert "supabase-nb" not in connected.run(cell).text, "said once"


def test_a_log_of_inputs_and_outputs(connected, tmp_path):
    """What was written before the value was known is masked in place."""
    log = tmp_path / "log.py"
    connected.run(f"%logstart -o -r -t {log}")
    connected.run(f'zq = "{AT}"\nxv = "{RT}"')
    connected.run("y = 1")
    before = log.stat().st_size
    connected.run("%supabase_set_session zq xv")
    connected.run(f"w = '{RT}'")
    connected.run("(zq, xv)")
    connected.run("%logstop")
    text = log.read_text()
    assert AT not in text
    assert RT not in text
    assert f'xv = "{"*" * 12}"' in text
    assert f"w = '{'*' * 12}'" in text
    assert "y = 1" in text
    assert len(text) > before


def test_reads_work_that_grows_with_the_text():
    """Counted, not timed: the lines of Python that run for a text, and for one four times as long."""

    def work(text: str) -> int:
        steps = 0

        def count(*_: object) -> object:
            nonlocal steps
            steps += 1
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            mask(text)
            list(find_tokens(text))
            known_in(text)
        finally:
            sys.settrace(before)
        return steps

    remember(AT, RT)
    for piece in (
        " ",
        "!ls\n",
        "supabase.auth.set_session(",
        "eyJ",
        "eyJ.",
        "eyJa.eyJb.",
        "sb_secret_",
        "base64-eyJ",
        ".",
        f"{RT} ",
    ):
        short, long = work(piece * 2_000), work(piece * 8_000)
        assert long <= 5 * short + 1_000, piece


def test_unloading_leaves_no_hook(connected):
    ip = connected.ip
    connected.run("%unload_ext supabase_nb")
    assert not [hook for hooks in ip.events.callbacks.values() for hook in hooks if "supabase" in repr(hook)]
    for owner in (ip, ip.history_manager, ip.compile, ip.logger):
        assert not [
            name
            for name, value in vars(owner).items()
            if "supabase" in str(getattr(value, "__globals__", {}).get("__name__"))
        ]
    connected.run(f'x = "{AT}"')
    assert AT in last(connected)


def test_unloading_while_other_code_wraps_a_hook(connected):
    history = connected.ip.history_manager
    ours = history.store_inputs
    history.store_inputs = lambda *args, **more: ours(*args, **more)
    connected.run("%unload_ext supabase_nb")
    connected.run(f'x = "{AT}"')
    assert AT in last(connected)  # still runs, and masks no more
    del history.store_inputs


def test_a_kernels_debug_log_shows_no_request(caplog):
    log = logging.getLogger("a kernel")
    log_masking.install([log])
    remember(AT, RT)
    message = {"header": {}, "content": {"code": f"zq = '{AT}'\nxv = '{RT}'\nx.y('''\n{RT}''')"}}
    with caplog.at_level(logging.DEBUG, "a kernel"):
        log.debug("   Content: %s\n   --->\n   ", message["content"])
        log.debug("%s: %s", "execute_request", message)
        log.debug("%s", {"content": {"code": "x = 1"}})
    assert AT not in caplog.text
    assert RT not in caplog.text
    assert "xv = " in caplog.text
    assert "x = 1" in caplog.text


@pytest.mark.parametrize("mode", ["delete", "wal", "persist", "truncate"])
def test_no_byte_stays_in_the_history_file(shell, mode):
    ip = shell.ip
    ip.history_manager.db.execute(f"PRAGMA journal_mode = {mode}")
    for filler in (10, 3000, 9000):
        shell.run(f'x = "{AT}" + "{"y" * filler}"; r = "{RT}"')
    ip.history_manager.writeout_cache()
    assert {"history.sqlite-wal" if mode == "wal" else "history.sqlite", "history"} <= set(leaks(ip))
    clean_memory(ip, [Secret(AT), Secret(RT)])
    assert clean_files(ip, [Secret(AT), Secret(RT)]) == ({Secret(AT), Secret(RT)}, [])
    assert leaks(ip) == []
    rows = ip.history_manager.db.execute("SELECT source FROM history").fetchall()
    assert any("***" in source for (source,) in rows)
    shell.run("y = 1")
    ip.history_manager.writeout_cache()
    assert ip.history_manager.db.execute("SELECT max(line) FROM history").fetchone()[0] >= 4


def test_a_locked_history_file_is_reported(shell, monkeypatch):
    import sqlite3

    from supabase_nb.notebook._masking import ipython_records as module

    monkeypatch.setattr(module, "_BUSY_TIMEOUT", 50)
    shell.run(f'x = "{AT}"')
    shell.ip.history_manager.writeout_cache()
    other = sqlite3.connect(shell.ip.history_manager.hist_file)
    other.execute("BEGIN IMMEDIATE")
    assert clean_files(shell.ip, [Secret(AT)]) == (set(), ["the history file history.sqlite"])
    other.rollback()
    other.close()
    assert clean_files(shell.ip, [Secret(AT)]) == ({Secret(AT)}, [])
