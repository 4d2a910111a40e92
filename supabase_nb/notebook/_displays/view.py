"""The data that displays show: plain values from a client's traits, never tokens."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from urllib.parse import urlsplit

from ..._secrets.masking import safe_text
from ..._secrets.tokens import MASK
from ...models import AuthChangeEvent, Session, Status, User, mask_email
from .._variables.calling_scope import DEFAULT_NAME
from .._variables.client_names import client_name
from ..text import WORDS

if TYPE_CHECKING:
    from ...auth import AuthClient

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+[^\s@.,;:()]")


class UserView(TypedDict):
    """The user."""

    name: str | None
    anonymous: bool
    id: str
    role: str | None
    provider: str | None
    last_sign_in: float | None
    session_id: str | None
    aal: str | None


class AppView(TypedDict):
    """An authenticator app of the user, by its factor's id."""

    id: str
    name: str | None


class SecondFactorView(TypedDict):
    """The factors that raise a session from ``aal1`` to ``aal2``: apps, or else another type."""

    apps: list[AppView]
    other: str | None


class EventView(TypedDict):
    """One event. `ago` is in seconds, so that the browser's clock doesn't matter."""

    kind: str
    ago: float
    text: str


class NoticeView(TypedDict):
    """A note. Its name determines its appearance."""

    name: str
    text: str


class View(TypedDict):
    """Everything that a display shows. Durations are in seconds, from when this was created.

    `client` is the variable that holds the client, if that isn't obvious; `option` is the same as a magic's
    option. `expires_at` and `refresh_at` are by the kernel's clock; displays compare them to see whether they
    mean the same moment. After a session has expired, `user` is still its user.
    """

    status: Status | Literal["closed"]
    host: str
    client: str | None
    option: str
    secret_key: bool
    time_left: float | None
    lifetime: float | None
    expires_at: float | None
    refresh_in: float | None
    refresh_at: float | None
    refreshable: bool
    refreshed: float | None
    user: UserView | None
    second_factor: SecondFactorView | None
    message: str | None
    notices: list[NoticeView]
    events: list[EventView]


def describe(auth: AuthClient) -> View:
    """The current state of a client."""
    now = time.time()
    session, user, error = auth.session, auth.user or auth.last_user, auth.last_error
    due = None if auth.closed else auth.next_refresh_at
    client = client_name(auth)
    events = auth.events
    refreshed = [event.time for event in events if event.kind == AuthChangeEvent.TOKEN_REFRESHED]
    view: View = {
        "status": "closed" if auth.closed else auth.status,
        "host": urlsplit(auth.url).netloc.rpartition("@")[2],
        "client": client,
        "option": f" --name {client}" if client and client != DEFAULT_NAME else "",
        "secret_key": auth.uses_secret_key,
        "time_left": auth.time_left() if session else None,
        "lifetime": session.lifetime if session else None,
        "expires_at": session.expires_at if session else None,
        "refresh_in": due - now if due is not None else None,
        "refresh_at": due,
        "refreshable": bool(session and session.refresh_token),
        "refreshed": refreshed[-1] if refreshed else None,
        "user": _user(user, session) if user else None,
        "second_factor": _second_factor(session) if session else None,
        "message": error.message if error and not auth.closed else None,
        "notices": [{"name": getattr(text, "name", ""), "text": text} for text in auth.notices],
        "events": [
            {"kind": str(event.kind), "ago": now - event.time, "text": _cause_text(event.cause)}
            for event in reversed(events)
        ],
    }
    # Names, metadata and messages may contain anything.
    cleaned: View = _redact(view)
    return cleaned


def _redact(value: Any, longest: int = 400) -> Any:
    if isinstance(value, str):
        return safe_text(value, longest)
    if isinstance(value, dict):
        return {key: _redact(item, 100 if key == "user" else longest) for key, item in value.items()}
    return [_redact(item, longest) for item in value] if isinstance(value, list) else value


def _cause_text(cause: str) -> str:
    return WORDS.get(f"cause.{cause}") or cause[:1].upper() + cause[1:]


def masked(view: View) -> View:
    """The same for saving in a notebook, without full email, phone or id."""
    user, view = view["user"], {**view, "second_factor": None}
    notices: list[NoticeView] = [
        {**notice, "text": _EMAIL.sub(lambda found: mask_email(found[0]), notice["text"])}
        for notice in view["notices"]
    ]
    if user is None:
        return {**view, "notices": notices}
    name = user["name"]
    if name:
        name = mask_email(name) if "@" in name else MASK + name[-2:]
    session_id = user["session_id"]
    return {
        **view,
        "notices": notices,
        "user": {
            **user,
            "name": name,
            "id": shorten(user["id"]),
            "session_id": shorten(session_id) if session_id else None,
        },
    }


def shorten(identifier: str) -> str:
    """The first eight characters of an id: enough to tell sessions apart."""
    return identifier if len(identifier) <= 9 else f"{identifier[:8]}…"


def _user(user: User, session: Session | None) -> UserView:
    claims = session.claims if session else {}
    return {
        "name": user.email or user.phone,
        "anonymous": user.is_anonymous,
        "id": user.id,
        "role": user.role or _text(claims.get("role")),
        "provider": _text(user.app_metadata.get("provider")),
        "last_sign_in": user.last_sign_in_at.timestamp() if user.last_sign_in_at else None,
        "session_id": session.session_id if session else None,
        "aal": _text(claims.get("aal")),
    }


def _second_factor(session: Session) -> SecondFactorView | None:
    """The factors that the session's user data contains. Sends no request."""
    verified = [factor for factor in session.user.factors if factor.status == "verified"]
    if not verified or session.claims.get("aal") != "aal1":
        return None
    apps: list[AppView] = [
        {"id": factor.id, "name": factor.friendly_name} for factor in verified if factor.factor_type == "totp"
    ]
    return {"apps": apps, "other": None if apps else verified[0].factor_type}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
