"""The auth server's errors, in all of its formats, and JSON responses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

API_VERSION = "2024-01-01"


class ApiError(Exception):
    """An error, with the auth server's own text (``tests/wire``)."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers, self.extra = dict(headers or {}), extra

    def response(self, api_version: str | None) -> Response:
        """The response. Without the version header, errors have an older format (``sessions-es256``)."""
        headers = dict(self.headers)
        if self.code != "weak_password":  # the real server leaves it out in this case
            headers["x-sb-error-code"] = self.code
        body: dict[str, Any] = {"code": self.status, "error_code": self.code, "msg": self.message}
        if _is_current(api_version):
            headers["x-supabase-api-version"] = API_VERSION
            body = {"code": self.code, "message": self.message}
        return answer(body | self.extra, self.status, headers)


def _is_current(api_version: str | None) -> bool:
    given = api_version is not None and re.fullmatch(r"\d{4}-\d\d-\d\d", api_version)
    return bool(given) and str(api_version) >= API_VERSION


class OAuthError(ApiError):
    """An error in OAuth 2's format, which ``/token`` uses besides the other two (``id-token``)."""

    def __init__(self, error: str, description: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(400, error, description, headers=headers)

    def response(self, api_version: str | None) -> Response:
        """The response: the same body for every version, without the header for the error code."""
        version = {"x-supabase-api-version": API_VERSION} if _is_current(api_version) else {}
        body = {"error": self.code, "error_description": self.message}
        return answer(body, self.status, {**self.headers, **version})


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status, headers, media_type="application/json")


def invalid(message: str) -> ApiError:
    """The error for most malformed requests."""
    return ApiError(400, "validation_failed", message)
