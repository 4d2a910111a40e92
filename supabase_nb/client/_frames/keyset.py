"""Keyset pagination: a page starts after the last row of the previous one, with a filter for the server.

Unlike with offsets, rows that are inserted or deleted in the meantime don't cause skipped or repeated rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .query_parser import split

_TERM = re.compile(r'("[^"]+"|[\w$ -]+)(?:\.(asc|desc))?(?:\.(nullsfirst|nullslast))?')


@dataclass(frozen=True)
class Term:
    """A column of an order.

    Args:
        column: Its name.
        descending: Whether the largest is first.
        nulls_first: Whether nulls are first.
        nullable: Whether it has nulls.
    """

    column: str
    descending: bool = False
    nulls_first: bool = False
    nullable: bool = True

    def __str__(self) -> str:
        direction = "desc" if self.descending else "asc"
        nulls = ".nullsfirst" if self.nulls_first else ".nullslast"
        nulls = "" if self.nulls_first == self.descending else nulls  # Postgres's default
        return f"{quoted(self.column)}.{direction}{nulls}"

    @property
    def reversed(self) -> Term:
        """The reverse order."""
        return replace(self, descending=not self.descending, nulls_first=not self.nulls_first)


def parse(order: str) -> list[Term] | None:
    """Parse an order; ``None``: one of its terms isn't a plain column."""
    terms = []
    for part in split(order) if order else ():
        match = _TERM.fullmatch(part.strip())
        if match is None:
            return None
        descending = match[2] == "desc"
        first = match[3] == "nullsfirst" if match[3] else descending
        terms.append(Term(match[1].strip('"'), descending, first))
    return terms


def quoted(name: str) -> str:
    """A column's name, quoted for a filter."""
    return name if re.fullmatch(r"\w+", name) else '"' + name.replace('"', '\\"') + '"'


def after(terms: Sequence[Term], row: Sequence[Any]) -> str:
    """The filter for rows after this one."""
    return _any(_alternatives(terms, row, inclusive=False))


def up_to(terms: Sequence[Term], row: Sequence[Any]) -> str:
    """The filter for this row and the rows before it."""
    return _any(_alternatives([term.reversed for term in terms], row, inclusive=True))


def _alternatives(terms: Sequence[Term], row: Sequence[Any], *, inclusive: bool) -> Iterator[str]:
    """The conditions of which one must be true. A row is after another if its first different term is."""
    for place, (term, value) in enumerate(zip(terms, row, strict=True)):
        same = [_equal(*pair) for pair in zip(terms[:place], row[:place], strict=True)]
        name, or_equal = quoted(term.column), "e" if inclusive and place + 1 == len(terms) else ""
        if value is None:
            if term.nulls_first:
                yield _all([*same, f"{name}.not.is.null"])
            if or_equal:
                yield _all([*same, f"{name}.is.null"])
            continue
        yield _all([*same, f"{name}.{'lt' if term.descending else 'gt'}{or_equal}.{_text(value)}"])
        if term.nullable and not term.nulls_first:
            yield _all([*same, f"{name}.is.null"])


def _equal(term: Term, value: Any) -> str:
    return f"{quoted(term.column)}.{'is.null' if value is None else f'eq.{_text(value)}'}"


def _any(conditions: Iterator[str]) -> str:
    ways = list(conditions)
    return ways[0] if len(ways) == 1 else f"or({','.join(ways)})"


def _all(conditions: Any) -> str:
    conditions = list(conditions)
    return conditions[0] if len(conditions) == 1 else f"and({','.join(conditions)})"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
