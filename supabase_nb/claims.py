"""Verified claims: an access token checked against the project's public keys, which are cached."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from . import tokens
from .api import AuthAPI
from .errors import AuthInvalidJwt
from .tokens import Secret

# Seconds for which keys are kept; and between fetches for a key that is not among them.
_KEEP, _AGAIN = 600.0, 30.0
_ALGORITHMS = ["ES256", "RS256", "EdDSA"]
# Clocks differ by a little.
_LEEWAY = 10.0


class Verifier:
    """Checks signatures with the keys of one auth server."""

    def __init__(self, api: AuthAPI) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._fetched = float("-inf")

    def verify(self, token: Secret) -> Mapping[str, Any]:
        """The claims of an access token.

        Keys that the server does not publish (HS256) are asked of the server itself: ``GET /user``.

        Raises:
            AuthInvalidJwt: The signature does not hold, or the token has expired.
            AuthRetryableError: The server cannot be reached.
        """
        import jwt

        claims = tokens.read_claims(token)
        header = None
        if claims is not None:
            try:
                header = jwt.get_unverified_header(token.reveal())
            except jwt.PyJWTError:
                claims = None
        if claims is None or header is None:
            raise AuthInvalidJwt(
                "This is not a token with readable claims. Copy it again, whole.", code="bad_jwt"
            )
        if str(header.get("alg", "")).startswith("HS"):
            self._api.get_user(token)
            return claims
        key = self._key(str(header.get("kid", "")))
        problem = (
            "no key of this project signed it" if key is None else _check(token, key, self._api.clock.now())
        )
        if problem:
            raise AuthInvalidJwt(
                f"The access token cannot be trusted: {problem}. Refresh, or sign in again.", code="bad_jwt"
            )
        return claims

    def _key(self, kid: str) -> Any:
        steady = self._api.clock.clock.steady
        age = steady() - self._fetched
        if (kid in self._keys and age < _KEEP) or (self._keys and age < _AGAIN):
            return self._keys.get(kid)
        # This lock is only for fetching: whoever waits for the keys waits for the same answer.
        with self._lock:
            age = steady() - self._fetched
            if (kid not in self._keys and age >= _AGAIN) or age >= _KEEP:
                keys = self._fetch()
                self._keys, self._fetched = keys, steady()
        return self._keys.get(kid)

    def _fetch(self) -> dict[str, Any]:
        import jwt

        found = {}
        for key in self._api.jwks()["keys"]:
            try:
                found[str(key.get("kid", ""))] = jwt.PyJWK(key)
            except (jwt.PyJWTError, AttributeError, TypeError, ValueError):
                continue  # a kind of key that is not known here signs nothing that could be checked here
        return found


def _check(token: Secret, key: Any, now: float) -> str | None:
    """What is wrong with a token; ``None``: nothing. Raises nothing: the frames below hold the token."""
    import jwt

    if key.algorithm_name not in _ALGORITHMS:
        return f"keys of the kind {key.algorithm_name} are not accepted"
    options = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
    try:
        claims = jwt.decode(token.reveal(), key, algorithms=[key.algorithm_name], options=options)  # type: ignore[arg-type]
    except jwt.InvalidSignatureError:
        return "its signature is wrong"
    except (jwt.PyJWTError, ValueError, TypeError):
        return "it cannot be verified"
    # Time is the server's, not this machine's.
    exp = tokens.expiry(claims)
    if exp is None or exp + _LEEWAY <= now:
        return "it has expired"
    return None
