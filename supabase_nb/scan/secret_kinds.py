"""Which texts are Supabase tokens or keys, and of what kind. A finding never holds the secret itself."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..tokens import Secret, read_claims, session_id_of, text_claim
from ..tokens import expiry as expiry_of

# What a text must hold before it pays to look for a pattern; looking for these costs next to nothing.
_OF_KEYS = ("sb_secret_", "sb_publishable_", "sbp_")
_OF_NAMED = ("efresh", "EFRESH", "rovider", "ROVIDER", "wt_secret", "WT_SECRET", "wtSecret")

#: No text without one of these holds anything that `find` reports.
MARKERS = ("eyJ", *_OF_KEYS, *_OF_NAMED)

#: How far from an access token something with a refresh token's shape is taken for one, in characters.
NEAR = 600

#: No secret that `find` reports is longer than this, in characters.
LONGEST = 24 * 1024

# Bounded, so that long base64 data costs no quadratic time.
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,1024}\.[A-Za-z0-9_-]{16,16384}\.[A-Za-z0-9_-]{16,2048}", re.ASCII)
# What supabase-ssr puts into cookies: base64 of the session's JSON, which begins {"access_token
_COOKIE = re.compile(r"eyJhY2Nlc3NfdG9rZW4[A-Za-z0-9_-]{60,16384}", re.ASCII)
_KEY = re.compile(r"sb_(?:secret|publishable)_[A-Za-z0-9_-]{12,256}|sbp_(?:oauth_)?[a-f0-9]{40}", re.ASCII)
_NAMED = re.compile(
    r"""(?P<name>[rR]efresh_?[tT]oken|REFRESH_TOKEN|[pP]rovider_?[tT]oken|PROVIDER_TOKEN
              |[jJ]wt_?[sS]ecret|JWT_SECRET)
        (?P<sep>\\*["'`]?(?:\s{0,4}:\s{0,4}str)?\s{0,4}[:=]\s{0,4}\\*["'`]?)
        (?P<value>[A-Za-z0-9_./~+=-]{12,1024})""",
    re.VERBOSE | re.ASCII,
)
_QUOTED = re.compile(r"""["'`]([A-Za-z0-9_-]{12,128})\\*["'`]""", re.ASCII)
# set_session("eyJ…", "abc…") and %supabase_set_session eyJ… abc…
_BESIDE = re.compile(
    r"""\\*(?P<quote>["'`]?)[\s,\\]{1,40}(?:refresh_token\s*=\s*)?\\*["'`]?(?P<value>[A-Za-z0-9_-]{8,128})(?![A-Za-z0-9_.(-])""",
    re.ASCII,
)
_V1 = re.compile(r"[a-z0-9]{12}", re.ASCII)  # tests/wire/rotation.json
_OLD = re.compile(r"(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=\D*\d)[A-Za-z0-9_-]{22}", re.ASCII)
_PLACEHOLDER = re.compile(
    r"token|your|example|refresh|secret|removed|replace|dummy|x{4}|\.{3}", re.IGNORECASE
)


@dataclass(frozen=True)
class Finding:
    """Where in a text a secret stands and what it is.

    Attributes:
        start: Its first character.
        end: One past its last character.
        kind: ``"access token"``, ``"service_role key"``, ``"refresh token"``…
        detail: The project and the expiry, where the token says so; else empty.
        public: Meant to be public (an anon key); reported on request only.
    """

    start: int
    end: int
    kind: str
    detail: str = ""
    public: bool = False

    @property
    def placeholder(self) -> str:
        """What is put in the secret's place."""
        return f"removed-{self.kind.replace(' ', '-')}"


def find(text: str, *, strict: bool = False) -> list[Finding]:
    """The secrets in `text`, in their order, without overlaps.

    Args:
        text: Any text.
        strict: Report what is meant to be public too (anon and publishable keys), and JWTs of others.
    """
    found: list[Finding] = []
    for finding in _candidates(text):
        if finding.start >= (found[-1].end if found else 0) and (strict or not finding.public):
            found.append(finding)
    return found


def replace(text: str, *, strict: bool = False) -> str:
    """`text` with a placeholder for every secret in it."""
    parts, end = [], 0
    for finding in find(text, strict=strict):
        parts += [text[end : finding.start], finding.placeholder]
        end = finding.end
    return "".join(parts) + text[end:]


def _candidates(text: str) -> list[Finding]:
    tokens = list(_jwts(text))
    found = tokens + [
        Finding(*match.span(), "session cookie")
        for match in _COOKIE.finditer(text)
        if text[match.end() :][:1] != "."
    ]
    if any(marker in text for marker in _OF_KEYS):
        found += map(_key, _KEY.finditer(text))
    if any(marker in text for marker in _OF_NAMED):
        found += _named(text)
    for token in tokens:
        if token.kind == "access token":
            found += _beside(text, token)
    # Of two that begin together, the longer one.
    return sorted(found, key=lambda finding: (finding.start, -finding.end))


def _jwts(text: str) -> Iterator[Finding]:
    for match in _JWT.finditer(text):
        claims = read_claims(Secret(match[0]))
        if claims is None:
            continue
        role, sub = text_claim(claims, "role"), text_claim(claims, "sub")
        details = [_project(text_claim(claims, "iss"), text_claim(claims, "ref"))]
        expiry = expiry_of(claims)
        if expiry is not None and expiry < 1e11:
            day = time.strftime("%Y-%m-%d", time.gmtime(expiry))
            details.append(f"expired {day}" if expiry < time.time() else f"valid until {day}")
        detail = ", ".join(filter(None, details))
        if sub and (role or text_claim(claims, "session_id")):
            kind, public = "access token", False
        elif role == "anon":
            kind, public = "anon key", True
        elif role:
            kind, public = f"{_plain(role)} key", False
        else:
            kind, public = "JWT", True
        yield Finding(*match.span(), kind, detail, public)


def _key(match: re.Match[str]) -> Finding:
    if match[0].startswith("sb_publishable_"):
        return Finding(*match.span(), "publishable key", public=True)
    return Finding(
        *match.span(), "secret key" if match[0].startswith("sb_secret_") else "personal access token"
    )


def _named(text: str) -> Iterator[Finding]:
    for match in _NAMED.finditer(text):
        value, sep, name = match["value"], match["sep"], match["name"].lower()
        quoted = sep[-1] in "\"'`"
        in_address = text[max(0, match.start() - 1) : match.start()] in ("#", "&", "?")
        if _PLACEHOLDER.search(value) or len(set(value)) < 5 or value.startswith("eyJ"):
            continue
        if "jwt" in name:
            if len(value) >= 32:
                yield Finding(*match.span("value"), "JWT secret")
        elif quoted or in_address or _has_shape(value):
            kind = "provider token" if name.startswith("provider") else "refresh token"
            yield Finding(*match.span("value"), kind)


def _beside(text: str, token: Finding) -> Iterator[Finding]:
    match = _BESIDE.match(text, token.end)
    if match and not _PLACEHOLDER.search(match["value"]) and (match["quote"] or _has_shape(match["value"])):
        yield Finding(*match.span("value"), "refresh token", "beside an access token")
    for near in _QUOTED.finditer(text, max(0, token.start - NEAR), token.end + NEAR):
        if _has_shape(near[1]):
            yield Finding(*near.span(1), "refresh token", "by its shape, near an access token")


def _has_shape(value: str) -> bool:
    """Whether a text looks like a refresh token and not like a word or a name."""
    if _V1.fullmatch(value):
        return not value.isalpha() and not value.isdigit()
    return _OLD.fullmatch(value) is not None or session_id_of(Secret(value)) is not None


def _project(issuer: str | None, ref: str | None) -> str:
    try:
        host = urlsplit(issuer or "").hostname or ""
    except ValueError:
        host = ""
    project = ref or host.removesuffix(".supabase.co")
    return f"project {_plain(project)}" if project else ""


def _plain(text: str) -> str:
    # Claims are whatever somebody signed: nothing that could steer a terminal or be long.
    return re.sub(r"[^A-Za-z0-9._:-]", "?", text)[:40]
