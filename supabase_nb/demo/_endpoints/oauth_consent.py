"""A user's consent for a client of the OAuth server, and the demo's page for it."""

from __future__ import annotations

import base64
import html
import json
import secrets
import uuid
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.responses import Response

from .._project.api_errors import ApiError, answer, invalid
from .._project.go_formats import read_params
from .._project.project import Call
from .._project.store import User
from .oauth_clients import client_details, find_client, is_uuid, require_enabled
from .page_layout import html_page
from .redirects import redirect, with_query

#: Lifetime of an authorization and its code, in seconds.
LIFETIME = 600.0
_SCOPES = ("openid", "profile", "email", "phone", "offline_access")
_ASKED = ("redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method")


def authorize(call: Call) -> Response:
    """``GET /oauth/authorize``: redirect to the consent page."""
    require_enabled(call)
    client_id, target = call.query("client_id"), call.query("redirect_uri")
    if not client_id:
        raise invalid("client_id is required")
    if not is_uuid(client_id):
        raise ApiError(400, "oauth_client_not_found", "invalid client_id format")
    found = find_client(call, client_id)
    if found is None:
        raise ApiError(400, "oauth_client_not_found", "invalid client_id")
    if not target:
        raise invalid("redirect_uri is required")
    if target not in found[0]["redirect_uris"]:  # exactly, including the port
        raise invalid("invalid redirect_uri")
    asked = {name: call.query(name) for name in _ASKED}
    asked["scope"] = asked["scope"] or "email"
    problem = _problem(call, asked)
    if problem:
        told = {"error": "invalid_request", "error_description": problem, "state": asked["state"]}
        return redirect(with_query(target, {name: text for name, text in told.items() if text}), 302)
    authorization_id = base64.b32encode(secrets.token_bytes(20)).decode().lower()
    with call.project.store.transaction() as db:
        db.execute(
            "INSERT INTO oauth_authorizations VALUES (?, ?, NULL, ?, 'pending', NULL, ?)",
            (authorization_id, client_id, json.dumps(asked), call.project.store.now()),
        )
    site = call.project.options.site_url
    page = f"{site}/oauth/consent" if site else f"{call.project.url}/demo/consent"
    return redirect(f"{page}?authorization_id={authorization_id}", 302)


def _problem(call: Call, asked: dict[str, str]) -> str:
    """Why the client's request is refused, for its ``redirect_uri``."""
    if call.query("response_type") != "code":
        return "only response_type=code is supported"
    unknown = [scope for scope in asked["scope"].split() if scope not in _SCOPES]
    if unknown:
        return f"unsupported scope: {unknown[0]}"
    if not asked["code_challenge"] or not asked["code_challenge_method"]:
        return "PKCE flow requires both code_challenge and code_challenge_method"
    if asked["code_challenge_method"].lower() not in ("s256", "plain"):
        return "code_challenge_method must be 'S256' or 'plain'"
    if not 43 <= len(asked["code_challenge"]) <= 128:
        return "code_challenge must be between 43 and 128 characters"
    if urlsplit(call.query("resource")).query:
        return "resource must not include a query component"
    return ""


def _not_found() -> ApiError:
    return ApiError(404, "oauth_authorization_not_found", "authorization not found")


def _row(call: Call, authorization_id: str) -> Any:
    with call.project.store.transaction() as db:
        row = db.execute(
            "SELECT a.client_id, a.user_id, a.params, a.status, a.created_at, c.doc "
            "FROM oauth_authorizations a JOIN oauth_clients c ON c.id = a.client_id WHERE a.id = ?",
            (authorization_id,),
        ).fetchone()
    if row is None or call.project.store.now() > row[4] + LIFETIME:
        raise _not_found()
    return row


def read(call: Call) -> Response:
    """``GET /oauth/authorizations/{authorization_id}``: the request, which is then bound to the user."""
    user, _ = call.project.require_user(call.request)
    return answer(_read(call, user, call.request.path_params["authorization_id"]))


def _read(call: Call, user: User, authorization_id: str) -> dict[str, Any]:
    row = _row(call, authorization_id)
    client_id, owner, asked, status = row[0], row[1], json.loads(row[2]), row[3]
    if owner not in (None, user.id):
        raise _not_found()
    if status != "pending":
        raise invalid("authorization request cannot be processed")
    with call.project.store.transaction() as db:
        update = "UPDATE oauth_authorizations SET user_id = ? WHERE id = ?"
        db.execute(update, (user.id, authorization_id))
        consent = db.execute(
            "SELECT scope FROM oauth_consents WHERE user_id = ? AND client_id = ?", (user.id, client_id)
        ).fetchone()
    if consent and set(asked["scope"].split()) <= set(consent[0].split()):
        return {"redirect_url": _decide(call, user, authorization_id, approved=True)}
    return {
        "authorization_id": authorization_id,
        "redirect_uri": asked["redirect_uri"],
        "client": client_details(json.loads(row[5])),
        "user": {"id": user.id, "email": user.email},
        "scope": asked["scope"],
    }


def consent(call: Call) -> Response:
    """``POST /oauth/authorizations/{authorization_id}/consent``: ``approve`` or ``deny``."""
    user, _ = call.project.require_user(call.request)
    action = read_params(call.body, "ConsentParams", {"action": str})["action"]
    if action not in ("approve", "deny"):
        raise invalid("action must be 'approve' or 'deny'")
    found = _decide(call, user, call.request.path_params["authorization_id"], approved=action == "approve")
    return answer({"redirect_url": found})


def _decide(call: Call, user: User, authorization_id: str, *, approved: bool) -> str:
    """Where to redirect the browser, with a code or an error."""
    row = _row(call, authorization_id)
    client_id, owner, asked, status = row[0], row[1], json.loads(row[2]), row[3]
    if owner != user.id:
        raise _not_found()
    if status != "pending":
        raise invalid("authorization request is no longer pending")
    state = {"state": asked["state"]} if asked["state"] else {}
    code = str(uuid.uuid4()) if approved else None
    with call.project.store.transaction() as db:
        update = "UPDATE oauth_authorizations SET status = ?, code = ? WHERE id = ?"
        db.execute(update, ("approved" if approved else "denied", code, authorization_id))
        if code is None:
            refusal = {"error": "access_denied", "error_description": "User denied the request"}
            return with_query(asked["redirect_uri"], {**refusal, **state})
        before = db.execute(
            "SELECT scope FROM oauth_consents WHERE user_id = ? AND client_id = ?", (user.id, client_id)
        ).fetchone()
        scopes = dict.fromkeys([*(before[0] if before else "").split(), *asked["scope"].split()])
        db.execute(
            "INSERT INTO oauth_consents VALUES (?, ?, ?, ?) ON CONFLICT(user_id, client_id) "
            "DO UPDATE SET scope = excluded.scope",
            (user.id, client_id, " ".join(scopes), call.project.store.now()),
        )
    return with_query(asked["redirect_uri"], {"code": code, **state})


# -- the demo's page ---------------------------------------------------------------------------------------


def page(call: Call) -> Response:
    """``GET /demo/consent``: the consent page."""
    authorization_id = call.query("authorization_id")
    row = _row(call, authorization_id)
    name = html.escape(json.loads(row[5]).get("client_name") or "A client")
    users, _ = call.project.store.users(1, 20)

    def entry(user: User, action: str) -> str:
        query = {"authorization_id": authorization_id, "user": user.id, "action": action}
        address = html.escape(f"/demo/consent/decide?{urlencode(query)}")
        return f'<a href="{address}">{action}</a>'

    rows = [
        f"<li>{html.escape(user.email)}: {entry(user, 'approve')} {entry(user, 'deny')}</li>"
        for user in reversed(users)
        if user.email
    ]
    return html_page(
        "Demo consent",
        f"<h1>{name} asks for access</h1><p>Scope: {html.escape(json.loads(row[2])['scope'])}</p>"
        f"<ul>{''.join(rows)}</ul>",
    )


def decide(call: Call) -> Response:
    """``GET /demo/consent/decide``: a link on the consent page."""
    user, authorization_id = call.project.store.user(call.query("user")), call.query("authorization_id")
    if user is None:
        raise _not_found()
    found = _read(call, user, authorization_id).get("redirect_url")
    approved = call.query("action") == "approve"
    return redirect(found or _decide(call, user, authorization_id, approved=approved), 302)
