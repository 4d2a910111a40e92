"""Bodies and times as Go reads and writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from .api_errors import ApiError

_MAX_DEPTH = 100  # Go allows 10,000. Python could read that, but not write it.
_TYPES: dict[type, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), dict: (dict,)}
_GO_TYPE = {str: "string", bool: "bool", int: "int", dict: "map[string]interface {}"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(raw: bytes) -> Any:
    """Parse a body.

    Raises:
        ApiError: 400 ``bad_json``, with the text of Go's parser where that was recorded.
    """

    def refuse(name: str) -> Any:
        raise json.JSONDecodeError("constant", name, 0)

    def finite(number: str) -> float:
        value = float(number)
        if value - value != 0:
            raise ValueError(number[:40])
        return value

    text = raw.decode("utf-8", "replace")
    try:
        value = json.loads(text, parse_constant=refuse, parse_float=finite)
        if _depth(value) > _MAX_DEPTH:
            raise RecursionError
    except json.JSONDecodeError as error:
        why = _in_gos_words(text, error)
    except RecursionError:
        why = "exceeded max depth"
    except ValueError:  # an integer with more digits than Python converts
        why = "cannot unmarshal number"
    else:
        # Go replaces lone surrogates with U+FFFD. Python would fail to encode them later.
        return _without_surrogates(value) if "\\u" in text else value
    raise ApiError(400, "bad_json", f"Could not parse request body as JSON: {why}")


def _in_gos_words(text: str, error: json.JSONDecodeError) -> str:
    """The error text of Go's parser for a body that isn't JSON, such as a form's."""
    if error.msg == "constant":
        return f"invalid character {error.doc[:1]!r} looking for beginning of value"
    at = text[error.pos :]
    literal = next((word for word in ("true", "false", "null") if at[:1] == word[0]), "")
    if error.msg == "Expecting value" and literal:
        position, expected = next(
            (index, letter) for index, letter in enumerate(literal) if at[index : index + 1] != letter
        )
        at, where = at[position:], f"in literal {literal} (expecting {expected!r})"
    else:
        places = {
            "Extra data": "after top-level value",
            "Expecting property name": "looking for beginning of object key string",
            "Expecting ':'": "after object key",
        }
        found = (place for start, place in places.items() if error.msg.startswith(start))
        where = next(found, "looking for beginning of value")
    if not at or error.msg.startswith("Unterminated"):
        return "unexpected end of JSON input"
    return f"invalid character {at[0]!r} {where}"


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def read_params(raw: bytes, struct: str, fields: Mapping[str, type], **defaults: Any) -> dict[str, Any]:
    """The known fields of a body. Missing fields and ``null`` get Go's zero value.

    Args:
        raw: The request's body.
        struct: The name in Go's error text (``RefreshTokenGrantParams``).
        fields: Name and type of each field.
        **defaults: The values of missing fields, if they aren't the zero value.

    Raises:
        ApiError: 400 ``bad_json``: not JSON, not an object, or a field has the wrong type.
    """
    value = read_json(raw)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise _mismatch(value, f"value of type api.{struct}")
    result: dict[str, Any] = {}
    for name, kind in fields.items():
        given = value.get(name)
        if given is None:
            result[name] = defaults.get(name, kind())
        elif not isinstance(given, _TYPES[kind]) or (kind is int and isinstance(given, bool)):
            raise _mismatch(given, f"struct field {struct}.{name} of type {_GO_TYPE[kind]}")
        else:
            result[name] = given
    return result


def _mismatch(given: Any, where: str) -> ApiError:
    kinds: list[tuple[Any, str]] = [
        (bool, "bool"),
        (str, "string"),
        ((int, float), "number"),
        (list, "array"),
    ]
    kind = next((name for types, name in kinds if isinstance(given, types)), "object")
    text = f"Could not parse request body as JSON: json: cannot unmarshal {kind} into Go {where}"
    return ApiError(400, "bad_json", text)


def rfc3339(seconds: float, digits: int = 6) -> str:
    """A time as Go writes it: ``2026-11-23T23:04:14.819095Z``, without trailing zeros.

    Args:
        seconds: Unix time.
        digits: 6 for a time from the database, 9 for one that was just set.
    """
    whole, nanoseconds = divmod(round(seconds * 1e9), 10**9)
    fraction = f"{nanoseconds:09d}"[:digits].rstrip("0")
    text = datetime.fromtimestamp(whole, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def from_rfc3339(text: str) -> float:
    """The Unix time from the text that `rfc3339` returns."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    base = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return base.timestamp() + float(f"0.{fraction or 0}")
