"""Finding secrets in files of every kind, and taking them out again."""

from __future__ import annotations

import codecs
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from . import notebooks, sqlite
from .secret_kinds import LONGEST, MARKERS, NEAR, Finding, find, replace

_BLOCK = 4 * 1024 * 1024  # bytes
# A notebook without any of these has no secret to look for (base64 data hides the others).
_NOTEBOOK_MARKERS = tuple(marker.encode() for marker in (*MARKERS, '"attachments"', '"buffers"'))
# Where keys and sessions belong: without them what works would not work any more.
_KEPT = (".env", "sb-")


class CannotFix(Exception):
    """Why a file's secrets were left in it."""


@dataclass(frozen=True)
class Hit:
    """A secret and its place in a file, in words: ``cell 3, source``."""

    place: str
    finding: Finding


def scan(path: Path, *, strict: bool = False) -> Iterator[Hit]:
    """The secrets in a file.

    Raises:
        OSError: It cannot be read.
    """
    head = _head(path)
    if head.startswith(sqlite.MAGIC):
        yield from _scan_sqlite(path, strict)
    elif path.suffix == ".ipynb" and (notebook := notebooks.load(data := path.read_bytes())) is not None:
        if any(marker in data for marker in _NOTEBOOK_MARKERS):
            for part in notebooks.parts(notebook):
                yield from (Hit(part.place, finding) for finding in find(part.text(), strict=strict))
    else:
        yield from _scan_stream(path, _encoding(head), strict)


def fix(path: Path, *, strict: bool = False) -> None:
    """Take the secrets out of a file. Its mode stays, and it is replaced in one step.

    Raises:
        CannotFix: This file is left as it is; the reason.
        OSError: It cannot be read or written.
    """
    if path.name.startswith(_KEPT):
        raise CannotFix("keys and sessions belong here; keep the file out of what you share")
    head = _head(path)

    def clean(text: str) -> str:
        return replace(text, strict=strict)

    if head.startswith(sqlite.MAGIC):
        try:
            sqlite.clean(path, clean)
        except sqlite3.Error as error:
            raise CannotFix(_sqlite_says(error)) from None
    elif path.suffix == ".ipynb" and (notebook := notebooks.load(path.read_bytes())) is not None:
        notebooks.clean(notebook, clean)
        _write(path, notebooks.dump(notebook, like=head))
    elif (encoding := _encoding(head)) is None:
        raise CannotFix("a binary file; delete it, or make it anew without the secret")
    else:
        # As bytes, so that line ends stay as they are.
        _write(path, clean(path.read_bytes().decode(encoding)).encode(encoding))


def back_up(path: Path, folder: Path) -> Path:
    """Copy a file into `folder`, which nobody else may read, under a name that tells where it was.

    Raises:
        CannotFix: This is a damaged database.
        OSError: It cannot be read, or the copy not written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = folder / "%".join(path.resolve().parts[1:])[-200:]
    is_database = _head(path).startswith(sqlite.MAGIC)
    with (
        path.open("rb") as source,
        os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as copy,
    ):
        while not is_database and (block := source.read(_BLOCK)):
            copy.write(block)
    if is_database:
        # By SQLite, so that what still stands in its write-ahead log comes along.
        try:
            with closing(sqlite.connect(path, "ro")) as live, closing(sqlite.connect(target, "rw")) as copied:
                live.backup(copied)
        except sqlite3.Error as error:
            raise CannotFix(_sqlite_says(error)) from None
    return target


def _sqlite_says(error: sqlite3.Error) -> str:
    return f"SQLite says: {error}; stop the kernels that use it and try again"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8192)


def _encoding(head: bytes) -> str | None:
    """How to read a text; ``None`` for a binary file."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if head.startswith(mark):
            return encoding
    # Secrets are ASCII, and Latin-1 gives every byte back unchanged.
    return None if b"\0" in head else "latin-1"


def _write(path: Path, data: bytes) -> None:
    target = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".supabase-nb-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, target.stat().st_mode & 0o7777)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _scan_stream(path: Path, encoding: str | None, strict: bool) -> Iterator[Hit]:
    """A file of any size, in blocks that overlap by what the longest secret and its neighbourhood need."""
    decoder = codecs.getincrementaldecoder(encoding or "latin-1")(errors="replace")
    # `text[start:]` is not looked at yet, and begins in this line; `offset` characters were let go.
    text, start, line, offset = "", 0, 1, 0
    with path.open("rb") as file:
        last = False
        while not last:
            block = file.read(_BLOCK)
            last = not block
            text += decoder.decode(block, final=last)
            # What begins behind this is looked at again with the next block.
            limit = max(start, len(text) - (0 if last else LONGEST))
            for finding in find(text, strict=strict):
                if start <= finding.start < limit:
                    line += text.count("\n", start, finding.start)
                    start = finding.end
                    yield Hit(
                        f"byte {offset + finding.start}" if encoding is None else f"line {line}", finding
                    )
            line += text.count("\n", start, limit)
            start = max(start, limit)
            let_go = max(0, start - 2 * NEAR)
            text, start, offset = text[let_go:], start - let_go, offset + let_go


def _scan_sqlite(path: Path, strict: bool) -> Iterator[Hit]:
    clean = True
    try:
        for place, text in sqlite.texts(path):
            for finding in find(text, strict=strict):
                clean = False
                yield Hit(place, finding)
    except sqlite3.Error:
        clean = True  # damaged or locked: its bytes can be read all the same
    if clean:
        # What was deleted or overwritten stays in the file until it is vacuumed.
        for hit in _scan_stream(path, None, strict):
            yield Hit(f"{hit.place}, in no row", hit.finding)
