"""Finds tokens and keys in text by their format, for cells, logs, errors and the scanner.

Callers choose which kinds to mask or report. All work is linear in the text's length.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import token_formats
from .tokens import Secret, read_claims, read_header, session_id_of, text_claim

_RUN = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_IN_JSON = re.compile(r'"(?:access|refresh)_token"\s{0,4}:\s{0,4}"([A-Za-z0-9_.-]+)"', re.ASCII)
_KEY_KINDS = {"sb_p": "publishable key", "sb_s": "secret key", "sbp_": "personal access token"}
_PUBLIC = ("anon key", "publishable key", "JWT")
# Shorter ones are examples. No algorithm produces them.
_SHORTEST_SIGNATURE = 16
# set_session("eyJ…", "abc…") and %supabase_set_session eyJ… abc…; quotes and newlines may be escaped.
_BESIDE = re.compile(
    r"""\\{0,8}["'`]?[\s,;|\\]{1,40}(?:(?P<name>rt|refresh_token)(?:\s{0,4}[:=]\s{0,4}|\s{1,4}))?(?P<quote>b?["'`])?
        (?P<value>[A-Za-z0-9_-]{12,128})
        (?(quote)\\{0,8}["'`](?!\s{0,4}[:=])|(?![A-Za-z0-9_./(-]|\s{0,2}=(?!=))(?P<last>["'`\\)]{0,4}\s{0,4}(?:$|\n)|\\{1,8}n|\\{0,8}["'`]\s{0,4}[],}])?)""",
    re.VERBOSE | re.ASCII,
)


class TokenMatch(NamedTuple):
    """A token or key found in a text.

    Attributes:
        start: Its first character.
        end: One past its last character.
        kind: ``"access token"``, ``"session cookie"``, ``"service_role key"``, ``"secret key"``…
        claims: A JWT's.
    """

    start: int
    end: int
    kind: str
    claims: Mapping[str, Any] | None = None

    @property
    def is_public(self) -> bool:
        """Whether it is public (an anon key), or not Supabase's."""
        return self.kind in _PUBLIC

    @property
    def is_session(self) -> bool:
        """Whether this is a user's token, or a cookie with one."""
        return self.kind in ("access token", "session cookie")


def find_tokens(text: str) -> Iterator[TokenMatch]:
    """Find JWTs, session cookies and keys by their format, in order and without overlaps."""
    if "eyJ" not in text and "sb" not in text:
        return
    for run in _RUN.finditer(text):
        if "eyJ" in run[0] or "sb" in run[0]:
            yield from _in_run(run[0], run.start())


def _in_run(run: str, start: int) -> Iterator[TokenMatch]:
    pieces = run.split(".")
    passed = 0  # parts of the previous token
    for number, piece in enumerate(pieces):
        if number >= passed:
            if jwt := _jwt(pieces, number, start):
                yield jwt
                passed = number + 3
            elif cookie := _cookie(piece, last=number == len(pieces) - 1):
                yield TokenMatch(start + cookie, start + len(piece), "session cookie")
            else:
                for key in token_formats.KEY.finditer(piece):
                    yield TokenMatch(start + key.start(), start + key.end(), _KEY_KINDS[key[0][:4]])
        start += len(piece) + 1


def _jwt(pieces: list[str], number: int, start: int) -> TokenMatch | None:
    head, begin = pieces[number], pieces[number].find("eyJ")
    if begin < 0 or len(pieces) < number + 3 or len(pieces[number + 2]) < _SHORTEST_SIGNATURE:
        return None
    claims = read_claims(Secret(".".join(("x", *pieces[number + 1 : number + 3]))))
    if claims is None:
        return None
    role, end = text_claim(claims, "role"), start + sum(map(len, pieces[number : number + 3])) + 2
    kind = f"{role} key" if role else "JWT"
    if text_claim(claims, "sub") and (role or text_claim(claims, "session_id")):
        kind = "access token"
    return TokenMatch(start + _header(head, begin), end, kind, claims)


def _header(text: str, first: int) -> int:
    """Where a JWT's header starts in a text that may have a prefix."""
    at = first
    for _ in range(3):
        if read_header(Secret(f"{text[at:]}.e.e")) is not None:
            return at
        at = text.find("eyJ", at + 1)
        if at < 0:
            break
    return first


def _cookie(piece: str, *, last: bool) -> int | None:
    """Where a session's base64 JSON starts, also in the first of several parts."""
    at = piece.find("base64-eyJ") + 7
    if at >= 7 and tokens_in_cookie(piece[at:]):
        return at
    match = token_formats.SESSION_IN_BASE64.search(piece) if last else None
    return match.start() if match else None


def tokens_in_cookie(cookie: str) -> list[Secret]:
    """The tokens in a session's base64 JSON, as in supabase-ssr's cookies, or in its beginning."""
    decoded = decoded_base64(cookie).decode(errors="replace")
    return [Secret(token) for token in _IN_JSON.findall(decoded)]


def decoded_base64(data: str) -> bytes:
    """Decode base64 of either alphabet, as far as possible. It may be truncated."""
    data = data.rstrip("=").replace("-", "+").replace("_", "/")
    data = data[: len(data) - (len(data) % 4 == 1)]
    return base64.b64decode(data + "=" * (-len(data) % 4))


def refresh_token_after(text: str, end: int) -> tuple[int, int] | None:
    """The span of a refresh token that follows an access token, if there is one.

    A version 1 refresh token without digits looks like a word. It counts only as the second argument of a
    call.
    """
    match = _BESIDE.match(text, end)
    if match is None:
        return None
    gap, value = text[end : match.start("value")], match["value"]
    if looks_like_refresh_token(value) or (token_formats.V1.fullmatch(value) and _is_second(match, gap)):
        return match.span("value")
    return None


def _is_second(match: re.Match[str], gap: str) -> bool:
    """Whether a word of letters after an access token is a second argument, not part of a sentence."""
    if match["name"] and "\n" not in gap:
        return True
    if match["quote"]:
        return "," in gap or "\n" not in gap
    return match["last"] is not None and gap.strip(" \t") == ""


def looks_like_refresh_token(value: str) -> bool:
    """Whether a text looks like a refresh token, not like a word or name."""
    if token_formats.V1.fullmatch(value):
        return not value.isalpha() and not value.isdigit()
    if token_formats.LEGACY.fullmatch(value):
        return has_mixed_characters(value)
    return session_id_of(Secret(value)) is not None


def has_mixed_characters(value: str) -> bool:
    """Whether a text has lowercase letters, uppercase letters and digits, like base64 and unlike names."""
    return value.upper() != value != value.lower() and any(map(str.isdigit, value))
