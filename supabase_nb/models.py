"""Session, User, AuthResponse, AuthEvent: immutable values that know their wire form and hide tokens."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from . import redaction, tokens
from .tokens import Secret

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

Status = Literal["signed_out", "restoring", "active", "refreshing", "retrying", "expired"]
STATUSES: tuple[Status, ...] = ("signed_out", "restoring", "active", "refreshing", "retrying", "expired")


class AuthChangeEvent(str, Enum):
    """What happened to a session; the names that Supabase's clients share."""

    INITIAL_SESSION = "INITIAL_SESSION"
    SIGNED_IN = "SIGNED_IN"
    SIGNED_OUT = "SIGNED_OUT"
    TOKEN_REFRESHED = "TOKEN_REFRESHED"
    USER_UPDATED = "USER_UPDATED"
    PASSWORD_RECOVERY = "PASSWORD_RECOVERY"

    __str__ = str.__str__


class FrozenDict(dict[str, Any]):
    """A JSON object that is read only at its top level."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("this is what the auth server said: read only")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}


#: Fields of a user that are times.
_TIMES = ("created_at", "updated_at", "last_sign_in_at", "email_confirmed_at", "phone_confirmed_at")


def _text(wire: Mapping[str, Any], name: str) -> str | None:
    value = wire.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return value or None


def _mapping(wire: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = wire.get(name) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is not an object")
    return FrozenDict(value)


def _time(wire: Mapping[str, Any], name: str) -> datetime | None:
    value = _text(wire, name)
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        pass
    # The server writes `Z` and nanoseconds; Python 3.10 reads neither.
    short = re.sub(r"(\.\d{6})\d+", r"\1", value).replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(re.sub(r"\.(\d{1,5})(?=[+-])", lambda m: f".{m[1]:0<6}", short))
    except ValueError:
        return None


@dataclass(frozen=True, repr=False, eq=False)
class User:
    """A user of the project, as the auth server describes them.

    Unknown fields are kept: `to_wire` gives back all that came.
    """

    id: str
    aud: str | None
    role: str | None
    email: str | None
    phone: str | None
    is_anonymous: bool
    app_metadata: Mapping[str, Any]
    user_metadata: Mapping[str, Any]
    identities: tuple[Mapping[str, Any], ...]
    created_at: datetime | None
    updated_at: datetime | None
    last_sign_in_at: datetime | None
    email_confirmed_at: datetime | None
    phone_confirmed_at: datetime | None
    _wire: Mapping[str, Any]

    @classmethod
    def from_wire(cls, wire: object) -> User:
        """Read the server's JSON.

        Raises:
            ValueError: This is not a user: no ``id``, or fields of the wrong type.
        """
        if not isinstance(wire, Mapping):
            raise ValueError("a user is not an object")
        user_id = _text(wire, "id")
        if not user_id:
            raise ValueError("a user has no id")
        identities = wire.get("identities") or []
        if not isinstance(identities, (list, tuple)) or not all(
            isinstance(item, Mapping) for item in identities
        ):
            raise ValueError("identities is not a list of objects")
        return cls(
            id=user_id,
            aud=_text(wire, "aud"),
            role=_text(wire, "role"),
            email=_text(wire, "email"),
            phone=_text(wire, "phone"),
            is_anonymous=wire.get("is_anonymous") is True,
            app_metadata=_mapping(wire, "app_metadata"),
            user_metadata=_mapping(wire, "user_metadata"),
            identities=tuple(FrozenDict(item) for item in identities),
            created_at=_time(wire, "created_at"),
            updated_at=_time(wire, "updated_at"),
            last_sign_in_at=_time(wire, "last_sign_in_at"),
            email_confirmed_at=_time(wire, "email_confirmed_at"),
            phone_confirmed_at=_time(wire, "phone_confirmed_at"),
            _wire=FrozenDict(wire),
        )

    def to_wire(self) -> dict[str, Any]:
        """The server's JSON, unknown fields included."""
        return copy.deepcopy(dict(self._wire))

    @property
    def user(self) -> User:
        """Itself: supabase-py's `get_user` returns a response that has a user."""
        return self

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """A dictionary, as supabase-py's user gives it.

        Args:
            mode: ``"python"``: times are `datetime`; ``"json"``: they are texts, as the server sent them.

        Example:
            ``supabase.auth.get_user().model_dump()["email"]``
        """
        found = self.to_wire()
        if mode == "python":
            for name in _TIMES:
                if found.get(name) is not None:
                    found[name] = getattr(self, name)
        return found

    def model_dump_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.model_dump(mode="json"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, User) and self._wire == other._wire

    def __hash__(self) -> int:
        return hash(self.id)

    def __deepcopy__(self, memo: object) -> User:
        return self

    def __repr__(self) -> str:
        who = (
            mask_email(self.email)
            if self.email
            else "anonymous"
            if self.is_anonymous
            else self.phone and tokens.MASK
        )
        return f"User(id={tokens.shown(self.id, 100)!r}, {who or ''})"


def mask_email(email: str) -> str:
    """``a•••@example.com``: for what may be saved with a notebook."""
    name, at, host = email.rpartition("@")
    return tokens.shown(f"{name[:1]}{tokens.MASK}{at}{host}", 100)


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Session:
    """An access token, its refresh token, and whose they are.

    Args:
        access_token: The JWT that requests carry.
        refresh_token: What is exchanged for the next pair; may be empty.
        expires_at: Expiry in Unix seconds, by the server's clock.
        expires_in: Lifetime in seconds, counted from when the session came.
        token_type: ``"bearer"``.
        user: Whose session it is.
        extra: Unknown fields of the wire form; kept and given back. Hidden, since they may be secrets.
    """

    _access_token: Secret
    _refresh_token: Secret
    expires_at: int
    expires_in: int
    token_type: str
    user: User
    _extra: _Hidden = field(compare=False)
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
        redaction.remember(access_token, refresh_token)
        claims = tokens.read_claims(access_token) if _claims is None else _claims
        fields = {
            "_access_token": access_token,
            "_refresh_token": refresh_token,
            "expires_at": int(min(expires_at, 2**53)),
            "expires_in": int(min(expires_in, 2**53)),
            "token_type": token_type,
            "user": user,
            "_extra": _Hidden(extra or {}),
            "_claims": FrozenDict(claims or {}),
        }
        self.__dict__.update(fields)

    @property
    def access_token(self) -> str:
        """The JWT that requests carry. A secret: don't print it."""
        return self._access_token.reveal()

    @property
    def refresh_token(self) -> str:
        """What is exchanged for the next pair. A secret: don't print it."""
        return self._refresh_token.reveal()

    @property
    def claims(self) -> Mapping[str, Any]:
        """The access token's claims, unverified (`AuthClient.get_claims` verifies)."""
        return self._claims

    @property
    def session_id(self) -> str | None:
        """The server's id of this session: the same through all rotations."""
        return tokens.text_claim(self._claims, "session_id") or tokens.session_id_of(self._refresh_token)

    @property
    def issued_at(self) -> float | None:
        """When the access token was issued, in Unix seconds of the server's clock."""
        return tokens.number(self._claims, "iat")

    @property
    def lifetime(self) -> float:
        """How long the access token lives in all, in seconds."""
        issued = self.issued_at
        return max(self.expires_at - issued, 0.0) if issued is not None else float(self.expires_in)

    @classmethod
    def from_wire(cls, wire: object, *, now: float | None = None) -> Session:
        """Read the JSON that the server sends and that auth-js and supabase-py store.

        Args:
            wire: The JSON object.
            now: The server's time in Unix seconds; needed when the object says only ``expires_in``.

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
            token_type=_text(wire, "token_type") or "bearer",
            user=User.from_wire(wire.get("user")),
            extra={name: value for name, value in wire.items() if name not in known},
            _claims=claims,
        )

    def to_wire(self) -> dict[str, Any]:
        """The JSON that auth-js and supabase-py store. Holds both tokens: for storage, not for showing."""
        return copy.deepcopy(self._to_wire())

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """A dictionary, as supabase-py's session gives it. Holds both tokens: don't print it."""
        return {**self.to_wire(), "user": self.user.model_dump(mode=mode)}

    def model_dump_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.model_dump(mode="json"))

    def _to_wire(self) -> dict[str, Any]:
        """The same, not copied: for writing it at once."""
        return {
            **self._extra_fields(),
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "expires_in": self.expires_in,
            "expires_at": self.expires_at,
            "token_type": self.token_type,
            "user": self.user._wire,
        }

    def with_user(self, user: User) -> Session:
        """The same tokens with a fresher user."""
        return Session(
            self._access_token,
            self._refresh_token,
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
            and self._access_token == other._access_token
            and self._refresh_token == other._refresh_token
            and self.user == other.user
        )

    def __hash__(self) -> int:
        return hash((self._access_token, self._refresh_token))

    def __copy__(self) -> Session:
        return self

    def __deepcopy__(self, memo: object) -> Session:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a session is not pickled: use storage, or to_wire() where you know what you do")

    def __repr__(self) -> str:
        return f"Session({self.user!r}, expires_at={self.expires_at}, tokens={tokens.MASK})"


class _Hidden(Secret):
    """Unknown fields of a session, out of sight like a token: a provider's token is among them."""

    __slots__ = ()

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(json.dumps(dict(fields)) if fields else "")

    def fields(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.reveal())
        return loaded


@dataclass(frozen=True)
class AuthResponse:
    """What the sign-in methods return.

    ``session`` is ``None`` where the server wants a confirmation first (sign-up by e-mail).
    """

    user: User | None
    session: Session | None

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """Both as dictionaries, as supabase-py's response gives them. Holds tokens: don't print it."""
        return {
            "user": self.user.model_dump(mode=mode) if self.user else None,
            "session": self.session.model_dump(mode=mode) if self.session else None,
        }


@dataclass(frozen=True)
class SessionResponse(AuthResponse):
    """What `set_session` and `refresh_session` return: there is always a session."""

    user: User
    session: Session


class Claims(FrozenDict):
    """The claims of an access token; ``claims["claims"]`` and ``claims["headers"]`` too, as in supabase-py.

    Args:
        claims: What the token says.
        headers: The token's own header: its algorithm and key.
    """

    def __init__(self, claims: Mapping[str, Any], headers: Mapping[str, Any]) -> None:
        super().__init__(claims)
        self._headers = dict(headers)

    def __missing__(self, name: str) -> Any:
        if name == "claims":
            return self
        if name == "headers":
            return dict(self._headers)
        raise KeyError(name)


@dataclass(frozen=True)
class AuthEvent:
    """One event: its kind, when it happened (Unix seconds, this machine's clock) and what caused it."""

    kind: AuthChangeEvent
    time: float
    cause: str


class Subscription:
    """A subscriber of `AuthClient.on_auth_state_change`; `unsubscribe` may be called any number of times."""

    def __init__(
        self,
        callback: AuthCallback,
        remove: Callable[[Subscription], None],
        loop: AbstractEventLoop | None = None,
    ) -> None:
        self.callback = callback
        self.loop = loop  # where a coroutine function runs
        self._remove = remove

    def unsubscribe(self) -> None:
        """Call this subscriber no more."""
        self._remove(self)


AuthCallback = Callable[[AuthChangeEvent, "Session | None"], object]
