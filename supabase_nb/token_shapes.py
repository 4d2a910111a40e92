"""What Supabase's tokens and keys look like: the one list of their shapes."""

from __future__ import annotations

import re

#: The characters of tokens other than JWTs' dots; what separates these separates tokens.
_WORD = "[A-Za-z0-9_-]"

JWT = re.compile(rf"{_WORD}+\.{_WORD}+\.{_WORD}+", re.ASCII)
#: Anything that may be a refresh token of some version.
OPAQUE = re.compile(rf"{_WORD}+", re.ASCII)
#: What the auth server issued before version 1.
LEGACY = re.compile(rf"{_WORD}{{22}}", re.ASCII)
#: Version 1: base32 (tests/wire/rotation.json). Every twelfth has no digit and looks like a word.
V1 = re.compile(r"[a-z2-7]{12}", re.ASCII)
#: Version 2: base64 of a zero, a session id (a UUID of version 4), a counter, a signature and a check sum.
V2 = re.compile(rf"A[A-P]{_WORD}{{46,70}}", re.ASCII)
#: What supabase-ssr writes into cookies: base64 of JSON that begins with ``{"access_token``.
SESSION_IN_BASE64 = re.compile(r"eyJhY2Nlc3NfdG9rZW4[A-Za-z0-9_-]{60,16384}", re.ASCII)

#: How keys begin, and what they are.
KEYS = {
    "sb_publishable_": "a project's publishable key",
    "sb_secret_": "a project's secret key",
    "sbp_": "a personal access token for Supabase's management API",
}
#: The roles of keys that are JWTs, without a user and a session.
KEY_ROLES = {"anon": "a project's anon key", "service_role": "a project's service_role key"}
#: A key among other characters.
KEY = re.compile(r"sb_(?:secret|publishable)_[A-Za-z0-9_-]{12,256}|sbp_(?:oauth_)?[a-f0-9]{40}", re.ASCII)
#: What tokens are called, in code, JSON, addresses, environments and command lines, in any case.
NAMES = {
    "access token": "access[_-]?token",
    "refresh token": "refresh[_-]?token",
    "provider token": "provider[_-]?(?:refresh[_-]?)?token",
    "JWT secret": "jwt[_-]?secret",
}
#: What else is a secret where it is named: masked in logs and errors, where that does no harm.
OTHER_NAMES = (
    "id_?token|token_hash|code_verifier|api_?key|client_secret|(?:proxy-)?authorization"
    "|returned_address|supabase_nb_state"
)
#: Names of a session's cookies (`.0`, `.1` where it is in parts), and of its entry in local storage.
COOKIE_NAME = r"(?:sb-[A-Za-z0-9-]{1,64}|supabase)[.-]auth[.-]token"
