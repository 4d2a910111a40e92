"""Removes the token and the key from redirects to another origin.

A client that follows a redirect builds the next request from the headers and extensions of the last one. For
another origin it drops ``Authorization``, but not ``apikey``, and it doesn't call the auth object. So an
authorized request has its origin in its extensions, and a request for another origin with such an extension
drops both.
"""

from __future__ import annotations

import functools
from typing import Any

Origin = tuple[str, str, int | None]

_SIGNED_FOR = "supabase_nb.signed_for"
_patched_classes: set[type] = set()


def mark_authorized(request: Any, origin: Origin) -> None:
    """Record the origin for which this request (of httpx or httpx2) carries secrets."""
    kind = type(request)
    if kind not in _patched_classes:
        # The library's own class, not a subclass, because it builds the next request.
        _patch_class(next(base for base in reversed(kind.__mro__) if "aread" in vars(base)))
        _patched_classes.add(kind)
    request.extensions = {**request.extensions, _SIGNED_FOR: origin}


def _keeps_secrets(before: Origin, after: Origin) -> bool:
    """Whether httpx keeps ``Authorization``: for the same origin, or from http to https on the same host."""
    host = before[1]
    return before == after or (before, after) == (("http", host, None), ("https", host, None))


def _patch_class(kind: type) -> None:
    """Patch a request class: new requests for another origin drop the secrets."""
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
