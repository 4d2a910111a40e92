"""Keeps what we put into a request out of redirects to another origin.

When httpx follows a redirect there, it drops ``Authorization`` and copies every other header, ``apikey``
among them. It asks no `httpx.Auth` about that, so this extends the method in which httpx decides.
"""

from __future__ import annotations

import functools
from typing import Any

import httpx
from httpx._client import BaseClient  # private; httpx is pinned below 1, and the tests notice

_SIGNED = "supabase_nb.signed"


def sign(request: httpx.Request) -> None:
    """Note that this request carries secrets of ours; httpx hands the note on from redirect to redirect."""
    request.extensions = {**request.extensions, _SIGNED: True}


def _keeps_secrets(before: httpx.URL, after: httpx.URL) -> bool:
    """Whether httpx keeps ``Authorization``: on the same origin, and from http to https on the same host."""
    if (before.scheme, before.host, before.port) == (after.scheme, after.host, after.port):
        return True
    upgrade = (before.scheme, after.scheme) == ("http", "https")
    return upgrade and before.host == after.host and before.port is None and after.port is None


def _guard(kind: Any) -> None:
    original = kind._redirect_headers

    @functools.wraps(original)
    def redirect_headers(self: Any, request: httpx.Request, url: httpx.URL, method: str) -> httpx.Headers:
        headers: httpx.Headers = original(self, request, url, method)
        if _SIGNED in request.extensions and not _keeps_secrets(request.url, url):
            for name in ("apikey", "Authorization"):
                headers.pop(name, None)
        return headers

    kind._redirect_headers = redirect_headers


_guard(BaseClient)
