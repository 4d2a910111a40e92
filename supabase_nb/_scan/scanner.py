"""Finds secrets in files of all kinds, and removes them."""

from __future__ import annotations

import codecs
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from .._secrets import private_files
from .._secrets.tokens import Secret
from . import notebooks, sqlite
from .decoded_text import plain
from .detection import (
    LONGEST,
    NEAR,
    Finding,
    Search,
    search,
    without_secrets,
)
from .removal_check import holds_any

_BLOCK = 4 * 1024 * 1024  # bytes
# Files that are meant to contain keys and sessions. Removing these would break things.
_KEPT = (".env", "sb-")
_LONGEST_NAME = 200


class CannotFix(Exception):
    """A file's secrets couldn't be removed."""


@dataclass(frozen=True)
class Hit:
    """A secret and its location in a file: ``cell 3, source``."""

    place: str
    finding: Finding


@dataclass
class FileResult:
    """The secrets found in a file.

    Attributes:
        hits: The secrets with their locations.
        values: The secrets themselves.
        recurring: Those that are searched by value in other files, because their format isn't distinctive.
    """

    hits: list[Hit] = field(default_factory=list)
    values: set[Secret] = field(default_factory=set)
    recurring: set[Secret] = field(default_factory=set)

    def add(self, found: Search, place: Callable[[int], str]) -> None:
        """Add the findings from a part of the file."""
        self.hits += [Hit(place(finding.start), finding) for finding in found.findings]
        self.values |= found.values
        self.recurring |= found.recurring


def scan(path: Path, *, strict: bool = False) -> Iterator[Hit]:
    """The secrets in a file.

    Raises:
        OSError: It cannot be read.
    """
    return iter(scan_file(path, strict=strict).hits)


def scan_file(path: Path, *, strict: bool = False, known: Set[Secret] = frozenset()) -> FileResult:
    """Search a file, also for the values of refresh tokens found elsewhere or in this file.

    Raises:
        OSError: It cannot be read.
    """
    result = _scan_file(path, strict, known)
    return result if result.recurring <= known else _scan_file(path, strict, known | result.recurring)


def _scan_file(path: Path, strict: bool, known: Set[Secret]) -> FileResult:
    result = FileResult()
    head = _head(path)
    if head.startswith(sqlite.MAGIC):
        _scan_sqlite(path, strict, known, result)
        return result
    if path.suffix == ".ipynb":
        try:
            text = _text(path)
            for part in notebooks.parts(text):
                result.add(search(part.view, strict=strict, known=known), part.place)
            if any(hit.finding.kind == "access token" for hit in result.hits):
                # Its refresh token may be in another part: in the output of the next cell.
                result.recurring |= search(plain(text), strict=strict, known=known).recurring
            return result
        except notebooks.NotJson:
            pass
    _scan_stream(path, _newline(head), strict, known, result)
    return result


def fix(path: Path, folder: Path, *, strict: bool = False, known: Set[Secret] = frozenset()) -> None:
    """Back up a file, remove its secrets, and search it again. Keeps its mode.

    Args:
        path: The file.
        folder: The folder for the backup, created if needed.
        strict: As in `detection.find`.
        known: Refresh tokens from other files.

    Raises:
        CannotFix: Some secrets couldn't be removed.
        OSError: The file can't be read, written or backed up.
    """
    if path.name.startswith(_KEPT):
        raise CannotFix("this file is meant to contain secrets; don't share it")
    result = scan_file(path, strict=strict, known=known)
    if not result.hits:
        return  # a name of a file that was fixed under another name
    known = known | result.recurring
    try:
        if _head(path).startswith(sqlite.MAGIC):
            _fix_sqlite(path, folder, strict, known)
        else:
            _fix_text(path, folder, strict, known)
    except sqlite3.Error as error:
        raise CannotFix(f"SQLite says: {error}; stop the kernels that use it and try again") from None
    again = scan_file(path, strict=strict, known=known)
    if again.hits:
        raise CannotFix(
            f"a secret remains at {again.hits[0].place}: {again.hits[0].finding.kind}; the backup is in "
            f"{folder}"
        )
    for file in sqlite.with_side_files(path):
        if holds_any(_text(file), result.values):
            raise CannotFix(
                f"a secret remains in {file.name}, in another encoding or within a longer word; "
                f"the backup is in {folder}"
            )


def _fix_text(path: Path, folder: Path, strict: bool, known: Set[Secret]) -> None:
    text = _text(path)
    try:
        fixed = _clean_notebook(text, strict, known) if path.suffix == ".ipynb" else None
    except notebooks.NotJson:
        fixed = None
    if fixed is None:
        if _newline(_head(path)) is None:
            raise CannotFix("a binary file; delete it, or create it again without the secret")
        fixed = without_secrets(text, search(plain(text), strict=strict, known=known).findings)
    fd = _new_file(path, folder)[0]
    with os.fdopen(fd, "wb") as copy:
        copy.write(text.encode("latin-1"))
    target = path.resolve()
    status = target.stat()
    if status.st_nlink > 1:
        # The file has other names, which a new file would not replace.
        with target.open("r+b") as file:
            file.write(fixed.encode("latin-1"))
            file.truncate()
    else:
        private_files.replace(target, fixed.encode("latin-1"), mode=stat.S_IMODE(status.st_mode))


def _fix_sqlite(path: Path, folder: Path, strict: bool, known: Set[Secret]) -> None:
    texts = {}
    for cell, findings in _in_sqlite(path, strict, known, FileResult()).items():
        ordered = sorted(findings, key=lambda finding: (finding.start, -finding.end))
        texts[cell] = without_secrets(cell.text, ordered)
    fd, backup = _new_file(path, folder)
    os.close(fd)
    # Copied by SQLite, to include its write-ahead log.
    with closing(sqlite.connect(path, "ro")) as live, closing(sqlite.connect(backup, "rw")) as copied:
        live.backup(copied)
    sqlite.clean(path, texts)


def _new_file(path: Path, folder: Path) -> tuple[int, Path]:
    """A new file in `folder`, named after `path`.

    Raises:
        CannotFix: `folder` is a link.
    """
    if folder.is_symlink():
        raise CannotFix(f"{folder} is a link; choose another folder for backups")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = os.fsencode("%".join(path.resolve().parts[1:]))[-_LONGEST_NAME:].decode("utf-8", "ignore")
    number = 0
    while True:
        # Different files may lead to the same name.
        target = folder / (f"{name}.{number}" if number else name)
        try:
            return private_files.create(target), target
        except FileExistsError:
            number += 1


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8192)


def _text(path: Path) -> str:
    # Secrets are ASCII, and Latin-1 preserves every byte.
    return path.read_bytes().decode("latin-1")


def _newline(head: bytes) -> str | None:
    """The line ending of a text file; ``None`` for a binary file."""
    if b"\0" not in head:
        return "\n"
    for mark, encoding, newline in (
        (codecs.BOM_UTF16_LE, "utf-16-le", "\n\0"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "\0\n"),
    ):
        if head.startswith(mark):
            return newline
        try:
            text = head[: len(head) // 2 * 2].decode(encoding)
        except UnicodeDecodeError:
            continue
        # Without a byte order mark: mostly ASCII, and no characters that text never contains.
        if all(char.isprintable() or char in "\t\n\r\f\x1b" for char in text) and sum(
            map(str.isascii, text)
        ) * 2 > len(text):
            return newline
    return None


def _clean_notebook(text: str, strict: bool, known: Set[Secret]) -> str:
    edits: list[tuple[int, int, str]] = []
    holders = []
    for part in notebooks.parts(text):
        found = search(part.view, strict=strict, known=known).findings
        if found and part.whole:
            holder, index = part.whole
            holder.removed.add(index)
            holders.append(holder)
        elif found:
            edits += [(finding.start, finding.end, finding.placeholder) for finding in found]
    for holder in {id(holder): holder for holder in holders}.values():
        edits += [(start, end, "") for start, end in holder.cuts()]
    pieces, at = [], 0
    for start, end, new in sorted(edits):
        pieces += [text[at:start], new]
        at = end
    return "".join(pieces) + text[at:]


def _scan_stream(
    path: Path, newline: str | None, strict: bool, known: Set[Secret], result: FileResult
) -> None:
    """Search a file of any size, in blocks that overlap by the longest secret and its context."""
    # `text[start:]` isn't searched yet and starts in this line; `offset` characters were dropped.
    text, start, line, offset = "", 0, 1, 0
    with path.open("rb") as file:
        last = False
        while not last:
            block = file.read(_BLOCK)
            last = not block
            text += block.decode("latin-1")
            # What starts after this is searched again with the next block.
            limit = max(start, len(text) - (0 if last else LONGEST))
            found = search(plain(text), strict=strict, known=known)
            result.values |= found.values
            result.recurring |= found.recurring
            for finding in found.findings:
                if start <= finding.start < limit:
                    line += text.count(newline or "\n", start, finding.start)
                    start = finding.end
                    place = f"byte {offset + finding.start}" if newline is None else f"line {line}"
                    result.hits.append(Hit(place, finding))
            line += text.count(newline or "\n", start, limit)
            start = max(start, limit)
            let_go = max(0, start - LONGEST - NEAR)
            text, start, offset = text[let_go:], start - let_go, offset + let_go


def _in_sqlite(
    path: Path, strict: bool, known: Set[Secret], result: FileResult
) -> dict[sqlite.Cell, set[Finding]]:
    """Search a database's rows. Positions of findings are those in their cells."""
    cells: dict[sqlite.Cell, set[Finding]] = {}
    for batch in sqlite.batches(path):
        found = search(plain(batch.text), strict=strict, known=known)
        result.values |= found.values
        result.recurring |= found.recurring
        for finding in found.findings:
            at, cell = batch.cell(finding.start)
            local = Finding(
                finding.start - at, finding.end - at, finding.kind, finding.detail, finding.public
            )
            # Some rows are searched twice, with the previous and the next rows.
            if local not in cells.setdefault(cell, set()):
                cells[cell].add(local)
                result.hits.append(Hit(cell.place, local))
    return cells


def _scan_sqlite(path: Path, strict: bool, known: Set[Secret], result: FileResult) -> None:
    try:
        _in_sqlite(path, strict, known, result)
    except sqlite3.Error:
        result.hits.clear()  # damaged or locked, but its bytes can still be searched
    if not result.hits:
        # Deleted and overwritten rows stay in the file until it is vacuumed.
        deleted = FileResult()
        _scan_stream(path, None, strict, known, deleted)
        result.hits += [Hit(f"{hit.place}, in no row", hit.finding) for hit in deleted.hits]
        result.values |= deleted.values
        result.recurring |= deleted.recurring


__all__ = ["CannotFix", "FileResult", "Hit", "fix", "scan", "scan_file"]
