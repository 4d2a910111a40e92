"""Hostile names and metadata, and a client that shows them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "notebook"))

from fake_auth import FakeAuth

from supabase_nb.errors import AuthError

HOSTILE = {
    "image": "<img src=x onerror=alert(1)>",
    "script": "</p></div><script>alert(1)</script>",
    "style": "</style><style>*{display:none}</style>",
    "attribute": "\" onmouseover=alert(1) x=\"' autofocus onfocus=alert(1) '",
    "entity": "&lt;img src=x&gt; &#60;b&#62;",
    "markdown": "[x](javascript:alert(1)) ![x](https://evil.example/x.png) $\\href{javascript:alert(1)}{x}$",
    "template": "${alert(1)} {{constructor.constructor('alert(1)')()}} %s %(x)s {0.__class__}",
    "direction": "\u202egro.live@ecila\u202c \u2066\u2067\u200f\u061c",
    "colours": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J \x9b31m",
    "control": "a\x00b\rc\x08d\x7fe\x85f\u2028g\u2029h",
    "newlines": "one\ntwo\r\n\r\n# Heading\n---\n",
    "long": "x" * 10_000,
    "long and wide": "😀" * 10_000,
    "combining": "a" + "\u0301" * 5_000,
    "surrogate": "\ud800\udfff\ud800",
}


def hostile_auth(text: str) -> FakeAuth:
    auth = FakeAuth()
    auth.sign_in(
        email=f"{text}@{text}.example",
        role=text,
        app_metadata={"provider": text},
        user_metadata={"name": text},
        id=text,
    )
    auth.happen("TOKEN_REFRESHED", cause=text)
    auth.notices = (text,)
    auth.last_error = AuthError(text)
    return auth
