"""Version 2 refresh tokens: 0x00, the session's id, a counter, a signature, a checksum; in base64url."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid


def signature(key: bytes, signed: bytes) -> bytes:
    """The first 16 bytes of HMAC-SHA-256, under the session's key."""
    return hmac.digest(key, signed, hashlib.sha256)[:16]


def write_v2(session_id: str, key: bytes, counter: int) -> str:
    """The session's token after this number of exchanges (``rotation-v2-refresh-tokens``)."""
    varint = b""
    while counter > 0x7F:
        varint, counter = varint + bytes([counter & 0x7F | 0x80]), counter >> 7
    raw = b"\0" + uuid.UUID(session_id).bytes + varint + bytes([counter])
    raw += signature(key, raw)
    raw += hashlib.sha256(raw).digest()[:4]
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parse_v2(token: str) -> tuple[str, int, tuple[bytes, bytes]]:
    """Session id, counter and (signed bytes, signature) of a version 2 refresh token.

    Raises:
        ValueError: The version, the length, the varint or the checksum is wrong.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{51,62}", token):
        raise ValueError("not base64url of the right length")
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    body, checksum = raw[:-4], raw[-4:]
    if raw[0] != 0 or hashlib.sha256(body).digest()[:4] != checksum:
        raise ValueError("version or checksum")
    varint, counter = body[17:-16], 0
    for index, byte in enumerate(varint):
        counter |= (byte & 0x7F) << (7 * index)
        if (byte < 0x80) != (index == len(varint) - 1):
            raise ValueError("varint")
    if not varint or counter >= 1 << 63:
        raise ValueError("counter")
    return str(uuid.UUID(bytes=body[1:17])), counter, (body[:-16], body[-16:])
