"""One-time codes and links in emails: sending, resending, verifying; reauthentication."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from .._project.api_errors import ApiError, answer, invalid
from .._project.go_formats import from_rfc3339, read_params, rfc3339
from .._project.project import Call, check_email, check_phone
from .._project.store import User
from .pkce import PKCE_FIELDS, check_challenge, issue_code, new_flow
from .redirects import message_redirect, redirect, redirect_target, session_redirect, with_query

_KINDS = {"signup": "confirmation", "invite": "confirmation", "magiclink": "recovery", "recovery": "recovery"}
_EMAIL_CHANGE = ("email_change_current", "email_change_new")
_HALF_CONFIRMED = "Confirmation link accepted. Please proceed to confirm link sent to the other email"
_MAILS = {"signup": "confirmation email", "magiclink": "magic link email", "recovery": "recovery email"}
_REAUTHENTICATION = "reauthentication"
_LIFETIME = 3600.0


def new_link(
    call: Call, user: User, kind: str, redirect_to: str, *, pkce: bool = False, email: str | None = None
) -> dict[str, str]:
    """Create a one-time code and link, which replace earlier ones of the same kind.

    Args:
        call: The request.
        user: The user.
        kind: ``signup``, ``invite``, ``magiclink``, ``recovery``, ``email_change_current`` or
            ``email_change_new``.
        redirect_to: Where the link leads afterwards.
        pkce: Whether the link leads to a code instead of a session.
        email: The address, if it isn't the user's yet.
    """
    store, address = call.project.store, email or user.email
    otp = f"{secrets.randbelow(10**6):06d}"
    digest = hashlib.sha224(f"{address}{otp}".encode()).hexdigest()
    token_hash = f"pkce_{digest}" if pkce else digest
    family = _KINDS.get(kind, kind)
    user.doc[_sent_at(kind)] = rfc3339(store.now(), 9)
    with store.transaction() as db:
        store.save_user(user)
        db.execute("DELETE FROM one_time_tokens WHERE user_id = ? AND kind = ?", (user.id, family))
        db.execute(
            "INSERT INTO one_time_tokens VALUES (?, ?, ?, ?, ?)",
            (token_hash, user.id, family, address, store.now()),
        )
    link_type = "email_change" if kind in _EMAIL_CHANGE else kind
    query = f"token={token_hash}&type={link_type}&redirect_to={quote(redirect_to, safe=':/')}"
    return {
        "action_link": f"{call.project.url}{call.prefix}/verify?{query}",
        "email_otp": otp,
        "hashed_token": token_hash,
        "verification_type": kind,
        "redirect_to": redirect_to,
    }


def _sent_at(kind: str) -> str:
    """The user's field with the time of the last email of this kind."""
    return "email_change_sent_at" if kind.startswith("email_change") else f"{_KINDS.get(kind, kind)}_sent_at"


def _check_mail_interval(call: Call, user: User, kind: str) -> None:
    """Refuse a second email of the same kind within the interval (``otp``, ``recover``)."""
    last = user.doc.get(_sent_at(kind))
    if not last or not call.project.options.mail_interval:
        return
    left = from_rfc3339(last) + call.project.options.mail_interval - call.project.store.now()
    if left >= 0:
        message = f"For security purposes, you can only request this after {int(left)} seconds."
        raise ApiError(429, "over_email_send_rate_limit", message)


def _send(
    call: Call, user: User, kind: str, params: dict[str, Any], mails: dict[str, str] | None = None
) -> None:
    """Add an email to the outbox.

    Args:
        call: The request.
        user: The user whose account it is about.
        kind: As in the link: ``signup``, ``magiclink``, ``recovery`` or ``email_change``.
        params: The request's parameters, including the PKCE fields.
        mails: The address for each kind of one-time token; by default, one of this kind to the user.
    """
    _check_mail_interval(call, user, kind)
    if not call.project.options.outbox:
        what = _MAILS.get(kind, "email change email")
        raise ApiError(500, "unexpected_failure", f"Error sending {what}")
    redirect_to = redirect_target(call, call.query("redirect_to"))
    pkce = bool(params["code_challenge"])
    if pkce:
        new_flow(call, user.id, params, kind, redirect_to)
    with call.project.store.transaction():
        for token_kind, to in (mails or {kind: user.email}).items():
            link = new_link(call, user, token_kind, redirect_to, pkce=pkce, email=to)
            _put_in_outbox(call, to, kind, link)


def _put_in_outbox(call: Call, to: str, kind: str, link: dict[str, str]) -> None:
    sent_at = rfc3339(call.project.store.now())
    mail = {"to": to, "type": kind, "sent_at": sent_at, **link, "verification_type": kind}
    with call.project.store.transaction() as db:
        db.execute("INSERT INTO outbox (mail) VALUES (?)", (json.dumps(mail),))
        db.execute("DELETE FROM outbox WHERE id <= (SELECT max(id) - 100 FROM outbox)")


def mail_confirmation(call: Call, user: User, params: dict[str, Any]) -> None:
    """Send the email after a sign-up."""
    check_challenge(params)
    _send(call, user, "signup", params)


def mail_email_change(call: Call, user: User, email: str, params: dict[str, Any]) -> None:
    """Send the emails to the current address, if any, and to the new one (``recover``)."""
    user.doc["new_email"] = email
    addresses = dict(zip(_EMAIL_CHANGE, (user.email, email), strict=True))
    mails = {kind: address for kind, address in addresses.items() if address}
    _send(call, user, "email_change", params, mails)


def otp(call: Call) -> Response:
    """``POST /otp``: send an email with a six-digit code and a link."""
    project, store = call.project, call.project.store
    fields: dict[str, type] = {"email": str, "phone": str, "channel": str, "data": dict, **PKCE_FIELDS}
    params = read_params(call.body, "OtpParams", {**fields, "create_user": bool}, create_user=True)
    if params["email"] and params["phone"]:
        raise invalid("Only an email address or phone number should be provided")
    if params["email"] and params["channel"]:
        raise invalid("Channel should only be specified with Phone OTP")
    check_challenge(params)
    if params["phone"]:
        raise ApiError(400, "phone_provider_disabled", "Unsupported phone provider")
    if not params["email"]:
        raise invalid("One of email or phone must be set")
    email = check_email(params["email"])
    if project.options.disable_email:
        raise ApiError(422, "email_provider_disabled", "Email logins are disabled")
    user = store.user_by_email(email)
    if user is None and not params["create_user"]:
        raise ApiError(422, "otp_disabled", "Signups not allowed for otp")
    if user is None and project.options.disable_signup:
        raise ApiError(422, "signup_disabled", "Signups not allowed for this instance")
    with store.transaction():
        if user is None:
            user = store.new_user(email, None, {})
            project.sign_up(user, params["data"], confirmed=project.options.autoconfirm)
        _send(call, user, "magiclink" if user.confirmed else "signup", params)
    return answer({})


def recover(call: Call) -> Response:
    """``POST /recover``: send an email for a forgotten password. Doesn't reveal whether the user exists."""
    params = read_params(call.body, "RecoverParams", {"email": str, **PKCE_FIELDS})
    if not params["email"]:
        raise invalid("Password recovery requires an email")
    check_challenge(params)
    user = call.project.store.user_by_email(check_email(params["email"]))
    if user is not None:
        with call.project.store.transaction():
            _send(call, user, "recovery", params)
    return answer({})


_RESENT = ("signup", "email_change", "sms", "phone_change")


def resend(call: Call) -> Response:
    """``POST /resend``: resend the email of a sign-up or of a new address."""
    fields = {**dict.fromkeys(("type", "email", "phone"), str), **PKCE_FIELDS}
    params = read_params(call.body, "ResendConfirmationParams", fields)
    kind = params["type"]
    if kind not in _RESENT:
        raise invalid(f"Missing one of these types: {', '.join(_RESENT)}")
    if kind in ("sms", "phone_change"):
        if not params["phone"]:
            raise invalid("Type provided requires a phone number")
        raise ApiError(400, "phone_provider_disabled", "Unsupported phone provider")
    if not params["email"]:
        raise invalid("Type provided requires an email address")
    check_challenge(params)
    user = call.project.store.user_by_email(check_email(params["email"]))
    with call.project.store.transaction():
        if user is not None and kind == "signup" and not user.confirmed:
            _send(call, user, "signup", params)
        elif user is not None and kind == "email_change" and "new_email" in user.doc:
            mail_email_change(call, user, user.doc["new_email"], params)
    return answer({})


def reauthenticate(call: Call) -> Response:
    """``GET /reauthenticate``: send an email with a code for a new password."""
    user, _ = call.project.require_user(call.request)
    if not user.email:
        raise invalid("Reauthentication requires the user to have an email or a phone number")
    _check_mail_interval(call, user, _REAUTHENTICATION)
    with call.project.store.transaction():
        link = new_link(call, user, _REAUTHENTICATION, "")
        mail = {**link, "action_link": "", "hashed_token": ""}  # the email has a code but no link
        _put_in_outbox(call, user.email, _REAUTHENTICATION, mail)
    return answer({})


def spend_nonce(call: Call, user: User, nonce: str) -> None:
    """Accept the code of `reauthenticate` once.

    Raises:
        ApiError: 422 ``reauthentication_not_valid``.
    """
    token_hash = hashlib.sha224(f"{user.email}{nonce}".encode()).hexdigest()
    with call.project.store.transaction() as db:
        spent = db.execute(
            "DELETE FROM one_time_tokens WHERE user_id = ? AND kind = ? AND hash = ? AND created_at > ?",
            (user.id, _REAUTHENTICATION, token_hash, call.project.store.now() - _LIFETIME),
        ).rowcount
    if not spent:
        raise ApiError(422, "reauthentication_not_valid", "Nonce has expired or is invalid")
    user.doc.pop(_sent_at(_REAUTHENTICATION), None)


def _take(call: Call, kind: str, token_hash: str, message: str) -> tuple[User, bool]:
    """Use up a one-time token, and return its user.

    Returns:
        The user, and whether this completes the change: a new address may need to be confirmed at the current
        one too.
    """
    project, store = call.project, call.project.store
    several = {"email": ("confirmation", "recovery"), "email_change": _EMAIL_CHANGE}
    families = several.get(kind, (_KINDS.get(kind, kind),))
    with store.transaction() as db:
        row = db.execute(
            "SELECT user_id, kind, email, created_at FROM one_time_tokens WHERE hash IN (?, ?)",
            (token_hash, f"pkce_{token_hash}"),
        ).fetchone()
        user = store.user(row[0]) if row else None
        if user is None or row[1] not in families or store.now() > row[3] + _LIFETIME:
            raise ApiError(403, "otp_expired", message)
        if user.banned(store.now()):
            raise ApiError(403, "user_banned", "User is banned")
        if row[1] in _EMAIL_CHANGE and "new_email" not in user.doc:  # changed by an admin meanwhile
            raise ApiError(403, "otp_expired", message)
        db.execute("DELETE FROM one_time_tokens WHERE user_id = ? AND kind = ?", (user.id, row[1]))
        if row[1] in _EMAIL_CHANGE:
            other = db.execute(
                "SELECT 1 FROM one_time_tokens WHERE user_id = ? AND kind IN (?, ?)",
                (user.id, *_EMAIL_CHANGE),
            ).fetchone()
            if other and not project.options.autoconfirm:
                return user, False
            db.execute(
                "DELETE FROM one_time_tokens WHERE user_id = ? AND kind IN (?, ?)", (user.id, *_EMAIL_CHANGE)
            )
            project.confirm_email(user, user.doc["new_email"])
        elif not user.confirmed:
            project.confirm(user)
            for identity in user.doc["identities"]:
                identity["identity_data"]["email_verified"] = True
        store.save_user(user)
        saved = store.user(user.id)
        assert saved is not None
        return saved, True


_VERIFIABLE = ("signup", "invite", "magiclink", "recovery", "email_change", "email")


def verify(call: Call) -> Response:
    """``POST /verify``: a token hash, or a code with the address."""
    fields = {"type": str, "token": str, "token_hash": str, "email": str, "phone": str}
    params = read_params(call.body, "VerifyParams", fields)
    if not params["type"]:
        raise invalid("Verify requires a verification type")
    if bool(params["token"]) == bool(params["token_hash"]):
        raise invalid("Verify requires either a token or a token hash")
    if params["token_hash"] and (params["email"] or params["phone"]):
        raise invalid("Only the token_hash and type should be provided")
    if params["token_hash"]:
        if params["type"] not in _VERIFIABLE:
            raise invalid("Invalid email verification type")
        token_hash, message = params["token_hash"], "Email link is invalid or has expired"
    elif params["phone"] and not params["email"]:  # users have no phone numbers here
        check_phone(params["phone"])
        raise ApiError(403, "otp_expired", "Token has expired or is invalid")
    elif params["email"] and not params["phone"]:
        digits = params["token"].replace("-", "")
        token_hash = hashlib.sha224(f"{check_email(params['email'])}{digits}".encode()).hexdigest()
        message = "Token has expired or is invalid"
    else:
        raise invalid("Only an email address or phone number should be provided on verify")
    store = call.project.store
    with store.transaction():
        user, complete = _take(call, params["type"], token_hash, message)
        session = store.new_session(user, "otp") if complete else None
    if session is None:
        return answer({"code": "200", "msg": _HALF_CONFIRMED})
    return call.project.session_answer(session)


def verify_link(call: Call) -> Response:
    """``GET /verify``: an email's link. It redirects with the session in the fragment (``users``)."""
    kind, token_hash = call.query("type"), call.query("token")
    target = redirect_target(call, call.query("redirect_to"))
    if not kind or not token_hash:
        raise invalid("Verify requires a token and a verification type")
    store, pkce = call.project.store, token_hash.startswith("pkce_")
    try:
        if kind not in _VERIFIABLE:
            raise invalid("Invalid email verification type")
        with store.transaction():
            user, complete = _take(call, kind, token_hash, "Email link is invalid or has expired")
            if not complete:
                return message_redirect(target, {"message": _HALF_CONFIRMED}, query=pkce)
            if pkce:
                return redirect(with_query(target, {"code": issue_code(call, user, kind=kind)}), 303)
            session = store.new_session(user, "otp")
    except ApiError as error:
        refusal = {
            "error": "access_denied",
            "error_code": error.code,
            "error_description": error.message,
        }
        return message_redirect(target, refusal, query=pkce)
    return session_redirect(call, target, session, 303, {"type": kind})
