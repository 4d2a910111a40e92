"""Shared code for the auth server's values: read-only dictionaries, lenient parsing, pydantic's dumps."""

from __future__ import annotations

import builtins
import copy
import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, NoReturn


class FrozenDict(dict[str, Any]):
    """A JSON object whose top level is read-only."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("data from the auth server is read-only")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (dict(self),)


class ModelDump:
    """pydantic's dump methods, as supabase_auth's values have them."""

    def _fields(self) -> Mapping[str, Any]:
        """The fields of the same value in supabase_auth, in its order."""
        raise NotImplementedError

    def model_dump(
        self,
        *,
        mode: Literal["python", "json"] = "python",
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        exclude_none: bool = False,
    ) -> builtins.dict[str, Any]:
        """The fields as a new dictionary. A session's dump contains both tokens: don't print it.

        Args:
            mode: With ``"python"``, times are `datetime` objects; with ``"json"``, strings.
            include: Only these fields.
            exclude: All fields except these.
            exclude_none: Leave out fields without a value, also in nested values.

        Raises:
            TypeError: ``include`` or ``exclude`` is not a set of names. pydantic's nested form isn't
                supported.
            ValueError: An unknown mode.

        Source: supabase_auth's ``model_dump``, with the same fields and values.

        Example:
            ``supabase.auth.get_user().user.model_dump(include={"id", "email"})``
        """
        if mode not in ("python", "json"):
            raise ValueError(f'There is no mode {mode!r}. Use "python" or "json".')
        for name, names in (("include", include), ("exclude", exclude)):
            if isinstance(names, (str, Mapping)):
                raise TypeError(f'{name} takes a set of field names: {{"id", "email"}}.')
        chosen = {
            name: value
            for name, value in self._fields().items()
            if (include is None or name in include) and name not in (exclude or ())
        }
        plain: builtins.dict[str, Any] = _plain(chosen, mode == "json")
        return _without_none(plain) if exclude_none else plain

    def model_dump_json(
        self,
        *,
        indent: int | None = None,
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        exclude_none: bool = False,
    ) -> str:
        """The fields as JSON. A session's JSON contains both tokens: don't print it.

        Args:
            indent: Spaces per level; by default, everything is on one line.
            include: Only these fields.
            exclude: All fields except these.
            exclude_none: Leave out fields without a value.

        Raises:
            TypeError: As for `model_dump`.

        Source: supabase_auth's ``model_dump_json``.

        Example:
            ``supabase.auth.get_user().user.model_dump_json(indent=2)``
        """
        found = self.model_dump(mode="json", include=include, exclude=exclude, exclude_none=exclude_none)
        separators = (",", ":") if indent is None else None
        return json.dumps(found, indent=indent, separators=separators, ensure_ascii=False)

    def dict(self, **options: Any) -> builtins.dict[str, Any]:
        """The older name of `model_dump`."""
        return self.model_dump(**options)

    def json(self, **options: Any) -> str:
        """The older name of `model_dump_json`."""
        return self.model_dump_json(**options)


def _plain(value: Any, as_json: bool) -> Any:
    if isinstance(value, ModelDump):
        value = value._fields()
    if isinstance(value, Mapping):
        return {key: _plain(item, as_json) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, as_json) for item in value]
    if as_json and isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def text(wire: Mapping[str, Any], name: str) -> str | None:
    """A string, or ``None`` if it is empty or missing.

    Raises:
        ValueError: It has another type.
    """
    value = wire.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return value or None


def mapping(wire: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object, empty if it is missing.

    Raises:
        ValueError: It has another type.
    """
    value = wire.get(name) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is not an object")
    return FrozenDict(value)


def time(wire: Mapping[str, Any], name: str) -> datetime | None:
    """A time, or ``None`` if it is missing or can't be parsed.

    Raises:
        ValueError: It is not a string.
    """
    value = text(wire, name)
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        pass
    # The server writes `Z` and nanoseconds, which Python 3.10 can't parse.
    short = re.sub(r"(\.\d{6})\d+", r"\1", value).replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(re.sub(r"\.(\d{1,5})(?=[+-])", lambda m: f".{m[1]:0<6}", short))
    except ValueError:
        return None


def optional_text(wire: Mapping[str, Any], name: str) -> str | None:
    """An unimportant string: ``None`` for another type."""
    value = wire.get(name)
    return value if isinstance(value, str) else None


def optional_time(wire: Mapping[str, Any], name: str) -> datetime | None:
    """An unimportant time: ``None`` for another type."""
    return time(wire, name) if isinstance(wire.get(name), str) else None
