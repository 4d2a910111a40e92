"""What values of the auth server share: read-only dictionaries, lenient reading, dumps like pydantic's."""

from __future__ import annotations

import builtins
import copy
import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, NoReturn


class FrozenDict(dict[str, Any]):
    """A JSON object that is read only at its top level."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("this is what the auth server said: read only")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (dict(self),)


class ModelDump:
    """The dumps that pydantic's models have, and with them supabase_auth's values."""

    def _fields(self) -> Mapping[str, Any]:
        """The fields of supabase_auth's value of this name, in its order."""
        raise NotImplementedError

    def model_dump(
        self,
        *,
        mode: Literal["python", "json"] = "python",
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        exclude_none: bool = False,
    ) -> builtins.dict[str, Any]:
        """The fields as a new dictionary. A session's dump holds both tokens: don't show it.

        Args:
            mode: ``"python"``: times are `datetime`; ``"json"``: they are texts.
            include: Only these fields.
            exclude: All fields but these.
            exclude_none: Leave fields without a value out, in fields too.

        Raises:
            TypeError: ``include`` or ``exclude`` is not a set of names; pydantic's nested form is not taken.
            ValueError: Another mode.

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
        """The same as JSON. A session's holds both tokens: for storing it, not for showing.

        Args:
            indent: Spaces for each level; by default all on one line.
            include: Only these fields.
            exclude: All fields but these.
            exclude_none: Leave fields without a value out.

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
    """A text, or ``None`` where it is empty or missing.

    Raises:
        ValueError: It is of another type.
    """
    value = wire.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return value or None


def mapping(wire: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object, empty where it is missing.

    Raises:
        ValueError: It is of another type.
    """
    value = wire.get(name) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is not an object")
    return FrozenDict(value)


def time(wire: Mapping[str, Any], name: str) -> datetime | None:
    """A time, or ``None`` where it is missing or cannot be read.

    Raises:
        ValueError: It is not a text.
    """
    value = text(wire, name)
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        pass
    # The server writes `Z` and nanoseconds; Python 3.10 reads neither.
    short = re.sub(r"(\.\d{6})\d+", r"\1", value).replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(re.sub(r"\.(\d{1,5})(?=[+-])", lambda m: f".{m[1]:0<6}", short))
    except ValueError:
        return None


def optional_text(wire: Mapping[str, Any], name: str) -> str | None:
    """A text that nothing here depends on: ``None`` for another type."""
    value = wire.get(name)
    return value if isinstance(value, str) else None


def optional_time(wire: Mapping[str, Any], name: str) -> datetime | None:
    """A time that nothing here depends on: ``None`` for another type."""
    return time(wire, name) if isinstance(wire.get(name), str) else None
