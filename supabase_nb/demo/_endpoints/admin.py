"""Endpoints for the service role: users, bans, links."""

from __future__ import annotations

import re
import uuid
from typing import Any

from starlette.responses import Response

from .._project.api_errors import ApiError, answer, invalid
from .._project.go_formats import read_params, rfc3339
from .._project.passwords import hash_password
from .._project.project import Call, check_email, check_password, merged
from .._project.store import User
from .one_time_codes import new_link
from .redirects import redirect_target

_FIELDS: dict[str, type] = {
    **dict.fromkeys(("id", "email", "phone", "password", "role", "ban_duration"), str),
    **{"email_confirm": bool, "user_metadata": dict, "app_metadata": dict},
}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}


def users(call: Call) -> Response:
    """``GET /admin/users?page=&per_page=``: users, newest first."""
    call.project.require_admin(call.request)
    page, per_page = (_positive(call, name, default) for name, default in (("page", 1), ("per_page", 50)))
    found, total = call.project.store.users(page, per_page)
    pages = max(1, -(-total // per_page))
    here = f"{call.project.url}{call.prefix}/admin/users?per_page={per_page}&page="
    links = [f'<{here}{page + 1}>; rel="next"'] if page < pages else []
    links.append(f'<{here}{pages}>; rel="last"')
    body = {"users": [user.wire() for user in found], "aud": "authenticated"}
    return answer(body, 200, {"x-total-count": str(total), "link": ", ".join(links)})


def _positive(call: Call, name: str, default: int) -> int:
    text = call.query(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise invalid(f'Bad Pagination Parameters: strconv.ParseUint: parsing "{text[:20]}": invalid syntax')
    return max(1, int(text))


def create_user(call: Call) -> Response:
    """``POST /admin/users``."""
    project, store = call.project, call.project.store
    project.require_admin(call.request)
    params = read_params(call.body, "AdminUserParams", _FIELDS)
    if not params["email"]:
        raise invalid("Cannot create a user without either an email or phone")
    email, user_id = check_email(params["email"]), None
    if store.user_by_email(email):
        _email_taken()
    if params["id"]:
        user_id = _user_id(params["id"], "ID must conform to the uuid v4 format", 400)
        if store.user(user_id):
            raise ApiError(422, "user_already_exists", "User with this ID already exists")
    user = store.new_user(email, None, {}, user_id=user_id)
    store.add_identity(user, {})
    _apply(call, user, params | {"email": ""})
    return answer(user.wire())


def _email_taken() -> None:
    message = "A user with this email address has already been registered"
    raise ApiError(422, "email_exists", message)


def _apply(call: Call, user: User, params: dict[str, Any]) -> None:
    """Apply the given changes and save the user."""
    project, email = call.project, params["email"] and check_email(params["email"])
    if email and email != user.email:
        if project.store.user_by_email(email):
            _email_taken()
        project.change_email(user, email)
    if params["password"]:
        check_password(params["password"])
        user.password = hash_password(params["password"])
    if params["role"]:
        user.doc["role"] = params["role"]
    for name in ("app_metadata", "user_metadata"):
        user.doc[name] = merged(user.doc[name], params[name])
    if params["email_confirm"]:
        project.confirm(user)
    if params["ban_duration"]:
        user.doc.pop("banned_until", None)
        if params["ban_duration"] != "none":
            until = project.store.now() + _seconds(params["ban_duration"])
            user.doc["banned_until"] = rfc3339(until, 9)
    project.store.save_user(user)


def _seconds(duration: str) -> float:
    """A duration in Go's format: ``24h``, ``1h30m``."""
    parts = re.findall(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|h|m|s)", duration, re.ASCII)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != duration or seconds > 1e10:
        raise invalid(f'invalid format for ban duration: time: invalid duration "{duration[:40]}"')
    return seconds


def _user_id(text: str, message: str, status: int) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ApiError(status, "validation_failed", message) from None


def _named(call: Call) -> User:
    call.project.require_admin(call.request)
    user_id = _user_id(call.request.path_params["user_id"], "user_id must be an UUID", 404)
    user = call.project.store.user(user_id)
    if user is None:
        raise ApiError(404, "user_not_found", "User not found")
    return user


def get_user(call: Call) -> Response:
    """``GET /admin/users/{user_id}``."""
    return answer(_named(call).wire())


def update_user(call: Call) -> Response:
    """``PUT /admin/users/{user_id}``."""
    user = _named(call)
    _apply(call, user, read_params(call.body, "AdminUserParams", _FIELDS))
    return answer(user.wire())


def delete_user(call: Call) -> Response:
    """``DELETE /admin/users/{user_id}``."""
    call.project.store.delete_user(_named(call).id)
    return answer({})


def generate_link(call: Call) -> Response:
    """``POST /admin/generate_link``: the link of an email, without sending it."""
    project, store = call.project, call.project.store
    project.require_admin(call.request)
    names = ("type", "email", "new_email", "password", "redirect_to")
    params = read_params(call.body, "GenerateLinkParams", {**dict.fromkeys(names, str), "data": dict})
    kind, email = params["type"], check_email(params["email"])
    if kind not in ("signup", "invite", "magiclink", "recovery", "email_change_current", "email_change_new"):
        raise invalid("Invalid email action link type requested: " + kind[:40])
    user, to = store.user_by_email(email), email
    with store.transaction():
        if kind in ("signup", "invite") and user is not None and user.confirmed:
            _email_taken()
        if user is None:
            if kind not in ("signup", "invite", "magiclink"):
                raise ApiError(404, "user_not_found", "User with this email not found")
            if kind == "signup" and not params["password"]:
                raise invalid("Signup requires a valid password")
            user = store.new_user(
                email, hash_password(params["password"]) if params["password"] else None, {}
            )
            user.doc["user_metadata"] = params["data"]
            store.add_identity(user, {})
            kind = "signup" if kind == "magiclink" else kind
        if kind == "invite":
            user.doc["invited_at"] = rfc3339(store.now(), 9)
        if kind.startswith("email_change"):
            user.doc["new_email"] = check_email(params["new_email"])
            to = user.doc["new_email"] if kind == "email_change_new" else email
        target = redirect_target(call, params["redirect_to"] or call.query("redirect_to"))
        link = new_link(call, user, kind, target, email=to)
    return answer(user.wire() | link)
