"""Reads and cleans SQLite files: IPython's histories, and any other tables with text."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

MAGIC = b"SQLite format 3\0"

# How many characters of a table are searched as one text, and how many rows overlap with the next text.
_BATCH = 1024 * 1024
_AGAIN = 5


@dataclass(frozen=True)
class Cell:
    """A text or bytes in a row. Texts are decoded as Latin-1."""

    table: str
    row: str
    column: str
    #: What identifies the row; ``None`` in a table without row ids.
    row_id: int | None
    id_column: str
    value: str | bytes = field(repr=False)

    @property
    def place(self) -> str:
        """Its location as text."""
        return f"{self.row} ({self.column})"

    @property
    def text(self) -> str:
        """Its text; bytes are decoded as Latin-1, which preserves them."""
        return self.value.decode("latin-1") if isinstance(self.value, bytes) else self.value


@dataclass
class Batch:
    """Consecutive rows as one text, because a session's two tokens can be in two rows."""

    text: str
    cells: list[tuple[int, Cell]]

    def cell(self, at: int) -> tuple[int, Cell]:
        """The cell at a position of the text, and where it starts."""
        return self.cells[bisect_right(self.cells, at, key=lambda cell: cell[0]) - 1]


def batches(path: Path) -> Iterator[Batch]:
    """All texts in a database.

    Raises:
        sqlite3.Error: The file is damaged or locked.
    """
    with closing(connect(path, "ro")) as connection:
        for table in _tables(connection):
            waiting: list[list[Cell]] = []
            size = 0
            for row in _rows(connection, table):
                waiting.append(row)
                size += sum(len(cell.value) for cell in row)
                if size > _BATCH:
                    yield _batch(waiting)
                    waiting, size = waiting[-_AGAIN:], 0
            yield _batch(waiting)


def clean(path: Path, texts: Mapping[Cell, str]) -> None:
    """Replace texts, and overwrite the old ones in the file and its side files.

    Raises:
        sqlite3.Error: The file is damaged or locked.
    """
    with closing(connect(path, "rw")) as connection:
        # Otherwise, old bytes stay in the file's free pages.
        connection.execute("PRAGMA secure_delete = ON")
        for cell, text in texts.items():
            table, column = _quoted(cell.table), _quoted(cell.column)
            value, new = _parameter(cell.value, text)
            old_value, old = _parameter(cell.value, cell.text)
            where = f"{column} = {old_value}" if cell.row_id is None else f"{cell.id_column} = ?"
            which = old if cell.row_id is None else cell.row_id
            connection.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}", (new, which))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def with_side_files(path: Path) -> list[Path]:
    """A file, and its side files with the same rows."""
    sides = [path.with_name(path.name + suffix) for suffix in ("-journal", "-wal", "-shm")]
    return [path, *(side for side in sides if side.is_file())]


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open an existing database; `mode` is ``"ro"`` or ``"rw"``. Texts are decoded as Latin-1."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=5)
    connection.text_factory = lambda data: data.decode("latin-1")
    return connection


def _parameter(like: str | bytes, text: str) -> tuple[str, str | bytes]:
    """The SQL expression and parameter for a value of the same type."""
    data = text.encode("latin-1")
    if isinstance(like, bytes):
        return "?", data
    try:
        return "?", data.decode()
    except UnicodeDecodeError:
        return "CAST(? AS TEXT)", data


def _tables(connection: sqlite3.Connection) -> list[str]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [name.encode("latin-1").decode() for (name,) in names]


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[list[Cell]]:
    try:
        described = connection.execute(f"SELECT * FROM {_quoted(table)} LIMIT 0").description
    except sqlite3.OperationalError:
        return  # a virtual table of an extension; its bytes are searched anyway
    columns = [column[0] for column in described]
    # The table may have a column with one of these names.
    free = [name for name in ("rowid", "_rowid_", "oid") if name not in {name.lower() for name in columns}]
    id_column = free[0] if free else "NULL"
    try:
        cursor = connection.execute(f"SELECT {id_column}, * FROM {_quoted(table)}")
    except sqlite3.OperationalError:  # a table without row ids
        id_column = "NULL"
        cursor = connection.execute(f"SELECT NULL, * FROM {_quoted(table)}")
    for number, (row_id, *values) in enumerate(cursor, 1):
        named = dict(zip(columns, values, strict=True))
        row = f"table {table}, row {number if row_id is None else row_id}"
        if {"session", "line"} <= set(named):  # IPython's history
            row = f"session {named['session']}, line {named['line']}"
        yield [
            Cell(table, row, column, row_id, id_column, value)
            for column, value in named.items()
            if isinstance(value, (str, bytes))
        ]


def _batch(rows: list[list[Cell]]) -> Batch:
    cells, texts, at = [], [], 0
    for cell in (cell for row in rows for cell in row):
        cells.append((at, cell))
        texts.append(cell.text)
        at += len(texts[-1]) + 1
    return Batch("\n".join(texts), cells)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
