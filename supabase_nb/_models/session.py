"""A session, and what the sign-in methods return."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .._secrets import masking, tokens
from .._secrets.tokens import Secret
from .base import FrozenDict, ModelDump, optional_text, text
from .users import User


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Session(ModelDump):
    """An access token, its refresh token and the user.

    Args:
        access_token: The JWT that requests carry.
        refresh_token: Exchanged for the next tokens; may be empty.
        expires_at: Expiry in Unix seconds, by the server's clock.
        expires_in: Lifetime in seconds, from when the session was received.
        token_type: ``"bearer"``.
        user: The user.
        extra: Unknown fields of the server's JSON, which are kept. Hidden, because they may be secrets.

    Attributes:
        access_secret: The access token as a value that hides itself in ``repr``, logs and tracebacks.
        refresh_secret: The same for the refresh token.
        session_id: The server's id of this session, which stays the same when tokens are refreshed.
        issued_at: When the access token was issued, in Unix seconds of the server's clock.
    """

    access_secret: Secret
    refresh_secret: Secret
    expires_at: int
    expires_in: int
    token_type: str
    user: User
    session_id: str | None
    issued_at: float | None
    _extra: _SecretFields = field(compare=False)
    _claims: Mapping[str, Any] = field(compare=False)

    def __init__(
        self,
        access_token: str | Secret,
        refresh_token: str | Secret,
        *,
        expires_at: float,
        expires_in: float,
        user: User,
        token_type: str = "bearer",
        extra: Mapping[str, Any] | None = None,
        _claims: Mapping[str, Any] | None = None,
    ) -> None:
        access_token, refresh_token = Secret(access_token), Secret(refresh_token)
        masking.remember(access_token, refresh_token)
        claims = tokens.read_claims(access_token) if _claims is None else _claims
        fields = {
            "access_secret": access_token,
            "refresh_secret": refresh_token,
            "expires_at": int(min(expires_at, 2**53)),
            "expires_in": int(min(expires_in, 2**53)),
            "token_type": token_type,
            "user": user,
            "session_id": tokens.session_id(claims, refresh_token),
            "issued_at": tokens.number(claims, "iat"),
            "_extra": _SecretFields(extra or {}),
            "_claims": FrozenDict(claims or {}),
        }
        self.__dict__.update(fields)

    @property
    def access_token(self) -> str:
        """The JWT that requests carry. A secret: don't print it."""
        return self.access_secret.reveal()

    @property
    def refresh_token(self) -> str:
        """The token that is exchanged for the next tokens. A secret: don't print it."""
        return self.refresh_secret.reveal()

    @property
    def provider_token(self) -> str | None:
        """The provider's token, after a sign-in with GitHub, Google… A secret: don't print it."""
        return optional_text(self._extra_fields(), "provider_token")

    @property
    def provider_refresh_token(self) -> str | None:
        """The provider's refresh token. A secret: don't print it."""
        return optional_text(self._extra_fields(), "provider_refresh_token")

    @property
    def claims(self) -> Mapping[str, Any]:
        """The access token's claims, unverified (`AuthClient.get_claims` verifies)."""
        return self._claims

    @property
    def lifetime(self) -> float:
        """The access token's whole lifetime in seconds."""
        if self.issued_at is None:
            return float(self.expires_in)
        return max(self.expires_at - self.issued_at, 0.0)

    @classmethod
    def from_wire(cls, wire: object, *, now: float | None = None) -> Session:
        """Parse the JSON that the server sends and that auth-js and supabase-py store.

        Args:
            wire: The JSON object.
            now: The server's time in Unix seconds; needed if the object has only ``expires_in``.

        Raises:
            ValueError: This is not a session: tokens or the user are missing or of the wrong type.
        """
        if not isinstance(wire, Mapping):
            raise ValueError("a session is not an object")
        access_token, refresh_token = (
            tokens.clean(wire.get("access_token")),
            tokens.clean(wire.get("refresh_token")),
        )
        if not tokens.is_jwt(access_token):
            raise ValueError("a session has no access token")
        if refresh_token and not tokens.is_opaque(refresh_token):
            raise ValueError("a session's refresh token is not one")
        expires_in = tokens.number(wire, "expires_in")
        claims = tokens.read_claims(access_token)
        expires_at = tokens.expiry(claims)
        if expires_at is None:
            expires_at = tokens.number(wire, "expires_at")
        if expires_at is None and now is not None and expires_in is not None:
            expires_at = now + expires_in
        if expires_at is None:
            raise ValueError("a session does not say when it expires")
        known = {"access_token", "refresh_token", "expires_at", "expires_in", "token_type", "user"}
        return cls(
            access_token,
            refresh_token,
            expires_at=expires_at,
            expires_in=expires_in if expires_in is not None else 0,
            token_type=text(wire, "token_type") or "bearer",
            user=User.from_wire(wire.get("user")),
            extra={name: value for name, value in wire.items() if name not in known},
            _claims=claims,
        )

    def to_wire(self) -> dict[str, Any]:
        """The JSON that auth-js and supabase-py store. Contains both tokens: don't print it."""
        return {
            **self._extra_fields(),
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "expires_in": self.expires_in,
            "expires_at": self.expires_at,
            "token_type": self.token_type,
            "user": self.user.to_wire(),
        }

    def _fields(self) -> Mapping[str, Any]:
        names = ("access_token", "refresh_token", "expires_in", "expires_at", "token_type", "user")
        secrets = ("provider_token", "provider_refresh_token")
        return {name: getattr(self, name) for name in (*secrets, *names)}

    def with_user(self, user: User) -> Session:
        """The same tokens with a newer user."""
        return Session(
            self.access_secret,
            self.refresh_secret,
            expires_at=self.expires_at,
            expires_in=self.expires_in,
            token_type=self.token_type,
            user=user,
            extra=self._extra_fields(),
            _claims=self._claims,
        )

    def _extra_fields(self) -> dict[str, Any]:
        return self._extra.fields() if self._extra else {}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Session)
            and self.access_secret == other.access_secret
            and self.refresh_secret == other.refresh_secret
            and self.user == other.user
        )

    def __hash__(self) -> int:
        return hash((self.access_secret, self.refresh_secret))

    def __copy__(self) -> Session:
        return self

    def __deepcopy__(self, memo: object) -> Session:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a session can't be pickled: use a storage, or to_wire() if you need its tokens")

    def __repr__(self) -> str:
        return f"Session({self.user!r}, expires_at={self.expires_at}, tokens={tokens.MASK})"


class _SecretFields(Secret):
    """Unknown fields of a session, hidden because they can contain a provider's token."""

    __slots__ = ()

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(json.dumps(dict(fields)) if fields else "")

    def fields(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.reveal())
        return loaded


@dataclass(frozen=True)
class AuthResponse(ModelDump):
    """What the sign-in methods return.

    ``session`` is ``None`` if the server requires a confirmation first (sign-up by email).
    """

    user: User | None
    session: Session | None

    def _fields(self) -> Mapping[str, Any]:
        return {"user": self.user, "session": self.session}


@dataclass(frozen=True)
class SessionResponse(AuthResponse):
    """An `AuthResponse` that always has a user and a session, as from `AuthClient.set_session`.

    Example:
        ``supabase.auth.set_session(at, rt).session.expires_at``: Unix seconds, by the server's clock.
    """

    user: User
    session: Session


@dataclass(frozen=True)
class AuthOtpResponse(AuthResponse):
    """What `sign_in_with_otp` returns. User and session are ``None``; you get them with the code.

    Args:
        message_id: The SMS provider's id of the message; ``None`` for an email.

    Source: ``AuthOtpResponse`` of supabase_auth.

    Example:
        ``supabase.auth.sign_in_with_otp(phone="+15550100").message_id``
    """

    user: None = field(default=None, init=False)
    session: None = field(default=None, init=False)
    message_id: str | None = None

    def _fields(self) -> Mapping[str, Any]:
        return {**super()._fields(), "message_id": self.message_id}
