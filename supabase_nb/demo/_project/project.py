"""A demo project: options, keys, store, authentication of requests, issuing sessions."""

from __future__ import annotations

import json
import re
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from . import seeds
from .api_errors import ApiError, OAuthError, answer, invalid
from .go_formats import rfc3339
from .keys import BadToken, Keys
from .options import PASSWORD, Options
from .passwords import hash_password, matches
from .postgrest import Database
from .store import Exchange, Store, User

# The real server's sign-in providers. Enabled ones lead to the demo provider's page.
PROVIDERS = """
apple azure bitbucket discord facebook snapchat figma fly github gitlab google keycloak kakao linkedin
linkedin_oidc notion spotify slack slack_oidc workos twitch twitter zoom
""".split()  # noqa: SIM905
_CLIENT_REFUSALS = {
    "client_needed": "Client authentication required for OAuth session",
    "other_client": "Client does not match the session's OAuth client",
    "client_refused": "Client authentication not allowed for non-OAuth session",
}
_REFUSALS = {
    "refresh_token_not_found": "Invalid Refresh Token: Refresh Token Not Found",
    "refresh_token_already_used": "Invalid Refresh Token: Already Used",
    "session_expired": "Invalid Refresh Token: Session Expired",
    "user_banned": "Invalid Refresh Token: User Banned",
    "validation_failed": "Invalid Refresh Token: Not Issued By This Server",
}


@dataclass(frozen=True)
class Call:
    """A request with its body."""

    request: Request
    body: bytes
    prefix: str
    project: Project

    def query(self, name: str) -> str:
        """A query parameter, or an empty string."""
        return self.request.query_params.get(name, "")


class Project:
    """The state that endpoints use."""

    def __init__(self, options: Options, state_dir: Path) -> None:
        self.options = options
        self.keys = Keys(
            state_dir / "keys.json", algorithm=options.signing_alg, jwt_secret=options.jwt_secret
        )
        self.store = Store(
            state_dir / "demo.sqlite",
            token_version=options.refresh_token_version,
            reuse_interval=options.reuse_interval,
            timebox=options.timebox,
        )
        self.url = ""
        self.instance = secrets.token_urlsafe(12)
        self.stats: Counter[str] = Counter()
        self.down_until = self.last_request = time.monotonic()
        self.stop: Callable[[], None] = lambda: None
        self._buckets: dict[str, tuple[float, float]] = {}
        with self.store.transaction() as db:
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                db.execute("PRAGMA user_version = 2")
                for email, data in seeds.USERS.items():
                    user = self.store.new_user(
                        email, hash_password(PASSWORD), {}, user_id=seeds.user_id(email)
                    )
                    self.sign_up(user, dict(data))

    @cached_property
    def tables(self) -> Database:
        """The data API's tables, created on first use."""
        return seeds.tables()

    def close(self) -> None:
        """Close the databases."""
        self.store.close()
        if "tables" in vars(self):
            self.tables.close()

    @property
    def issuer(self) -> str:
        """The ``iss`` claim."""
        return self.options.issuer or f"{self.url}/auth/v1"

    @property
    def site_url(self) -> str:
        """Where links lead by default."""
        return self.options.site_url or f"{self.url}/demo/welcome"

    @property
    def providers(self) -> tuple[str, ...]:
        """The enabled sign-in providers."""
        return tuple(filter(None, self.options.providers.replace(" ", "").split(",")))

    def confirm_email(self, user: User, email: str) -> None:
        """Confirm the user's address.

        Raises:
            ApiError: 422 ``email_exists``: another user has it by now.
        """
        if self.store.user_by_email(email):
            message = "A user with this email address has already been registered"
            raise ApiError(422, "email_exists", message)
        self.change_email(user, email)
        for identity in user.doc["identities"]:
            identity["identity_data"]["email_verified"] = True
        self.confirm(user)

    def sign_up(self, user: User, data: dict[str, Any], *, confirmed: bool = True) -> None:
        """Save a new user with an email address and metadata."""
        own = {"email": user.email, "email_verified": confirmed, "phone_verified": False, "sub": user.id}
        user.doc["user_metadata"] = data | own
        self.store.add_identity(user, data)
        if confirmed:
            self.confirm(user)
        self.store.save_user(user)

    def confirm(self, user: User) -> None:
        """Mark the email address as confirmed."""
        if not user.confirmed:
            user.doc["email_confirmed_at"] = rfc3339(self.store.now(), 9)
        user.doc["user_metadata"]["email_verified"] = True

    def change_email(self, user: User, email: str) -> None:
        """Change the user's address. An anonymous user becomes a permanent one."""
        user.email = user.doc["email"] = email
        user.doc.pop("new_email", None)
        if user.doc["is_anonymous"]:
            user.doc["is_anonymous"] = (
                False  # nothing else changes: ``app_metadata`` names no provider (``recover``)
            )
            self.store.add_identity(user, {})
            user.doc["identities"][0]["last_sign_in_at"] = rfc3339(self.store.now())
        for identity in user.doc["identities"]:
            identity["email"] = identity["identity_data"]["email"] = email

    # -- authentication ------------------------------------------------------------------------------------

    def bearer(self, request: Request) -> str | None:
        """The token of the ``Authorization`` header."""
        match = re.fullmatch(r"[Bb]earer (\S+)", request.headers.get("authorization", ""))
        return match[1] if match else None

    def claims(self, token: str) -> dict[str, Any]:
        """Verify an access token, and return its claims.

        Raises:
            BadToken: It can't be verified, or `Store.expire` has expired it.
        """
        now = self.store.now()
        if secrets.compare_digest(token.encode(), self.keys.service_key.encode()):
            return {"role": "service_role"}
        claims = self.keys.verify(token, now)
        session_id, issued = claims.get("session_id"), claims.get("iat")
        session = self.store.session(session_id) if isinstance(session_id, str) else None
        if session is not None and session["expired_at"] and issued is not None:
            # Tokens have whole seconds. One that was issued in the second of the expiry is valid if its
            # session has received a newer one since.
            expired_at, issued_at = session["expired_at"], session["issued_at"]
            renewed = issued_at > expired_at and issued == int(issued_at)
            if issued <= expired_at and not renewed:
                raise BadToken("token has invalid claims: token is expired")
        return claims

    def knows_key(self, key: str) -> bool:
        """Whether this is a valid ``apikey``: a key of the project, or a token signed with its secret."""
        if key in (self.keys.anon_key, self.keys.service_key):
            return True
        try:
            return self.keys.verify(key, self.store.now()).get("role") in ("anon", "service_role")
        except BadToken:
            return False

    def within_limit(self, name: str) -> bool:
        """Take a request from a token bucket that refills in five minutes."""
        size, now = float(self.options.rate_limit), self.store.now()
        left, at = self._buckets.get(name, (size, now))
        left = min(size, left + (now - at) * size / 300)
        if len(self._buckets) > 10_000:
            self._buckets.clear()
        self._buckets[name] = (left - 1 if left >= 1 else left, now)
        return left >= 1

    def require_claims(self, request: Request) -> dict[str, Any]:
        """The claims of the request's token.

        Raises:
            ApiError: 401 ``no_authorization`` or 403 ``bad_jwt``.
        """
        token = self.bearer(request)
        if token is None:
            raise ApiError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        try:
            return self.claims(token)
        except BadToken as error:
            text = f"invalid JWT: unable to parse or verify signature, {error}"
            raise ApiError(403, "bad_jwt", text) from None

    def require_user(self, request: Request) -> tuple[User, str | None]:
        """The user and the session's id.

        Raises:
            ApiError: As recorded in ``sessions-*``, ``sign-out`` and ``users``.
        """
        claims = self.require_claims(request)
        subject, session_id = claims.get("sub"), claims.get("session_id")
        if not subject:
            raise ApiError(403, "bad_jwt", "invalid claim: missing sub claim")
        user = self.store.user(_uuid(subject, 400, "sub"))
        if user is None:
            raise ApiError(403, "user_not_found", "User from sub claim in JWT does not exist")
        if session_id:
            session_id = _uuid(session_id, 403, "session_id")
            session = self.store.session(session_id)
            if session is None or session["user_id"] != user.id:
                message = "Session from session_id claim in JWT does not exist"
                raise ApiError(403, "session_not_found", message)
        if user.banned(self.store.now()):
            raise ApiError(403, "user_banned", "User is banned")
        return user, session_id or None

    def at_aal2(self, session_id: str | None) -> bool:
        """Whether the session's user has verified a second factor in it."""
        session = self.store.session(session_id or "")
        return session is not None and assurance_level(json.loads(session["amr"])) == "aal2"

    def require_admin(self, request: Request) -> None:
        """Refuse everyone except the service role.

        Raises:
            ApiError: 403 ``not_admin``, or as `require_claims`.
        """
        if self.require_claims(request).get("role") not in ("service_role", "supabase_admin"):
            raise ApiError(403, "not_admin", "User not allowed")

    # -- sessions ------------------------------------------------------------------------------------------

    def session_body(self, given: Exchange) -> tuple[dict[str, Any], dict[str, str]]:
        """The JSON and headers of a response with a new session.

        Raises:
            ApiError: The refresh token was refused.
        """
        headers: dict[str, str] = {}
        if given.user is not None:
            headers["sb-auth-user-id"] = given.user.id
        if given.session_id is not None:
            headers["sb-auth-session-id"] = given.session_id
        if given.code in _CLIENT_REFUSALS:
            raise OAuthError("invalid_client", _CLIENT_REFUSALS[given.code], headers=headers)
        if given.code is not None:
            raise ApiError(400, given.code, _REFUSALS[given.code], headers=headers)
        assert given.user is not None
        assert given.session_id is not None
        if len(given.refresh_token) == 12:
            headers["sb-auth-refresh-token-prefix"] = given.refresh_token[:5]
        lifetime, now = self.options.access_token_lifetime, self.store.now()
        self.store.issued(given.session_id, now)
        session, user = self.store.session(given.session_id), given.user.wire()
        assert session is not None
        amr = json.loads(session["amr"])
        of_client = {name: session[name] for name in ("client_id", "scope") if session[name]}
        claims = {
            "iss": self.issuer,
            "sub": user["id"],
            "aud": user["aud"],
            "exp": int(now) + lifetime,
            "iat": int(now),
            **{name: user[name] for name in ("email", "phone", "app_metadata", "user_metadata", "role")},
            "aal": assurance_level(amr),
            "amr": amr,
            "session_id": given.session_id,
            "is_anonymous": user["is_anonymous"],
            **of_client,
        }
        body = {
            "access_token": self.keys.sign(claims),
            "token_type": "bearer",
            "expires_in": lifetime,
            "expires_at": claims["exp"],
            "refresh_token": given.refresh_token,
            "user": user,
        }
        return body, headers

    def session_answer(self, given: Exchange, **extra: Any) -> Response:
        """The response with a new session."""
        body, headers = self.session_body(given)
        return answer(body | extra, 200, headers)


def assurance_level(amr: list[dict[str, Any]]) -> str:
    """The assurance level for these authentication methods."""
    return "aal2" if any(entry["method"] == "totp" for entry in amr) else "aal1"


def _uuid(value: Any, status: int, claim: str) -> str:
    try:
        return str(uuid.UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise ApiError(status, "bad_jwt", f"invalid claim: {claim} claim must be a UUID") from None


def password_matches(user: User, password: str) -> bool:
    """Whether this is the user's password."""
    return matches(user.password, password)


def check_email(email: str) -> str:
    """The address in lower case.

    Raises:
        ApiError: 400 ``validation_failed``.
    """
    if len(email) > 255 or not re.fullmatch(
        r"[^\s@<>\"(),:;\\\[\]\x00]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", email
    ):
        raise invalid("Unable to validate email address: invalid format")
    return email.lower()


def check_phone(phone: str) -> str:
    """The number without its plus sign.

    Raises:
        ApiError: 400 ``validation_failed``.
    """
    if not re.fullmatch(r"\+?[1-9][0-9]{1,14}", phone, re.ASCII):
        raise invalid("Invalid phone number format (E.164 required)")
    return phone.removeprefix("+")


def check_password(password: str) -> None:
    """Refuse a weak password.

    Raises:
        ApiError: 422 ``weak_password``.
    """
    if len(password) < 6:
        message = "Password should be at least 6 characters."
        raise ApiError(422, "weak_password", message, weak_password={"reasons": ["length"]})
    if len(password.encode("utf-8", "replace")) > 72:
        raise invalid("Password cannot be longer than 72 characters")


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Metadata after a change. A key with ``null`` is removed."""
    return {key: value for key, value in (old | new).items() if value is not None}
