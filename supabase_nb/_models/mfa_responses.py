"""Return values of the methods for second factors, with hidden secrets. Loaded when first used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._secrets import tokens
from .._secrets.tokens import Secret
from .base import ModelDump
from .users import Factor, User


@dataclass(frozen=True, init=False, repr=False)
class AuthMFAEnrollResponseTotp(ModelDump):
    """The new factor's key for an authenticator app, in three forms. Each is secret.

    Source: ``AuthMFAEnrollResponseTotp`` of supabase_auth.

    Example:
        ``supabase.auth.mfa.enroll(factor_type="totp").totp.secret``
    """

    _qr_code: Secret
    _secret: Secret
    _uri: Secret

    def __init__(self, qr_code: Secret, secret: Secret, uri: Secret) -> None:
        self.__dict__.update(_qr_code=qr_code, _secret=secret, _uri=uri)

    @property
    def qr_code(self) -> str:
        """The QR code to scan: the address of an SVG image. A secret: ``%supabase_mfa --enroll`` shows it."""
        return f"data:image/svg+xml;utf-8,{self._qr_code.reveal()}"

    @property
    def secret(self) -> str:
        """The key to type if it can't be scanned. A secret: don't print it."""
        return self._secret.reveal()

    @property
    def uri(self) -> str:
        """The URI in the QR code. A secret: don't print it."""
        return self._uri.reveal()

    def _fields(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in ("qr_code", "secret", "uri")}

    def __repr__(self) -> str:
        return f"AuthMFAEnrollResponseTotp({tokens.MASK})"


@dataclass(frozen=True)
class AuthMFAEnrollResponse(ModelDump):
    """What `MFA.enroll` returns: a factor that is active once its code has been verified.

    Args:
        id: The factor's id.
        type: ``"totp"`` or ``"phone"``.
        totp: The key for the authenticator app.
        friendly_name: The user's name for it.
        phone: The phone number, for the type ``"phone"``.

    Source: ``AuthMFAEnrollResponse`` of supabase_auth.

    Example:
        ``supabase.auth.mfa.enroll(factor_type="totp").id``
    """

    id: str
    type: str
    totp: AuthMFAEnrollResponseTotp | None = None
    friendly_name: str = ""
    phone: str | None = None

    def _fields(self) -> Mapping[str, Any]:
        names = ("id", "type", "totp", "friendly_name", "phone")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class AuthMFAChallengeResponse(ModelDump):
    """What `MFA.challenge` returns: a started verification.

    Args:
        id: The challenge's id.
        expires_at: When it expires, in Unix seconds by the server's clock.
        factor_type: ``"totp"`` or ``"phone"``.

    Source: ``AuthMFAChallengeResponse`` of supabase_auth.

    Example:
        ``supabase.auth.mfa.challenge(factor_id=factor_id).id``
    """

    id: str
    expires_at: int
    factor_type: str | None = None

    def _fields(self) -> Mapping[str, Any]:
        return {"id": self.id, "expires_at": self.expires_at, "factor_type": self.factor_type}


@dataclass(frozen=True, init=False, repr=False)
class AuthMFAVerifyResponse(ModelDump):
    """What `MFA.verify` returns: the session's new tokens, at ``aal2``.

    Source: ``AuthMFAVerifyResponse`` of supabase_auth.

    Example:
        ``supabase.auth.mfa.challenge_and_verify(factor_id=factor_id, code=code).user``
    """

    _access_token: Secret
    _refresh_token: Secret
    token_type: str
    expires_in: int
    user: User

    def __init__(
        self, access_token: Secret, refresh_token: Secret, token_type: str, expires_in: int, user: User
    ) -> None:
        self.__dict__.update(
            _access_token=access_token,
            _refresh_token=refresh_token,
            token_type=token_type,
            expires_in=expires_in,
            user=user,
        )

    @property
    def access_token(self) -> str:
        """The new access token. A secret: don't print it."""
        return self._access_token.reveal()

    @property
    def refresh_token(self) -> str:
        """The new refresh token. A secret: don't print it."""
        return self._refresh_token.reveal()

    def _fields(self) -> Mapping[str, Any]:
        names = ("access_token", "token_type", "expires_in", "refresh_token", "user")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        return f"AuthMFAVerifyResponse({self.user!r}, tokens={tokens.MASK})"


@dataclass(frozen=True)
class AuthMFAUnenrollResponse(ModelDump):
    """What `MFA.unenroll` returns: the id of the factor that was removed.

    Source: ``AuthMFAUnenrollResponse`` of supabase_auth.

    Example:
        ``supabase.auth.mfa.unenroll(factor_id=factor_id).id``
    """

    id: str

    def _fields(self) -> Mapping[str, Any]:
        return {"id": self.id}


@dataclass(frozen=True)
class AuthMFAListFactorsResponse(ModelDump):
    """What `MFA.list_factors` returns.

    Args:
        all: All factors.
        totp: The verified authenticator apps.
        phone: The verified phones.

    Source: ``AuthMFAListFactorsResponse`` of supabase_auth.

    Example:
        ``[factor.id for factor in supabase.auth.mfa.list_factors().totp]``
    """

    all: tuple[Factor, ...]
    totp: tuple[Factor, ...]
    phone: tuple[Factor, ...]

    def _fields(self) -> Mapping[str, Any]:
        return {"all": self.all, "totp": self.totp, "phone": self.phone}


@dataclass(frozen=True)
class AMREntry(ModelDump):
    """An authentication method that the session's user has used.

    Args:
        method: ``"password"``, ``"otp"``, ``"oauth"``, ``"totp"`` and so on.
        timestamp: When it was used, in Unix seconds by the server's clock.

    Source: ``AMREntry`` of supabase_auth.

    Example:
        ``supabase.auth.mfa.get_authenticator_assurance_level().current_authentication_methods[0].method``
    """

    method: str
    timestamp: int

    def _fields(self) -> Mapping[str, Any]:
        return {"method": self.method, "timestamp": self.timestamp}


@dataclass(frozen=True)
class AuthMFAGetAuthenticatorAssuranceLevelResponse(ModelDump):
    """What `MFA.get_authenticator_assurance_level` returns.

    Args:
        current_level: ``"aal1"`` after one factor, ``"aal2"`` after two.
        next_level: The level that the user can reach; ``"aal2"`` if they have a verified factor.
        current_authentication_methods: The authentication methods used in this session.

    Source: ``AuthMFAGetAuthenticatorAssuranceLevelResponse`` of supabase_auth.

    Example:
        ``supabase.auth.mfa.get_authenticator_assurance_level().current_level``
    """

    current_level: str | None
    next_level: str | None
    current_authentication_methods: tuple[AMREntry, ...]

    def _fields(self) -> Mapping[str, Any]:
        names = ("current_level", "next_level", "current_authentication_methods")
        return {name: getattr(self, name) for name in names}
