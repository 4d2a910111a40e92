"""Signing in with a provider: ``/authorize``, the demo provider's own page, ``/callback``, ID tokens."""

from __future__ import annotations

import base64
import binascii
import hashlib
import html
import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from .._project.api_errors import ApiError, OAuthError, answer, invalid
from .._project.go_formats import read_json, read_params
from .._project.keys import BadToken
from .._project.project import PROVIDERS, Call
from .._project.store import User
from .identities import Account, link, sign_in_as
from .one_time_codes import mail_confirmation
from .page_layout import html_page
from .pkce import FLOW_LIFETIME, check_challenge, issue_code, new_flow
from .redirects import (
    error_redirect,
    message_redirect,
    redirect,
    redirect_target,
    session_redirect,
    with_query,
)

_CLIENT_ID = "demo-client"
# Parameters of /authorize that the auth server uses itself. It passes all others on to the provider.
_OWN = {"provider", "scopes", "state", "redirect_uri", "client_id", "response_type", "scope"}
_ACCESS_DENIED = ("user_banned", "provider_email_needs_verification", "signup_disabled")
_OTHERS = {"apple": "an Apple", "azure": "an Azure"}
_GOOGLE = "https://accounts.google.com"


def _enabled(call: Call, provider: str) -> None:
    """Refuse a provider that the project hasn't enabled; ``demo`` always is.

    Raises:
        ApiError: 400 ``validation_failed``.
    """
    if provider in call.project.providers or provider == "demo":
        return
    if provider in PROVIDERS:
        raise invalid("Unsupported provider: provider is not enabled")
    raise invalid(f"Unsupported provider: Provider {provider[:100]} could not be found")


def _provider_url(call: Call, user: User | None = None) -> str:
    """Begin a flow, and return the URL of the provider's page."""
    provider = call.query("provider")
    _enabled(call, provider)
    params = {name: call.query(name) for name in ("code_challenge", "code_challenge_method")}
    if params["code_challenge_method"].lower() not in ("", "s256", "plain"):
        raise invalid("Invalid code_challenge_method")
    check_challenge(params)
    wanted = call.query("redirect_to") or call.request.headers.get("referer", "")
    flow = new_flow(
        call,
        None if user is None else user.id,
        params,
        "oauth",
        redirect_target(call, wanted),
        provider=provider,
        linking=user is not None,
    )
    passed = {name: text for name, text in call.request.query_params.items() if name not in {*_OWN, *params}}
    query = {
        **passed,
        "client_id": _CLIENT_ID,
        "redirect_uri": f"{call.project.url}{call.prefix}/callback",
        "response_type": "code",
        "scope": f"profile email {call.query('scopes')}".strip(),
        "state": flow,
    }
    return f"{call.project.url}/demo/provider?{urlencode(sorted(query.items()))}"


def authorize(call: Call) -> Response:
    """``GET /authorize?provider=…``: to the provider's page."""
    return redirect(_provider_url(call), 302)


def link_identity(call: Call) -> Response:
    """``GET /user/identities/authorize``: the same, to link the provider's account to the user."""
    user, _ = call.project.require_user(call.request)
    if not call.project.options.manual_linking:
        raise ApiError(404, "manual_linking_disabled", "Manual linking is disabled")
    url = _provider_url(call, user)
    return answer({"url": url}) if call.query("skip_http_redirect") == "true" else redirect(url, 302)


# -- the provider's side -----------------------------------------------------------------------------------


def code_for(account: Mapping[str, Any]) -> str:
    """The code that tells the auth server who has signed in at the demo provider.

    Args:
        account: ``sub``, ``email``, ``email_verified`` and ``name``.
    """
    return base64.urlsafe_b64encode(json.dumps(dict(account)).encode()).decode().rstrip("=")


def _account_of(user: User) -> dict[str, Any]:
    name = user.doc["user_metadata"].get("name") or user.email.partition("@")[0]
    return {"sub": f"demo-{user.id[:8]}", "email": user.email, "email_verified": True, "name": name}


def page(call: Call) -> Response:
    """``GET /demo/provider``: the demo's version of a provider's sign-in page."""
    prefix = "/auth/v1" if "/auth/v1/" in call.query("redirect_uri") else ""
    state = call.query("state")
    users, _ = call.project.store.users(1, 20)

    def entry(text: str, query: dict[str, str]) -> str:
        address = html.escape(f"{prefix}/callback?{urlencode({'state': state, **query})}")
        return f'<li><a href="{address}">{html.escape(text)}</a></li>'

    rows = [
        entry(user.email, {"code": code_for(_account_of(user))}) for user in reversed(users) if user.email
    ]
    denied = {"error": "access_denied", "error_description": "The user said no"}
    return html_page(
        "Demo provider", f"<h1>Sign in as</h1><ul>{''.join(rows)}</ul><ul>{entry('Cancel', denied)}</ul>"
    )


def _ask(call: Call, code: str) -> dict[str, Any]:
    """What the provider says about the user of this code, as the identity's data.

    Raises:
        ApiError: The provider doesn't know the code.
    """
    try:
        account = json.loads(base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)))
        sub, name = str(account["sub"]), str(account["name"])
        email = account.get("email") or ""
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
        raise ApiError(500, "unexpected_failure", f"Unable to exchange external code: {code[:4]}") from None
    if not email:
        text = "Error getting user email from external provider"
        raise ApiError(500, "unexpected_failure", text)
    return {
        "custom_claims": {},
        "email": str(email).lower(),
        "email_verified": account.get("email_verified") is True,
        "full_name": name,
        "iss": _issuer(call),
        "name": name,
        "phone_verified": False,
        "provider_id": sub,
        "sub": sub,
    }


def _issuer(call: Call) -> str:
    return f"{call.project.url}/demo/provider"


# -- back from the provider --------------------------------------------------------------------------------


def callback(call: Call) -> Response:
    """``GET /callback``: from the provider back to the app, with a code or a session."""
    flow_id, store = call.query("state"), call.project.store
    with store.transaction() as db:
        row = db.execute(
            "SELECT challenge, redirect_to, created_at, provider, user_id, linking, auth_code "
            "FROM flow_states WHERE id = ?",
            (flow_id,),
        ).fetchone()
    bad_state = _bad_state(call, flow_id, row)
    if bad_state is not None:
        # To the site URL, never to the requested one, with the error in the URL, as recorded.
        kind, body = {"error": "invalid_request"}, bad_state.response(None).body
        told = {**kind, "error_code": bad_state.code, "error_description": bad_state.message}
        location = f"{call.project.site_url}?{urlencode(told)}"
        return redirect(location, 303, more=bytes(body).decode())
    challenge, target, _, provider, user_id, linking, _ = row
    if call.query("error"):
        told = {name: call.query(name) for name in ("error", "error_description") if call.query(name)}
        return message_redirect(target, told, query=True, status=302)
    if not call.query("code"):
        text = "OAuth callback with missing authorization code missing"
        return error_redirect(target, ApiError(400, "bad_oauth_callback", text), "invalid_request", 302)
    tokens = {
        "provider_token": f"provider-access-{secrets.token_hex(4)}",
        "provider_refresh_token": f"provider-refresh-{secrets.token_hex(4)}",
    }
    try:
        account = Account(provider, _ask(call, call.query("code")))
        with store.transaction() as db:
            user = store.user(user_id) if linking else None
            user = sign_in_as(call, account) if user is None else link(call, user, account)
            if user.banned(store.now()):
                raise ApiError(403, "user_banned", "User is banned")
            if user.confirmed and challenge:
                code = issue_code(call, user, flow_id=flow_id, tokens=tokens)
                return redirect(with_query(target, {"code": code}), 302)
            if user.confirmed:
                db.execute("DELETE FROM flow_states WHERE id = ?", (flow_id,))
                return session_redirect(call, target, store.new_session(user, "oauth"), 302, tokens)
            mail_confirmation(call, user, {"code_challenge": "", "code_challenge_method": ""})
        raise _unverified(provider, mailed=True)
    except ApiError as error:
        kind_of_error = "access_denied" if error.code in _ACCESS_DENIED else "server_error"
        return error_redirect(target, error, kind_of_error, 302)


def _bad_state(call: Call, flow_id: str, row: Any) -> ApiError | None:
    if not flow_id:
        return ApiError(400, "bad_oauth_callback", "OAuth state parameter missing")
    if len(flow_id) != 36:
        return ApiError(400, "bad_oauth_state", "OAuth state parameter is invalid")
    if row is None:
        return ApiError(400, "bad_oauth_state", "OAuth state not found or expired")
    if row[6] is not None:
        return ApiError(400, "flow_state_already_used", "State has already been used")
    if call.project.store.now() > row[2] + FLOW_LIFETIME:
        return ApiError(400, "bad_oauth_state", "OAuth state has expired")
    return None


def _unverified(provider: str, *, mailed: bool) -> ApiError:
    what = (
        f"A confirmation email has been sent to your {provider} email"
        if mailed
        else f"Verify the email with {provider} in order to sign in"
    )
    message = f"Unverified email with {provider}. {what}"
    return ApiError(422, "provider_email_needs_verification", message)


# -- ID tokens ---------------------------------------------------------------------------------------------


def make_id_token(call: Call) -> Response:
    """``POST /demo/id_token {"email": …}``, for the service role: an ID token as issued to an app.

    Other fields are claims: ``nonce``, ``aud``, ``exp``…
    """
    call.project.require_admin(call.request)
    given = read_json(call.body)
    user = call.project.store.user_by_email(str(given.get("email"))) if isinstance(given, dict) else None
    if not isinstance(given, dict):
        raise invalid("The body is an object")
    now = int(call.project.store.now())
    claims = {"iss": _issuer(call), "aud": _CLIENT_ID, **(_account_of(user) if user else {})}
    claims |= {"iat": now, "exp": now + 300, **given}
    return answer({"id_token": call.project.keys.sign(claims)})


def id_token_grant(call: Call) -> Response:
    """``POST /token?grant_type=id_token``: a provider's ID token becomes a session (``id-token``)."""
    names = ("id_token", "access_token", "nonce", "provider", "client_id", "issuer")
    fields = {**dict.fromkeys(names, str), "link_identity": bool}
    params = read_params(call.body, "IdTokenGrantParams", fields)
    if not params["id_token"]:
        raise OAuthError("invalid request", "id_token required")
    provider = params["provider"]
    if not provider and not (params["client_id"] and params["issuer"]):
        raise OAuthError("invalid request", "provider or client_id and issuer required")
    if not provider and params["issuer"] == _issuer(call) and params["client_id"] == _CLIENT_ID:
        provider = next(iter(call.project.providers), "demo")
    claims = _id_claims(call, provider, params)
    user = None
    if params["link_identity"]:
        if call.project.bearer(call.request) is None:
            text = "Linking requires a valid user access token in Authorization"
            raise OAuthError("invalid request", text)
        user, _ = call.project.require_user(call.request)
    if not claims.get("email"):
        raise _unverified(provider, mailed=False)
    data = {name: claims[name] for name in claims if name != "nonce"}
    account = Account(provider, {**data, "aud": [data["aud"]], "phone_verified": False})
    store = call.project.store
    with store.transaction():
        known = None if user is None else list(user.doc["identities"])
        user = sign_in_as(call, account, now=True) if user is None else link(call, user, account)
        session = store.new_session(user, "oauth") if user.confirmed else None
        if session is not None and known is not None:
            user.doc["identities"] = known  # the response shows them as they were before (``id-token``)
        if session is None:
            mail_confirmation(call, user, {"code_challenge": "", "code_challenge_method": ""})
    if session is None:
        raise _unverified(provider, mailed=True)
    return call.project.session_answer(session)


def _id_claims(call: Call, provider: str, params: dict[str, Any]) -> dict[str, Any]:
    """The claims of a valid ID token."""
    if provider in _OTHERS:
        text = f"Detected ID token issuer is not {_OTHERS[provider]} ID token issuer"
        raise invalid(text)
    if provider not in call.project.providers and provider != "demo":
        if provider == "google" or (not provider and params["issuer"] == _GOOGLE):
            raise ApiError(400, "provider_disabled", f'Provider (issuer "{_GOOGLE}") is not enabled')
        if provider.startswith("custom:"):
            raise invalid(f'Custom provider "{provider[:100]}" not found')
        raise invalid(f'Custom OIDC provider "{provider[:100]}" not allowed')
    try:
        claims = call.project.keys.verify(params["id_token"], call.project.store.now())
    except BadToken:
        raise OAuthError("invalid request", "Bad ID token") from None
    if claims.get("iss") != _issuer(call):
        raise OAuthError("invalid request", "Bad ID token")
    if claims.get("aud") != _CLIENT_ID:
        text = f"Unacceptable audience in id_token: [{claims.get('aud')}]"
        raise OAuthError("invalid request", text)
    if bool(claims.get("nonce")) != bool(params["nonce"]):
        text = "Passed nonce and nonce in id_token should either both exist or not."
        raise OAuthError("invalid request", text)
    # The token contains the nonce's SHA-256 in hexadecimal, and the request the nonce itself.
    if params["nonce"] and claims["nonce"] != hashlib.sha256(params["nonce"].encode()).hexdigest():
        raise OAuthError("invalid nonce", "Nonces mismatch")
    return claims
