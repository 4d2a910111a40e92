"""A project that answers from memory, for what is measured without a network."""

from __future__ import annotations

import base64
import json
import time
from email.utils import formatdate
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx

URL = "https://abcd.supabase.co/auth/v1"
KEY = "sb_publishable_benchmark"
REFRESH_TOKEN = "abcdefghijkl"
_RECORDED = Path(__file__).parents[1] / "tests" / "wire" / "sessions-es256.json"
_numbers = count()


@cache
def user() -> dict[str, Any]:
    """A user as the auth server describes them (recorded)."""
    scenes = json.loads(_RECORDED.read_text())
    name = "get user: valid access token"
    return next(scene["response"]["body"] for scene in scenes if scene["name"] == name)


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same answers on an event loop, where our requests to the auth server are made."""

    def __init__(self) -> None:
        self._answers = transport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._answers.handle_request(request)


def access_token() -> str:
    """A token that is valid for an hour; each call another one. The signature is made up."""
    now = int(time.time())
    claims = {
        "iss": URL,
        "sub": user()["id"],
        "aud": "authenticated",
        "exp": now + 3600,
        "iat": now,
        **{name: user()[name] for name in ("email", "phone", "app_metadata", "user_metadata")},
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}],
        "session_id": "f89d56ef-2f8c-4f6c-905d-b5f6ab348cd7",
        "is_anonymous": False,
        "jti": next(_numbers),
    }
    return ".".join(map(_segment, ({"alg": "ES256", "kid": "k", "typ": "JWT"}, claims, "s" * 60)))


_date = cache(partial(formatdate, usegmt=True))


def _segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def transport() -> httpx.MockTransport:
    """Answers with the user."""
    text = json.dumps(user()).encode()

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"content-type": "application/json", "date": _date(int(time.time()))}
        return httpx.Response(200, headers=headers, content=text)

    return httpx.MockTransport(answer)
