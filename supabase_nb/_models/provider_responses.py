"""What methods for providers and identities return: immutable values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .base import ModelDump
from .users import UserIdentity


@dataclass(frozen=True)
class OAuthResponse(ModelDump):
    """What `sign_in_with_oauth` and `link_identity` return: the URL to open in a browser.

    Args:
        provider: The provider.
        url: The URL. It contains no secret: the verifier of its code stays in storage.

    Source: ``OAuthResponse`` of supabase_auth.

    Example:
        ``supabase.auth.sign_in_with_oauth({"provider": "github"}).url``
    """

    provider: str
    url: str

    def _fields(self) -> Mapping[str, Any]:
        return {"provider": self.provider, "url": self.url}


@dataclass(frozen=True)
class SSOResponse(ModelDump):
    """What `sign_in_with_sso` returns: the URL of the organization's sign-in page.

    Source: ``SSOResponse`` of supabase_auth.

    Example:
        ``supabase.auth.sign_in_with_sso(domain="example.com").url``
    """

    url: str

    def _fields(self) -> Mapping[str, Any]:
        return {"url": self.url}


@dataclass(frozen=True)
class IdentitiesResponse(ModelDump):
    """What `get_user_identities` returns.

    Source: ``IdentitiesResponse`` of supabase_auth.

    Example:
        ``supabase.auth.get_user_identities().identities[0].provider``
    """

    identities: tuple[UserIdentity, ...]

    def _fields(self) -> Mapping[str, Any]:
        return {"identities": self.identities}
