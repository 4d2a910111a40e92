"""Find the tokens of one session in pasted text.

| form | example |
|---|---|
| two tokens, in one text or in two fields | ``eyJ… abc…``, ``('eyJ…', 'abc…')``; broken lines are joined |
| the same in a list or in Python | ``- eyJ…``, ``1. eyJ…``, ``at = "eyJ…"``, ``set_session("eyJ…", …)`` |
| labeled tokens | ``access_token: eyJ…``, ``SB_REFRESH_TOKEN=…``, Firefox's "Parsed Value", a ``repr`` |
| a stored session | JSON or a Python dict; alone, quoted, or nested in a list or an object |
| an entry of local storage | ``sb-…-auth-token`` and the JSON, with a tab, ``:`` or ``=`` between them |
| a cookie | ``base64-…`` or URL-encoded JSON; alone, with its name, in a table, in a ``Cookie:`` header |
| a cookie in parts | ``sb-…-auth-token.0=…`` and ``.1=…`` in any order, in one text or over the two fields |
| a URL | ``https://app/#access_token=…&refresh_token=…`` |
| a request | ``curl``, PowerShell, ``fetch`` or HAR with such a cookie; HAR with a response with a session |

The readers (`readers`) collect `Findings`. `_decide` then checks whether this is exactly one session.
Tokens with another label (``provider_token``, ``user_metadata``) are ignored.
"""

from __future__ import annotations

import re

from ..._secrets import masking
from ..._secrets.tokens import Secret, is_cut_off, is_opaque
from ...errors import AuthError
from .findings import NEITHER, TWO_SESSIONS, Findings, Pair
from .readers import find_joined_cookie, find_tokens

_LONG_RUN = re.compile(r"(?<![\w.-])[\w-]{64,}(?![\w.-])", re.ASCII)
_MAX_SIZE = 256 * 1024

_NOTHING = "The input is empty. Paste both tokens."
_CUT_TOKEN = "The access token is incomplete: its end is missing. Copy the whole token again."
_ACCESS_ALONE = (
    "This contains an access token but no refresh token. Copy the whole stored session "
    "(in the browser: the entry sb-…-auth-token)."
)
_REFRESH_ALONE = (
    "This contains a refresh token but no access token. Copy the whole stored session "
    "(in the browser: the entry sb-…-auth-token)."
)


def read_paste(text: str | Secret, other: str | Secret = "") -> Pair:
    """Split pasted text into an access token and a refresh token.

    Args:
        text: Both tokens in any of the forms above, or only the access token.
        other: The refresh token from the second field, or the rest of a cookie.

    Raises:
        AuthError: The text isn't exactly one session. The message says what it seems to be.
    """
    fields = [Secret(text), Secret(other)]
    text = other = ""
    if max(len(each.reveal()) for each in fields) > _MAX_SIZE:
        raise _error("This is too long. Paste only the two tokens.")
    found = find_joined_cookie(fields)
    if found is None:
        found = find_tokens(fields)
    result = _decide(found)
    if isinstance(result, str):
        raise _error(result)
    # The containers of tokens are secret too: a cookie, or a part of one.
    wholes = (run for each in fields for run in _LONG_RUN.findall(each.reveal()))
    masking.remember(*wholes, given=True)
    return result


def _decide(found: Findings) -> Pair | str:
    """The session that was found, or an error."""
    if len(found.sessions) > 1:
        return TWO_SESSIONS
    if found.sessions:
        (session,) = found.sessions
        if is_cut_off(session[0]):
            return _CUT_TOKEN
        same = all(token == session[0] for token in found.access) and all(
            token == session[1] for token in [*found.refresh, *found.unknown]
        )
        return session if same else TWO_SESSIONS
    if found.problems:
        return found.problems[0]
    if any(map(is_cut_off, found.access)):
        return _CUT_TOKEN
    if len(found.access) > 1 or found.alone > 1:
        return "These are two access tokens. The refresh token is much shorter."
    refresh = found.refresh + [token for token in found.unknown if is_opaque(token)]
    if len(refresh) > 1:
        return TWO_SESSIONS if found.access else NEITHER
    if found.access and refresh:
        return found.access[0], refresh[0]
    if found.keys:
        return f"This is {found.keys[0]}, not the access token of a user. Sign in to get one."
    if found.access:
        return (found.access[0], Secret("")) if found.alone else _ACCESS_ALONE
    if found.refresh and found.unknown:
        return found.unknown[0], found.refresh[0]
    if found.refresh:
        return _REFRESH_ALONE
    if found.unknown:
        return "This is not a token. Paste both tokens: the access token, then the refresh token."
    return NEITHER if found.parts else _NOTHING


def _error(message: str) -> AuthError:
    return AuthError(message, code="paste")
