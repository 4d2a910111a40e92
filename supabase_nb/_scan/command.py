"""The command `supabase-nb scan PATH… [--fix]`."""

from __future__ import annotations

import argparse
import errno
import os
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .._secrets.masking import mask_lookalikes
from .._secrets.tokens import Secret
from .scanner import CannotFix, FileResult, Hit, fix, scan_file

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

# Skipped inside a folder: third-party code and compressed data. Searched if passed explicitly.
_PASSED_OVER = {
    ".git",
    ".hg",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    ".venv",
    "__pycache__",
    "node_modules",
    "venv",
}

_ADVICE = """\
Others may have seen what you saved or shared. Sign out of the session everywhere
(`%supabase_sign_out --scope global`), and replace the keys in the project's settings.
"""


_BACKED_UP = """\
Fixed: {n} {files}. Backups, with the secrets, are in {folder}.
Only you can read this folder. Delete it when you no longer need it."""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``scan`` to the command line."""
    parser = subparsers.add_parser(
        "scan",
        help="find Supabase tokens and keys in notebooks, histories and text files",
        description="Print the file, location and kind of every Supabase token and secret key, but never "
        "the secret "
        "itself. Exit code: 0 nothing found, 1 something found, 2 something could not be read.",
    )
    parser.add_argument("paths", nargs="+", type=_path, metavar="PATH", help="files or folders")
    parser.add_argument(
        "--fix",
        action="store_true",
        help="back up the files, then remove the secrets; outputs and widget state with a secret are removed "
        "completely",
    )
    parser.add_argument("--strict", action="store_true", help="also report public keys and other JWTs")
    parser.add_argument(
        "--backup-dir",
        type=_path,
        metavar="DIR",
        help="folder for the backups of --fix, which contain the secrets",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Scan, print the findings, and return the exit code."""
    folder: Path = args.backup_dir or _backups()
    failed: dict[Path, OSError] = {}
    looked: dict[Path, FileResult] = {}
    for path in _files(args.paths, failed):
        try:
            if path not in looked:
                looked[path] = scan_file(path, strict=args.strict)
        except OSError as error:
            failed[path] = error
    # A refresh token without hints in one file may be known from another file.
    known: set[Secret] = set().union(*(each.recurring for each in looked.values()))
    found = fixed = 0
    for path, first in looked.items():
        try:
            hits = (
                first.hits
                if first.recurring == known
                else scan_file(path, strict=args.strict, known=known).hits
            )
            found += len(hits)
            _say(_lines(_printable(path), hits))
            if hits and args.fix:
                fixed += _fix(path, folder, args.strict, known)
        except OSError as error:
            failed[path] = error
    for path, problem in failed.items():
        reason = problem.strerror or type(problem).__name__
        _say([f"{_printable(path)}: could not be read or written: {reason}"], sys.stderr)
    if fixed:
        _say([_BACKED_UP.format(n=fixed, files="file" if fixed == 1 else "files", folder=_printable(folder))])
    if found:
        sys.stdout.write(_ADVICE)
    return 2 if failed else 1 if found else 0


def _fix(path: Path, folder: Path, strict: bool, known: set[Secret]) -> bool:
    """Fix a file, or print why that is not possible."""
    try:
        fix(path, folder, strict=strict, known=known)
    except CannotFix as reason:
        _say([f"{_printable(path)}: not fixed: {_plain(str(reason))}"])
        return False
    return True


def _path(text: str) -> Path:
    if not text:  # an unset shell variable, and not the current folder
        raise argparse.ArgumentTypeError("a path is empty. Pass . for the current folder")
    return Path(text)


def _files(paths: Iterable[Path], failed: dict[Path, OSError]) -> Iterator[Path]:
    for path in paths:
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                yield from _below(path, failed)
            elif stat.S_ISREG(mode):
                yield path
            else:
                # Reading from a pipe, a socket or a device could block forever.
                failed[path] = OSError(errno.EINVAL, "not a file")
        except OSError as error:
            failed[path] = error


def _below(folder: Path, failed: dict[Path, OSError]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        failed[Path(error.filename or folder)] = error

    for where, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if name not in _PASSED_OVER)
        for name in sorted(names):
            path = Path(where, name)
            try:
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path
            except OSError as error:
                failed[path] = error


def _lines(name: str, hits: list[Hit]) -> list[str]:
    counts = Counter((hit.place, hit.finding.kind, hit.finding.detail) for hit in hits)
    return [
        f"{name}: {_plain(place)}: {kind}{f' ({detail})' if detail else ''}{f', {n} times' if n > 1 else ''}"
        for (place, kind, detail), n in counts.items()
    ]


def _printable(path: Path) -> str:
    return _plain(str(path))


def _plain(text: str) -> str:
    # A file name or metadata key may contain a secret or terminal control codes.
    return "".join(char if char.isprintable() else "?" for char in mask_lookalikes(text))


def _say(lines: Iterable[str], stream: TextIO | None = None) -> None:
    for line in lines:
        (stream or sys.stdout).write(f"{line}\n")


def _backups() -> Path:
    import platformdirs

    day = time.strftime("%Y%m%d-%H%M%S")
    return platformdirs.user_data_path("supabase-nb") / "scan-backups" / day


__all__ = ["add_parser", "run"]
