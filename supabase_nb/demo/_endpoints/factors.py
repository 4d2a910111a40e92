"""Second factors: enrollment, challenges and codes of an authenticator app (``mfa``)."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import uuid
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from starlette.responses import Response

from .._project.api_errors import ApiError, answer, invalid
from .._project.go_formats import read_params
from .._project.project import Call
from .._project.store import Exchange, User

_DISABLED = {"phone": "Phone", "webauthn": "WebAuthn"}
_PERIOD, _CHALLENGE_LIFETIME = 30, 300.0
_NO_SUCH_CHALLENGE = "MFA factor with the provided challenge ID not found"


def totp(secret: str, at: float) -> str:
    """The six digits that an authenticator app shows (RFC 6238)."""
    key, step = base64.b32decode(secret), int(at // _PERIOD)
    digest = hmac.digest(key, step.to_bytes(8, "big"), "sha1")
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**6:06d}"


def _user(call: Call) -> tuple[User, str | None]:
    user, session_id = call.project.require_user(call.request)
    if user.doc["is_anonymous"]:
        message = "Anonymous user not allowed to perform these actions"
        raise ApiError(403, "no_authorization", message)
    return user, session_id


def _factor(call: Call, user: User) -> dict[str, Any]:
    """The user's factor from the path."""
    factor_id = path_uuid(call, "factor_id")
    found = next(
        (factor for factor in call.project.store.factors(user.id) if factor["id"] == factor_id), None
    )
    if found is None:
        raise ApiError(404, "mfa_factor_not_found", "Factor not found")
    return found


def path_uuid(call: Call, name: str) -> str:
    """An id from the path.

    Raises:
        ApiError: 404 ``validation_failed``: it isn't a UUID.
    """
    try:
        return str(uuid.UUID(call.request.path_params[name]))
    except ValueError:
        raise ApiError(404, "validation_failed", f"{name} must be an UUID") from None


def has_verified(user: User) -> bool:
    """Whether the user has a verified second factor."""
    return any(factor["status"] == "verified" for factor in user.doc.get("factors", []))


def enroll(call: Call) -> Response:
    """``POST /factors``: create a factor, which must be verified."""
    user, session_id = _user(call)
    fields = dict.fromkeys(("factor_type", "friendly_name", "issuer", "phone"), str)
    params = read_params(call.body, "EnrollFactorParams", fields)
    kind, name = params["factor_type"], params["friendly_name"]
    if kind in _DISABLED:
        raise ApiError(422, f"mfa_{kind}_enroll_not_enabled", f"MFA enroll is disabled for {_DISABLED[kind]}")
    if kind != "totp":
        raise invalid("factor_type needs to be totp, phone, or webauthn")
    if name and any(factor.get("friendly_name") == name for factor in user.doc.get("factors", [])):
        message = f'A factor with the friendly name "{name}" for this user already exists'
        raise ApiError(422, "mfa_factor_name_conflict", message)
    if has_verified(user) and not call.project.at_aal2(session_id):
        raise ApiError(403, "insufficient_aal", "AAL2 required to enroll a new factor")
    factor_id, now = str(uuid.uuid4()), call.project.store.now()
    secret = base64.b32encode(secrets.token_bytes(20)).decode()
    with call.project.store.transaction() as db:
        db.execute(
            "INSERT INTO factors (id, user_id, created_at, updated_at, name, secret) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (factor_id, user.id, now, now, name, secret),
        )
    issuer = params["issuer"] or urlsplit(call.project.site_url).netloc
    query = {"algorithm": "SHA1", "digits": 6, "issuer": issuer, "period": _PERIOD, "secret": secret}
    uri = f"otpauth://totp/{quote(issuer)}:{quote(user.email, safe='@')}?{urlencode(query)}"
    how = {"qr_code": _qr_code(uri), "secret": secret, "uri": uri}
    return answer({"id": factor_id, "type": "totp", "friendly_name": name, "totp": how})


def _qr_code(text: str) -> str:
    """The QR code as SVG."""
    import segno

    rows = segno.make(text, error="m").matrix
    size = 3 * len(rows) + 24
    dark = "".join(
        f'<rect x="{12 + 3 * x}" y="{12 + 3 * y}" width="3" height="3" style="fill:black;stroke:none" />\n'
        for y, row in enumerate(rows)
        for x, bit in enumerate(row)
        if bit
    )
    head = f'<svg width="{size}" height="{size}"\n     xmlns="http://www.w3.org/2000/svg">\n'
    ground = f'<rect width="{size}" height="{size}" style="fill:white;stroke:none" />\n'
    return f'<?xml version="1.0"?>\n{head}{ground}{dark}</svg>\n'


def challenge(call: Call) -> Response:
    """``POST /factors/{factor_id}/challenge``: start a verification."""
    user, _ = _user(call)
    factor, store = _factor(call, user), call.project.store
    challenge_id, now = str(uuid.uuid4()), store.now()
    with store.transaction() as db:
        db.execute(
            "INSERT INTO challenges (id, factor_id, created_at) VALUES (?, ?, ?)",
            (challenge_id, factor["id"], now),
        )
        db.execute(
            "UPDATE factors SET challenged_at = ?, updated_at = ? WHERE id = ?", (now, now, factor["id"])
        )
    return answer({"id": challenge_id, "type": "totp", "expires_at": int(now + _CHALLENGE_LIFETIME)})


def verify(call: Call) -> Response:
    """``POST /factors/{factor_id}/verify``: the code raises the session to ``aal2``.

    The user's other sessions end, unless they are at ``aal2`` too.
    """
    user, session_id = _user(call)
    factor = _factor(call, user)
    params = read_params(call.body, "VerifyFactorParams", {"challenge_id": str, "code": str})
    if params["challenge_id"]:
        try:
            uuid.UUID(params["challenge_id"])
        except ValueError:
            wrong = params["challenge_id"][:50]
            why = f'uuid: incorrect UUID length {len(wrong)} in string "{wrong}"'
            raise ApiError(400, "bad_json", f"Could not parse request body as JSON: {why}") from None
    if not params["code"]:
        raise invalid("Code needs to be non-empty")
    if session_id is None:
        raise ApiError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
    _spend(call, factor["id"], params["challenge_id"], params["code"])
    store, now = call.project.store, call.project.store.now()
    with store.transaction() as db:
        db.execute("UPDATE factors SET verified = 1, updated_at = ? WHERE id = ?", (now, factor["id"]))
        saved = store.user(user.id)  # the response still shows unverified factors
        db.execute("DELETE FROM factors WHERE user_id = ? AND NOT verified", (user.id,))
        session = store.session(session_id)
        assert session is not None
        others = [entry for entry in json.loads(session["amr"]) if entry["method"] != "totp"]
        amr = json.dumps([{"method": "totp", "timestamp": int(now)}, *others])
        db.execute("UPDATE sessions SET amr = ? WHERE id = ?", (amr, session_id))
        db.execute("DELETE FROM sessions WHERE user_id = ? AND NOT amr LIKE '%\"totp\"%'", (user.id,))
        token = store.swap_token(session_id)
    body, _ = call.project.session_body(Exchange(user=saved, session_id=session_id, refresh_token=token))
    return answer(body)  # without the headers of other responses with a session


def _spend(call: Call, factor_id: str, challenge_id: str, code: str) -> None:
    """Check a code against a challenge, which can be used only once."""
    store = call.project.store
    with store.transaction() as db:
        row = db.execute(
            "SELECT c.created_at, c.used, f.secret FROM challenges c JOIN factors f ON f.id = c.factor_id "
            "WHERE c.id = ? AND f.id = ?",
            (challenge_id, factor_id),
        ).fetchone()
        expired = row is not None and store.now() > row[0] + _CHALLENGE_LIFETIME
        if expired:
            db.execute("DELETE FROM challenges WHERE id = ?", (challenge_id,))
    if row is None:
        raise ApiError(422, "mfa_factor_not_found", _NO_SUCH_CHALLENGE)
    if row[1]:  # the real server says this about a used challenge too
        message = "Challenge and verify IP addresses mismatch."
        raise ApiError(422, "mfa_ip_address_mismatch", message)
    if expired:
        message = (
            f"MFA challenge {challenge_id} has expired, verify against another challenge or create a new"
        )
        raise ApiError(422, "mfa_challenge_expired", f"{message} challenge.")
    # An app's clock can be one step ahead or behind. The same code can be used again with a new challenge.
    if code not in [totp(row[2], store.now() + step * _PERIOD) for step in (-1, 0, 1)]:
        raise ApiError(422, "mfa_verification_failed", "Invalid TOTP code entered")
    with store.transaction() as db:
        db.execute("UPDATE challenges SET used = 1 WHERE id = ?", (challenge_id,))


def unenroll(call: Call) -> Response:
    """``DELETE /factors/{factor_id}``: tokens say ``aal1`` after the next refresh."""
    user, session_id = _user(call)
    factor = _factor(call, user)
    if factor["status"] == "verified" and not call.project.at_aal2(session_id):
        raise ApiError(422, "insufficient_aal", "AAL2 required to unenroll verified factor")
    _remove(call, user, factor)
    return answer({"id": factor["id"]})


def _remove(call: Call, user: User, factor: dict[str, Any]) -> None:
    store = call.project.store
    with store.transaction() as db:
        db.execute("DELETE FROM factors WHERE id = ?", (factor["id"],))
        if any(other["status"] == "verified" for other in store.factors(user.id)):
            return
        sessions = db.execute("SELECT id, amr FROM sessions WHERE user_id = ?", (user.id,)).fetchall()
        for session_id, amr in sessions:
            left = [entry for entry in json.loads(amr) if entry["method"] != "totp"]
            db.execute("UPDATE sessions SET amr = ? WHERE id = ?", (json.dumps(left), session_id))


def _user_of_admin(call: Call) -> User:
    call.project.require_admin(call.request)
    user = call.project.store.user(path_uuid(call, "user_id"))
    if user is None:
        raise ApiError(404, "user_not_found", "User not found")
    return user


def admin_list(call: Call) -> Response:
    """``GET /admin/users/{user_id}/factors``."""
    return answer(call.project.store.factors(_user_of_admin(call).id))


def admin_delete(call: Call) -> Response:
    """``DELETE /admin/users/{user_id}/factors/{factor_id}``."""
    user = _user_of_admin(call)
    factor = _factor(call, user)
    _remove(call, user, factor)
    return answer(factor)


def codes(call: Call) -> Response:
    """``GET /demo/totp?email=…``: the current codes of authenticator apps, for demos and tests."""
    email, store = call.query("email"), call.project.store
    with store.transaction() as db:
        rows = db.execute(
            "SELECT f.id, u.email, f.name, f.secret FROM factors f JOIN users u ON u.id = f.user_id "
            "ORDER BY f.created_at"
        ).fetchall()
    return answer(
        [
            {"factor_id": row[0], "email": row[1], "friendly_name": row[2], "code": totp(row[3], store.now())}
            for row in rows
            if not email or row[1] == email
        ]
    )
