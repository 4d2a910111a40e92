"""Translates PostgREST's query language to SQL: `select`, `order` and filters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

INTEGERS = ("smallint", "integer", "bigint")
#: Types that are stored as text, but compared by value.
NUMBERS = ("numeric", "real", "double precision")

_OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "LIKE",
    "ilike": "LIKE",
    "is": "IS",
    "in": "IN",
}
_CONSTANTS = {"null": None, "true": 1, "false": 0}
_DIRECTIONS = re.compile(r"(?:\.(asc|desc))?(?:\.(nullsfirst|nullslast))?$")


class Refused(Exception):
    """An error response of PostgREST."""

    def __init__(
        self, status: int, code: str, message: str, details: str | None = None, **headers: str
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, {name.replace("_", "-"): text for name, text in headers.items()}
        self.body = {"code": code, "details": details, "hint": None, "message": message}


@dataclass(frozen=True)
class Column:
    """A column: its name and Postgres type."""

    name: str
    type: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """A table or view, and who may read which rows.

    Args:
        name: Its name.
        columns: Its columns.
        key: Its primary key; a view has none.
        owner: The column with the id of the user who may read the row; empty: everyone may.
        anon: Whether it can be read without signing in.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    owner: str = ""
    anon: bool = True

    def column(self, name: str) -> Column:
        """The column with this name.

        Raises:
            Refused: There is no such column.
        """
        for column in self.columns:
            if column.name == unquoted(name):
                return column
        raise Refused(400, "42703", f"column {self.name}.{name[:40]} does not exist")


def unquoted(name: str) -> str:
    """A name or value without its double quotes."""
    if len(name) > 1 and name[0] == name[-1] == '"':
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name


def split(text: str) -> list[str]:
    """The parts between commas that are neither quoted nor in parentheses."""
    parts, depth, start, quoted, skip = [], 0, 0, False, False
    for place, letter in enumerate(text):
        if skip:
            skip = False
        elif quoted:
            skip, quoted = letter == "\\", letter != '"'
        elif letter == '"':
            quoted = True
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def selected(table: Table, text: str) -> Iterator[tuple[str, Column, bool]]:
    """The selected columns: name in the response, column, and whether it is sent as text."""
    for part in split(text or "*"):
        if part.strip() == "*":
            yield from ((column.name, column, False) for column in table.columns)
            continue
        match = re.fullmatch(r'\s*(?:("[^"]*"|[^:"()]+):(?!:))?("[^"]*"|[^:"()>]+?)(::text)?\s*', part)
        if match is None:
            raise _not_understood("select", part)
        column = table.column(match[2])
        yield unquoted(match[1] or column.name), column, bool(match[3])


def ordered(table: Table, text: str) -> str:
    """The columns of ``ORDER BY``. Nulls are larger than all values, as in Postgres."""
    terms = []
    for part in split(text):
        match = _DIRECTIONS.search(part)
        assert match is not None
        descending = match[1] == "desc"
        first = match[2] == "nullsfirst" if match[2] else descending
        column = table.column(part[: match.start()])
        terms.append(
            f'"{column.name}" {"DESC" if descending else "ASC"} NULLS {"FIRST" if first else "LAST"}'
        )
    return ", ".join(terms)


def condition(table: Table, name: str, value: str) -> tuple[str, list[Any]]:
    """A filter as SQL, with the values of its question marks."""
    if name in ("and", "or", "not.and", "not.or"):
        return _tree(table, name, value)
    return _comparison(table, name, value, lambda text: text)


def _tree(table: Table, name: str, text: str) -> tuple[str, list[Any]]:
    if not (text.startswith("(") and text.endswith(")")):
        raise _not_understood("logic tree", text)
    parts, values = [], []
    for part in split(text[1:-1]):
        inner = re.fullmatch(r"((?:not\.)?(?:and|or))(\(.*\))", part, re.DOTALL)
        if inner:
            sql, given = _tree(table, inner[1], inner[2])
        else:
            column = re.match(r'"[^"]*"|[^.]+', part)
            if column is None or part[column.end() : column.end() + 1] != ".":
                raise _not_understood("logic tree", part)
            sql, given = _comparison(table, column[0], part[column.end() + 1 :], unquoted)
        parts.append(sql)
        values += given
    joined = f" {name.removeprefix('not.').upper()} ".join(parts)
    return (f"NOT ({joined})" if name.startswith("not.") else f"({joined})"), values


def _comparison(table: Table, name: str, text: str, value_of: Callable[[str], str]) -> tuple[str, list[Any]]:
    column = table.column(name)
    values: list[Any]
    negated = text.startswith("not.")
    operator, dot, operand = text.removeprefix("not.").partition(".")
    if operator not in _OPERATORS or not dot:
        raise _not_understood("filter", text)
    if operator == "is":
        if operand not in _CONSTANTS:
            raise _not_understood("filter", text)
        values, right = [_CONSTANTS[operand]], "?"
    elif operator == "in":
        values = [_value(column, unquoted(item)) for item in split(operand[1:-1])]
        right = f"({', '.join('?' * len(values))})"
    elif operator in ("like", "ilike"):
        values, right = [value_of(operand).replace("*", "%")], "?"
    else:
        values, right = [_value(column, value_of(operand))], "?"
    sql = f'"{column.name}" {_OPERATORS[operator]} {right}'
    return (f"NOT ({sql})" if negated else f"({sql})"), values


def _value(column: Column, text: str) -> Any:
    if column.type in INTEGERS and not re.fullmatch(r"[+-]?[0-9]{1,18}|-?[0-9]{19}", text, re.ASCII):
        raise Refused(400, "22P02", f"invalid input syntax for type {column.type}: {json.dumps(text[:40])}")
    if column.type in INTEGERS:
        return int(text)
    if column.type in NUMBERS and not re.fullmatch(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", text, re.ASCII | re.I):
        raise Refused(400, "22P02", f"invalid input syntax for type {column.type}: {json.dumps(text[:40])}")
    if column.type == "boolean":
        return {"true": 1, "t": 1, "false": 0, "f": 0}.get(text)
    return text


def _not_understood(what: str, text: str) -> Refused:
    return Refused(400, "PGRST100", f'"failed to parse {what} ({text[:40]})"')
