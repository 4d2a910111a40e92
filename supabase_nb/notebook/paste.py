"""What people paste: two tokens, the JSON of a stored session, or the address that a sign-in led to."""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import AuthError
from ..tokens import Secret, clean, is_jwt, is_opaque, read_claims, text_claim

Pair = tuple[Secret, Secret]

_LARGEST = 256 * 1024
# `access_token: …`, `"refresh_token" = …`, `SUPABASE_ACCESS_TOKEN=…`
_NAMED = re.compile(r"(access|refresh)[_ -]?token[\"'`]?\s*[:=]\s*[\"'`]?([\w.+/=-]+)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s,;|]+")


def read_paste(text: str | Secret, other: str | Secret = "") -> Pair:
    """Split what was pasted into an access token and a refresh token.

    Args:
        text: Both tokens in any of the shapes above, or the access token alone.
        other: The refresh token, where it came separately.

    Raises:
        AuthError: This is not a pair of tokens; says what it seems to be, and repeats nothing of it.
    """
    first, second = Secret(text), Secret(other)
    if max(len(first.reveal()), len(second.reveal())) > _LARGEST:
        raise _error("This is far too long to be a pair of tokens. Paste the two tokens alone.")
    # Both may stand in either field.
    for field in (first, second):
        found = _whole(field)
        if isinstance(found, AuthError):
            raise found
        if found is not None:
            return _checked(found)
    access_token, refresh_token = clean(first), clean(second)
    if not access_token and not refresh_token:
        raise _error("Nothing was given. Paste both tokens.")
    if is_jwt(refresh_token) and not is_jwt(access_token):
        access_token, refresh_token = refresh_token, access_token
    return _checked((access_token, refresh_token))


def _whole(field: Secret) -> Pair | AuthError | None:
    """The pair in one text, what is wrong with it, or ``None`` when it is a single token."""
    text = field.reveal().strip()
    if text.startswith("base64-"):
        text = _decoded(text[7:])
    if text.startswith(("{", "[")):
        return _from_json(text)
    if "://" in text or re.match(r"[#?&]?\w+=.*&", text):
        return _from_address(text)
    return _from_words(text)


def _decoded(text: str) -> str:
    """The cookie that Supabase's server-side helpers keep a session in."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode() or "{"
    except (ValueError, binascii.Error):
        return "{"


def _from_json(text: str) -> Pair | AuthError:
    value: Any = None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                value = ast.literal_eval(text)  # printed by Python: single quotes, None
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return _error("This looks like JSON but is not complete. Copy the whole object, from { to }.")
    pair = _search(value, 4)
    return pair or _error(
        "In this JSON there is no access_token beside a refresh_token. Copy the stored session "
        "(in the browser: the entry sb-…-auth-token)."
    )


def _search(value: Any, depth: int) -> Pair | None:
    """The session in an object, in whatever it may be wrapped (``session``, ``currentSession``, a list)."""
    if isinstance(value, Mapping):
        pair = [value.get("access_token"), value.get("refresh_token")]
        if all(isinstance(token, str) and token for token in pair):
            return clean(pair[0]), clean(pair[1])
        value = list(value.values())
    if isinstance(value, list):
        # The oldest clients stored a bare list: access token first, refresh token second.
        if len(value) >= 2 and all(isinstance(token, str) for token in value[:2]) and is_jwt(clean(value[0])):
            return clean(value[0]), clean(value[1])
        found = (_search(item, depth - 1) for item in value) if depth else ()
        return next((pair for pair in found if pair), None)
    return None


def _from_address(text: str) -> Pair | AuthError:
    try:
        parts = urlsplit(text if "://" in text else "x://y/" + (text if text[0] in "#?" else "#" + text))
        fields = parse_qs(parts.fragment.lstrip("/?")) | parse_qs(parts.query)
    except ValueError:
        return _error("This address cannot be read. Copy it again, whole.")
    tokens = [fields.get(name, [""])[0] for name in ("access_token", "refresh_token")]
    if all(tokens):
        return clean(tokens[0]), clean(tokens[1])
    if "error" in fields or "error_description" in fields or "error_code" in fields:
        return _error("This address says that the sign-in failed. Ask for a new link, or sign in again.")
    if "code" in fields:
        return _error("This address holds a code, not tokens: %supabase_sign_in --link takes it.")
    if "token_hash" in fields or "token" in fields:
        return _error("This link was not followed yet. Open it, then copy the address it leads to.")
    return _error("There are no tokens in this address. Copy it whole, with all that stands behind the #.")


def _from_words(text: str) -> Pair | AuthError | None:
    named = {kind.lower(): value for kind, value in _NAMED.findall(text)}
    if len(named) == 2:
        return clean(named["access"]), clean(named["refresh"])
    words = [word for part in _SEPARATORS.split(text) if (word := clean(part)) and word.reveal() != "Bearer"]
    if len(words) < 2:
        return None
    tokens = [word for word in words if is_jwt(word)]
    others = [word for word in words if not is_jwt(word) and is_opaque(word)]
    if len(tokens) == 1 and len(others) == 1:
        return tokens[0], others[0]
    if len(tokens) == 0 and len(words) == 2:
        return words[0], words[1]
    if len(tokens) > 1:
        return _error("There are several access tokens here. Paste one, with the refresh token beside it.")
    return _error("Two tokens are needed and nothing else: the access token, then the refresh token.")


def _checked(pair: Pair) -> Pair:
    access_token, refresh_token = pair
    claims = read_claims(access_token) or {}
    role = text_claim(claims, "role")
    if "sub" not in claims and role in ("anon", "service_role"):
        raise _error(f"This is a project's {role} key, not the access token of a user. Sign in to get one.")
    if is_jwt(refresh_token):
        raise _error("Both of these are access tokens. The refresh token is the short one beside it.")
    return pair


def _error(message: str) -> AuthError:
    return AuthError(message, code="paste")
