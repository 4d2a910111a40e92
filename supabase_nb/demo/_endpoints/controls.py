"""Controls for tests: outage, expiry, clock, keys, statistics, outbox, stop."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from starlette.responses import Response

from .._project.api_errors import answer, invalid
from .._project.go_formats import read_json
from .._project.project import Call
from .page_layout import html_page


def _body(call: Call) -> dict[str, Any]:
    value = read_json(call.body) if call.body.strip() else {}
    if not isinstance(value, dict):
        raise invalid("The body must be an object")
    return value


def _seconds(body: dict[str, Any], name: str, least: float, most: float) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise invalid(f"{name} must be a number from {least:g} to {most:g}")
    return float(value)


def instance(call: Call) -> Response:
    """``GET /demo/instance``: this server's id, by which a stale state file is detected."""
    return answer({"instance": call.project.instance})


def stats(call: Call) -> Response:
    """``GET /demo/stats``: requests per endpoint and grant."""
    return answer(dict(sorted(call.project.stats.items())))


def reset_stats(call: Call) -> Response:
    """``POST /demo/stats/reset``."""
    call.project.stats.clear()
    return answer({})


def outage(call: Call) -> Response:
    """``POST /demo/outage {"seconds": n}``: answer requests outside ``/demo`` with 503; 0 ends it."""
    seconds = _seconds(_body(call), "seconds", 0, 86400)
    call.project.down_until = time.monotonic() + seconds
    return answer({"seconds": seconds})


def expire(call: Call) -> Response:
    """``POST /demo/expire {"email": …}``: expire the access tokens of this user, or of all users."""
    email, user_id = _body(call).get("email"), None
    if email is not None:
        user = call.project.store.user_by_email(email.lower()) if isinstance(email, str) else None
        if user is None:
            raise invalid("No user has this email")
        user_id = user.id
    return answer({"sessions": call.project.store.expire(user_id)})


def clock(call: Call) -> Response:
    """``POST /demo/clock {"advance": seconds}``: set the server's clock and ``Date`` header forward."""
    store = call.project.store
    offset = store.clock_offset + _seconds(_body(call), "advance", -1e8, 1e8)
    if not math.fabs(offset) <= 1e8:
        raise invalid("advance leads too far from the real time")
    store.clock_offset = offset
    return answer({"now": store.now(), "offset": offset})


def keys(call: Call) -> Response:
    """``POST /demo/keys {"do": "standby" | "rotate" | "revoke"}``, for the service role."""
    call.project.require_admin(call.request)
    try:
        call.project.keys.change(str(_body(call).get("do")))
    except ValueError as error:
        raise invalid(str(error)) from None
    return answer(call.project.keys.jwks())


def outbox(call: Call) -> Response:
    """``GET /demo/outbox?to=…``: the emails, newest last."""
    rows = call.project.store.transaction
    with rows() as db:
        mails = [json.loads(row[0]) for row in db.execute("SELECT mail FROM outbox ORDER BY id")]
    to = call.query("to")
    return answer([mail for mail in mails if not to or mail["to"] == to])


def session(call: Call) -> Response:
    """``GET /demo/session?id=…``: whether this session is still valid: neither signed out nor revoked."""
    return answer({"alive": call.project.store.alive(call.query("id"))})


def stop(call: Call) -> Response:
    """``POST /demo/stop``, for the service role: stop the server."""
    call.project.require_admin(call.request)
    call.project.stop()
    return answer({})


def welcome(call: Call) -> Response:
    """``GET /demo/welcome``: the default target of links."""
    return html_page(
        "Demo auth server",
        "<h1>Signed in</h1><p>The URL of this page contains a session of the demo server. "
        "Copy the URL and paste it into the form in your notebook.</p>",
    )
