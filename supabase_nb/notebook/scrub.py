"""Taking tokens out again of all that IPython keeps of a cell: in memory, and in its history file."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping, MutableSequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tokens import MASK, Secret

if TYPE_CHECKING:
    from IPython.core.history import HistoryManager
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

_INPUT = re.compile(r"_i{1,3}|_i\d+")
_BUSY_TIMEOUT = 5000  # milliseconds that other kernels may keep the history file locked


def scrub(
    shell: InteractiveShell, secrets: Iterable[Secret], result: ExecutionResult | None = None
) -> list[str]:
    """Replace tokens wherever IPython keeps the text of cells.

    Args:
        shell: The shell that ran them.
        secrets: The tokens.
        result: What the cell gave, once it has run; its traceback loses its frames, which hold the line.

    Returns:
        What could not be cleaned, in words; empty when all is well.
    """
    clean = _cleaner(secrets)
    history = shell.history_manager
    if history is not None:
        _clean_lists(history, clean)
    _clean_variables(shell, clean)
    _clean_sources(clean)
    _clean_requests(shell, clean)
    _clean_terminal(shell, clean)
    if result is not None:
        _clean_result(shell, result, clean)
    elif shell.last_execution_result is not None:
        _clean_info(shell.last_execution_result, clean)
    return [] if history is None else _clean_file(history, [s.reveal() for s in secrets if s], clean)


def _cleaner(secrets: Iterable[Secret]) -> Callable[[str], str]:
    values = sorted({secret.reveal() for secret in secrets if secret}, key=len, reverse=True)

    def clean(text: str) -> str:
        for value in values:
            text = text.replace(value, MASK)
        return text

    return clean


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """The same with clean texts: lists and dictionaries are changed in place."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, tuple):
        return tuple(_cleaned(item, clean) for item in value)
    if isinstance(value, MutableSequence):
        for index, item in enumerate(value):
            value[index] = _cleaned(item, clean)
    elif isinstance(value, MutableMapping):
        for key, item in list(value.items()):
            value[key] = _cleaned(item, clean)
    return value


def _clean_lists(history: HistoryManager, clean: Callable[[str], str]) -> None:
    # `In` and `_ih` are the parsed list itself.
    for inputs in (history.input_hist_raw, history.input_hist_parsed):
        _cleaned(inputs, clean)
    for name in ("_i", "_ii", "_iii", "_i00"):
        setattr(history, name, clean(getattr(history, name, "")))
    with history.db_input_cache_lock:
        _cleaned(history.db_input_cache, clean)
    with history.db_output_cache_lock:
        _cleaned(history.db_output_cache, clean)
    _cleaned(history.output_hist_reprs, clean)
    _cleaned(getattr(history, "exceptions", {}), clean)
    for outputs in getattr(history, "outputs", {}).values():
        for output in outputs:
            _cleaned(output.bundle, clean)


def _clean_variables(shell: InteractiveShell, clean: Callable[[str], str]) -> None:
    for variables in (shell.user_ns, shell.user_ns_hidden):
        for name, value in list(variables.items()):
            if _INPUT.fullmatch(name) and isinstance(value, str):
                variables[name] = clean(value)


def _clean_sources(clean: Callable[[str], str]) -> None:
    """What tracebacks quote; Python 3.13 has a second one for what is typed."""
    caches = [linecache.cache, getattr(linecache, "_interactive_cache", {})]
    for cache in caches:
        for name, entry in list(cache.items()):
            if len(entry) == 4:
                size, modified, lines, full = entry
                cleaned = [clean(line) for line in lines]
                if cleaned != list(lines):
                    cache[name] = (size, modified, cleaned, full)


def _clean_requests(shell: InteractiveShell, clean: Callable[[str], str]) -> None:
    """The request that the kernel works on, and what the completer remembers of the last one."""
    for holder in (shell, getattr(shell, "kernel", None)):
        get_parent = getattr(holder, "get_parent", None)
        request = get_parent() if get_parent else None
        if isinstance(request, dict) and isinstance(request.get("content"), dict):
            _cleaned(request["content"], clean)
    completer = shell.Completer
    for name in ("text_until_cursor", "line_buffer", "full_text"):
        if isinstance(text := getattr(completer, name, None), str):
            setattr(completer, name, clean(text))


def _clean_terminal(shell: InteractiveShell, clean: Callable[[str], str]) -> None:
    """prompt_toolkit's history, which the arrow keys walk."""
    prompt = getattr(shell, "pt_app", None)
    if prompt is None:
        return
    for holder, name in (
        (prompt.history, "_loaded_strings"),
        (prompt.default_buffer, "_working_lines"),
        (prompt.default_buffer, "_undo_stack"),
    ):
        _cleaned(getattr(holder, name, None), clean)


def _clean_info(result: ExecutionResult, clean: Callable[[str], str]) -> None:
    info = result.info
    for name in ("raw_cell", "transformed_cell"):
        if isinstance(text := getattr(info, name, None), str):
            setattr(info, name, clean(text))


def _clean_result(shell: InteractiveShell, result: ExecutionResult, clean: Callable[[str], str]) -> None:
    _clean_info(result, clean)
    for error in (result.error_before_exec, result.error_in_exec):
        for link in _chain(error):
            link.__traceback__ = None
            link.args = _cleaned(link.args, clean)
    if result.error_before_exec or result.error_in_exec:
        for name in ("last_traceback", "last_exc"):
            if hasattr(sys, name):
                delattr(sys, name)
    _cleaned(getattr(shell, "_last_traceback", None), clean)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, link.__context__]


def _clean_file(history: HistoryManager, values: list[str], clean: Callable[[str], str]) -> list[str]:
    """Rewrite the rows of the history file that hold a token, so that no byte of it is left."""
    if not history.enabled or str(history.hist_file) == ":memory:":
        return []
    import sqlite3

    path = Path(history.hist_file)
    failed = [f"the history file {path.name}"]
    try:
        db = sqlite3.connect(str(path), timeout=_BUSY_TIMEOUT / 1000, isolation_level=None)
    except sqlite3.Error:
        return failed
    try:
        # Without it, what is overwritten stays in the file's free pages.
        db.execute("PRAGMA secure_delete = ON")
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]
        changed = False
        for table, columns in (("history", ("source", "source_raw")), ("output_history", ("output",))):
            changed |= _clean_table(db, table, columns, values, clean)
        if mode == "wal":
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        elif mode in ("persist", "truncate") and changed:
            # A journal that is kept holds the rows as they were.
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute(f"PRAGMA journal_mode = {mode}")
        if _holds(path, values):
            db.execute("VACUUM")
    except sqlite3.Error:
        return failed
    finally:
        db.close()
    return failed if _holds(path, values) else []


def _clean_table(
    db: Any, table: str, columns: tuple[str, ...], values: list[str], clean: Callable[[str], str]
) -> bool:
    where = " OR ".join(f"instr({column}, ?)" for column in columns for _ in values)
    parameters = [value for _ in columns for value in values]
    db.execute("BEGIN IMMEDIATE")
    try:
        rows = db.execute(f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE {where}", parameters)
        rows = rows.fetchall()
        for rowid, *texts in rows:
            assignments = ", ".join(f"{column} = ?" for column in columns)
            texts = [text if text is None else clean(text) for text in texts]
            db.execute(f"UPDATE {table} SET {assignments} WHERE rowid = ?", [*texts, rowid])
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return bool(rows)


def _holds(path: Path, values: list[str]) -> bool:
    """Whether the bytes of the file, or of those beside it, hold any of these."""
    needles = [value.encode() for value in values]
    for side in ("", "-journal", "-wal", "-shm"):
        file = path.with_name(path.name + side)
        try:
            data = file.read_bytes()
        except OSError:
            continue
        if any(needle in data for needle in needles):
            return True
    return False
