"""`cryptography_keys` for browsers: ES256 with the package ``ecdsa``, which is pure Python and slow."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from ecdsa import BadSignatureError, NIST256p, SigningKey


def new_jwk(algorithm: str) -> dict[str, Any]:
    """A new private key.

    Raises:
        ValueError: The algorithm isn't ES256.
    """
    if algorithm != "ES256":
        raise ValueError(f"{algorithm} is not available in a browser")
    key = SigningKey.generate(NIST256p)
    point = key.verifying_key.to_string()
    numbers = {"x": point[:32], "y": point[32:], "d": key.to_string()}
    return {
        "kty": "EC",
        "crv": "P-256",
        **{name: _encode(value) for name, value in numbers.items()},
        "alg": algorithm,
    }


def load(jwk: Mapping[str, Any]) -> Any:
    """Load a private key."""
    return SigningKey.from_string(base64.urlsafe_b64decode(jwk["d"] + "=="), NIST256p)


def sign(_: str, key: Any, message: bytes) -> bytes:
    """Sign with a key."""
    signature: bytes = key.sign(message, hashfunc=hashlib.sha256)
    return signature


def verify(_: str, key: Any, message: bytes, signature: bytes) -> bool:
    """Whether a signature was made with this key."""
    try:
        return bool(key.verifying_key.verify(signature, message, hashfunc=hashlib.sha256))
    except BadSignatureError:
        return False


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
