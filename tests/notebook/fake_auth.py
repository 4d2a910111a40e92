"""A client with an AuthClient's traits, which a test sets directly: no server, no thread, no clock."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import traitlets

from supabase_nb.errors import AuthError
from supabase_nb.models import STATUSES, AuthChangeEvent, AuthEvent, Session, User

REFRESH_TOKEN = "refresh-token-of-the-fake"


def jwt(**claims: Any) -> str:
    def segment(value: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{segment({'alg': 'none'})}.{segment(claims)}.signature-of-the-fake"


def make_user(**fields: Any) -> User:
    wire = {
        "id": "4f6a52c1-93c4-4c5f-9d7f-2c6f2f0f7c11",
        "aud": "authenticated",
        "role": "authenticated",
        "email": "ada.lovelace@example.com",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "last_sign_in_at": "2026-02-11T09:30:12.123456789Z",
    }
    return User.from_wire({**wire, **fields})


def make_session(user: User, *, left: float = 3000.0, lifetime: float = 3600.0, **claims: Any) -> Session:
    expires_at = int(time.time() + left)
    token = jwt(
        sub=user.id,
        role="authenticated",
        session_id="c0ffee00-5e55-4a0b-8f3e-0123456789ab",
        iat=expires_at - lifetime,
        exp=expires_at,
        **{"aal": "aal1", **claims},
    )
    return Session(token, REFRESH_TOKEN, expires_at=expires_at, expires_in=lifetime, user=user)


class FakeAuth(traitlets.HasTraits):
    url = "https://abcd.supabase.co/auth/v1"

    session = traitlets.Instance(Session, allow_none=True)
    user = traitlets.Instance(User, allow_none=True)
    status = traitlets.Enum(STATUSES, default_value="signed_out")
    last_event = traitlets.Instance(AuthEvent, allow_none=True)
    last_error = traitlets.Instance(AuthError, allow_none=True)
    next_refresh_at = traitlets.Float(None, allow_none=True)
    notices = traitlets.Tuple(())
    closed = traitlets.Bool(False)
    last_user: User | None = None
    uses_secret_key = False

    def __init__(self) -> None:
        super().__init__()
        self.events: tuple[AuthEvent, ...] = ()
        #: What was asked, and from which thread.
        self.asked: list[tuple[str, str]] = []
        #: Raised by the next wish.
        self.fails: BaseException | None = None
        #: A wish waits for this one.
        self.go_on = threading.Event()
        self.go_on.set()

    def _run(self, make: Any) -> Any:
        raise AuthError("There is no server behind this.")

    def time_left(self) -> float | None:
        return self.session.expires_at - time.time() if self.session else None

    def happen(self, kind: str, cause: str = "test", ago: float = 0.0) -> None:
        event = AuthEvent(AuthChangeEvent(kind), time.time() - ago, cause)
        self.events = (*self.events, event)[-20:]
        self.last_event = event

    def sign_in(self, *, left: float = 3000.0, lifetime: float = 3600.0, **user: Any) -> None:
        self.user = self.last_user = make_user(**user)
        self.session = make_session(self.user, left=left, lifetime=lifetime)
        self.next_refresh_at = time.time() + left - min(60, lifetime / 5)
        self.last_error = None
        self.status = "active"
        self.happen("SIGNED_IN", "signed in with a password")

    def refresh_session(self) -> None:
        self._wish("refresh_session")
        assert self.user is not None
        self.status = "refreshing"
        self.session = make_session(self.user)
        self.next_refresh_at = time.time() + 3540
        self.status = "active"
        self.happen("TOKEN_REFRESHED", "refreshed")

    def sign_out(self, scope: str = "global") -> None:
        self._wish(f"sign_out({scope})")
        self.session = self.user = self.last_user = self.next_refresh_at = None
        self.status = "signed_out"
        self.happen("SIGNED_OUT", "signed out")

    def _wish(self, name: str) -> None:
        self.asked.append((name, threading.current_thread().name))
        assert self.go_on.wait(20)
        if self.fails is not None:
            failure, self.fails = self.fails, None
            raise failure


def enact(auth: FakeAuth, status: str) -> FakeAuth:
    """Bring a fake into one of the six states, as the real client would leave it."""
    if status == "signed_out":
        auth.sign_in()
        auth.sign_out()
        return auth
    auth.sign_in()
    auth.events = ()
    auth.happen("SIGNED_IN", "found in storage", ago=4210)
    auth.happen("TOKEN_REFRESHED", "refreshed automatically", ago=600)
    if status == "retrying":
        auth.last_error = AuthError("abcd.supabase.co could not be reached.", status=503)
        auth.next_refresh_at = time.time() + 24
        auth.session = make_session(auth.user, left=312)
    elif status == "expired":
        auth.last_error = AuthError(
            "Invalid Refresh Token: Already Used. Sign in again, or restore a session from newer tokens.",
            code="refresh_token_already_used",
        )
        auth.session = auth.next_refresh_at = None
        auth.user = None
        auth.happen("SIGNED_OUT", "refresh_token_already_used")
    auth.status = status
    return auth
