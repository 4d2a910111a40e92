"""Tokens in a cell are kept out of all that IPython keeps of it; in a kernel: test_kernel."""

from __future__ import annotations

import copy
import json
import linecache
import logging
import pickle
import sys
import traceback
from pathlib import Path
from pprint import pformat

import pytest
from wire_tokens import make_jwt, make_refresh_token

from supabase_nb.notebook.guard import PLACEHOLDER, HiddenText
from supabase_nb.notebook.scrub import scrub
from supabase_nb.tokens import Secret

AT, RT = make_jwt(), make_refresh_token()


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
    lines = traceback.TracebackException.from_exception(error, capture_locals=True) if error else None
    return files | {
        "user_ns": repr(variables) + repr(ip.user_ns_hidden),
        "placeholders": str([ip.user_ns[name] for name in ip.user_ns if name.startswith(PLACEHOLDER)]),
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
    shell.ip.user_ns[PLACEHOLDER] = AT
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
def test_kept_out_whether_it_succeeds_or_fails(connected, cell, mode, fails):
    connected.run(f"%xmode {mode}")
    auth = connected.ns["supabase"].auth
    auth.fails = fails
    ran = connected.run(cell)
    assert ran.ok == (fails is None)
    assert auth.calls[-1] == ("set_session", Secret(AT), Secret(RT))
    assert leaks(connected.ip, ran.text, connected.run("%tb").text, connected.run("%history").text) == []
    assert ran.text.startswith("supabase-nb: 2 tokens stood in this line.")
    assert "%supabase_sign_out --scope global" in ran.text


def test_what_is_kept_can_be_read(connected):
    connected.run(CELLS["magic"])
    assert (
        connected.ns["In"][-1]
        == "get_ipython().run_line_magic('supabase_set_session', 'token_taken_out_1 token_taken_out_2')"
    )
    ran = connected.run(last(connected))
    assert last(connected) == "%supabase_set_session token_taken_out_1 token_taken_out_2"
    assert "There is no variable `token_taken_out_1`" in ran.text


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("after", ["", "\n1 / 0", "\n%supabase_set_session nope rt"])
def test_the_cell_that_loads_the_extension_is_scrubbed(shell, connected, cell, after):
    shell.run("%unload_ext supabase_nb")
    shell.run("%xmode Verbose")
    load = "%load_ext supabase_nb\n%supabase_connect https://abcd.supabase.co --key 'anon'\n"
    ran = shell.run(load + cell + after)
    assert ran.ok == (not after)
    assert shell.ns["supabase"].auth.calls[-1] == ("set_session", Secret(AT), Secret(RT))
    assert leaks(shell.ip, ran.text, shell.run("%tb").text) == []
    assert "2 tokens stood in this line. They were taken out of the history" in ran.text


def test_a_shell_without_a_hook_is_scrubbed(connected):
    """As in a kernel that is not ipykernel: the cell is seen before it runs, but cannot be changed."""
    del connected.ip.run_cell
    ran = connected.run(CELLS["magic"] + "\n1 / 0")
    assert "ZeroDivisionError" in ran.text
    assert leaks(connected.ip, ran.text) == []


def test_variables_that_were_typed_before_the_extension_was_loaded(shell, connected):
    shell.run("%unload_ext supabase_nb")
    shell.run(f'at = "{AT}"\nrt = "{RT}"')
    shell.run("%load_ext supabase_nb")
    shell.run("%supabase_connect https://abcd.supabase.co --key 'anon'")
    assert leaks(shell.ip)
    ran = shell.run("%supabase_set_session at rt")
    assert ran.ok
    assert "2 tokens stood in a cell that ran before" in ran.text
    shell.ns.update(at=None, rt=None)
    assert leaks(shell.ip, ran.text) == []
    assert "supabase-nb" not in shell.run("%supabase_set_session pair").text


def test_other_cells_are_not_touched(connected):
    cell = "a = 'set_session'  # eyJ\nb = 2"
    assert connected.run(cell).ok
    assert last(connected) == cell
    assert connected.run("b").value == 2


def test_a_hidden_text_is_a_text_that_does_not_show():
    text = HiddenText(AT)
    assert text == AT
    assert f"Bearer {text}" == f"Bearer {AT}"
    assert json.loads(json.dumps({"refresh_token": text})) == {"refresh_token": AT}
    shown = (
        repr([text, {"x": text}]) + pformat({"x": [text]}) + repr(copy.deepcopy(text)) + repr(copy.copy(text))
    )
    assert AT not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(text)


def test_unloading_leaves_no_hook(connected):
    ip = connected.ip
    connected.run("%unload_ext supabase_nb")
    assert "run_cell" not in vars(ip)
    assert not [hook for hooks in ip.events.callbacks.values() for hook in hooks if "supabase" in repr(hook)]
    assert not ip.ast_transformers
    connected.run(f'x = "{AT}"')
    assert AT in last(connected)


def test_unloading_under_somebody_elses_wrapper(connected):
    ip = connected.ip
    ours = ip.run_cell
    ip.run_cell = lambda *args, **more: ours(*args, **more)
    connected.run("%unload_ext supabase_nb")
    connected.run(f'x = "{AT}"')
    assert AT in last(connected)  # still runs, and watches no more
    del ip.run_cell


def test_a_kernels_debug_log_shows_no_request(caplog):
    from supabase_nb.notebook.guard import _RequestsInLog

    log = logging.getLogger("a kernel")
    log.addFilter(_RequestsInLog())
    message = {"header": {}, "content": {"code": f'%supabase_set_session "{AT}" "{RT}"'}}
    with caplog.at_level(logging.DEBUG, "a kernel"):
        log.debug("   Content: %s\n   --->\n   ", message["content"])
        log.debug("%s: %s", "execute_request", message)
        log.debug("%s", {"content": {"code": "x = 1"}})
    assert AT not in caplog.text
    assert RT not in caplog.text
    assert "%supabase_set_session" in caplog.text
    assert "x = 1" in caplog.text


@pytest.mark.parametrize("mode", ["delete", "wal", "persist", "truncate"])
def test_no_byte_stays_in_the_history_file(shell, mode):
    ip = shell.ip
    ip.history_manager.db.execute(f"PRAGMA journal_mode = {mode}")
    for filler in (10, 3000, 9000):
        shell.run(f'x = "{AT}" + "{"y" * filler}"; r = "{RT}"')
    ip.history_manager.writeout_cache()
    assert {"history.sqlite-wal" if mode == "wal" else "history.sqlite", "history"} <= set(leaks(ip))
    assert scrub(ip, [Secret(AT), Secret(RT)], ip.last_execution_result) == []
    assert leaks(ip) == []
    rows = ip.history_manager.db.execute("SELECT source FROM history").fetchall()
    assert any("•••" in source for (source,) in rows)
    shell.run("y = 1")
    ip.history_manager.writeout_cache()
    assert ip.history_manager.db.execute("SELECT max(line) FROM history").fetchone()[0] >= 4


def test_a_locked_history_file_is_told(shell, monkeypatch):
    import sqlite3

    from supabase_nb.notebook import scrub as module

    monkeypatch.setattr(module, "_BUSY_TIMEOUT", 50)
    shell.run(f'x = "{AT}"')
    shell.ip.history_manager.writeout_cache()
    other = sqlite3.connect(shell.ip.history_manager.hist_file)
    other.execute("BEGIN IMMEDIATE")
    assert scrub(shell.ip, [Secret(AT)]) == ["the history file history.sqlite"]
    other.rollback()
    other.close()
    assert scrub(shell.ip, [Secret(AT)]) == []
