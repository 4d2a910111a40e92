"""Verifies an access token with the project's public keys, or by asking the auth server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from ..._runtime.fork import renew_after_fork
from ..._secrets import tokens
from ..._secrets.tokens import Secret
from ...errors import AuthError, AuthInvalidJwt
from ...models import ClaimsResponse
from .auth_api import AuthAPI

logger = logging.getLogger("supabase_nb")

# In seconds: how long keys are cached; how soon they can be fetched again for an unknown key.
_CACHE_TIME, _REFETCH_INTERVAL = 600.0, 5.0
_ALGORITHMS = ["ES256", "RS256", "EdDSA"]
# Clocks can differ slightly.
_LEEWAY = 10.0


class TokenVerifier:
    """Verifies signatures with an auth server's keys."""

    def __init__(self, api: AuthAPI) -> None:
        self._api = api
        self._fetching: asyncio.Task[None] | None = None
        self._keys: dict[str, Any] = {}
        self._fetched = self._last_fetch = float("-inf")
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: drop the parent's running fetch."""
        self._fetching = None

    async def verify(self, token: Secret, jwks: Mapping[str, Any] | None = None) -> ClaimsResponse:
        """Verify an access token, and return its claims.

        Without the token's public key, the auth server is asked (``GET /user``): if it signs with a secret
        (HS256), the key is new, the published keys can't be read, or ``cryptography`` isn't installed.

        Args:
            token: The access token.
            jwks: Public keys to try before the project's.

        Raises:
            AuthInvalidJwt: The signature is wrong, or the token has expired.
            AuthApiError: The auth server rejected the token for another reason.
            AuthRetryableError: The server can't be reached.
        """
        claims, header = tokens.read_claims(token), tokens.read_header(token)
        if claims is None or header is None:
            raise AuthInvalidJwt(
                "This token has no readable claims. Copy the whole token again.", code="bad_jwt"
            )
        symmetric = str(header.get("alg", "")).startswith("HS")
        kid = str(header.get("kid", ""))
        key = None if symmetric else _usable(jwks).get(kid) or await self._key(kid)
        problem = (
            await self._verify_on_server(token)
            if key is None
            else _find_problem(token, key, self._api.clock.now())
        )
        if problem:
            raise AuthInvalidJwt(
                f"The access token can't be verified: {problem}. Refresh, or sign in again.", code="bad_jwt"
            )
        return ClaimsResponse(claims, header, token)

    async def _verify_on_server(self, token: Secret) -> str | None:
        """Verify a token with the auth server. Returns what is wrong with it, or ``None``."""
        try:
            await self._api.get_user(token)
        except AuthError as error:
            if error.code != "bad_jwt":
                raise
            return "the auth server rejected it"
        return None

    async def _key(self, kid: str) -> Any:
        if kid not in self._cached_keys():
            # Concurrent calls share a fetch.
            if self._fetching is None and self._now() - self._last_fetch >= _REFETCH_INTERVAL:
                self._fetching = asyncio.ensure_future(self._fetch())
            if self._fetching is not None:
                await asyncio.shield(self._fetching)
        return self._cached_keys().get(kid)

    def _cached_keys(self) -> Mapping[str, Any]:
        return self._keys if self._now() - self._fetched < _CACHE_TIME else {}

    def _now(self) -> float:
        return self._api.clock.clock.steady()

    async def _fetch(self) -> None:
        try:
            await self._fetch_keys()
        finally:
            self._fetching = None

    async def _fetch_keys(self) -> None:
        try:
            import jwt  # noqa: F401  (without it, keys are of no use)

            published = await self._api.jwks()
        except (ImportError, AuthError) as error:
            logger.info("no public keys to verify tokens with; asking the auth server instead: %s", error)
            self._last_fetch = self._now()
            return
        self._keys, self._fetched = _usable(published), self._now()
        self._last_fetch = self._fetched


def _usable(jwks: Mapping[str, Any] | None) -> dict[str, Any]:
    """The usable keys of a key set, by id."""
    found: dict[str, Any] = {}
    values = (jwks or {}).get("keys")
    for value in values if isinstance(values, (list, tuple)) else ():
        try:
            import jwt

            key = jwt.PyJWK(value)
            if key.algorithm_name in _ALGORITHMS:
                found[str(value.get("kid", ""))] = key
        except Exception as error:  # noqa: BLE001  (of PyJWT, cryptography, or for a wrong type)
            logger.info("a public key of the project cannot be used (%s)", type(error).__name__)
    return found


def _find_problem(token: Secret, key: Any, now: float) -> str | None:
    """Verify a token with a key. Returns what is wrong with it, or ``None``.

    Never raises, because the frames below hold the token.
    """
    import jwt

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
