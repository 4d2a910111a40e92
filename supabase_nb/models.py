"""Session, responses and events: immutable values that hide tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._models.claims import ClaimsResponse
from ._models.events import (
    STATUSES,
    AuthCallback,
    AuthChangeEvent,
    AuthEvent,
    Notice,
    Status,
    Subscription,
)
from ._models.provider_responses import IdentitiesResponse, OAuthResponse, SSOResponse
from ._models.session import AuthOtpResponse, AuthResponse, Session, SessionResponse
from ._models.users import Factor, User, UserIdentity, UserResponse, mask_email

if TYPE_CHECKING:
    from ._models.mfa_responses import (
        AMREntry,
        AuthMFAChallengeResponse,
        AuthMFAEnrollResponse,
        AuthMFAEnrollResponseTotp,
        AuthMFAGetAuthenticatorAssuranceLevelResponse,
        AuthMFAListFactorsResponse,
        AuthMFAUnenrollResponse,
        AuthMFAVerifyResponse,
    )

__all__ = [
    "STATUSES",
    "AMREntry",
    "AuthCallback",
    "AuthChangeEvent",
    "AuthEvent",
    "AuthMFAChallengeResponse",
    "AuthMFAEnrollResponse",
    "AuthMFAEnrollResponseTotp",
    "AuthMFAGetAuthenticatorAssuranceLevelResponse",
    "AuthMFAListFactorsResponse",
    "AuthMFAUnenrollResponse",
    "AuthMFAVerifyResponse",
    "AuthOtpResponse",
    "AuthResponse",
    "ClaimsResponse",
    "Factor",
    "IdentitiesResponse",
    "Notice",
    "OAuthResponse",
    "SSOResponse",
    "Session",
    "SessionResponse",
    "Status",
    "Subscription",
    "User",
    "UserIdentity",
    "UserResponse",
    "mask_email",
]


def __getattr__(name: str) -> Any:
    """What methods for second factors return. Their module is loaded when one of these is first used."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._models import mfa_responses

    return getattr(mfa_responses, name)
