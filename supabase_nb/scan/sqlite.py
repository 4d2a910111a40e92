"""Secrets in SQLite files: IPython's histories, and any other table of texts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

MAGIC = b"SQLite format 3\0"


class Row(NamedTuple):
    """A row that may hold a secret."""

    table: str
    row_id: int
    values: dict[str, object]

    def place(self, column: str) -> str:
        """Where it is, in words."""
        if {"session", "line"} <= set(self.values):  # IPython's history
            return f"session {self.values['session']}, line {self.values['line']} ({column})"
        return f"table {self.table}, row {self.row_id} ({column})"

    def texts(self) -> Iterator[tuple[str, str]]:
        """Its columns that hold texts or bytes; bytes as Latin-1, which gives each back unchanged."""
        for column, value in self.values.items():
            if isinstance(value, bytes):
                yield column, value.decode("latin-1")
            elif isinstance(value, str):
                yield column, value


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Every text in a database with its place.

    Raises:
        sqlite3.Error: It is damaged or locked.
    """
    with closing(connect(path, "ro")) as connection:
        for row in _rows(connection):
            for column, text in row.texts():
                yield row.place(column), text


def clean(path: Path, replace: Callable[[str], str]) -> None:
    """Replace what `replace` replaces in every text, and leave no byte of it in the file or its side files.

    Raises:
        sqlite3.Error: It is damaged or locked.
    """
    with closing(connect(path, "rw")) as connection:
        # Without it the old bytes stay in the file's free pages.
        connection.execute("PRAGMA secure_delete = ON")
        for row in list(_rows(connection)):
            for column, text in row.texts():
                replaced = replace(text)
                if replaced != text:
                    kind = "BLOB" if isinstance(row.values[column], bytes) else "TEXT"
                    update = f"UPDATE {_quoted(row.table)} SET {_quoted(column)} = CAST(? AS {kind})"
                    connection.execute(f"{update} WHERE rowid = ?", (replaced.encode("latin-1"), row.row_id))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a database that exists; `mode` is ``"ro"`` or ``"rw"``. Texts come as Latin-1, unchanged."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=5)
    connection.text_factory = lambda data: data.decode("latin-1")
    return connection


def _rows(connection: sqlite3.Connection) -> Iterator[Row]:
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        try:
            cursor = connection.execute(f"SELECT rowid, * FROM {_quoted(table)}")
        except sqlite3.OperationalError:
            continue  # a virtual table, or one without rows' ids: its bytes are looked at all the same
        names = [column[0] for column in cursor.description]
        for row_id, *values in cursor:
            yield Row(table, row_id, dict(zip(names[1:], values, strict=True)))


def _quoted(name: str) -> str:
    return '"' + name.encode("latin-1").decode().replace('"', '""') + '"'
