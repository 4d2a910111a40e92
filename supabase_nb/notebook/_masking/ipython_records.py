"""Masks secret values in IPython's records of cells: in memory, in its history file, in its log."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping, MutableSequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._secrets.masking import mask
from ..._secrets.tokens import Secret

if TYPE_CHECKING:
    from IPython.core.history import HistoryManager
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

_INPUT = re.compile(r"_i{1,3}|_i\d+")
_BUSY_TIMEOUT = 5000  # milliseconds that other kernels may keep the history file locked


def values_in_memory(shell: InteractiveShell, values: Iterable[Secret]) -> set[Secret]:
    """Which of these values are in a cell that this shell has run."""
    history = shell.history_manager
    cells = [] if history is None else [*history.input_hist_raw, *history.input_hist_parsed]
    # Also cells that were run without a history entry. An entry without a modification time is not a file.
    cells += [
        "".join(entry[2]) for entry in list(linecache.cache.values()) if len(entry) == 4 and not entry[1]
    ]
    return {value for value in values if any(value.reveal() in cell for cell in cells)}


def clean_memory(shell: InteractiveShell, values: Iterable[Secret]) -> None:
    """Mask values in this process's copies of cells."""
    values = tuple(values)

    def clean(text: str) -> str:
        return mask(text, values)

    if shell.history_manager is not None:
        _clean_lists(shell.history_manager, clean)
    _clean_variables(shell, clean)
    _clean_sources(clean)
    _clean_requests(shell, clean)
    _clean_terminal(shell, clean)
    _clean_readline(clean)
    if shell.last_execution_result is not None:
        clean_result(shell, shell.last_execution_result, values)
    for name in ("last_exc", "last_value"):
        _clean_error(getattr(sys, name, None), clean)


def clean_result(shell: InteractiveShell, result: ExecutionResult, values: Iterable[Secret]) -> None:
    """Mask values in the result of a cell: its text, and the errors that quote it."""
    values = tuple(values)

    def clean(text: str) -> str:
        return mask(text, values)

    for name in ("raw_cell", "transformed_cell"):
        if isinstance(text := getattr(result.info, name, None), str):
            setattr(result.info, name, clean(text))
    for error in (result.error_before_exec, result.error_in_exec):
        _clean_error(error, clean)
    _cleaned(getattr(shell, "_last_traceback", None), clean)


def clean_files(shell: InteractiveShell, values: Iterable[Secret]) -> tuple[set[Secret], list[str]]:
    """Overwrite values in the files that IPython writes.

    Returns:
        The values that were in a file, and descriptions of what could not be cleaned.
    """
    texts = {value.reveal(): value for value in values}
    if not texts:
        return set(), []
    found, failed = _clean_log(shell, texts)
    history = shell.history_manager
    if history is not None:
        rows, failures = _clean_history(history, texts)
        found, failed = found | rows, failed + failures
    return {texts[text] for text in found}, failed


def _clean_log(shell: InteractiveShell, values: Iterable[str]) -> tuple[set[str], list[str]]:
    """Clean the file of `%logstart` in place. Masks are as long as the values."""
    log = getattr(shell.logger, "logfile", None)
    if log is None:
        return set(), []
    path, found = Path(shell.logger.logfname), set()
    try:
        log.flush()
        with path.open("r+b") as file:
            data = file.read()
            for value in values:
                if value.encode() in data:
                    found.add(value)
                    data = data.replace(value.encode(), mask(value, [Secret(value)]).encode())
            if found:
                file.seek(0)
                file.write(data)
    except OSError:
        return set(), [f"the log {path.name}"]
    return found, []


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """Mask all texts in a value. Changes lists and dictionaries in place."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, tuple):
        return tuple(_cleaned(item, clean) for item in value)
    if isinstance(value, MutableSequence):
        for index, item in enumerate(value):
            value[index] = _cleaned(item, clean)
    elif isinstance(value, MutableMapping):
        for key, item in list(value.items()):
            name = clean(key) if isinstance(key, str) else key
            if name != key:
                del value[key]
            value[name] = _cleaned(item, clean)
    return value


def _clean_lists(history: HistoryManager, clean: Callable[[str], str]) -> None:
    # `In` and `_ih` are the same list.
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
    """Clean the source cache of tracebacks. Python 3.13 has another one for interactive input."""
    caches = [linecache.cache, getattr(linecache, "_interactive_cache", {})]
    for cache in caches:
        for name, entry in list(cache.items()):
            if len(entry) == 4:
                size, modified, lines, full = entry
                cleaned = [clean(line) for line in lines]
                if cleaned != list(lines):
                    cache[name] = (size, modified, cleaned, full)


def _clean_requests(shell: InteractiveShell, clean: Callable[[str], str]) -> None:
    """Clean the kernel's current request, and the completer's copy of the last one."""
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
    """Clean prompt_toolkit's history."""
    prompt = getattr(shell, "pt_app", None)
    if prompt is None:
        return
    for holder, name in (
        (prompt.history, "_loaded_strings"),
        (prompt.default_buffer, "_working_lines"),
        (prompt.default_buffer, "_undo_stack"),
    ):
        _cleaned(getattr(holder, name, None), clean)


def _clean_readline(clean: Callable[[str], str]) -> None:
    """Clean readline's history, if it is in use."""
    readline = sys.modules.get("readline")
    if readline is None:
        return
    for number in range(1, readline.get_current_history_length() + 1):
        line = readline.get_history_item(number)
        if line and clean(line) != line:
            readline.replace_history_item(number - 1, clean(line))


def _clean_error(error: BaseException | None, clean: Callable[[str], str]) -> None:
    """Clean a syntax error, which quotes the cell."""
    for link in _chain(error):
        if isinstance(link, SyntaxError):
            link.args = _cleaned(link.args, clean)
            link.text = _cleaned(link.text, clean)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, link.__context__]


def _clean_history(history: HistoryManager, values: Iterable[str]) -> tuple[set[str], list[str]]:
    """Rewrite the rows of the history file that contain a value."""
    if not history.enabled or str(history.hist_file) == ":memory:":
        return set(), []
    import sqlite3

    values, path = list(values), Path(history.hist_file)
    found: set[str] = set()
    failed = [f"the history file {path.name}"]
    try:
        db = sqlite3.connect(str(path), timeout=_BUSY_TIMEOUT / 1000, isolation_level=None)
    except sqlite3.Error:
        return found, failed
    try:
        # Otherwise, overwritten bytes stay in the file's free pages.
        db.execute("PRAGMA secure_delete = ON")
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]
        for table, columns in (("history", ("source", "source_raw")), ("output_history", ("output",))):
            found |= _clean_table(db, table, columns, values)
        if mode == "wal":
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        elif mode in ("persist", "truncate") and found:
            # A persistent journal would contain the old rows.
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute(f"PRAGMA journal_mode = {mode}")
        if _file_contains(path, values):
            db.execute("VACUUM")
    except sqlite3.Error:
        return found, failed
    finally:
        db.close()
    return found, failed if _file_contains(path, values) else []


def _clean_table(db: Any, table: str, columns: tuple[str, ...], values: list[str]) -> set[str]:
    secrets, found = [Secret(value) for value in values], set()
    db.execute("BEGIN IMMEDIATE")
    try:
        for value in values:
            where = " OR ".join(f"instr({column}, ?)" for column in columns)
            select = f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE {where}"
            for rowid, *texts in db.execute(select, [value] * len(columns)).fetchall():
                found |= {each for each in values if any(each in (text or "") for text in texts)}
                assignments = ", ".join(f"{column} = ?" for column in columns)
                clean = [text if text is None else mask(text, secrets) for text in texts]
                db.execute(f"UPDATE {table} SET {assignments} WHERE rowid = ?", [*clean, rowid])
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return found


def _file_contains(path: Path, values: list[str]) -> bool:
    """Whether the file, or one next to it, contains any of these values."""
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
