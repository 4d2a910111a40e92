"""Writes files that only their owner can read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def create(file: Path) -> int:
    """Create a file with mode 0600 and open it for writing.

    Raises:
        FileExistsError: A file or link with this name exists. It isn't changed.
    """
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)


def replace(file: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file atomically by one that was created with mode 0600."""
    fd, temporary = tempfile.mkstemp(dir=file.parent, prefix=".supabase-nb-")  # mode 0600
    try:
        with os.fdopen(fd, "wb") as new:
            new.write(data)
            new.flush()
            os.fsync(fd)
        if mode != 0o600:
            os.chmod(temporary, mode)
        os.replace(temporary, file)
    finally:
        Path(temporary).unlink(missing_ok=True)
