"""Extracts a string, or a session's two tokens, from a value of various types.

Other packages' types are recognized by their attributes, so that these packages needn't be imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

from ..._secrets.tokens import Secret

# Keys that may contain a session: `AuthResponse`, supabase-js's `{"data": {"session": …}}`, older storage.
_WRAPPERS = ("session", "data", "currentSession")
_DEPTH = 4


def to_secret(value: object) -> Secret | None:
    """A value as a string: `str`, `Secret`, bytes, `SecretStr`, or one value of pandas, numpy."""
    if isinstance(value, (str, Secret)):
        return Secret(value)
    if isinstance(value, (bytes, bytearray)):
        try:
            return Secret(value.decode())
        except UnicodeDecodeError:
            return None
    if isinstance(value, (Mapping, type)):
        return None
    revealed = getattr(value, "get_secret_value", None)
    if callable(revealed):
        return _to_secret_if_text(revealed())
    for name in ("item", "as_py"):  # numpy, pandas and polars; pyarrow
        single = getattr(value, name, None)
        if callable(single) and _is_single_value(value):
            return _to_secret_if_text(single())
    return None


def token_pair(value: object) -> tuple[Secret, Secret] | None:
    """The two tokens of a session: ours, supabase-py's, a dictionary, or two values."""
    return next(_pairs(value, _DEPTH), None)


def has_no_session(value: object) -> bool:
    """Whether this is a response without a session, as after a sign-up that must be confirmed."""
    missing = object()
    return _get_field(value, "session", missing) is None


def may_hold_tokens(value: object) -> bool:
    """Whether to suggest a variable for tokens."""
    if isinstance(value, (str, Secret, bytes, Mapping)):
        return True
    return not isinstance(value, type) and any(
        hasattr(value, name) for name in ("access_token", "session", "get_secret_value")
    )


def _pairs(value: object, depth: int) -> Iterator[tuple[Secret, Secret]]:
    if isinstance(value, (str, Secret, bytes, bytearray, type)) or not depth:
        return
    access_token, refresh_token = (to_secret(_get_field(value, n)) for n in ("access_token", "refresh_token"))
    if access_token and refresh_token is not None:
        yield access_token, refresh_token
        return
    for name in _WRAPPERS if isinstance(value, Mapping) else ("session",):
        inner = _get_field(value, name)
        if inner is not None and not isinstance(inner, type):
            yield from _pairs(inner, depth - 1)
    as_list = getattr(value, "tolist", None)
    items = as_list() if callable(as_list) else value
    if isinstance(items, (tuple, list)) and len(items) == 2:
        first, second = map(to_secret, items)
        if first and second is not None:
            yield first, second


def _get_field(value: object, name: str, default: Any = None) -> Any:
    if isinstance(value, Mapping):
        return value.get(name, default)
    return getattr(value, name, default)


def _is_single_value(value: object) -> bool:
    """Whether this is a single value, or contains just one."""
    size = getattr(value, "size", None)
    if size is None and isinstance(value, Sized):
        size = len(value)
    return size is None or size == 1


def _to_secret_if_text(value: object) -> Secret | None:
    return to_secret(value) if isinstance(value, (str, bytes)) else None
