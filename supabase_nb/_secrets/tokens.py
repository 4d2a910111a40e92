"""Reads a token's claims and expiry. `Secret` wraps tokens."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from . import token_formats

#: What a masked token looks like.
MASK = "•••"

# Length of a signature in base64 characters. RSA's depends on the key.
_RSA = (342, 512, 683)
_SIGNATURES: Mapping[str, tuple[int, ...]] = {
    "HS256": (43,),
    "HS384": (64,),
    "HS512": (86,),
    "ES256": (86,),
    "ES384": (128,),
    "ES512": (176,),
    "EdDSA": (86,),
    **{f"RS{bits}": _RSA for bits in (256, 384, 512)},
}
# Longer than any header that a server accepts; real tokens are much shorter.
_MAX_TOKEN = 64 * 1024
_MAX_DIGITS = 400


class Secret:
    """A token that is hidden in repr, str, vars, copies, dumps and pickles."""

    __slots__ = ("__weakref__", "reveal")
    #: The token itself.
    reveal: Callable[[], str]

    def __init__(self, value: str | Secret) -> None:
        text = value.reveal() if isinstance(value, Secret) else value
        # In a closure, because pprint, inspect and tracebacks with locals show attributes, but not closures.
        object.__setattr__(self, "reveal", lambda: text)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __bool__(self) -> bool:
        return self.reveal() != ""

    def __eq__(self, other: object) -> bool:
        return other is self or (isinstance(other, Secret) and other.reveal() == self.reveal())

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __repr__(self) -> str:
        return f"Secret({MASK if self else ''})"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("tokens can't be pickled: a pickle would contain them in plain text")


def clean(value: object) -> Secret:
    """Strip spaces, quotes and ``Bearer`` from a pasted token.

    Returns an empty token if the value isn't a string or is too long.
    """
    if isinstance(value, Secret):
        value = value.reveal()
    if not isinstance(value, str) or len(value) > _MAX_TOKEN:
        return Secret("")
    text = value.strip().strip("\"'`").strip()
    if text[:7].lower() == "bearer ":
        text = text[7:].strip().strip("\"'`").strip()
    return Secret(text)


def is_jwt(token: Secret) -> bool:
    """Whether this has the format of a JWT. Only such values are sent in a header."""
    return token_formats.JWT.fullmatch(token.reveal()) is not None


def is_opaque(token: Secret) -> bool:
    """Whether this could be a refresh token (version 1 or 2)."""
    return token_formats.OPAQUE.fullmatch(token.reveal()) is not None


def is_refresh_token(token: Secret) -> bool:
    """Whether this has exactly the format of the auth server's refresh tokens."""
    shapes = (token_formats.V1, token_formats.LEGACY)
    return any(shape.fullmatch(token.reveal()) for shape in shapes) or _v2_bytes(token) is not None


def key_name(token: Secret) -> str | None:
    """The kind of a project's API key, with an article; ``None`` for anything else."""
    for prefix, name in token_formats.KEYS.items():
        if token.reveal().startswith(prefix):
            return name
    claims = read_claims(token) or {}
    if "sub" in claims or "session_id" in claims:
        return None
    return token_formats.KEY_ROLES.get(text_claim(claims, "role") or "")


def is_secret(key: Secret) -> bool:
    """Whether this is a key that bypasses Row Level Security."""
    return key.reveal().startswith("sb_secret_") or text_claim(read_claims(key), "role") == "service_role"


def signature_is_whole(token: Secret) -> bool:
    """Whether a JWT's signature has the right length for its algorithm, so that the token isn't truncated."""
    algorithm = str((read_header(token) or {}).get("alg"))
    return len(token.reveal().rpartition(".")[2]) in _SIGNATURES.get(algorithm, ())


def is_cut_off(token: Secret) -> bool:
    """Whether a JWT's signature is shorter than any that its algorithm gives."""
    algorithm = str((read_header(token) or {}).get("alg"))
    return len(token.reveal().rpartition(".")[2]) < min(_SIGNATURES.get(algorithm, (0,)))


def is_key(token: Secret) -> bool:
    """Whether this starts like one of Supabase's newer keys: publishable, secret, personal."""
    return token.reveal().startswith(tuple(token_formats.KEYS))


def read_claims(token: Secret) -> Mapping[str, Any] | None:
    """A JWT's claims, unverified; ``None`` if they can't be decoded. Never raises."""
    return _segment_of(token, 1)


def read_header(token: Secret) -> Mapping[str, Any] | None:
    """A JWT's header, unverified; ``None`` if it can't be decoded. Never raises."""
    return _segment_of(token, 0)


def signature(token: Secret) -> bytes:
    """A JWT's signature."""
    segment = token.reveal().rpartition(".")[2]
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _segment_of(token: Secret, index: int) -> Mapping[str, Any] | None:
    if not is_jwt(token):
        return None
    segment = token.reveal().split(".")[index]
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        found = _DECODER.decode(data.decode())
    except (ValueError, RecursionError, binascii.Error):
        return None
    return found if isinstance(found, dict) else None


def _parse_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


_DECODER = json.JSONDecoder(parse_int=_parse_int, parse_constant=lambda _: None)


def expiry(claims: Mapping[str, Any] | None) -> float | None:
    """When a token expires, in Unix seconds by the server's clock; ``None`` if it has no valid ``exp``."""
    value = number(claims, "exp")
    return value if value is not None and value >= 0 else None


def number(claims: Mapping[str, Any] | None, name: str) -> float | None:
    """A claim that is a finite number, or ``None``. Numbers too large for a float become the largest one."""
    value = (claims or {}).get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max
    return found if math.isfinite(found) else None


def text_claim(claims: Mapping[str, Any] | None, name: str) -> str | None:
    """A claim that is a non-empty string, or ``None``. JSON can contain strings that can't be encoded."""
    value = (claims or {}).get(name)
    if not isinstance(value, str) or not value:
        return None
    encodable = value.isascii() or value == value.encode(errors="ignore").decode()
    return value if encodable else None


def _v2_bytes(refresh_token: Secret) -> bytes | None:
    """The bytes of a version 2 refresh token: zero, 16 bytes of session id, counter, signature, checksum."""
    text = refresh_token.reveal()
    if not token_formats.V2.fullmatch(text):
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    return data if data[-4:] == hashlib.sha256(data[:-4]).digest()[:4] else None


def session_id(claims: Mapping[str, Any] | None, refresh_token: Secret) -> str | None:
    """The server's id of a session, from the access token's claims or from a version 2 refresh token."""
    return text_claim(claims, "session_id") or session_id_of(refresh_token)


def session_id_of(refresh_token: Secret) -> str | None:
    """The session id inside a version 2 refresh token (``tests/wire/rotation-v2-refresh-tokens.json``)."""
    data = _v2_bytes(refresh_token)
    return str(uuid.UUID(bytes=data[1:17])) if data else None


def counter_of(refresh_token: Secret) -> int | None:
    """The number of rotations of the session before this version 2 refresh token."""
    data = _v2_bytes(refresh_token)
    if data is None:
        return None
    value = 0
    for position, byte in enumerate(data[17:26]):  # a varint: seven bits per byte, lowest first
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value
    return None


def fingerprint(token: Secret, salt: str) -> str:
    """A salted hash by which a used refresh token is recognized."""
    return hashlib.blake2b(token.reveal().encode(), salt=bytes.fromhex(salt), digest_size=16).hexdigest()
