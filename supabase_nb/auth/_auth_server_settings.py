"""How users of a project can sign in, according to its auth server's public settings (``GET /settings``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import AuthClient

# Listed among the providers, but without a page to send a browser to.
_NO_PROVIDERS = ("anonymous_users", "email", "phone")
_NAME = re.compile(r"[a-z0-9][a-z0-9_:.-]{0,63}", re.IGNORECASE)
# Old name -> new name. If both are enabled, only the new one gets a button.
_REPLACED = {"linkedin": "linkedin_oidc", "slack": "slack_oidc"}


@dataclass(frozen=True)
class ProjectSettings:
    """What a project's auth server offers.

    Attributes:
        providers: The names of the enabled providers, such as ``"github"``.
        anonymous: Whether it accepts new anonymous users.
        email: Whether users can sign in with an email address.
        phone: Whether users can sign in with a phone number.
    """

    providers: tuple[str, ...]
    anonymous: bool
    email: bool
    phone: bool


def fetch_settings(auth: AuthClient) -> ProjectSettings:
    """Ask the auth server what it offers (``tests/wire/public-es256.json``).

    Raises:
        AuthError: The request failed.
    """
    return auth._run(lambda: auth._manager.api.request_object("GET", "/settings", _parse))


def _parse(answer: Mapping[str, Any]) -> ProjectSettings | None:
    external = answer.get("external")
    if not isinstance(external, Mapping):
        return None
    enabled = [name for name, on in external.items() if on is True and name not in _NO_PROVIDERS]
    providers = [name for name in enabled if _NAME.fullmatch(name) and _REPLACED.get(name) not in enabled]
    anonymous = external.get("anonymous_users") is True and answer.get("disable_signup") is not True
    email, phone = (external.get(name) is True for name in ("email", "phone"))
    return ProjectSettings(tuple(providers), anonymous, email, phone)
