"""Ways in that go through a mail or a provider's page: one-time passwords, links, PKCE, the demo provider."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import secrets
import uuid
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from starlette.responses import HTMLResponse, Response

from .project import PROVIDERS, Call, check_email, check_phone
from .store import Exchange, User
from .wire import ApiError, answer, from_rfc3339, invalid, read_params, rfc3339

_PKCE = {"code_challenge": str, "code_challenge_method": str}
_KINDS = {"signup": "confirmation", "invite": "confirmation", "magiclink": "recovery", "recovery": "recovery"}
_EMAIL_CHANGE = ("email_change_current", "email_change_new")
_HALF_CONFIRMED = "Confirmation link accepted. Please proceed to confirm link sent to the other email"
_MAILS = {"signup": "confirmation email", "magiclink": "magic link email", "recovery": "recovery email"}
_LIFETIME = 3600.0
_FLOW_LIFETIME = 300.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def redirect_target(call: Call, wanted: str) -> str:
    """Where a link leads: what was asked for if it is on this machine or on the site, else the site."""
    site = call.project.site_url
    try:
        target, own = urlsplit(wanted), urlsplit(site)
        good = target.scheme in ("http", "https") and target.hostname in (*_LOOPBACK, own.hostname)
    except ValueError:
        good = False
    # Browsers read a backslash as a slash: what follows it may be another host than the one seen above.
    plain = wanted.isascii() and wanted.isprintable() and not {" ", "\\"} & set(wanted)
    return wanted if good and plain else site


def check_challenge(params: dict[str, Any]) -> None:
    """Refuse half a PKCE challenge or a malformed one.

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


def _new_flow(call: Call, user_id: str | None, params: dict[str, Any], amr: str, redirect_to: str) -> str:
    flow_id = str(uuid.uuid4())
    values = (params["code_challenge"], params["code_challenge_method"].lower(), amr, redirect_to)
    with call.project.store.transaction() as db:
        db.execute(
            "INSERT INTO flow_states VALUES (?, ?, NULL, ?, ?, ?, ?, ?)",
            (flow_id, user_id, *values, call.project.store.now()),
        )
    return flow_id


def new_link(
    call: Call, user: User, kind: str, redirect_to: str, *, pkce: bool = False, email: str | None = None
) -> dict[str, str]:
    """A one-time password and the link that does the same; earlier ones of the kind end.

    Args:
        call: The request.
        user: Whose.
        kind: ``signup``, ``invite``, ``magiclink``, ``recovery``, ``email_change_current`` or
            ``email_change_new``.
        redirect_to: Where the link leads afterwards.
        pkce: The link gives a code instead of a session.
        email: The address, when it isn't the user's yet.
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
    """The field of a user that says when the last mail of this kind was sent."""
    family = _KINDS.get(kind, kind)
    return f"{family}_sent_at" if family in _KINDS.values() else "email_change_sent_at"


def _check_mail_interval(call: Call, user: User, kind: str) -> None:
    """Refuse a second mail of a kind within the interval (``otp``, ``recover``)."""
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
    """Put a mail into the outbox.

    Args:
        call: The request.
        user: Whose account it is about.
        kind: As in the link: ``signup``, ``magiclink``, ``recovery`` or ``email_change``.
        params: With the fields of PKCE.
        mails: The address for each kind of one-time token; default: one of this kind to the user.
    """
    _check_mail_interval(call, user, kind)
    if not call.project.options.outbox:
        what = _MAILS.get(kind, "email change email")
        raise ApiError(500, "unexpected_failure", f"Error sending {what}")
    redirect_to = redirect_target(call, call.query("redirect_to"))
    pkce = bool(params["code_challenge"])
    if pkce:
        _new_flow(call, user.id, params, kind, redirect_to)
    with call.project.store.transaction() as db:
        for token_kind, to in (mails or {kind: user.email}).items():
            link = new_link(call, user, token_kind, redirect_to, pkce=pkce, email=to)
            mail = {"to": to, "type": kind, "sent_at": rfc3339(call.project.store.now()), **link}
            mail["verification_type"] = kind
            db.execute("INSERT INTO outbox (mail) VALUES (?)", (json.dumps(mail),))
        db.execute("DELETE FROM outbox WHERE id <= (SELECT max(id) - 100 FROM outbox)")


def mail_confirmation(call: Call, user: User, params: dict[str, Any]) -> None:
    """The mail after a sign-up."""
    check_challenge(params)
    _send(call, user, "signup", params)


def mail_email_change(call: Call, user: User, email: str, params: dict[str, Any]) -> None:
    """The mails to the present address, if there is one, and to the new one (``recover``)."""
    user.doc["new_email"] = email
    addresses = dict(zip(_EMAIL_CHANGE, (user.email, email), strict=True))
    mails = {kind: address for kind, address in addresses.items() if address}
    _send(call, user, "email_change", params, mails)


def otp(call: Call) -> Response:
    """``POST /otp``: a mail with six digits and a link."""
    project, store = call.project, call.project.store
    fields: dict[str, type] = {"email": str, "phone": str, "channel": str, "data": dict, **_PKCE}
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
    """``POST /recover``: a mail for who forgot their password; strangers learn nothing."""
    params = read_params(call.body, "RecoverParams", {"email": str, **_PKCE})
    if not params["email"]:
        raise invalid("Password recovery requires an email")
    check_challenge(params)
    user = call.project.store.user_by_email(check_email(params["email"]))
    if user is not None:
        with call.project.store.transaction():
            _send(call, user, "recovery", params)
    return answer({})


def _take(call: Call, kind: str, token_hash: str, message: str) -> tuple[User, bool]:
    """The user whom a one-time token belongs to; it is spent.

    Returns:
        The user, and whether that confirms the change: a new address may need the present one's word as well.
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
        if row[1] in _EMAIL_CHANGE and "new_email" not in user.doc:  # an admin set another address since
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
    """``POST /verify``: a token hash, or six digits with the address."""
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
    elif params["phone"] and not params["email"]:  # no user has a phone here
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
    """``GET /verify``: the link of a mail; it leads on, with the session in the fragment (``users``)."""
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
                return _message_redirect(target, {"message": _HALF_CONFIRMED}, pkce=pkce)
            if pkce:
                return _redirect(_with_query(target, {"code": _issue_code(call, user, kind=kind)}), 303)
            session = store.new_session(user, "otp")
    except ApiError as error:
        refusal = {
            "error": "access_denied",
            "error_code": error.code,
            "error_description": error.message,
        }
        return _message_redirect(target, refusal, pkce=pkce)
    return _session_redirect(call, target, session, kind)


def _message_redirect(target: str, message: dict[str, str], *, pkce: bool) -> Response:
    """The message stands in the fragment, with PKCE in the query as well (``recover``)."""
    if pkce:
        target = _with_query(target, message)
    return _redirect(f"{target}#{urlencode({**message, 'sb': ''})}", 303)


def _session_redirect(call: Call, target: str, session: Exchange, kind: str) -> Response:
    body, headers = call.project.session_body(session)
    names = ("access_token", "expires_at", "expires_in", "refresh_token", "token_type")
    fragment = {name: body[name] for name in names} | {"sb": "", "type": kind}
    return _redirect(f"{target}#{urlencode(sorted(fragment.items()))}", 303, headers)


def _redirect(location: str, status: int, headers: dict[str, str] | None = None) -> Response:
    text = "See Other" if status == 303 else "Found"
    page = f'<a href="{html.escape(location)}">{text}</a>.\n\n'
    return HTMLResponse(page, status, {**(headers or {}), "location": location})


def _with_query(target: str, more: dict[str, str]) -> str:
    parts = urlsplit(target)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *more.items()]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _issue_code(call: Call, user: User, *, kind: str = "", flow_id: str = "") -> str:
    """Give a waiting PKCE flow its code."""
    code = str(uuid.uuid4())
    with call.project.store.transaction() as db:
        row = db.execute(
            "SELECT id, created_at FROM flow_states WHERE auth_code IS NULL AND challenge != '' AND "
            "(id = ? OR (user_id = ? AND amr = ?)) ORDER BY created_at DESC",
            (flow_id, user.id, kind),
        ).fetchone()
        if row is None:
            raise ApiError(404, "flow_state_not_found", "No associated flow state found")
        # A magic link's flow lives from its code on, any other from its start (``otp``, ``recover``).
        started = call.project.store.now() if kind == "magiclink" else row[1]
        db.execute(
            "UPDATE flow_states SET auth_code = ?, user_id = ?, created_at = ? WHERE id = ?",
            (code, user.id, started, row[0]),
        )
    return code


def pkce_grant(call: Call) -> Response:
    """``POST /token?grant_type=pkce``: the code and its verifier become a session."""
    params = read_params(call.body, "PKCEGrantParams", {"auth_code": str, "code_verifier": str})
    if not params["auth_code"] or not params["code_verifier"]:
        raise invalid("invalid request: both auth code and code verifier should be non-empty")
    store = call.project.store
    with store.transaction() as db:
        row = db.execute(
            "SELECT id, user_id, challenge, method, amr, created_at FROM flow_states WHERE auth_code = ?",
            (params["auth_code"],),
        ).fetchone()
        if row is None:
            message = "invalid flow state, no valid flow state found"
            raise ApiError(404, "flow_state_not_found", message)
        if store.now() > row[5] + _FLOW_LIFETIME:
            raise ApiError(422, "flow_state_expired", "invalid flow state, flow state has expired")
        given = params["code_verifier"]
        if row[3] == "s256":
            digest = hashlib.sha256(given.encode("utf-8", "replace")).digest()
            given = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not secrets.compare_digest(given.encode("utf-8", "replace"), row[2].encode()):
            message = "code challenge does not match previously saved code verifier"
            raise ApiError(400, "bad_code_verifier", message)
        db.execute("DELETE FROM flow_states WHERE id = ?", (row[0],))
        user = store.user(row[1])
        assert user is not None
        session = store.new_session(user, row[4])
    return call.project.session_answer(session)


def authorize(call: Call) -> Response:
    """``GET /authorize?provider=demo``: to the page of the demo provider."""
    provider = call.query("provider")
    if provider in PROVIDERS:
        raise invalid("Unsupported provider: provider is not enabled")
    if provider != "demo":
        raise invalid(f"Unsupported provider: Provider {provider[:100]} could not be found")
    params = {name: call.query(name) for name in _PKCE}
    if params["code_challenge_method"].lower() not in ("", "s256", "plain"):
        raise invalid("Invalid code_challenge_method")
    check_challenge(params)
    flow = _new_flow(call, None, params, "oauth", redirect_target(call, call.query("redirect_to")))
    return _redirect(f"{call.project.url}/demo/provider?state={flow}&prefix={quote(call.prefix)}", 302)


def provider_page(call: Call) -> Response:
    """``GET /demo/provider``: stands for the page on which one signs in with somebody else's account."""
    prefix = "/auth/v1" if call.query("prefix") else ""
    state = quote(call.query("state"), safe="")
    users, _ = call.project.store.users(1, 20)
    rows = "".join(
        f'<li><a href="{prefix}/callback?state={state}&amp;code={user.id}">{html.escape(user.email)}</a></li>'
        for user in reversed(users)
        if user.email
    )
    return HTMLResponse(
        f"<!doctype html><meta charset=utf-8><title>Demo provider</title><h1>Sign in as</h1><ul>{rows}</ul>"
    )


def callback(call: Call) -> Response:
    """``GET /callback``: from the demo provider back to the app, with ``?code=`` or the session."""
    store = call.project.store
    with store.transaction() as db:
        row = db.execute(
            "SELECT challenge, redirect_to, created_at FROM flow_states WHERE id = ? AND auth_code IS NULL",
            (call.query("state"),),
        ).fetchone()
        user = store.user(call.query("code"))
        if row is None or store.now() > row[2] + _FLOW_LIFETIME:
            raise ApiError(400, "bad_oauth_state", "OAuth state parameter is invalid")
        if user is None:
            raise ApiError(400, "bad_oauth_callback", "OAuth callback with invalid code")
        if user.banned(store.now()):
            raise ApiError(403, "user_banned", "User is banned")
        if row[0]:
            return _redirect(
                _with_query(row[1], {"code": _issue_code(call, user, flow_id=call.query("state"))}), 302
            )
        db.execute("DELETE FROM flow_states WHERE id = ?", (call.query("state"),))
        return _session_redirect(call, row[1], store.new_session(user, "oauth"), "")
