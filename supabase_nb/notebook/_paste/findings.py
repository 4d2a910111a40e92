"""Findings: the tokens that the readers of a paste have found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..._secrets.tokens import Secret, clean, is_opaque, key_name, read_claims

Pair = tuple[Secret, Secret]

NEITHER = "Paste exactly two tokens: the access token, then the refresh token."
TWO_SESSIONS = "These tokens are from two different sessions. Paste only one session."


@dataclass
class Findings:
    """What was found in a paste. Hides its tokens."""

    sessions: set[Pair] = field(default_factory=set)
    access: list[Secret] = field(default_factory=list)
    refresh: list[Secret] = field(default_factory=list)
    #: Words that don't look like tokens, one per field.
    unknown: list[Secret] = field(default_factory=list)
    #: The kinds of a project's keys that were found.
    keys: list[str] = field(default_factory=list)
    #: A cookie's name -> its parts by number.
    parts: dict[str, dict[int, Secret]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    #: The number of fields with only an unlabeled access token.
    alone: int = 0

    def __len__(self) -> int:
        kinds = (self.sessions, self.access, self.refresh, self.keys, self.parts, self.problems)
        return sum(map(len, kinds))

    def merge(self, other: Findings) -> None:
        """Add what was found in another field."""
        self.sessions |= other.sessions
        for token in other.access:
            self.add_access(token)
        for token in other.refresh:
            self.add_refresh(token)
        for name, parts in other.parts.items():
            for number, value in parts.items():
                self.add_part(name, number, value)
        self.unknown += other.unknown
        self.keys += other.keys
        self.problems += other.problems
        self.alone += other.alone

    def add_part(self, name: str, number: int, value: str | Secret) -> None:
        """Add a cookie's part."""
        part = Secret(value)
        if self.parts.setdefault(name, {}).setdefault(number, part) != part:
            self.problems.append(TWO_SESSIONS)

    def add_access(self, value: Any) -> None:
        """Add an access token, or the kind of a key in its place. Ignores anything else."""
        token = to_token(value)
        key = key_name(token)
        if key:
            self.keys.append(key)
        elif is_access_token(token) and token not in self.access:
            self.access.append(token)

    def add_refresh(self, value: Any) -> None:
        """Add a refresh token. Ignores anything else."""
        token = to_token(value)
        if is_opaque(token) and not key_name(token) and token not in self.refresh:
            self.refresh.append(token)


def is_access_token(token: Secret) -> bool:
    """Whether this is a JWT with readable claims that isn't truncated at its start (``eyJ`` is ``{"``)."""
    return token.reveal().startswith("eyJ") and read_claims(token) is not None


def to_token(value: Any) -> Secret:
    """A token from a string, without a terminal's line breaks."""
    if isinstance(value, Secret):
        return value
    return clean("".join(value.split())) if isinstance(value, str) else Secret("")
