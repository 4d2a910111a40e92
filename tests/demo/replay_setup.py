"""How each recorded server was set up, and what the recorder did between requests without recording it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from supabase_nb.demo._endpoints.provider import code_for

if TYPE_CHECKING:
    from replay import Replay

SECRET = "a secret of the replay, long enough for HS256"
HS256 = {"signing_alg": "HS256"}
APP = {
    "site_url": "https://app.example.com",
    "redirect_urls": "https://app.example.com/**,http://localhost:8888/**",
    "providers": "keycloak",
    "autoconfirm": False,
}
# How the recorded servers were set up.
OPTIONS: dict[str, dict[str, Any]] = {
    "id-token": APP,
    "identities": APP,
    "mfa": APP,
    "oauth-provider": APP,
    "oauth-server": APP,
    "otp": APP,
    "public-confirm-by-email": {**HS256, "autoconfirm": False, "outbox": False},
    "public-es256": {},
    "public-hs256": HS256,
    "public-signup-disabled": {**HS256, "disable_signup": True, "disable_email": True},
    "rate-limit": {**HS256, "rate_limit": 1},
    "recover": {**APP, "secure_password_change": True},
    "rotation": {},
    "rotation-no-reuse-interval": {**HS256, "reuse_interval": 0, "access_token_lifetime": 20},
    "rotation-v2-refresh-tokens": {"refresh_token_version": 2},
    "sessions-es256": {},
    "sessions-hs256": HS256,
    "sign-out": {},
    "time-box": {**HS256, "timebox": 5},
    "users": {"site_url": "http://localhost:9990"},
}
PLAIN = {"issuer": "http://127.0.0.1:9981", "manual_linking": False, "oauth_server": False}
# From this scenario on another server was asked: its options; None: the first one again.
ELSEWHERE: dict[tuple[str, str], dict[str, Any] | None] = {
    ("recover", "signup on a server that confirms at once"): PLAIN,
    ("mfa", "anonymous signup (on a server that allows it)"): PLAIN,
    ("identities", "signup on a server without manual linking"): PLAIN,
    ("identities", "anonymous signup"): None,
    ("oauth-server", "OAuth server disabled: discovery, OAuth"): PLAIN,
}
# The user of the first password sign-in was made by the service role before.
MADE_BY_ADMIN = ("id-token", "identities", "mfa", "oauth-server", "otp", "recover")

PHONES = "no phones"
OTHER_SITES = "pages of other sites may read no answer of this server"
_NOT_SERVED: dict[str, dict[str, tuple[str, ...]]] = {
    "mfa": {
        PHONES: (
            "enroll: phone without a number",
            "enroll: phone, bad number",
            "enroll: phone",
            "challenge: phone",
            "the SMS",
            "challenge: phone, again at once",
            "verify: phone, wrong code",
            "verify: phone, right code",
            "claims: phone",
            "admin: remove a factor",
            "refresh: after the admin removed the factor",
            "claims after the admin removed the factor",
        )
    },
    "oauth-server": {
        OTHER_SITES: (
            "authorization: from an origin that is not allowed",
            "CORS preflight: /oauth/token",
        )
    },
    "otp": {
        PHONES: (
            "otp: phone, create_user false, unknown",
            "otp: bad phone",
            "otp: phone, new user",
            "the SMS",
            "otp: phone, again at once",
            "verify: sms, right code",
        ),
    },
}
# The recorded scenarios that are not replayed, with the reason.
NOT_SERVED = {
    (name, scenario): reason
    for name, reasons in _NOT_SERVED.items()
    for reason, names in reasons.items()
    for scenario in names
}

# What the recorder did to the database before a request: rows that are older than they were.
CODE, FLOW = (
    "UPDATE one_time_tokens SET created_at = created_at - 3601",
    "UPDATE flow_states SET created_at = ",
)
AGED: dict[tuple[str, str], str] = {
    ("otp", "verify: code expired"): CODE,
    ("otp", "verify: hash expired"): CODE,
    ("otp", "pkce: magic link, code 301 s old"): f"{FLOW}created_at - 301",
    ("recover", "verify: code expired"): CODE,
    ("recover", "pkce: recovery, mail asked for 301 s ago, code fresh"): f"{FLOW}created_at - 301",
    ("recover", "update user: password, session older than 24 h"): (
        "UPDATE sessions SET created_at = created_at - 86401"
    ),
    ("mfa", "verify: challenge expired"): (
        "UPDATE challenges SET created_at = created_at - 301 "
        "WHERE id = 'e3b5aa08-a23f-4bc4-a392-e61a9fa8cc6d'"
    ),
    ("mfa", "refresh: the refresh token from before the verify, 11 s later"): (
        "UPDATE refresh_tokens SET updated_at = updated_at - 11 WHERE token = 'rcoqutnvgbq4'"
    ),
    ("oauth-provider", "pkce: 301 s after authorize, code itself fresh"): f"{FLOW}created_at - 301",
    ("oauth-provider", "callback: state expired"): f"{FLOW}created_at - 301",
    ("oauth-server", "refresh: an ancestor after the reuse interval"): (
        "UPDATE refresh_tokens SET updated_at = updated_at - 11"
    ),
    ("oauth-server", "refresh: then the active one, 11 s later"): (
        "UPDATE refresh_tokens SET updated_at = updated_at - 11"
    ),
    ("oauth-server", "consent: authorization expired"): (
        "UPDATE oauth_authorizations SET created_at = created_at - 601"
    ),
    ("oauth-server", "token: code expired"): "UPDATE oauth_authorizations SET created_at = created_at - 601",
}


# -- what the recorder did by requests that it left out ------------------------------------------------------


def account(number: str, **more: Any) -> dict[str, Any]:
    """An account at the recorder's provider."""
    known = {"sub": f"kc-{number}", "email": f"bob-{number}@example.com", "email_verified": True}
    return {**known, "name": "Bob", **more}


BOB = account("625ca96b")
# Who signed in at the provider, where it wasn't Bob.
SOMEONE: dict[str, dict[str, Any]] = {
    "callback: the provider gives no email": account("none", email=""),
    "callback: the provider's email is not verified": account("unverified", email_verified=False),
    "callback (3)": account("10ebf340", email="ada-6f70d630@example.com"),
    "callback: linked": account("c7b090ed"),
    "callback: link the same again": account("c7b090ed"),
    "callback: an identity of another user": account("another"),
    "callback: a second identity of the same provider": account("2ed9e8d3"),
    "callback: link, implicit": account("54b1b3cc"),
    "callback: an anonymous user links": account("ae7af6c1"),
    "callback: an anonymous user links what another user has": account("ae7af6c1"),
}
CHALLENGE = {"code_challenge": "x" * 43, "code_challenge_method": "s256"}
LINKS = {
    # scenario: the request from which to take the user's token, and whether PKCE is used
    "callback: link the same again": ("get user: the session that asked, after linking", True),
    "callback: an identity of another user": ("get user: the session that asked, after linking", True),
    "callback: a second identity of the same provider": (
        "get user: the session that asked, after linking",
        True,
    ),
    "callback: link, implicit": ("get user: the session that asked, after linking", False),
    "callback: an anonymous user links": ("get user: anonymous, no identities", True),
    "callback: an anonymous user links what another user has": ("get user: still anonymous", True),
}


def state_of(location: str) -> str:
    return re.findall(r"state=([0-9a-f-]{36})", location)[0]


def provider(player: Replay, entry: dict[str, Any]) -> None:
    """What leads to a callback: an authorize that was not recorded, and the person at the provider."""
    name, path = entry["name"], entry["request"]["path"]
    code = re.findall(r"code=(provider-code-\w+)", path)
    if not path.startswith("/callback") or not code:
        return
    player.live[code[0]] = code_for(SOMEONE.get(name, BOB))
    if name.startswith("callback after"):
        url = entry.get("note", "")
        asked = {"provider": "keycloak", **CHALLENGE}
        referer = "http://127.0.0.1:12345/from-referer" if "Referer" in name else ""
        if url.startswith(("http", "myapp")):
            asked["redirect_to"] = url
        headers = {"Referer": referer} if referer else {}
        _, found, _ = player.ask("GET", f"/authorize?{urlencode(asked)}", headers=headers)
        player.live[state_of(path)] = state_of(found["location"])
    if name == "callback: an identity of another user":
        other = {"provider": "keycloak", "redirect_to": "http://127.0.0.1:8899/callback"}
        _, found, _ = player.ask("GET", f"/authorize?{urlencode(other)}")
        state = state_of(found["location"])
        player.ask("GET", f"/callback?state={state}&code={code_for(SOMEONE[name])}")
    if name in LINKS:
        of, pkce = LINKS[name]
        token = next(e["request"]["headers"]["Authorization"] for e in player.entries if e["name"] == of)
        asked = {"provider": "keycloak", "redirect_to": "http://127.0.0.1:8899/callback"}
        challenge = CHALLENGE
        if name == "callback: an anonymous user links":
            challenge = challenge_of(player, "pkce: no longer anonymous")
        asked |= challenge if pkce else {}
        headers = {"Authorization": player.translate(token)}
        _, found, _ = player.ask("GET", f"/user/identities/authorize?{urlencode(asked)}", headers=headers)
        player.live[state_of(path)] = state_of(found["location"])


def challenge_of(player: Replay, scenario: str) -> dict[str, str]:
    """The challenge of the verifier that a later request sends."""
    body = next(entry["request"]["body"] for entry in player.entries if entry["name"] == scenario)
    verifier = (
        body["code_verifier"] if isinstance(body, dict) else re.findall(r"code_verifier=([^&]+)", body)[0]
    )
    digest = hashlib.sha256(verifier.encode()).digest()
    return {
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }


def account_of_ada(player: Replay, entry: dict[str, Any]) -> None:
    new = {"email": "ada-6f70d630@example.com", "password": "correct horse battery", "email_confirm": True}
    player.server.admin("POST", "/users", new)


def ban_bob(player: Replay, entry: dict[str, Any]) -> None:
    users = player.server.admin("GET", "/users?per_page=100")["users"]
    bob = next(user for user in users if user["email"] == BOB["email"])
    player.server.admin("PUT", f"/users/{bob['id']}", {"ban_duration": "24h"})


def another_user(player: Replay, entry: dict[str, Any]) -> None:
    new = {"email": "eve@example.com", "password": "correct horse battery"}
    player.server.admin("POST", "/users", {**new, "email_confirm": True})
    token = entry["request"]["headers"]["Authorization"].removeprefix("Bearer ")
    player.live[token] = player.server.sign_in(**new)["access_token"]


def user_with_one_identity(player: Replay, entry: dict[str, Any]) -> None:
    another_user(player, entry)
    token = entry["request"]["headers"]["Authorization"]
    _, _, user = player.ask("GET", "/user", headers={"Authorization": token})
    player.live[entry["request"]["path"].rpartition("/")[2]] = user["identities"][0]["identity_id"]


def another_client(player: Replay, entry: dict[str, Any]) -> None:
    new = {"redirect_uris": ["http://127.0.0.1:8899/callback"], "token_endpoint_auth_method": "none"}
    _, _, made = player.ask("POST", "/oauth/clients/register", new)
    player.live["44fbaf33-2ab7-41b7-8b50-6ade1371c1f6"] = made["client_id"]


# Each authorization of the OAuth server that was asked for without being recorded: the request whose verifier
# it is for, and the scope.
AUTHORIZATIONS = {
    "authorization: consent given before, scopes covered": ("token: right, fewer scopes", "email"),
    "consent endpoints with the client's access token": ("token: right, fewer scopes", "email"),
    "authorization: approved at once": ("token: right (2)", "email"),
    "authorization: after the grant was revoked": ("token: right (2)", "email"),
    "authorization": ("token: right (2)", "email"),
    "authorization: details": ("token: code expired", "email"),
    "authorization: approved at once (2)": ("token: right (3)", "email"),
    "authorization: a confidential client": ("token: confidential client", "openid email"),
}


def authorization(player: Replay, entry: dict[str, Any]) -> None:
    verifier, scope = AUTHORIZATIONS[entry["name"]]
    confidential = entry["name"].endswith("confidential client")
    client = (
        "83db2282-81c9-465b-805c-8b9454816768" if confidential else "6be83a5d-781e-4bfb-b2a3-03be6933a5e3"
    )
    asked = {
        "client_id": player.live[client],
        "redirect_uri": "https://app.example.com/cb" if confidential else "http://127.0.0.1:8899/callback",
        "response_type": "code",
        "state": "my-state",
        "scope": scope,
        **({"nonce": "my-nonce"} if confidential else {}),
        **challenge_of(player, verifier),
    }
    _, headers, _ = player.ask("GET", f"/oauth/authorize?{urlencode(asked)}")
    recorded = entry["request"]["path"].rpartition("/")[2]
    player.live[recorded] = headers["location"].partition("authorization_id=")[2]


def code_of_the_app(player: Replay, entry: dict[str, Any]) -> None:
    """The six digits that the authenticator app shows now."""
    path, body = entry["request"]["path"], entry["request"]["body"]
    recorded = body.get("code") if isinstance(body, dict) else None
    if not path.endswith("/verify") or not isinstance(recorded, str) or recorded == "000000":
        return
    factor_id = player.translate(path.split("/")[2])
    for shown in player.server.totp_codes():
        if shown["factor_id"] == factor_id:
            player.live[recorded] = shown["code"]


def id_token(player: Replay, entry: dict[str, Any]) -> None:
    """An ID token of the demo provider, with the recorded claims."""
    token = entry["request"]["body"].get("id_token") if isinstance(entry["request"]["body"], dict) else None
    if not isinstance(token, str) or token.count(".") != 2:
        return
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    for name in ("iat", "exp"):
        claims[name] += player.shift
    if claims["iss"].startswith("http://127.0.0.1"):
        del claims["iss"]  # the demo provider's own
    claims.setdefault("email", "")
    player.live["http://127.0.0.1:9983/realms/demo"] = f"{player.server.url}/demo/provider"
    live = player.server.id_token(**claims)
    player.live[token] = live[:-6] + "AAAAAA" if token.endswith("AAAAAA") else live


Prelude = Callable[["Replay", dict[str, Any]], None]
PRELUDES: dict[str, list[Prelude]] = {
    "oauth-provider": [provider],
    "identities": [provider],
    "mfa": [code_of_the_app],
    "id-token": [id_token],
}
ONCE: dict[tuple[str, str], Prelude] = {
    ("oauth-provider", "authorize: someone whose email has an account already"): account_of_ada,
    ("oauth-provider", "authorize: a banned user"): ban_bob,
    ("identities", "unlink: the only identity"): user_with_one_identity,
    ("oauth-server", "authorization: another user"): another_user,
    ("oauth-server", "token: another client's code"): another_client,
    **{("oauth-server", name): authorization for name in AUTHORIZATIONS},
}
