"""Keeps the token and the key that we put into a request out of redirects to another origin.

A client that follows a redirect builds the next request from the headers and the extensions of the last one.
It drops ``Authorization`` on the way to another origin, but not ``apikey``, and asks no auth object. So a
signed request notes its origin in its extensions, and a request built with such a note for another origin
drops both.
"""

from __future__ import annotations

import functools
from typing import Any

Origin = tuple[str, str, int | None]

_SIGNED_FOR = "supabase_nb.signed_for"
_guarded: set[type] = set()


def sign(request: Any, origin: Origin) -> None:
    """Note for which origin this request, of httpx or of httpx2, carries secrets of ours."""
    kind = type(request)
    if kind not in _guarded:
        # The library's own class, which builds the next request, and not one that is derived from it.
        _guard(next(base for base in reversed(kind.__mro__) if "aread" in vars(base)))
        _guarded.add(kind)
    request.extensions = {**request.extensions, _SIGNED_FOR: origin}


def _keeps_secrets(before: Origin, after: Origin) -> bool:
    """Whether httpx keeps ``Authorization``: on the same origin, and from http to https on the same host."""
    host = before[1]
    return before == after or (before, after) == (("http", host, None), ("https", host, None))


def _guard(kind: type) -> None:
    """Have new requests of this class drop what was signed for another origin. Harmless when done again."""
    original: Any = vars(kind)["__init__"]

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        before = self.extensions.get(_SIGNED_FOR)
        if before is None:
            return
        url = self.url
        after = url.scheme, url.host, url.port
        self.extensions[_SIGNED_FOR] = after
        if not _keeps_secrets(before, after):
            for name in ("apikey", "Authorization"):
                self.headers.pop(name, None)

    kind.__init__ = init  # type: ignore[misc]
