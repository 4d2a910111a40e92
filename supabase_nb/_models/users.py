"""User, UserResponse, UserIdentity, Factor: the auth server's data about a user."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._secrets import masking, tokens
from .base import (
    FrozenDict,
    ModelDump,
    mapping,
    optional_text,
    optional_time,
    text,
    time,
)

# Fields of supabase_auth's User: the times, and all fields in order.
_TIMES = frozenset(
    {
        "confirmation_sent_at",
        "recovery_sent_at",
        "email_change_sent_at",
        "invited_at",
        "created_at",
        "confirmed_at",
        "email_confirmed_at",
        "phone_confirmed_at",
        "last_sign_in_at",
        "updated_at",
    }
)
_USER_FIELDS = (
    *("id", "app_metadata", "user_metadata", "aud", "confirmation_sent_at", "recovery_sent_at"),
    *("email_change_sent_at", "new_email", "new_phone", "invited_at", "action_link", "email", "phone"),
    *("created_at", "confirmed_at", "email_confirmed_at", "phone_confirmed_at", "last_sign_in_at", "role"),
    *("updated_at", "identities", "is_anonymous", "is_sso_user", "factors", "deleted_at", "banned_until"),
)
_FLAGS = ("is_anonymous", "is_sso_user")
_IDENTITY_FIELDS = (
    *("id", "identity_id", "user_id", "identity_data", "provider"),
    *("created_at", "last_sign_in_at", "updated_at"),
)
_FACTOR_FIELDS = ("id", "friendly_name", "phone", "factor_type", "status", "created_at", "updated_at")


def _dump(wire: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: optional_time(wire, name) if name in _TIMES else wire.get(name) for name in names}


class UserIdentity(FrozenDict, ModelDump):
    """An account that a user signs in with: an email address, or an account of a provider.

    This is the server's JSON object, with attributes for the usual fields. It is read-only.

    Source: ``UserIdentity`` of supabase_auth.

    Example:
        ``user.identities[0].provider`` or ``user.identities[0]["provider"]``
    """

    @property
    def id(self) -> str:
        """The user's id at the provider."""
        return optional_text(self, "id") or ""

    @property
    def identity_id(self) -> str:
        """The auth server's id of this identity."""
        return optional_text(self, "identity_id") or ""

    @property
    def user_id(self) -> str:
        """The id of the user."""
        return optional_text(self, "user_id") or ""

    @property
    def identity_data(self) -> Mapping[str, Any]:
        """The provider's data about the user."""
        value = self.get("identity_data")
        return value if isinstance(value, Mapping) else {}

    @property
    def provider(self) -> str:
        """The provider: ``"email"``, ``"github"`` and so on."""
        return optional_text(self, "provider") or ""

    @property
    def created_at(self) -> datetime | None:
        """When it was added."""
        return optional_time(self, "created_at")

    @property
    def last_sign_in_at(self) -> datetime | None:
        """When it was last used."""
        return optional_time(self, "last_sign_in_at")

    @property
    def updated_at(self) -> datetime | None:
        """When it was last changed."""
        return optional_time(self, "updated_at")

    def _fields(self) -> Mapping[str, Any]:
        return _dump(self, _IDENTITY_FIELDS)


class Factor(FrozenDict, ModelDump):
    """A user's second factor. This is the server's JSON object, with attributes. It is read-only.

    Source: ``Factor`` of supabase_auth.

    Example:
        ``[factor.friendly_name for factor in user.factors if factor.status == "verified"]``
    """

    @property
    def id(self) -> str:
        """The factor's id."""
        return optional_text(self, "id") or ""

    @property
    def friendly_name(self) -> str | None:
        """The user's name for it."""
        return optional_text(self, "friendly_name")

    @property
    def phone(self) -> str | None:
        """The phone number, for the type ``"phone"``."""
        return optional_text(self, "phone")

    @property
    def factor_type(self) -> str:
        """The type: ``"totp"`` or ``"phone"``."""
        return optional_text(self, "factor_type") or ""

    @property
    def status(self) -> str:
        """``"verified"`` or ``"unverified"``."""
        return optional_text(self, "status") or ""

    @property
    def created_at(self) -> datetime | None:
        """When it was added."""
        return optional_time(self, "created_at")

    @property
    def updated_at(self) -> datetime | None:
        """When it was last changed."""
        return optional_time(self, "updated_at")

    def _fields(self) -> Mapping[str, Any]:
        return _dump(self, _FACTOR_FIELDS)


@dataclass(frozen=True, repr=False, eq=False)
class User(ModelDump):
    """A user of the project. Times are in UTC.

    Unknown fields are kept in `to_wire`. `model_dump` has supabase_auth's fields.
    """

    id: str
    aud: str | None
    role: str | None
    email: str | None
    phone: str | None
    is_anonymous: bool
    app_metadata: Mapping[str, Any]
    user_metadata: Mapping[str, Any]
    identities: tuple[UserIdentity, ...]
    factors: tuple[Factor, ...]
    created_at: datetime | None
    updated_at: datetime | None
    last_sign_in_at: datetime | None
    email_confirmed_at: datetime | None
    phone_confirmed_at: datetime | None
    confirmed_at: datetime | None
    confirmation_sent_at: datetime | None
    recovery_sent_at: datetime | None
    email_change_sent_at: datetime | None
    invited_at: datetime | None
    new_email: str | None
    new_phone: str | None
    action_link: str | None
    is_sso_user: bool
    deleted_at: str | None
    banned_until: str | None
    _wire: Mapping[str, Any]

    @classmethod
    def from_wire(cls, wire: object) -> User:
        """Parse the server's JSON.

        Raises:
            ValueError: The object is not a user: it has no ``id``, or fields of the wrong type.
        """
        return cls(**_read(wire))

    def to_wire(self) -> dict[str, Any]:
        """The server's JSON, including unknown fields."""
        copied: dict[str, Any] = json.loads(json.dumps(self._wire))
        return copied

    def _fields(self) -> Mapping[str, Any]:
        fields = _dump(self._wire, _USER_FIELDS)
        fields |= {name: self._wire.get(name) is True for name in _FLAGS}
        fields |= {name: dict(self._wire.get(name) or {}) for name in ("app_metadata", "user_metadata")}
        for name, values in (("identities", self.identities), ("factors", self.factors)):
            fields[name] = None if self._wire.get(name) is None else values
        return fields

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
        return f"User(id={masking.safe_text(self.id, 100)!r}, {who or ''})"


class UserResponse(User):
    """What `AuthClient.get_user` returns: the user, which is also its ``.user``, as in supabase_auth.

    Its dump is the same as supabase_auth's: ``{"user": {...}}``.

    Source: ``UserResponse`` of supabase_auth.

    Example:
        ``supabase.auth.get_user().user.email`` or ``supabase.auth.get_user().email``
    """

    @classmethod
    def of(cls, user: User) -> UserResponse:
        """A response with this user."""
        return cls(**user.__dict__)

    @property
    def user(self) -> User:
        """The user."""
        return User(**self.__dict__)

    def _fields(self) -> Mapping[str, Any]:
        return {"user": self.user}


def _read(wire: object) -> dict[str, Any]:
    if not isinstance(wire, Mapping):
        raise ValueError("a user is not an object")
    if not text(wire, "id"):
        raise ValueError("a user has no id")
    identities = wire.get("identities") or []
    if not isinstance(identities, (list, tuple)) or not all(isinstance(item, Mapping) for item in identities):
        raise ValueError("identities is not a list of objects")
    factors = wire.get("factors")
    factors = factors if isinstance(factors, (list, tuple)) else []
    needed = ("created_at", "updated_at", "last_sign_in_at", "email_confirmed_at", "phone_confirmed_at")
    return {
        **{name: text(wire, name) for name in ("id", "aud", "role", "email", "phone")},
        **{name: wire.get(name) is True for name in _FLAGS},
        **{name: mapping(wire, name) for name in ("app_metadata", "user_metadata")},
        "identities": tuple(UserIdentity(item) for item in identities),
        "factors": tuple(Factor(item) for item in factors if isinstance(item, Mapping)),
        **{name: (time if name in needed else optional_time)(wire, name) for name in _TIMES},
        **{
            name: optional_text(wire, name)
            for name in ("new_email", "new_phone", "action_link", "deleted_at", "banned_until")
        },
        "_wire": FrozenDict(wire),
    }


def mask_email(email: str) -> str:
    """Shorten an address to ``a•••@example.com``, for output that is saved with a notebook."""
    name, at, host = email.rpartition("@")
    return masking.safe_text(f"{name[:1]}{tokens.MASK}{at}{host}", 100)
