"""Verified claims, as `AuthClient.get_claims` returns them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._secrets import tokens
from .._secrets.tokens import Secret
from .base import FrozenDict


class ClaimsResponse(FrozenDict):
    """Verified claims, in supabase_auth's shape: ``claims``, ``headers`` and ``signature``.

    All three are keys and attributes. Dumps and iteration leave out the signature, because the three together
    are the token. Each claim is a key too: ``get_claims()["email"]``.

    Args:
        claims: The token's payload.
        headers: The token's header.
        token: The token.

    Source: ``ClaimsResponse`` of supabase_auth.

    Example:
        ``supabase.auth.get_claims()["claims"]["sub"]``
    """

    def __init__(self, claims: Mapping[str, Any], headers: Mapping[str, Any], token: Secret) -> None:
        super().__init__(claims=claims, headers=headers)
        self._token = token

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims. Times are Unix seconds by the server's clock."""
        found: Mapping[str, Any] = self["claims"]
        return found

    @property
    def headers(self) -> Mapping[str, Any]:
        """The token's header: ``alg``, ``kid``, ``typ``."""
        found: Mapping[str, Any] = self["headers"]
        return found

    @property
    def signature(self) -> bytes:
        """The signature. A secret: don't print it."""
        return tokens.signature(self._token)

    def __missing__(self, name: str) -> Any:
        return self.signature if name == "signature" else self.claims[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name == "signature" or name in self.claims

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a key, or the default."""
        try:
            return self[name]
        except KeyError:
            return default

    def __reduce__(self) -> tuple[object, ...]:
        return dict, (dict(self),)  # without the token
