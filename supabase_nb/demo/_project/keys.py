"""Signing keys: signing and verifying access tokens, with the real server's errors; JWKS; rotation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..._runtime.environment import IN_BROWSER
from ..._secrets import private_files
from ..server_handle import DemoServerError

_BAD_SIGNATURE = {
    "HS256": "signature is invalid",
    "ES256": "crypto/ecdsa: verification error",
    "RS256": "crypto/rsa: verification error",
}
_PRIVATE_PARTS = frozenset({"d", "p", "q", "dp", "dq", "qi"})


class BadToken(Exception):
    """An invalid token. The text is that of Go's JWT library."""


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        legal = "-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        at = next((i for i, char in enumerate(text) if char not in legal), max(len(text) - 1, 0))
        problem = f"illegal base64 data at input byte {at}"
        raise BadToken(f"token is malformed: could not base64 decode {what}: {problem}") from None
    return data


def _json_object(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise BadToken(f"token is malformed: could not JSON decode {what}: invalid character") from None
    if not isinstance(value, dict):
        raise BadToken(f"token is malformed: could not JSON decode {what}: json: cannot unmarshal")
    return value


def _asymmetric() -> Any:
    """The module for asymmetric keys, loaded on first use."""
    return import_module(".ecdsa_keys" if IN_BROWSER else ".cryptography_keys", __package__)


def _new_key(algorithm: str, state: str) -> dict[str, Any]:
    jwk = _asymmetric().new_jwk(algorithm)
    return {"state": state, "jwk": {**jwk, "kid": str(uuid.uuid4()), "use": "sig"}}


class Keys:
    """A project's keys, in a file that only its owner can read.

    Attributes:
        anon_key: What a client sends as ``apikey``. Not a secret.
        service_key: The key of the service role, which bypasses Row Level Security.
        jwt_secret: The HS256 secret.
        port: The port on which the server last listened.
    """

    def __init__(self, path: Path, *, algorithm: str = "ES256", jwt_secret: str | None = None) -> None:
        self._path = path
        self._data: dict[str, Any] = {
            "anon_key": f"sb_publishable_{secrets.token_urlsafe(16)}_demo",
            "service_key": f"sb_secret_{secrets.token_urlsafe(24)}_demo",
            "jwt_secret": secrets.token_urlsafe(32),
            "port": 0,
            "keys": [],
        }
        self._read()
        if jwt_secret is not None:
            self.jwt_secret = self._data["jwt_secret"] = jwt_secret
        self.algorithm = algorithm
        current = self._current()
        if algorithm != "HS256" and (current is None or current["jwk"]["alg"] != algorithm):
            self._promote(_new_key(algorithm, "current"))
            self._load()

    def _read(self) -> None:
        is_damaged = False
        try:
            if self._path.exists():
                self._data = json.loads(self._path.read_text("utf-8"))
            self.anon_key: str = self._data["anon_key"]
            self.service_key: str = self._data["service_key"]
            self.jwt_secret = self._data["jwt_secret"]
            self.port: int = self._data["port"]
            self._load()
            self._current()
        except (ValueError, LookupError, TypeError, AttributeError):
            is_damaged = True
        if is_damaged:
            raise DemoServerError(
                f"{self._path} is damaged. Restore it, or move it away to start with new keys. The users "
                "stay, but have to sign in again."
            )

    def save(self, *, port: int) -> None:
        """Write the file atomically, with mode 0600."""
        self.port = self._data["port"] = port
        private_files.replace(self._path, json.dumps(self._data).encode())

    def _load(self) -> None:
        self._loaded: dict[str, tuple[str, Any]] = {}
        for entry in self._data["keys"]:
            jwk = entry["jwk"]
            self._loaded[jwk["kid"]] = (jwk["alg"], _asymmetric().load(jwk))

    def _current(self) -> dict[str, Any] | None:
        return next((entry for entry in self._data["keys"] if entry["state"] == "current"), None)

    def _promote(self, entry: dict[str, Any]) -> None:
        current = self._current()
        if current is not None:
            current["state"] = "rotated"
        entry["state"] = "current"
        if entry not in self._data["keys"]:
            self._data["keys"].append(entry)

    def change(self, what: str) -> None:
        """Change the keys as in a project.

        Args:
            what: ``standby``: add a new key to the JWKS that doesn't sign yet. ``rotate``: sign with the
                standby key (or a new one) from now on; the previous one still verifies. ``revoke``: keep
                only the current and standby keys; tokens signed with rotated ones are refused.

        Raises:
            ValueError: Another action, or the server signs with HS256.
        """
        if self.algorithm == "HS256":
            raise ValueError("the server signs with HS256: there is no JWKS")
        keys = self._data["keys"]
        if what == "standby":
            keys.append(_new_key(self.algorithm, "standby"))
        elif what == "rotate":
            standby = next((entry for entry in keys if entry["state"] == "standby"), None)
            self._promote(standby or _new_key(self.algorithm, "current"))
        elif what == "revoke":
            self._data["keys"] = [entry for entry in keys if entry["state"] != "rotated"]
        else:
            raise ValueError("one of standby, rotate, revoke")
        self._load()
        self.save(port=self.port)

    def jwks(self) -> dict[str, Any]:
        """The public keys: the current, standby and rotated ones."""
        keys = []
        for entry in self._data["keys"] if self.algorithm != "HS256" else ():
            public = {name: value for name, value in entry["jwk"].items() if name not in _PRIVATE_PARTS}
            public["key_ops"] = ["verify"]
            keys.append(dict(sorted(public.items())))
        return {"keys": keys}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign a token with the current key."""
        current = None if self.algorithm == "HS256" else self._current()
        header: dict[str, Any] = {"alg": self.algorithm, "typ": "JWT"}
        if current is not None:
            header = {"alg": self.algorithm, "kid": current["jwk"]["kid"], "typ": "JWT"}
        parts = (json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in (header, claims))
        message = ".".join(_encode(part.encode("utf-8", "replace")) for part in parts)
        if current is None:
            signature = hmac.digest(self.jwt_secret.encode(), message.encode(), hashlib.sha256)
        else:
            signature = _asymmetric().sign(*self._loaded[current["jwk"]["kid"]], message.encode())
        return f"{message}.{_encode(signature)}"

    def verify(self, token: str, now: float) -> dict[str, Any]:
        """Verify a token, and return its claims.

        Args:
            token: The token from an ``Authorization`` header.
            now: Unix time.

        Raises:
            BadToken: The token is invalid. Checked in the real server's order: format, key, signature, times.
        """
        segments = token.split(".")
        if len(segments) != 3:
            raise BadToken("token is malformed: token contains an invalid number of segments")
        header = _json_object(_decode(segments[0], "header"), "header")
        claims = _json_object(_decode(segments[1], "claim"), "claim")
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ("HS256", "ES256", "RS256"):
            raise BadToken(f"token signature is invalid: signing method {algorithm} is invalid")
        loaded = self._loaded.get(kid) if isinstance(kid, str) and self.algorithm != "HS256" else None
        if loaded is None and algorithm != "HS256":
            known = f"unrecognized JWT kid {kid or '<nil>'} for algorithm {algorithm}"
            raise BadToken(f"token is unverifiable: error while executing keyfunc: {known}")
        signature = _decode(segments[2], "signature")
        message = f"{segments[0]}.{segments[1]}".encode()
        if loaded is None:
            expected = hmac.digest(self.jwt_secret.encode(), message, hashlib.sha256)
            good = hmac.compare_digest(signature, expected)
        else:
            good = loaded[0] == algorithm and _asymmetric().verify(*loaded, message, signature)
        if not good:
            raise BadToken(f"token signature is invalid: {_BAD_SIGNATURE[algorithm]}")
        _check_times(claims, now)
        return claims


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise BadToken("token is malformed: could not JSON decode claim: json: cannot unmarshal")
    exp, nbf = claims.get("exp"), claims.get("nbf")
    if exp is not None and not now < exp:
        raise BadToken("token has invalid claims: token is expired")
    if nbf is not None and now < nbf:
        raise BadToken("token has invalid claims: token is not valid yet")
