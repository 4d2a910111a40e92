"""PKCE flows: a challenge leads to a code, and the code together with its verifier to a session."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import uuid
from typing import Any

from starlette.responses import Response

from .._project.api_errors import ApiError, invalid
from .._project.go_formats import read_params
from .._project.project import Call
from .._project.store import User

#: The fields of a request that starts a flow.
PKCE_FIELDS: dict[str, type] = {"code_challenge": str, "code_challenge_method": str}
FLOW_LIFETIME = 300.0


def check_challenge(params: dict[str, Any]) -> None:
    """Refuse an incomplete or malformed PKCE challenge.

    Raises:
        ApiError: 400 ``validation_failed``.
    """
    challenge, method = params["code_challenge"], params["code_challenge_method"]
    if bool(challenge) != bool(method):
        raise invalid("PKCE flow requires code_challenge_method and code_challenge")
    if challenge and not 43 <= len(challenge) <= 128:
        raise invalid("code challenge has to be between 43 and 128 characters")
    if challenge and not re.fullmatch(r"[A-Za-z0-9._~-]+", challenge):
        raise invalid(
            "code challenge can only contain alphanumeric characters, hyphens, periods, underscores "
            "and tildes"
        )
    if method and method.lower() not in ("s256", "plain"):
        raise invalid("code challenge method is invalid")


def verifier_matches(challenge: str, method: str, verifier: str) -> bool:
    """Whether the verifier matches the challenge."""
    if method.lower() == "s256":
        digest = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
        verifier = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return secrets.compare_digest(verifier.encode("utf-8", "replace"), challenge.encode())


def new_flow(
    call: Call,
    user_id: str | None,
    params: dict[str, Any],
    amr: str,
    redirect_to: str,
    *,
    provider: str = "",
    linking: bool = False,
) -> str:
    """Store a flow, and return its id.

    Args:
        call: The request.
        user_id: The user, if known.
        params: The request's parameters, including the PKCE fields.
        amr: The authentication method.
        redirect_to: Where the browser returns to.
        provider: The provider, if any.
        linking: Whether to link the provider's account to this user.
    """
    flow_id = str(uuid.uuid4())
    values = (params["code_challenge"], params["code_challenge_method"].lower(), amr, redirect_to)
    with call.project.store.transaction() as db:
        db.execute(
            "INSERT INTO flow_states (id, user_id, challenge, method, amr, redirect_to, created_at, "
            "provider, linking) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (flow_id, user_id, *values, call.project.store.now(), provider, linking),
        )
    return flow_id


def issue_code(
    call: Call, user: User, *, kind: str = "", flow_id: str = "", tokens: dict[str, str] | None = None
) -> str:
    """Issue the code of a waiting flow."""
    code = str(uuid.uuid4())
    with call.project.store.transaction() as db:
        row = db.execute(
            "SELECT id, created_at FROM flow_states WHERE auth_code IS NULL AND challenge != '' AND "
            "(id = ? OR (user_id = ? AND amr = ?)) ORDER BY created_at DESC",
            (flow_id, user.id, kind),
        ).fetchone()
        if row is None:
            raise ApiError(404, "flow_state_not_found", "No associated flow state found")
        # The lifetime of a magic link's flow starts with its code, that of others at their start (``otp``,
        # ``recover``).
        started = call.project.store.now() if kind == "magiclink" else row[1]
        db.execute(
            "UPDATE flow_states SET auth_code = ?, user_id = ?, created_at = ?, provider_tokens = ? "
            "WHERE id = ?",
            (code, user.id, started, json.dumps(tokens or {}), row[0]),
        )
    return code


def pkce_grant(call: Call) -> Response:
    """``POST /token?grant_type=pkce``: exchange a code and its verifier for a session."""
    params = read_params(call.body, "PKCEGrantParams", {"auth_code": str, "code_verifier": str})
    if not params["auth_code"] or not params["code_verifier"]:
        raise invalid("invalid request: both auth code and code verifier should be non-empty")
    store = call.project.store
    with store.transaction() as db:
        row = db.execute(
            "SELECT id, user_id, challenge, method, amr, created_at, provider_tokens FROM flow_states "
            "WHERE auth_code = ?",
            (params["auth_code"],),
        ).fetchone()
        if row is None:
            message = "invalid flow state, no valid flow state found"
            raise ApiError(404, "flow_state_not_found", message)
        if store.now() > row[5] + FLOW_LIFETIME:
            raise ApiError(422, "flow_state_expired", "invalid flow state, flow state has expired")
        if not verifier_matches(row[2], row[3], params["code_verifier"]):
            message = "code challenge does not match previously saved code verifier"
            raise ApiError(400, "bad_code_verifier", message)
        db.execute("DELETE FROM flow_states WHERE id = ?", (row[0],))
        user = store.user(row[1])
        assert user is not None
        session = store.new_session(user, row[4])
    return call.project.session_answer(session, **json.loads(row[6]))
