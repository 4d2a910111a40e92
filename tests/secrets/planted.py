"""Recognizable tokens for each method of passing them, and the search for them."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from supabase_nb.demo import DemoServer

#: Tokens and base64 are words of these. Most of what is searched says the same words again and again.
_WORDS = re.compile(rb"[\w+/=.-]{8,}")
#: What is found of a token: enough to use it, or enough to recognize it.
Needle = tuple[str, str]
Found = dict[tuple[str, str], set[Needle]]


@dataclass
class Planted:
    """All tokens of a run. Each is searched as plain text and as base64."""

    needles: dict[bytes, Needle] = field(default_factory=dict)

    def add(
        self,
        method: str,
        *,
        access_token: str = "",
        refresh_token: str = "",
        password: str = "",
        **others: str,
    ) -> None:
        """Look for these from now on. A token that is known already keeps its method."""
        texts = {"refresh token": refresh_token, "password": password, **others}
        if access_token:
            _, payload, signature = access_token.split(".")
            texts |= {"access token": payload, "signature": signature}
        for kind, text in texts.items():
            if text:
                assert len(text) >= 10, "too short to be told from chance"
                for shape in (text.encode(), *_base64_of(text)):
                    self.needles.setdefault(shape, (method, kind))

    def add_stored(self, method: str, folder: Path) -> None:
        """Look for what a storage folder holds, too: tokens that came by rotation."""
        for path in folder.glob("*.json"):
            stored = json.loads(path.read_text())
            if "access_token" in stored:  # the index of sessions has none
                self.add(method, access_token=stored["access_token"], refresh_token=stored["refresh_token"])

    def find(self, data: bytes | str) -> set[Needle]:
        """Which tokens are in there."""
        data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        words = b" ".join(set(_WORDS.findall(data)))
        return {
            needle for shape, needle in self.needles.items() if shape in (words if _is_word(shape) else data)
        }


@cache
def _is_word(shape: bytes) -> bool:
    return _WORDS.fullmatch(shape) is not None


def where_digits_are(places: Iterable[tuple[str, bytes | str]], *codes: str) -> list[str]:
    """The places that hold one of these codes: six digits that are no part of a longer number or of a fraction."""
    pattern = re.compile(b"(?<![0-9.])(?:%s)(?![0-9])" % "|".join(codes).encode())
    texts = (
        (place, data.encode("utf-8", "replace") if isinstance(data, str) else data) for place, data in places
    )
    return sorted({place for place, data in texts if pattern.search(data)})


def new_user(server: DemoServer, name: str) -> tuple[str, str]:
    """Email address and password of a user who has no second factor yet."""
    email, password = f"{name}@example.com", f"correct horse of {name}"
    server.admin("POST", "/users", {"email": email, "password": password, "email_confirm": True})
    return email, password


def _base64_of(text: str) -> Iterator[bytes]:
    """The three faces of a text in the middle of base64 data."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + text.encode())
        yield encoded[4 if before else 0 : -4]


def below(folder: Path, *, but: Path | None = None) -> Iterator[tuple[str, bytes]]:
    """All files below a folder with their names, except one folder's."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            if but is not None and path.is_relative_to(but):
                continue
            yield name, name.encode() + b"\0"
            try:
                if stat.S_ISREG(path.lstat().st_mode):
                    yield name, path.read_bytes()
            except FileNotFoundError:
                continue


def modes(folder: Path) -> list[str]:
    """What others could read in a storage folder, and what is there that should not be."""
    found = []
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:
        found.append("the folder")
    for path in folder.iterdir():
        if path.suffix not in (".json", ".lock"):
            found.append(f"{path.name} is left over")
        if path.suffix == ".json" and stat.S_IMODE(path.stat().st_mode) != 0o600:
            found.append(path.name)
    return found


def processes(pid: int) -> Iterator[tuple[str, bytes]]:
    """The arguments and the environment of a process and of all that it started."""
    for name in ("cmdline", "environ"):
        try:
            yield f"process {name}", Path(f"/proc/{pid}/{name}").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from processes(int(child))


def search(places: Iterable[tuple[str, bytes | str]], planted: Planted) -> Found:
    """What was found: (place, method) -> needles."""
    found: Found = {}
    for place, data in places:
        for method, kind in planted.find(data):
            found.setdefault((place, method), set()).add((method, kind))
    return found


def table(found: Found) -> str:
    """Leaks in words: which token, by which method, in which place."""
    return "\n".join(
        f"{place}: the {kind} of {method!r}"
        for (place, _), needles in sorted(found.items())
        for method, kind in sorted(needles)
    )
