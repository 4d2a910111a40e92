"""The formats of Supabase's tokens and keys, in one place."""

from __future__ import annotations

import re

#: The characters of tokens, except JWTs' dots. Other characters separate tokens.
_WORD = "[A-Za-z0-9_-]"

JWT = re.compile(rf"{_WORD}+\.{_WORD}+\.{_WORD}+", re.ASCII)
#: A possible refresh token of any version.
OPAQUE = re.compile(rf"{_WORD}+", re.ASCII)
#: The auth server's format before version 1.
LEGACY = re.compile(rf"{_WORD}{{22}}", re.ASCII)
#: Version 1: base32 (tests/wire/rotation.json). One in twelve has no digits and looks like a word.
V1 = re.compile(r"[a-z2-7]{12}", re.ASCII)
#: Version 2: base64 of a zero, a session id (a UUID of version 4), a counter, a signature and a checksum.
V2 = re.compile(rf"A[A-P]{_WORD}{{46,70}}", re.ASCII)
#: supabase-ssr's cookies: base64 of JSON that starts with ``{"access_token``.
SESSION_IN_BASE64 = re.compile(r"eyJhY2Nlc3NfdG9rZW4[A-Za-z0-9_-]{60,16384}", re.ASCII)

#: Prefixes of keys, and their kinds.
KEYS = {
    "sb_publishable_": "a project's publishable key",
    "sb_secret_": "a project's secret key",
    "sbp_": "a personal access token for Supabase's management API",
}
#: The roles of JWT keys, which have no user or session.
KEY_ROLES = {"anon": "a project's anon key", "service_role": "a project's service_role key"}
#: A key in a text.
KEY = re.compile(r"sb_(?:secret|publishable)_[A-Za-z0-9_-]{12,256}|sbp_(?:oauth_)?[a-f0-9]{40}", re.ASCII)
#: Names of tokens in code, JSON, addresses, environments and command lines, in upper or lower case.
NAMES = {
    "access token": "access[_-]?token",
    "refresh token": "refresh[_-]?token",
    "provider token": "provider[_-]?(?:refresh[_-]?)?token",
    "JWT secret": "jwt[_-]?secret",
}
#: Other names of secrets, whose values are masked only in logs and errors.
OTHER_NAMES = (
    "id_?token|token_hash|code_verifier|api_?key|client_secret|(?:proxy-)?authorization"
    "|returned_address|supabase_nb_state"
)
#: Names of a session's cookies (with `.0`, `.1` for parts), and of its entry in local storage.
COOKIE_NAME = r"(?:sb-[A-Za-z0-9-]{1,64}|supabase)[.-]auth[.-]token"
