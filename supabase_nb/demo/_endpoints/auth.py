"""The endpoints that every client needs: settings, sign-up, tokens, the user, sign-out."""

from __future__ import annotations

import re

from starlette.responses import Response

from .._project.api_errors import ApiError, answer, invalid
from .._project.go_formats import read_params, rfc3339
from .._project.passwords import hash_password
from .._project.project import (
    PROVIDERS,
    Call,
    check_email,
    check_password,
    check_phone,
    merged,
    password_matches,
)
from .._project.refresh_token_format import parse_v2
from .factors import has_verified
from .one_time_codes import mail_confirmation, mail_email_change, spend_nonce
from .pkce import check_challenge, pkce_grant
from .provider import id_token_grant

# With `secure_password_change`, older sessions need a code for a new password. Seconds.
_RECENT = 24 * 3600.0


def settings(call: Call) -> Response:
    """``GET /settings``."""
    options = call.project.options
    # The server lists zoom after email and phone.
    enabled = {name: name in call.project.providers for name in PROVIDERS}
    external = {"anonymous_users": True} | dict(list(enabled.items())[:-1])
    last = {"email": not options.disable_email, "phone": False, "zoom": enabled["zoom"]}
    return answer(
        {
            "external": external | last,
            "disable_signup": options.disable_signup,
            "mailer_autoconfirm": options.autoconfirm,
            "phone_autoconfirm": options.autoconfirm,
            "sms_provider": "twilio",
            "saml_enabled": False,
            "saml_private_key_next_configured": True,
            "passkeys_enabled": False,
        }
    )


def health(call: Call) -> Response:
    """``GET /health``."""
    text = "GoTrue is a user registration and authentication API"
    return answer({"version": "", "name": "GoTrue", "description": text})


def jwks(call: Call) -> Response:
    """``GET /.well-known/jwks.json``."""
    return answer(call.project.keys.jwks())


def signup(call: Call) -> Response:
    """``POST /signup``: with email and password, or anonymous."""
    project, store = call.project, call.project.store
    fields = {"email": str, "phone": str, "password": str, "data": dict}
    pkce = {"code_challenge": str, "code_challenge_method": str}
    params = read_params(call.body, "SignupParams", {**fields, **pkce})
    if project.options.disable_signup:
        raise ApiError(422, "signup_disabled", "Signups not allowed for this instance")
    if not params["email"] and not params["phone"]:
        user = store.new_user("", None, params["data"])
        return project.session_answer(store.new_session(user, "anonymous"))
    if not params["password"]:
        raise invalid("Signup requires a valid password")
    check_password(params["password"])
    if params["phone"]:
        raise ApiError(400, "phone_provider_disabled", "Phone signups are disabled")
    email = check_email(params["email"])
    if project.options.disable_email:
        raise ApiError(400, "email_provider_disabled", "Email signups are disabled")
    known = store.user_by_email(email)
    if known is not None and (project.options.autoconfirm or known.confirmed):
        # If addresses must be confirmed, the real server doesn't reveal that the user exists: it responds
        # with an invented user.
        if project.options.autoconfirm:
            raise ApiError(422, "user_already_exists", "User already registered")
        fake = store.new_user(email, None, {}, role="")
        fake.doc |= {"updated_at": fake.doc["created_at"], "confirmation_sent_at": rfc3339(store.now(), 9)}
        return answer(fake.wire())
    hashed = hash_password(params["password"])
    with store.transaction():
        user = known or store.new_user(email, hashed, {})
        user.password = hashed
        project.sign_up(user, params["data"], confirmed=project.options.autoconfirm)
        if not project.options.autoconfirm:
            mail_confirmation(call, user, params)
            return answer(user.wire())
        session = store.new_session(user, "password")
    # Only the identity in this response has this value. The saved one has the opposite (``sessions-es256``).
    user.doc["identities"][0]["identity_data"]["email_verified"] = True
    return project.session_answer(session)


def token(call: Call) -> Response:
    """``POST /token``."""
    grants = {
        "password": _password,
        "refresh_token": _refresh,
        "pkce": pkce_grant,
        "id_token": id_token_grant,
        "web3": _web3,
    }
    grant = grants.get(call.query("grant_type"))
    if grant is None:
        raise ApiError(400, "invalid_credentials", "unsupported_grant_type")
    return grant(call)


def _password(call: Call) -> Response:
    project, store = call.project, call.project.store
    fields = {"email": str, "phone": str, "password": str}
    params = read_params(call.body, "PasswordGrantParams", fields)
    if params["email"] and params["phone"]:
        raise invalid("Only an email address or phone number should be provided on login.")
    if params["email"] and project.options.disable_email:
        raise ApiError(422, "email_provider_disabled", "Email logins are disabled")
    if params["phone"]:
        raise ApiError(422, "phone_provider_disabled", "Phone logins are disabled")
    if not params["email"]:
        raise invalid("missing email or phone")
    user = store.user_by_email(params["email"].lower())
    if user is not None and user.banned(store.now()):
        raise ApiError(400, "user_banned", "User is banned")
    if user is None or not password_matches(user, params["password"]):
        raise ApiError(400, "invalid_credentials", "Invalid login credentials")
    if not user.confirmed:
        raise ApiError(400, "email_not_confirmed", "Email not confirmed")
    return project.session_answer(store.new_session(user, "password"), weak_password=None)


def _refresh(call: Call) -> Response:
    params = read_params(call.body, "RefreshTokenGrantParams", {"refresh_token": str})
    check_refresh_token(params["refresh_token"])
    return call.project.session_answer(call.project.store.exchange(params["refresh_token"]))


def check_refresh_token(refresh_token: str) -> None:
    """Refuse anything that can't be a refresh token.

    Raises:
        ApiError: 400 ``validation_failed``.
    """
    if not re.fullmatch(r"[a-z2-7]{12}", refresh_token):
        try:
            parse_v2(refresh_token)
        except ValueError:
            raise invalid("Refresh token is not valid") from None


def sso(call: Call) -> Response:
    """``POST /sso``: always disabled.

    Raises:
        ApiError: Always; as in the server's source, not recorded.
    """
    raise ApiError(404, "saml_provider_disabled", "SAML 2.0 is disabled")


def _web3(call: Call) -> Response:
    raise ApiError(422, "web3_provider_disabled", "Web3 provider is disabled")


def get_user(call: Call) -> Response:
    """``GET /user``."""
    return answer(call.project.require_user(call.request)[0].wire())


def update_user(call: Call) -> Response:
    """``PUT /user``: data, password, email address."""
    project, store = call.project, call.project.store
    user, session_id = project.require_user(call.request)
    texts = ("email", "phone", "password", "nonce", "code_challenge", "code_challenge_method")
    fields = {**dict.fromkeys(texts, str), "data": dict, "app_metadata": dict}
    params = read_params(call.body, "UserUpdateParams", fields)
    check_challenge(params)
    if params["phone"] and check_phone(params["phone"]) != user.doc["phone"]:
        raise ApiError(400, "phone_provider_disabled", "Unsupported phone provider")
    if params["app_metadata"]:
        raise ApiError(403, "not_admin", "Updating app_metadata requires admin privileges")
    email = check_email(params["email"]) if params["email"] else ""
    if email and email != user.email and store.user_by_email(email):
        message = "A user with this email address has already been registered"
        raise ApiError(422, "email_exists", message)
    wants_new = params["password"] or (email and email != user.email)
    if wants_new and has_verified(user) and not project.at_aal2(session_id):
        message = "AAL2 session is required to update email or password when MFA is enabled."
        raise ApiError(401, "insufficient_aal", message)
    if params["password"]:
        if user.doc["is_anonymous"] and not user.email and not email:
            message = "Updating password of an anonymous user without an email or phone is not allowed"
            raise ApiError(422, "validation_failed", message)
        check_password(params["password"])
        session = store.session(session_id or "")
        old = session is None or store.now() > session["created_at"] + _RECENT
        if project.options.secure_password_change and old:
            if not params["nonce"]:
                text = "Password update requires reauthentication"
                raise ApiError(400, "reauthentication_needed", text)
            spend_nonce(call, user, params["nonce"])
        if password_matches(user, params["password"]):
            message = "New password should be different from the old password."
            raise ApiError(422, "same_password", message)
    with store.transaction():
        user.doc["user_metadata"] = merged(user.doc["user_metadata"], params["data"])
        if params["password"]:
            user.password = hash_password(params["password"])
            store.end_mails(user)
            store.end_sessions(user.id, "others", session_id)
        if email and email != user.email:
            if project.options.autoconfirm and user.doc["is_anonymous"]:
                project.confirm_email(user, email)
            else:
                mail_email_change(call, user, email, params)
        store.save_user(user)
    return answer(user.wire())


def logout(call: Call) -> Response:
    """``POST /logout``: ``scope`` is ``global`` (default), ``local`` or ``others``."""
    user, session_id = call.project.require_user(call.request)
    scope = call.query("scope") or "global"
    if scope not in ("global", "local", "others"):
        raise invalid(f'Unsupported logout scope "{scope}"')
    if session_id is None:
        scope = "global"
    call.project.store.end_sessions(user.id, scope, session_id)
    return Response(status_code=204)
