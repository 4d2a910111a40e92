"""Asymmetric signing keys: creating, loading, signing, verifying."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

_ALGORITHMS: dict[str, Any] = {
    "ES256": ECAlgorithm(ECAlgorithm.SHA256),
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
}


def new_jwk(algorithm: str) -> dict[str, Any]:
    """A new private key."""
    jwk: dict[str, Any]
    if algorithm == "ES256":
        jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {**jwk, "alg": algorithm}


def load(jwk: Mapping[str, Any]) -> Any:
    """Load a private key.

    Raises:
        ValueError: It isn't one.
    """
    try:
        return _ALGORITHMS[jwk["alg"]].from_jwk(dict(jwk))
    except InvalidKeyError as error:
        raise ValueError(str(error)) from None


def sign(algorithm: str, key: Any, message: bytes) -> bytes:
    """Sign with a key."""
    signature: bytes = _ALGORITHMS[algorithm].sign(message, key)
    return signature


def verify(algorithm: str, key: Any, message: bytes, signature: bytes) -> bool:
    """Whether a signature was made with this key."""
    try:
        return bool(_ALGORITHMS[algorithm].verify(message, key.public_key(), signature))
    except (InvalidSignature, ValueError):
        return False
