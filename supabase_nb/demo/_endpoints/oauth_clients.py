"""Clients of the OAuth 2.1 server, and their registration (``oauth-server``)."""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response

from .._project.api_errors import ApiError, answer, invalid
from .._project.go_formats import read_json, rfc3339
from .._project.project import Call

METHODS = ("none", "client_secret_basic", "client_secret_post")
GRANTS = ["authorization_code", "refresh_token"]


def require_enabled(call: Call) -> None:
    """Refuse the request if the feature is turned off.

    Raises:
        ApiError: 404 ``feature_disabled``.
    """
    if not call.project.options.oauth_server:
        raise ApiError(404, "feature_disabled", "OAuth server is disabled")


def register(call: Call) -> Response:
    """``POST /oauth/clients/register``: register a client."""
    require_enabled(call)
    try:
        given = read_json(call.body)
    except ApiError:
        given = None
    uris = given.get("redirect_uris") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not (uris is None or isinstance(uris, list)):
        raise ApiError(400, "bad_json", "Invalid JSON body")
    if not uris:
        raise invalid("400: redirect_uris is required")
    for uri in uris:
        _check_redirect_uri(str(uri))
    method = given.get("token_endpoint_auth_method") or (
        "none" if given.get("client_type") == "public" else "client_secret_basic"
    )
    if method not in METHODS:
        raise invalid(f"400: token_endpoint_auth_method must be one of: [{' '.join(METHODS)}]")
    if any(grant not in GRANTS for grant in given.get("grant_types") or ()):
        raise invalid("400: grant_types must only contain 'authorization_code' and/or 'refresh_token'")
    kind = "public" if method == "none" else "confidential"
    if given.get("client_type") not in (None, "", kind):
        raise invalid(
            f"400: client_type '{given['client_type']}' is inconsistent with token_endpoint_auth_method "
            f"'{method}' (expected client_type '{kind}')"
        )
    client_id, now = str(uuid.uuid4()), call.project.store.now()
    secret = secrets.token_urlsafe(32) if kind == "confidential" else None
    doc = {
        "client_id": client_id,
        **({"client_secret": secret} if secret else {}),
        "client_type": kind,
        "redirect_uris": uris,
        "token_endpoint_auth_method": method,
        "grant_types": given.get("grant_types") or GRANTS,
        "response_types": ["code"],
        **{name: given[name] for name in ("client_name", "client_uri", "logo_uri") if given.get(name)},
        "registration_type": "dynamic",
        "created_at": rfc3339(now, 9),
        "updated_at": rfc3339(now),
    }
    hashed = secret and hashlib.sha256(secret.encode()).hexdigest()
    kept = {name: value for name, value in doc.items() if name != "client_secret"}
    with call.project.store.transaction() as db:
        db.execute("INSERT INTO oauth_clients VALUES (?, ?, ?)", (client_id, hashed, json.dumps(kept)))
    return answer(doc, 201)


def _check_redirect_uri(uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise invalid(f"400: invalid redirect_uri '{uri}': HTTP scheme only allowed for localhost")
    if parts.fragment:
        raise invalid(f"400: invalid redirect_uri '{uri}': fragment not allowed in redirect URI")


def find_client(call: Call, client_id: str) -> tuple[dict[str, Any], str | None] | None:
    """A client and the hash of its secret."""
    with call.project.store.transaction() as db:
        query = "SELECT doc, secret FROM oauth_clients WHERE id = ?"
        row = db.execute(query, (client_id,)).fetchone()
    return (json.loads(row[0]), row[1]) if row else None


def is_uuid(text: str) -> bool:
    """Whether this is an id in the server's format."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def client_details(client: dict[str, Any]) -> dict[str, str]:
    """A client's details, as shown to a user."""
    uri = {"uri": client["client_uri"]} if client.get("client_uri") else {}
    return {"id": client["client_id"], "name": client.get("client_name", ""), **uri}
