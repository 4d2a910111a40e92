"""What this server hasn't got, answered as the real one answers where a project switched it off."""

from __future__ import annotations

from starlette.responses import Response

from .project import Call
from .wire import ApiError, invalid, read_params

_FACTORS = {"totp": "TOTP", "phone": "Phone", "webauthn": "WebAuthn"}


def enroll(call: Call) -> Response:
    """``POST /factors``: no factor can be enrolled (``mfa``).

    Raises:
        ApiError: Always.
    """
    user, _ = call.project.require_user(call.request)
    if user.doc["is_anonymous"]:
        message = "Anonymous user not allowed to perform these actions"
        raise ApiError(403, "no_authorization", message)
    kind = read_params(call.body, "EnrollFactorParams", {"factor_type": str})["factor_type"]
    if kind not in _FACTORS:
        raise invalid("factor_type needs to be totp, phone, or webauthn")
    code = f"mfa_{kind}_enroll_not_enabled"
    raise ApiError(422, code, f"MFA enroll is disabled for {_FACTORS[kind]}")


def identities(call: Call) -> Response:
    """Linking and unlinking identities (``identities``).

    Raises:
        ApiError: Always.
    """
    call.project.require_user(call.request)
    raise ApiError(404, "manual_linking_disabled", "Manual linking is disabled")


def oauth_server(call: Call) -> Response:
    """The project as an OAuth server (``oauth-server``).

    Raises:
        ApiError: Always.
    """
    raise ApiError(404, "feature_disabled", "OAuth server is disabled")
