"""Realistic tokens that can be found wherever they leak."""

from __future__ import annotations

import base64
import json
import random

# The same ones in every process: the names of tests hold some of them.
_RANDOM = random.Random("tokens of nobody")


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def make_jwt(**claims: object) -> str:
    """An access token of a user's session, of an unmistakable signature."""
    body = {
        "iss": "https://abcd.supabase.co/auth/v1",
        "sub": "7f3b",
        "aud": "authenticated",
        "role": "authenticated",
        "session_id": "0b0b3c6e-5f0e-4a7c-9d3a-5a5f1c2d3e4f",
        "exp": 2_000_000_000,
        "iat": 1_999_996_400,
    } | claims
    signature = base64.urlsafe_b64encode(_RANDOM.randbytes(64)).rstrip(b"=").decode()
    return f"{_part({'alg': 'ES256', 'typ': 'JWT'})}.{_part(body)}.{signature}"


def make_refresh_token() -> str:
    """A refresh token of version 1: twelve letters and digits."""
    return "".join(_RANDOM.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(11)) + "7"
