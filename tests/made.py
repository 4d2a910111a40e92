"""Tokens and responses for tests. None is valid anywhere."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import httpx

USER_ID = "1c687efe-a0f3-4e4c-b66e-a726b6bd728c"
SESSION_ID = "e6d9321c-6520-41f9-bda6-c8064d60fca5"


def segment(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(payload: object = None, **claims: Any) -> str:
    """A token with these claims (or any payload), and an invalid signature."""
    if payload is None:
        now = int(time.time())
        payload = {"sub": USER_ID, "session_id": SESSION_ID, "iat": now, "exp": now + 3600, **claims}
    return ".".join([segment({"alg": "ES256", "typ": "JWT"}), segment(payload), segment(b"signature")])


def expired(**claims: Any) -> str:
    now = int(time.time())
    return jwt(**{"iat": now - 7200, "exp": now - 3600, **claims})


def user(user_id: str = USER_ID, **fields: Any) -> dict[str, Any]:
    return {
        "id": user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "email": "ada@example.com",
        **fields,
    }


def session(refresh_token: str = "abcdefghijkl", user_id: str = USER_ID, **claims: Any) -> dict[str, Any]:
    token = jwt(**{"sub": user_id, **claims})
    return {
        "access_token": token,
        "refresh_token": refresh_token,
        "token_type": "bearer",
        "expires_in": 3600,
        "expires_at": int(time.time()) + 3600,
        "user": user(user_id),
    }


class Answers(httpx.MockTransport):
    """A transport that answers from a table of ``"METHOD /path"``, and remembers what was asked.

    A value is a `httpx.Response`, an exception to raise, a JSON value, or a function of the request.
    """

    def __init__(self, **table: Any) -> None:
        self.table: dict[str, Any] = table
        self.asked: list[httpx.Request] = []
        super().__init__(self._answer)

    def __setitem__(self, path: str, answer: Any) -> None:
        self.table[path] = answer

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.table[f"{request.method} {request.url.path}"]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, BaseException) or (
            isinstance(answer, type) and issubclass(answer, BaseException)
        ):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return httpx.Response(200, json=answer)

    def count(self, path: str) -> int:
        return sum(f"{request.method} {request.url.path}" == path for request in self.asked)


def refusal(status: int, code: str, message: str = "refused", **headers: str) -> httpx.Response:
    """The server's newer error shape."""
    return httpx.Response(
        status, json={"code": code, "message": message}, headers={"x-sb-error-code": code, **headers}
    )
