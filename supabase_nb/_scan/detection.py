"""Recognizes Supabase tokens and keys, and their kinds. Findings never contain the secret itself."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .._secrets import token_formats
from .._secrets.token_search import (
    TokenMatch,
    decoded_base64,
    find_tokens,
    has_mixed_characters,
    looks_like_refresh_token,
    refresh_token_after,
)
from .._secrets.tokens import Secret, session_id_of, text_claim
from .._secrets.tokens import expiry as expiry_of
from .decoded_text import View, plain, views

#: Maximum distance between an access token and a possible refresh token, in characters.
NEAR = 600

#: Maximum length of a secret that `find` reports, in characters. Base64 in a file can be longer.
LONGEST = 24 * 1024

# Maximum nesting of base64.
_DEEPEST = 3
# Base64 without any of these contains no secret.
_MARKERS = (
    "eyJ",
    "sb_",
    "sbp_",
    "efresh",
    "EFRESH",
    "rovider",
    "ROVIDER",
    "wt_secret",
    "WT_SECRET",
    "wtSecret",
    "auth-token",
)

# Every pattern checks each character a bounded number of times, so that no text takes quadratic time.
_WORD = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{12,128}(?![A-Za-z0-9_-])", re.ASCII)
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])(?:base64-)?(?P<data>[A-Za-z0-9+/_-]{40,}={0,2})", re.ASCII)
_V2 = re.compile(rf"(?<![A-Za-z0-9+/_-]){token_formats.V2.pattern}(?![A-Za-z0-9+/_=-])", re.ASCII)
_NAMED_KINDS = ("refresh token", "provider token", "JWT secret")
_NAMED = re.compile(
    rf"""(?P<name>(?i:{"|".join(token_formats.NAMES[kind] for kind in _NAMED_KINDS)}))
        (?P<sep>["'`]?(?:\s{{0,4}}:\s{{0,4}}str)?\s{{0,4}}[:=,]\s{{0,4}}(?:b(?=["'`]))?["'`]?|\s{{1,4}})
        (?P<value>[A-Za-z0-9_./~+=-]{{12,1024}})""",
    re.VERBOSE | re.ASCII,
)
_COOKIE = re.compile(
    rf"""{token_formats.COOKIE_NAME}(?P<part>\.\d{{1,2}})?
        (?: ["'`]?\s{{0,4}}[:=]\s{{0,4}}["'`]? | ["']?[\s,]{{1,8}}["']?
          | ["'],[^{{}}]{{0,400}}?["']value["']\s{{0,4}}:\s{{0,4}}["'] )
        (?P<value>[A-Za-z0-9_.~%+/=-]{{8,16384}})""",
    re.VERBOSE | re.ASCII,
)
# Directly after a cookie's first part, without a name.
_REST_OF_COOKIE = re.compile(
    r"""["'`]?[\s,;]{1,40}["'`]?(?P<value>[A-Za-z0-9_-]{16,16384})(?![\w.(:=])""", re.ASCII
)
# A word near an access token, but not a path, an attribute, a call or an assigned variable.
_NEAR = re.compile(
    r"(?<![A-Za-z0-9_./@+-])[A-Za-z0-9_-]{12,128}(?!\.?[A-Za-z0-9_/@+(-]|\s{0,2}(?:\(|=(?!=)))", re.ASCII
)
# A word that is named as a refresh token near an access token: rt: …, -p rt …
_NEAR_NAMED = re.compile(
    r"""(?<![A-Za-z0-9])(?: (?i:rt|refresh(?:[ _-]?token)?)["'`]?\s{0,4}[:=]\s{0,8}["'`]?
          | -[-p]\s{0,4}(?:rt|refresh(?:[_-]token)?)[\s=]{1,4}["'`]? )
        (?P<value>[a-z2-7]{12})(?![A-Za-z0-9_.(-])""",
    re.VERBOSE | re.ASCII,
)
_ELSEWHERE = "named, or next to an access token, elsewhere"
_PLACEHOLDER = re.compile(
    r"token|your|example|refresh|secret|removed|replace|dummy|x{4}|\.{3}", re.IGNORECASE
)


@dataclass(frozen=True)
class Finding:
    """A secret's position in a text, and its kind.

    Attributes:
        start: Its first character.
        end: One past its last character.
        kind: ``"access token"``, ``"service_role key"``, ``"refresh token"``…
        detail: The project and the expiry from the token, or empty.
        public: Whether it is public (an anon key), and reported only on request.
    """

    start: int
    end: int
    kind: str
    detail: str = ""
    public: bool = False

    @property
    def placeholder(self) -> str:
        """The text that replaces the secret."""
        return f"removed-{self.kind.replace(' ', '-')}"


@dataclass
class Search:
    """The secrets found in a text.

    Attributes:
        findings: The findings in order, without overlaps.
        values: The secrets themselves, except possible ordinary words.
        recurring: Those that are searched by value elsewhere, because their format isn't distinctive.
    """

    findings: list[Finding] = field(default_factory=list)
    values: set[Secret] = field(default_factory=set)
    recurring: set[Secret] = field(default_factory=set)


def find(text: str, *, strict: bool = False) -> list[Finding]:
    """The secrets in `text`, in order, without overlaps.

    Args:
        text: Any text.
        strict: Also report public keys (anon and publishable) and other JWTs.
    """
    return search(plain(text), strict=strict).findings


def replace(text: str, *, strict: bool = False) -> str:
    """`text` with a placeholder for every secret in it."""
    return without_secrets(text, find(text, strict=strict))


def without_secrets(text: str, findings: Iterable[Finding]) -> str:
    """`text` with a placeholder for each given finding."""
    parts, end = [], 0
    for finding in findings:
        if finding.start < end:
            continue
        placeholder, secret = finding.placeholder, text[finding.start : finding.end]
        if "\0" in secret:  # UTF-16 or UTF-32
            zeros = "\0\0\0" if "\0\0\0" in secret else "\0"
            low_first = secret[0] != "\0"
            placeholder = "".join(char + zeros if low_first else zeros + char for char in placeholder)
        parts += [text[end : finding.start], placeholder]
        end = finding.end
    return "".join(parts) + text[end:]


def search(view: View, *, strict: bool = False, known: Set[Secret] = frozenset(), depth: int = 0) -> Search:
    """The secrets in a view, including encoded ones.

    Args:
        view: A view of the text. Positions of findings are those in the original text.
        strict: As in `find`.
        known: Refresh tokens to search by value.
        depth: How many layers of base64 have been decoded.
    """
    words = {secret.reveal() for secret in known}
    result, found = Search(), []
    for layer in views(view):
        for finding in (*_candidates(layer.text, words), *_in_base64(layer.text, known, depth, result)):
            if strict or not finding.public:
                value = Secret(layer.text[finding.start : finding.end])
                # A word of letters may be an ordinary word, so it isn't searched elsewhere.
                if finding.detail or not value.reveal().isalpha():
                    result.values.add(value)
                    if finding.kind == "refresh token":
                        result.recurring.add(value)
                start, end = layer.span(finding.start, finding.end)
                found.append(dataclasses.replace(finding, start=start, end=end))
    for finding in sorted(found, key=lambda each: (each.start, -each.end, each.detail == _ELSEWHERE)):
        before = result.findings[-1] if result.findings else None
        if before is None or finding.start >= before.end:
            result.findings.append(finding)
        elif finding.end > before.end:
            result.findings[-1] = dataclasses.replace(before, end=finding.end)
    return result


def _candidates(text: str, words: set[str]) -> Iterator[Finding]:
    found = [_finding(match) for match in find_tokens(text)]
    yield from found
    if any(marker in text for marker in _MARKERS):
        yield from _named(text)
        yield from _cookies(text, [each for each in found if each.kind == "session cookie"])
    for match in _V2.finditer(text):
        if session_id_of(Secret(match[0])):
            yield Finding(*match.span(), "refresh token")
    if words:
        for match in _WORD.finditer(text):
            if match[0] in words:
                yield Finding(*match.span(), "refresh token", _ELSEWHERE)
    yield from _near(text, [each for each in found if each.kind == "access token"])


def _finding(match: TokenMatch) -> Finding:
    role, space, noun = match.kind.rpartition(" ")
    kind = f"{_plain(role)}{space}{noun}"
    return Finding(match.start, match.end, kind, _detail(match.claims), public=match.is_public)


def _detail(claims: Mapping[str, Any] | None) -> str:
    """A JWT's project and expiry."""
    details = [_project(text_claim(claims, "iss"), text_claim(claims, "ref"))]
    expiry = expiry_of(claims)
    if expiry is not None and expiry < 1e11:
        day = time.strftime("%Y-%m-%d", time.gmtime(expiry))
        details.append(f"expired {day}" if expiry < time.time() else f"valid until {day}")
    return ", ".join(filter(None, details))


def _named(text: str) -> Iterator[Finding]:
    for match in _NAMED.finditer(text):
        value, sep, name = match["value"], match["sep"], match["name"].lower()
        # With only a comma or nothing between them, only the format is a hint.
        quoted = sep[-1] in "\"'`" and not {":", "="}.isdisjoint(sep)
        in_address = text[max(0, match.start() - 1) : match.start()] in ("#", "&", "?")
        if _PLACEHOLDER.search(value) or len(set(value)) < 5 or value.startswith("eyJ"):
            continue
        if "jwt" in name:
            if len(value) >= 32:
                yield Finding(*match.span("value"), "JWT secret")
        elif quoted or in_address or looks_like_refresh_token(value):
            kind = "provider token" if name.startswith("provider") else "refresh token"
            yield Finding(*match.span("value"), kind)


def _cookies(text: str, found: list[Finding]) -> Iterator[Finding]:
    for cookie in found:
        rest = _REST_OF_COOKIE.match(text, cookie.end)
        if rest and has_mixed_characters(rest["value"]):
            yield Finding(*rest.span("value"), "session cookie", "its rest")
    for match in _COOKIE.finditer(text):
        value = match["value"]
        whole = len(value) >= 40 and value.startswith(("base64-", "eyJhY2Nlc3N", "%7B"))
        if whole or (match["part"] and has_mixed_characters(value)):
            start = match.start("value") + 7 * value.startswith("base64-")
            if not text.startswith("removed-", start):
                yield Finding(start, match.end(), "session cookie")


def _in_base64(text: str, known: Set[Secret], depth: int, result: Search) -> Iterator[Finding]:
    for match in _BASE64.finditer(text) if depth < _DEEPEST else ():
        decoded = decoded_base64(match["data"]).decode("latin-1")
        if not known and not any(marker in decoded for marker in _MARKERS):
            continue
        inner = search(plain(decoded), strict=True, known=known, depth=depth + 1)
        if inner.findings:
            result.values |= inner.values
            result.recurring |= inner.recurring
            secret = next((finding for finding in inner.findings if not finding.public), inner.findings[0])
            kind = "session cookie" if match["data"].startswith("eyJhY2Nlc3N") else secret.kind
            yield Finding(*match.span("data"), kind, "in base64", secret.public)


def _near(text: str, tokens: list[Finding]) -> Iterator[Finding]:
    for token in tokens:
        span = refresh_token_after(text, token.end)
        if span and not _PLACEHOLDER.search(text, *span):
            yield Finding(*span, "refresh token", "next to an access token")
    for start, end in _neighborhoods(tokens):
        # Beyond the end, so that no word is cut off.
        for near in _NEAR.finditer(text, start, end + 200):
            if near.start() < end and looks_like_refresh_token(near[0]) and not _PLACEHOLDER.search(near[0]):
                yield Finding(*near.span(), "refresh token", "by its format, near an access token")
        for near in _NEAR_NAMED.finditer(text, start, end + 200):
            if near.start() < end and not _PLACEHOLDER.search(near["value"]):
                yield Finding(*near.span("value"), "refresh token", "near an access token")


def _neighborhoods(tokens: list[Finding]) -> list[tuple[int, int]]:
    """The spans to search for refresh tokens, without overlaps."""
    places: list[tuple[int, int]] = []
    for token in tokens:
        start = max(0, token.start - NEAR)
        if places and start <= places[-1][1]:
            start = places.pop()[0]
        places.append((start, token.end + NEAR))
    return places


def _project(issuer: str | None, ref: str | None) -> str:
    try:
        host = urlsplit(issuer or "").hostname or ""
    except ValueError:
        host = ""
    project = ref or host.removesuffix(".supabase.co")
    return f"project {_plain(project)}" if project else ""


def _plain(text: str) -> str:
    # Claims can contain anything, so shorten them and remove control characters.
    return re.sub(r"[^A-Za-z0-9._: -]", "?", text)[:40]
