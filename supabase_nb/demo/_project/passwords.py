"""Password hashes: Argon2id with a low cost for demos. In a browser, which doesn't store them, PBKDF2."""

from __future__ import annotations

import hmac
import secrets

from ..._runtime.environment import IN_BROWSER

_ROUNDS = 1_000

if not IN_BROWSER:
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    # Far below what a real server should use, because demos sign in often, on small machines.
    _HASHER = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    """Hash a password."""
    return _derived(password, secrets.token_hex(16)) if IN_BROWSER else _HASHER.hash(password)


def matches(hashed: str | None, password: str) -> bool:
    """Whether the password has this hash."""
    if hashed is None:
        return False
    if IN_BROWSER:
        return hmac.compare_digest(hashed, _derived(password, hashed.partition("$")[0]))
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def _derived(password: str, salt: str) -> str:
    """PBKDF2 with HMAC-SHA256, one block. `hashlib` has it only with OpenSSL."""
    block = hmac.digest(password.encode(), bytes.fromhex(salt) + b"\0\0\0\1", "sha256")
    result = int.from_bytes(block, "big")
    for _ in range(_ROUNDS - 1):
        block = hmac.digest(password.encode(), block, "sha256")
        result ^= int.from_bytes(block, "big")
    return f"{salt}${result:064x}"
