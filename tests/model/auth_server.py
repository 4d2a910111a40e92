"""The rules by which the auth server rotates refresh tokens, as recorded in `tests/wire/rotation*.json`."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import httpx
import made


@dataclass
class Token:
    """A version 1 refresh token."""

    text: str
    session: Session
    parent: str | None
    revoked: bool = False
    updated_at: float = 0.0


@dataclass
class Session:
    """A session: alive until signed out or, with version 2 tokens, revoked."""

    id: str
    user_id: str
    rotated_at: float
    counter: int = 0
    alive: bool = True


@dataclass
class AuthServer:
    """An auth server without a network.

    Args:
        now: Its clock, in Unix seconds.
        version: Of the refresh tokens that it gives out.
        reuse_interval: How long a used refresh token is still accepted, in seconds.
        lifetime: Of access tokens, in seconds.
    """

    now: Callable[[], float]
    version: int = 1
    reuse_interval: float = 10.0
    lifetime: int = 3600
    tokens: dict[str, Token] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    issued: set[str] = field(default_factory=set)
    #: When each user was touched last: signing in does it, and issuing a version 1 token.
    touched: dict[str, float] = field(default_factory=dict)
    #: Tells the sessions and tokens of several servers apart.
    number: int = 0
    exchanges: int = 0
    already_used: int = 0
    #: How many tokens it was sent that it never issued.
    foreign: int = 0

    # -- what is asked ------------------------------------------------------------------------------------

    def sign_in(self, user_id: str = made.USER_ID) -> dict[str, Any]:
        session = Session(
            str(uuid.UUID(int=len(self.sessions) + 1 + 1000 * self.number)), user_id, self.now()
        )
        self.sessions[session.id] = session
        self.touched[user_id] = self.now()
        token = self._signed(session) if self.version == 2 else self._next(session, None)
        return self._pair(session, token)

    def exchange(self, refresh_token: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, JSON and headers of the answer to a refresh token."""
        self.exchanges += 1
        session, token = (self._exchange_v2 if self.version == 2 else self._exchange_v1)(refresh_token)
        headers = {"sb-auth-session-id": session.id} if session else {}
        if token in ("refresh_token_already_used", "refresh_token_not_found"):
            self.already_used += token == "refresh_token_already_used"
            return 400, {"code": token, "message": "Invalid Refresh Token"}, headers
        assert session is not None
        return 200, self._pair(session, token), headers

    def session_of(self, access_token: str) -> Session | None:
        """The session that an access token is good for now."""
        claims = json.loads(base64.urlsafe_b64decode(access_token.split(".")[1] + "=="))
        session = self.sessions[claims["session_id"]]
        return session if session.alive and claims["exp"] > self.now() else None

    def answer(self, request: httpx.Request) -> httpx.Response:
        """For `httpx.MockTransport`."""
        if request.url.params.get("grant_type") == "password":
            user = json.loads(request.content).get("email")
            return httpx.Response(200, json=self.sign_in(user) if user else self.sign_in())
        if request.url.path.endswith("/token"):
            status, body, headers = self.exchange(json.loads(request.content)["refresh_token"])
            return httpx.Response(status, json=body, headers=headers)
        access_token = request.headers["authorization"].removeprefix("Bearer ")
        if access_token not in self.issued:
            self.foreign += 1
            return httpx.Response(
                403, json={"code": "bad_jwt", "message": "invalid JWT: signature is invalid"}
            )
        session = self.session_of(access_token)
        if session is None:
            claims = json.loads(base64.urlsafe_b64decode(access_token.split(".")[1] + "=="))
            gone = not self.sessions[claims["session_id"]].alive
            body = {
                "code": "session_not_found" if gone else "bad_jwt",
                "message": "Session from session_id claim in JWT does not exist"
                if gone
                else "invalid JWT: token is expired",
            }
            return httpx.Response(403, json=body)
        if request.url.path.endswith("/logout"):
            scope = request.url.params["scope"]
            for other in self.sessions.values():
                if other is session or (scope == "global" and other.user_id == session.user_id):
                    other.alive = False
            return httpx.Response(204)
        return httpx.Response(200, json=self.user(session.user_id))

    def user(self, user_id: str) -> dict[str, Any]:
        """A user, as answers show them."""
        touched = datetime.fromtimestamp(self.touched[user_id], timezone.utc)
        return made.user(user_id, updated_at=touched.isoformat().replace("+00:00", "Z"))

    # -- the rules ----------------------------------------------------------------------------------------

    def _exchange_v1(self, text: str) -> tuple[Session | None, str]:
        token = self.tokens.get(text)
        self.foreign += token is None
        if token is None or not token.session.alive:
            return None, "refresh_token_not_found"
        session = token.session
        if token.revoked:
            family = [other for other in self.tokens.values() if other.session is session]
            active = [other for other in family if not other.revoked]
            # Family 1 and 3: the parent of the active token may come again at any time.
            if active and active[-1].parent == text:
                return session, active[-1].text
            # Family 4: an ancestor after the reuse interval, and the whole family is revoked...
            if self.now() > token.updated_at + self.reuse_interval:
                for other in active:
                    other.revoked, other.updated_at = True, self.now()
                return session, "refresh_token_already_used"
            # ... but inside the interval any ancestor is taken: family 2, and family 4's last active token.
        token.revoked, token.updated_at = True, self.now()
        return session, self._next(session, text)

    def _exchange_v2(self, text: str) -> tuple[Session | None, str]:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        session = self.sessions.get(str(uuid.UUID(bytes=data[1:17])))
        if session is None:
            self.foreign += 1
            return None, "refresh_token_not_found"
        if not session.alive:
            return None, "refresh_token_not_found"
        counter = 0
        for position, byte in enumerate(data[17:-20]):
            counter |= (byte & 0x7F) << (7 * position)
        behind = session.counter - counter
        if behind > 1 and not self.now() - session.rotated_at < self.reuse_interval:
            session.alive = False
            return session, "refresh_token_already_used"
        session.rotated_at, session.counter = self.now(), session.counter + (behind == 0)
        return session, self._signed(session)

    def _next(self, session: Session, parent: str | None) -> str:
        text = f"t{self.number}{len(self.tokens):010d}"
        self.tokens[text] = Token(text, session, parent)
        self.touched[session.user_id] = self.now()
        return text

    def _signed(self, session: Session) -> str:
        varint, counter = b"", session.counter
        while counter > 0x7F:
            varint, counter = varint + bytes([counter & 0x7F | 0x80]), counter >> 7
        data = b"\0" + uuid.UUID(session.id).bytes + varint + bytes([counter])
        data += hashlib.sha256(data).digest()[:16]  # in place of the signature
        data += hashlib.sha256(data).digest()[:4]
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def _pair(self, session: Session, refresh_token: str) -> dict[str, Any]:
        # Issued in the same second, an access token is the same to the byte.
        issued = int(self.now())
        claims = {
            "sub": session.user_id,
            "session_id": session.id,
            "iat": issued,
            "exp": issued + self.lifetime,
        }
        access_token = made.jwt(claims)
        self.issued.add(access_token)
        return {
            "access_token": access_token,
            "refresh_token": refresh_token,
            "token_type": "bearer",
            "expires_in": self.lifetime,
            "expires_at": issued + self.lifetime,
            "user": self.user(session.user_id),
        }
