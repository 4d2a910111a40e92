"""The project as an OAuth 2.1 server: discovery, tokens, grants (``oauth-server``)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from .._project.api_errors import ApiError, OAuthError, answer, invalid
from .._project.go_formats import from_rfc3339, read_json, rfc3339
from .._project.project import Call
from .._project.store import User
from .auth import check_refresh_token
from .oauth_clients import GRANTS, METHODS, client_details, find_client, is_uuid, require_enabled
from .oauth_consent import LIFETIME
from .pkce import verifier_matches

_SCOPES = ["openid", "profile", "email", "phone", "offline_access"]
_CLAIMS = """
sub aud iss exp iat auth_time nonce email email_verified phone_number phone_number_verified name picture
preferred_username updated_at
""".split()  # noqa: SIM905


def discovery(call: Call) -> Response:
    """``GET /.well-known/oauth-authorization-server``."""
    require_enabled(call)
    return openid_configuration(call)


def openid_configuration(call: Call) -> Response:
    """``GET /.well-known/openid-configuration``: available even if the feature is turned off."""
    base = call.project.issuer
    registration = {"registration_endpoint": f"{base}/oauth/clients/register"}
    return answer(
        {
            "issuer": base,
            "authorization_endpoint": f"{base}/oauth/authorize",
            "token_endpoint": f"{base}/oauth/token",
            "jwks_uri": f"{base}/.well-known/jwks.json",
            "userinfo_endpoint": f"{base}/oauth/userinfo",
            **(registration if call.project.options.oauth_server else {}),
            "scopes_supported": _SCOPES,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": GRANTS,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "ES256"],
            "token_endpoint_auth_methods_supported": [*METHODS[1:], "none"],
            "claims_supported": _CLAIMS,
            "code_challenge_methods_supported": ["S256", "plain"],
        }
    )


def _authenticated(call: Call, params: dict[str, str]) -> dict[str, Any]:
    """The client that requests a token, authenticated by its registered method."""

    def refuse(message: str) -> ApiError:
        return ApiError(400, "invalid_credentials", message)

    client_id, secret, used = params.get("client_id", ""), params.get("client_secret", ""), "none"
    authorization = call.request.headers.get("authorization", "")
    if authorization.startswith("Basic "):
        try:
            client_id, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
        except (ValueError, binascii.Error):
            raise refuse("invalid client credentials") from None
        used = "client_secret_basic"
    elif secret:
        used = "client_secret_post"
    if not client_id:
        raise refuse("Invalid client credentials: client_id is required")
    if not is_uuid(client_id):
        raise refuse("Invalid client_id format")
    found = find_client(call, client_id)
    if found is None:
        raise refuse("Invalid client credentials")
    client, hashed = found
    method = client["token_endpoint_auth_method"]
    if used != method:
        raise refuse(
            f"invalid authentication method: client is registered for '{method}' but '{used}' was used"
        )
    given = hashlib.sha256(secret.encode()).hexdigest()
    if hashed is not None and not secrets.compare_digest(given, hashed):
        raise refuse("invalid client credentials")
    return client


# -- tokens ------------------------------------------------------------------------------------------------


def _form(call: Call) -> dict[str, str]:
    """The fields of a form or a JSON object."""
    if "x-www-form-urlencoded" in call.request.headers.get("content-type", ""):
        return dict(parse_qsl(call.body.decode("utf-8", "replace")))
    given = read_json(call.body)
    return {str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {}


def token(call: Call) -> Response:
    """``POST /oauth/token``: for a code, or for a refresh token of one of the client's sessions."""
    require_enabled(call)
    params = _form(call)
    client, grant = _authenticated(call, params), params.get("grant_type", "")
    if not grant:
        raise OAuthError("invalid_request", "grant_type is required")
    if grant not in client["grant_types"]:
        text = f"Client is not allowed to use grant type: {grant[:50]}"
        raise OAuthError("unsupported_grant_type", text)
    if grant == "authorization_code":
        return _code_grant(call, client["client_id"], params)
    refresh_token = params.get("refresh_token", "")
    if not refresh_token:
        raise OAuthError("invalid_request", "refresh_token is required for refresh_token grant")
    check_refresh_token(refresh_token)
    given = call.project.store.exchange(refresh_token, client["client_id"])
    body, headers = call.project.session_body(given)
    return answer(_token_answer(body), 200, headers)


def _token_answer(body: dict[str, Any], id_token: str = "") -> dict[str, Any]:
    """The response, which has no user and no ``expires_at``."""
    more = {"id_token": id_token} if id_token else {}
    found = {"access_token": body["access_token"], "expires_in": body["expires_in"], **more}
    return found | {"refresh_token": body["refresh_token"], "token_type": "bearer"}


def _code_grant(call: Call, client_id: str, params: dict[str, str]) -> Response:
    store, code = call.project.store, params.get("code", "")
    if not code:
        raise OAuthError("invalid_request", "code is required for authorization_code grant")
    with store.transaction() as db:
        row = db.execute(
            "SELECT id, client_id, user_id, params, created_at FROM oauth_authorizations WHERE code = ?",
            (code,),
        ).fetchone()
        _check_code(call, row, client_id, params)
        db.execute("DELETE FROM oauth_authorizations WHERE id = ?", (row[0],))
        user, asked = store.user(row[2]), json.loads(row[3])
        assert user is not None
        method = "oauth_provider/authorization_code"
        given = store.new_session(user, method, client_id=client_id, scope=asked["scope"])
    body, headers = call.project.session_body(given)
    id_token = ""
    if "openid" in asked["scope"].split():
        id_token = call.project.keys.sign(_id_claims(call, user, client_id, asked))
    return answer(_token_answer(body, id_token), 200, headers)


def _check_code(call: Call, row: Any, client_id: str, params: dict[str, str]) -> None:
    def refuse(message: str) -> OAuthError:
        return OAuthError("invalid_grant", message)

    if row is None:
        raise refuse("Invalid authorization code")
    asked = json.loads(row[3])
    if call.project.store.now() > row[4] + LIFETIME:
        raise refuse("Authorization code has expired")
    if row[1] != client_id:
        raise refuse("Authorization code was not issued for this client")
    if params.get("redirect_uri", "") != asked["redirect_uri"]:
        raise refuse("Invalid redirect_uri")
    verifier = params.get("code_verifier", "")
    if not verifier:
        raise refuse("PKCE verification failed: code_verifier is required when PKCE challenge is present")
    if not verifier_matches(asked["code_challenge"], asked["code_challenge_method"], verifier):
        text = "code challenge does not match previously saved code verifier"
        raise refuse(f"PKCE verification failed: {text}")


def _id_claims(call: Call, user: User, client_id: str, asked: dict[str, str]) -> dict[str, Any]:
    now, scopes = int(call.project.store.now()), asked["scope"].split()
    email = {"email": user.email, "email_verified": user.confirmed, "phone_number_verified": False}
    profile = {
        "name": user.doc["user_metadata"].get("name") or user.email,
        "updated_at": int(from_rfc3339(user.doc["updated_at"])),
    }
    return {
        "iss": call.project.issuer,
        "sub": user.id,
        "aud": client_id,
        "exp": now + call.project.options.access_token_lifetime,
        "iat": now,
        **({"nonce": asked["nonce"]} if asked.get("nonce") else {}),
        "auth_time": now,
        **(email if "email" in scopes else {}),
        **(profile if "profile" in scopes else {}),
        "client_id": client_id,
    }


# -- information for users and clients ---------------------------------------------------------------------


def userinfo(call: Call) -> Response:
    """``GET /oauth/userinfo``: the claims that the token's scopes allow."""
    require_enabled(call)
    user, session_id = call.project.require_user(call.request)
    session = call.project.store.session(session_id or "")
    scopes = ((session and session["scope"]) or "").split()
    found: dict[str, Any] = {"sub": user.id}
    if "email" in scopes:
        found |= {"email": user.email, "email_verified": user.confirmed}
    if "profile" in scopes:
        metadata = user.doc["user_metadata"]
        found |= {"name": metadata.get("name") or user.email, "user_metadata": metadata}
        found["updated_at"] = int(from_rfc3339(user.doc["updated_at"]))
    return answer(dict(sorted(found.items())))


def grants(call: Call) -> Response:
    """``GET /user/oauth/grants``: the user's grants to clients."""
    require_enabled(call)
    user, _ = call.project.require_user(call.request)
    with call.project.store.transaction() as db:
        rows = db.execute(
            "SELECT c.doc, g.scope, g.granted_at FROM oauth_consents g JOIN oauth_clients c "
            "ON c.id = g.client_id WHERE g.user_id = ? ORDER BY g.granted_at",
            (user.id,),
        ).fetchall()
    return answer(
        [
            {
                "client": client_details(json.loads(doc)),
                "scopes": scope.split(),
                "granted_at": rfc3339(granted_at),
            }
            for doc, scope, granted_at in rows
        ]
    )


def revoke_grant(call: Call) -> Response:
    """``DELETE /user/oauth/grants?client_id=…``: revoke a grant, and end the client's sessions."""
    require_enabled(call)
    user, _ = call.project.require_user(call.request)
    whose = (user.id, call.query("client_id"))
    if not whose[1]:
        raise invalid("client_id query parameter is required")
    with call.project.store.transaction() as db:
        query = "DELETE FROM oauth_consents WHERE user_id = ? AND client_id = ?"
        if not db.execute(query, whose).rowcount:
            message = "No active grant found for this client"
            raise ApiError(404, "oauth_consent_not_found", message)
        db.execute("DELETE FROM sessions WHERE user_id = ? AND client_id = ?", whose)
    return Response(status_code=204)
