"""A column's values, page by page, and the type that they have together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

# The kinds of a page of values; "null" if it has none. "bigint" needs more digits than a float has. "special"
# are texts such as "NaN", which Postgres writes for numbers that JSON doesn't have, or ordinary words.
_KIND_OF_TYPE = {
    bool: "bool",
    int: "int",
    float: "float",
    Decimal: "decimal",
    str: "text",
    dict: "json",
    list: "json",
}
_EXACT_IN_A_FLOAT, _INT64 = 1 << 53, 1 << 63
_NUMBERS = {"int", "bigint", "float", "decimal"}
_NOT_FINITE = {"NaN", "Infinity", "-Infinity"}
# Exactly as Postgres writes them in JSON, with years that Python supports.
_DAY = r"(?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME = rf"{_DAY}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{{0,5}}[1-9])?"
_TIME_PATTERNS = {
    "date": re.compile(_DAY, re.ASCII),
    "timestamp": re.compile(_TIME, re.ASCII),
    "timestamptz": re.compile(rf"{_TIME}\+00:00", re.ASCII),
}

#: The kind of a page's column, and its values in a library's format.
Part = tuple[str, Any]


class Library(Protocol):
    """A library's format: pandas, polars or pyarrow."""

    def pack(self, kind: str, values: list[Any]) -> Any:
        """Pack a page of values, which may include nulls.

        Raises:
            ValueError: They have another kind.
        """

    def unpack(self, kind: str, packed: Any) -> list[Any]:
        """Unpack the values."""

    def join(self, kind: str, packed: list[Any]) -> Any:
        """Join all pages of a column."""

    def frame(self, columns: dict[str, Any], rows: int) -> Any:
        """The frame."""

    def set_attrs(self, frame: Any, attrs: dict[str, Any]) -> Any:
        """Add notes to the frame, if the library supports that."""


def pack(library: Library, values: list[Any], hint: str | None) -> Part:
    """Pack a page of a column.

    Args:
        library: The library.
        values: The column's JSON values.
        hint: Their kind according to the server, if known.
    """
    kind = _classify(values, hint)
    try:
        return kind, library.pack(kind, values)
    except ValueError:
        if kind not in _TIME_PATTERNS:
            raise
        return "text", library.pack("text", values)  # not a valid day


def join(library: Library, parts: Sequence[Part], hint: str | None) -> Any:
    """Join the pages of a column, in a type that represents all values exactly."""
    kinds = {kind for kind, _ in parts} - {"null"}
    target = _common_kind(kinds) if kinds else {"number": "float"}.get(hint or "null", hint or "null")
    packed = []
    for kind, values in parts:
        if kind == target or {kind, target} == {"special", "text"} or {kind, target} == {"int", "bigint"}:
            packed.append(values)
        else:
            packed.append(library.pack(target, _convert(target, library.unpack(kind, values))))
    return library.join(target, packed)


def _classify(values: list[Any], hint: str | None) -> str:
    kind = _kind(values)
    if kind == "null":
        return kind
    if hint == "json":
        return "json"
    if hint == "float" and kind in ("int", "bigint", "special"):
        return "float"
    if kind == "text":
        for name in _TIME_PATTERNS if hint is None else ():
            if _all_match(name, values):
                return name
        if hint in _TIME_PATTERNS and _all_match(hint, values):
            return hint
    return kind


def _all_match(name: str, values: Iterable[Any]) -> bool:
    match = _TIME_PATTERNS[name].fullmatch
    return all(value is None or match(value) for value in values)


def _kind(values: list[Any]) -> str:
    types = set(map(type, values)) - {type(None)}
    kinds = {_KIND_OF_TYPE[kind] for kind in types}
    if kinds == {"int"}:
        given = [value for value in values if value is not None]
        lowest, highest = min(given), max(given)
        if lowest >= -_EXACT_IN_A_FLOAT and highest <= _EXACT_IN_A_FLOAT:
            return "int"
        return "bigint" if lowest >= -_INT64 and highest < _INT64 else "decimal"
    if "text" in kinds and {value for value in values if type(value) is str} <= _NOT_FINITE:
        kinds = kinds - {"text"} | {"special"}
    if "int" in kinds and any(type(value) is int and abs(value) > _EXACT_IN_A_FLOAT for value in values):
        kinds.add("bigint")
    if kinds == {"special"}:
        return "special"
    return _common_kind(kinds) if kinds else "null"


def _common_kind(kinds: set[str]) -> str:
    if "special" in kinds:  # numbers if there are other numbers, else words
        kinds = kinds - {"special"} | ({"float"} if kinds & _NUMBERS else {"text"})
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds == {"int", "bigint"}:
        return "bigint"
    if kinds <= {"int", "float"}:
        return "float"
    if kinds <= _NUMBERS:
        return "decimal"
    if kinds <= {"text", *_TIME_PATTERNS}:
        return "text"
    return "mixed"


def _convert(kind: str, values: list[Any]) -> list[Any]:
    if kind == "text":
        return [postgres_text(value) for value in values]
    if kind == "mixed":
        return [postgres_text(value) if isinstance(value, date) else value for value in values]
    return values


def postgres_text(value: Any) -> Any:
    """A time as Postgres writes it in JSON; anything else unchanged."""
    if not isinstance(value, date):
        return value
    text = value.isoformat()
    fraction = re.search(r"\.\d{6}", text)
    return text.replace(fraction[0], fraction[0].rstrip("0")) if fraction else text


def decimals(values: Iterable[Any]) -> list[Decimal | None]:
    """Numbers as decimals, with all of their digits."""
    found: list[Decimal | None] = []
    for value in values:
        as_sent = repr(value) if isinstance(value, float) else value
        found.append(None if value is None else Decimal(as_sent))
    return found


def digits(values: Iterable[Decimal | None]) -> tuple[int, int] | None:
    """How many digits the numbers need, and how many after the point; ``None``: not all are finite."""
    before = behind = 0
    for value in values:
        if value is not None:
            _, figures, exponent = value.as_tuple()
            if not isinstance(exponent, int):
                return None
            before, behind = max(before, len(figures) + exponent), max(behind, -exponent)
    return before + behind, behind


def as_json(values: Iterable[Any]) -> list[str | None]:
    """Objects, or values of several kinds, as JSON text."""
    return [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]


def are_flat_lists(values: Iterable[Any]) -> bool:
    """Whether these are lists of simple values of one type, which other libraries have a type for.

    They have none for integers of more than 64 bits.
    """
    types = set()
    for value in values:
        if value is not None:
            if type(value) is not list:
                return False
            types |= set(map(type, value))
            if any(type(item) is int and not -_INT64 <= item < _INT64 for item in value):
                return False
    types.discard(type(None))
    return len(types) <= 1 and not types & {dict, list, Decimal}


def without_time_zone(values: Iterable[Any]) -> list[Any]:
    """Times in UTC without a time zone."""
    return [None if value is None else value[:-6] for value in values]


def missing_package_error(package: str) -> ImportError:
    """The error for a library that isn't installed."""
    return ImportError(f"This needs {package}: pip install {package}", name=package)
