"""DemoServer: a running embedded server, its URLs and keys, and requests to it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._secrets import private_files
from ._project.options import PASSWORD


class DemoServerError(Exception):
    """The embedded server can't be started, or rejected a request."""


@dataclass(frozen=True)
class DemoServer:
    """A running embedded server.

    Attributes:
        url: The project's URL, ``http://127.0.0.1:PORT``.
        auth_url: Its auth server, ``url + "/auth/v1"``.
        anon_key: The public key, which clients send as ``apikey``.
        service_key: The key of the service role, which bypasses Row Level Security.
        pid: The id of its process.
        port: Its port on 127.0.0.1.
        state_dir: Its state folder.
        instance: A random name of this run.
        options: Its options, without secrets.
    """

    url: str
    auth_url: str
    anon_key: str
    service_key: str = field(repr=False)
    pid: int
    port: int
    state_dir: Path
    instance: str = field(default="", repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def request(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, timeout: float = 10
    ) -> Any:
        """Send a request to the server.

        Args:
            method: ``GET``, ``POST``, …
            path: The path below `url`, such as ``/auth/v1/user``.
            body: Sent as JSON.
            token: For the ``Authorization`` header.
            timeout: Seconds.

        Returns:
            The response's JSON, or None.

        Raises:
            DemoServerError: The server rejected the request, or isn't running.
        """
        headers = {"X-Supabase-Api-Version": "2024-01-01", "apikey": self.anon_key}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body)
        status, text = self._exchange(method, path, data, headers, timeout)
        with contextlib.suppress(ValueError):
            answer = json.loads(text) if text else None
            if status < 400:
                return answer
            if isinstance(answer, dict):
                texts = (answer.get(name) for name in ("message", "msg", "error_description"))
                why = next(filter(None, texts), None)
                raise DemoServerError(f"{method} {path.partition('?')[0]}: {status} {why}")
        raise DemoServerError(f"{method} {path.partition('?')[0]}: {status}")

    def _exchange(
        self, method: str, path: str, data: str | None, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes]:
        """Send a request. Returns the response's status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            try:
                connection.request(method, path, data, headers)
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                raise DemoServerError(
                    f"no response from the demo server at {self.url}: start it with supabase-nb serve"
                ) from error

    def sign_in(self, email: str = "ada@example.com", password: str = PASSWORD) -> dict[str, Any]:
        """A new session as the server sends it: ``access_token``, ``refresh_token``, ``user``."""
        body = {"email": email, "password": password}
        session: dict[str, Any] = self.request("POST", "/auth/v1/token?grant_type=password", body)
        return session

    def copied_tokens(self, email: str = "ada@example.com") -> tuple[str, str]:
        """An access token and its refresh token, as if copied from an app once.

        They are the same each time, even if the session has been refreshed since, and new ones once it has
        been signed out. So a notebook with "yesterday's tokens" can be run again and again.
        """
        kept = self.state_dir / f"copied-{email}.json"
        try:
            pair = json.loads(kept.read_text("utf-8"))
            if self.request("GET", f"/demo/session?id={pair['session_id']}")["alive"]:
                return pair["access_token"], pair["refresh_token"]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not copied yet, or by another version
        session = self.sign_in(email)
        claims = json.loads(base64.urlsafe_b64decode(session["access_token"].split(".")[1] + "=="))
        pair = {name: session[name] for name in ("access_token", "refresh_token")}
        private_files.replace(kept, json.dumps({**pair, "session_id": claims["session_id"]}).encode())
        return pair["access_token"], pair["refresh_token"]

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request as the service role. ``path`` is below ``/auth/v1/admin``, such as ``/users``."""
        return self.request(method, f"/auth/v1/admin{path}", body, token=self.service_key)

    def outage(self, seconds: float) -> None:
        """Answer all requests with 503 for this long; 0 ends it."""
        self.request("POST", "/demo/outage", {"seconds": seconds})

    def expire(self, email: str | None = None) -> None:
        """Expire the access tokens of this user, or of all users."""
        self.request("POST", "/demo/expire", {"email": email})

    def advance(self, seconds: float) -> None:
        """Set the server's clock forward (its ``Date`` header, expiry, reuse interval)."""
        self.request("POST", "/demo/clock", {"advance": seconds})

    def rotate_keys(self, what: str = "rotate") -> None:
        """Change the signing keys: ``standby``, ``rotate`` or ``revoke``."""
        self.request("POST", "/demo/keys", {"do": what}, token=self.service_key)

    def stats(self) -> dict[str, int]:
        """The number of requests to each endpoint and grant, such as ``{"token.refresh_token": 3}``."""
        counts: dict[str, int] = self.request("GET", "/demo/stats")
        return counts

    def reset_stats(self) -> None:
        """Reset the counts to zero."""
        self.request("POST", "/demo/stats/reset")

    def outbox(self, to: str | None = None) -> list[dict[str, Any]]:
        """The emails to this address, or all of them, newest last. They aren't actually sent."""
        mails: list[dict[str, Any]] = self.request("GET", "/demo/outbox")
        return [mail for mail in mails if to is None or mail["to"] == to]

    def totp_codes(self, email: str | None = None) -> list[dict[str, Any]]:
        """The current codes of authenticator apps: ``factor_id``, ``email``, ``friendly_name``, ``code``."""
        codes: list[dict[str, Any]] = self.request("GET", "/demo/totp")
        return [code for code in codes if email is None or code["email"] == email]

    def id_token(self, email: str = "ada@example.com", **claims: Any) -> str:
        """An ID token of the demo provider.

        Args:
            email: The user's address.
            **claims: More claims: ``nonce``, ``exp``, ``aud``…
        """
        asked = {"email": email, **claims}
        found = self.request("POST", "/demo/id_token", asked, token=self.service_key)
        return str(found["id_token"])

    def to_state(self) -> dict[str, Any]:
        """The contents of the state file."""
        names = ("url", "anon_key", "service_key", "pid", "port", "instance")
        return {name: getattr(self, name) for name in names} | {"options": dict(self.options)}
