"""The accounts that a user signs in with: finding, linking and unlinking them (``identities``)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from .._project.api_errors import ApiError, answer
from .._project.go_formats import rfc3339
from .._project.project import Call
from .._project.store import User
from .factors import path_uuid


@dataclass(frozen=True)
class Account:
    """A user's account at a provider.

    Args:
        provider: The provider's name.
        data: What the provider says: ``sub``, ``email``, ``email_verified``, ``name``…
    """

    provider: str
    data: dict[str, Any]

    @property
    def email(self) -> str:
        """The address, in lower case."""
        return str(self.data["email"]).lower()


def _owner(call: Call, account: Account) -> User | None:
    """The user of this account, if known."""
    with call.project.store.transaction() as db:
        row = db.execute(
            "SELECT users.id FROM users, json_each(users.doc, '$.identities') AS i "
            "WHERE json_extract(i.value, '$.provider') = ? AND json_extract(i.value, '$.id') = ?",
            (account.provider, account.data["sub"]),
        ).fetchone()
    return call.project.store.user(row[0]) if row else None


def _add(call: Call, user: User, account: Account, *, first: bool = False) -> None:
    now = call.project.store.now()
    identity = {
        "identity_id": str(uuid.uuid4()),
        "id": account.data["sub"],
        "user_id": user.id,
        "identity_data": dict(sorted(account.data.items())),
        "provider": account.provider,
        "last_sign_in_at": rfc3339(now, 9),
        "created_at": rfc3339(now),
        "updated_at": rfc3339(now),
        "email": account.email,
    }
    known = user.doc["identities"]
    user.doc["identities"] = [identity, *known] if first else [*known, identity]
    _note_providers(user)


def _note_providers(user: User) -> None:
    """Update the providers in ``app_metadata``."""
    named = list(dict.fromkeys(identity["provider"] for identity in user.doc["identities"]))
    metadata = user.doc["app_metadata"]
    known = [name for name in metadata.get("providers", []) if name in named]
    providers = [*known, *(name for name in named if name not in known)]
    user.doc["app_metadata"] = {**metadata, "provider": providers[0], "providers": providers}


def sign_in_as(call: Call, account: Account, *, now: bool = False) -> User:
    """The user of an account: known, found by a verified address, or new.

    Args:
        call: The request.
        account: The account that was used at the provider.
        now: The response shows the user as it was created, not as it is read from the database.

    Raises:
        ApiError: 422 ``signup_disabled``.
    """
    project, store = call.project, call.project.store
    user = _owner(call, account)
    if user is not None:
        for identity in user.doc["identities"]:
            if (identity["provider"], identity["id"]) == (account.provider, account.data["sub"]):
                identity["identity_data"] = dict(sorted(account.data.items()))
                identity["updated_at"] = rfc3339(store.now())
        user.doc["user_metadata"] |= account.data
        store.save_user(user)
        return user
    user = store.user_by_email(account.email) if account.data["email_verified"] else None
    if user is None:
        if project.options.disable_signup:
            raise ApiError(422, "signup_disabled", "Signups not allowed for this instance")
        if store.user_by_email(account.email):
            raise ApiError(422, "email_exists", "A user with this email address has already been registered")
        user = store.new_user(account.email, None, {})
        user.doc["app_metadata"] = {}
    _add(call, user, account, first=True)
    user.doc["user_metadata"] |= account.data
    if account.data["email_verified"]:
        project.confirm(user)
    store.save_user(user)
    saved = store.user(user.id)
    assert saved is not None
    return user if now else saved


def link(call: Call, user: User, account: Account) -> User:
    """Link an account to a user. An anonymous user becomes a permanent one.

    Raises:
        ApiError: 422 ``identity_already_exists``.
    """
    store, owner = call.project.store, _owner(call, account)
    if owner is not None:
        whom = "" if owner.id == user.id else " to another user"
        raise ApiError(422, "identity_already_exists", f"Identity is already linked{whom}")
    _add(call, user, account)
    if user.doc["is_anonymous"]:
        if store.user_by_email(account.email):
            raise ApiError(422, "email_exists", "A user with this email address has already been registered")
        user.email = user.doc["email"] = account.email
        user.doc["is_anonymous"] = False
        call.project.confirm(user)
    store.save_user(user)
    saved = store.user(user.id)
    assert saved is not None
    return saved


def unlink(call: Call) -> Response:
    """``DELETE /user/identities/{identity_id}``."""
    user, _ = call.project.require_user(call.request)
    if not call.project.options.manual_linking:
        raise ApiError(404, "manual_linking_disabled", "Manual linking is disabled")
    identity_id, identities = path_uuid(call, "identity_id"), user.doc["identities"]
    if len(identities) < 2:
        message = "User must have at least 1 identity after unlinking"
        raise ApiError(422, "single_identity_not_deletable", message)
    left = [identity for identity in identities if identity["identity_id"] != identity_id]
    if len(left) == len(identities):
        raise ApiError(422, "identity_not_found", "Identity doesn't exist")
    user.doc["identities"] = left
    _note_providers(user)
    addresses = [identity["email"] for identity in left if identity.get("email")]
    if addresses and user.email not in addresses:
        # The user gets the address of a remaining identity, and keeps the password.
        user.email = user.doc["email"] = addresses[0]
    call.project.store.save_user(user)
    return answer({})
