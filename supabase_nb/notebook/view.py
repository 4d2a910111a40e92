"""What a display shows of a client: plain values read from its traits, never a token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from urllib.parse import urlsplit

from ..models import AuthChangeEvent, Session, Status, User, mask_email
from ..redaction import shown
from ..tokens import MASK

if TYPE_CHECKING:
    from ..auth import AuthClient


class UserView(TypedDict):
    """Who it is."""

    name: str | None
    anonymous: bool
    id: str
    role: str | None
    provider: str | None
    last_sign_in: float | None
    session_id: str | None
    aal: str | None


class EventView(TypedDict):
    """One event; `ago` in seconds, so that clocks need not agree."""

    kind: str
    ago: float
    cause: str


class View(TypedDict):
    """All that a display shows. Spans are in seconds, counted from when this was taken."""

    status: Status | Literal["closed"]
    host: str
    time_left: float | None
    lifetime: float | None
    refresh_in: float | None
    refreshable: bool
    refreshed: float | None
    user: UserView | None
    message: str | None
    notices: list[str]
    events: list[EventView]


def describe(auth: AuthClient) -> View:
    """What is known about `auth` now."""
    now = time.time()
    session, user, error = auth.session, auth.user, auth.last_error
    due = auth.next_refresh_at
    events = auth.events
    refreshed = [event.time for event in events if event.kind == AuthChangeEvent.TOKEN_REFRESHED]
    view: View = {
        "status": "closed" if auth.closed else auth.status,
        "host": urlsplit(auth.url).netloc.rpartition("@")[2],
        "time_left": auth.time_left() if session else None,
        "lifetime": session.lifetime if session else None,
        "refresh_in": due - now if due is not None and not auth.closed else None,
        "refreshable": bool(session and session.refresh_token),
        "refreshed": refreshed[-1] if refreshed else None,
        "user": _user(user, session) if user else None,
        "message": error.message if error and not auth.closed else None,
        "notices": list(auth.notices),
        "events": [
            {"kind": str(event.kind), "ago": now - event.time, "cause": event.cause}
            for event in reversed(events)
        ],
    }
    # Names, metadata and messages are what others wrote.
    cleaned: View = _cleaned(view)
    return cleaned


def _cleaned(value: Any, longest: int = 400) -> Any:
    if isinstance(value, str):
        return shown(value, longest)
    if isinstance(value, dict):
        return {key: _cleaned(item, 100 if key == "user" else longest) for key, item in value.items()}
    return [_cleaned(item, longest) for item in value] if isinstance(value, list) else value


def masked(view: View) -> View:
    """The same, fit to be saved in a notebook: no full e-mail, phone or id."""
    user = view["user"]
    if user is None:
        return view
    name = user["name"]
    if name:
        name = mask_email(name) if "@" in name else MASK + name[-2:]
    session_id = user["session_id"]
    return {
        **view,
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


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
