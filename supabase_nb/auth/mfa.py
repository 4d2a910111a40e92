"""`auth.mfa`: second factors, such as an authenticator app (TOTP).

A session starts at the level ``aal1``. Verifying a code raises it to ``aal2``: it is the same session, with
new tokens. A refresh keeps the level. Verifying ends the user's other sessions that are at ``aal1``, on all
devices, but not those at ``aal2`` (``tests/wire/mfa.json``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from .._models.base import optional_text
from .._models.mfa_responses import (
    AMREntry,
    AuthMFAChallengeResponse,
    AuthMFAEnrollResponse,
    AuthMFAEnrollResponseTotp,
    AuthMFAGetAuthenticatorAssuranceLevelResponse,
    AuthMFAListFactorsResponse,
    AuthMFAUnenrollResponse,
    AuthMFAVerifyResponse,
)
from .._secrets import masking, tokens
from .._secrets.tokens import Secret
from ..models import Session
from ._arguments import Arguments, require

if TYPE_CHECKING:
    from .client import AuthClient


_T = TypeVar("_T")
# In the order of `AuthMFAEnrollResponseTotp`.
_TOTP_FIELDS = ("qr_code", "secret", "uri")


class MFA:
    """The second factors of the session's user.

    Args:
        auth: The client.

    Source: ``mfa`` of supabase_auth.
    """

    def __init__(self, auth: AuthClient) -> None:
        self._auth = auth

    def enroll(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        factor_type: str | None = None,
        friendly_name: str | None = None,
        issuer: str | None = None,
        phone: str | None = None,
    ) -> AuthMFAEnrollResponse:
        """Create a factor. It is active once `challenge_and_verify` has accepted its code.

        Args:
            params: The arguments as a dictionary.
            factor_type: ``"totp"`` (an authenticator app) or ``"phone"``.
            friendly_name: A name for it, such as ``"my phone"``.
            issuer: The issuer that the authenticator app shows; by default the site's host.
            phone: The phone number, for the type ``"phone"``.

        Returns:
            The factor. For an app, ``totp`` has the QR code, the key and its URI, all of which are secret.

        Raises:
            AuthSessionMissing: Not signed in.
            AuthApiError: The server rejected the request (``insufficient_aal``,
                ``mfa_factor_name_conflict``…).
            TypeError: An unknown key, or a value of the wrong type.

        Source: supabase_auth's ``mfa.enroll``.

        Example:
            ``factor = supabase.auth.mfa.enroll({"factor_type": "totp", "friendly_name": "my phone"})``
        """
        arguments = Arguments(
            "enroll",
            params,
            factor_type=factor_type,
            friendly_name=friendly_name,
            issuer=issuer,
            phone=phone,
        )
        fields = arguments.fields()
        require(fields, "factor_type")
        return self._auth._run(lambda: self._enroll(fields))

    def challenge(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        factor_id: str | None = None,
        channel: str | None = None,
    ) -> AuthMFAChallengeResponse:
        """Start a verification. Pass its id and a code to `verify` within five minutes.

        Args:
            params: The arguments as a dictionary.
            factor_id: The factor.
            channel: ``"sms"`` or ``"whatsapp"``, for a phone.

        Raises:
            AuthSessionMissing: Not signed in.
            AuthApiError: The server rejected the request (``mfa_factor_not_found``…).
            TypeError: An unknown key, or a value of the wrong type.

        Source: supabase_auth's ``mfa.challenge``.

        Example:
            ``challenge_id = supabase.auth.mfa.challenge({"factor_id": factor_id}).id``
        """
        arguments = Arguments("challenge", params, factor_id=factor_id, channel=channel)
        fields = arguments.fields()
        require(fields, "factor_id")
        return self._auth._run(lambda: self._challenge(fields))

    def verify(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        factor_id: str | None = None,
        challenge_id: str | None = None,
        code: str | Secret | None = None,
    ) -> AuthMFAVerifyResponse:
        """Verify a code, which raises the session to ``aal2`` and gives it new tokens.

        This ends the user's other sessions that are at ``aal1``. The event is `MFA_CHALLENGE_VERIFIED`.

        Args:
            params: The arguments as a dictionary.
            factor_id: The factor.
            challenge_id: The id that `challenge` returned.
            code: The six digits. Spaces in them do not matter.

        Raises:
            AuthSessionMissing: Not signed in.
            AuthApiError: The server rejected the request (``mfa_verification_failed``,
                ``mfa_challenge_expired``…).
            AuthStorageError: Verified, but the new tokens could not be saved.
            TypeError: An unknown key, or a value of the wrong type.

        Source: supabase_auth's ``mfa.verify``.

        Example:
            ``supabase.auth.mfa.verify(factor_id=factor_id, challenge_id=challenge_id, code=code)``
        """
        arguments = Arguments("verify", params, factor_id=factor_id, challenge_id=challenge_id, code=code)
        params = code = None
        fields = arguments.fields()
        require(fields, "factor_id", "challenge_id", "code")
        return self._auth._run(lambda: self._verify(fields))

    def challenge_and_verify(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        factor_id: str | None = None,
        code: str | Secret | None = None,
    ) -> AuthMFAVerifyResponse:
        """Call `challenge`, then `verify`.

        Args:
            params: The arguments as a dictionary.
            factor_id: The factor.
            code: The six digits.

        Raises:
            AuthSessionMissing: Not signed in.
            AuthApiError: The server rejected the request (``mfa_verification_failed``…).
            TypeError: An unknown key, or a value of the wrong type.

        Source: supabase_auth's ``mfa.challenge_and_verify``.

        Example:
            ``supabase.auth.mfa.challenge_and_verify({"factor_id": factor_id, "code": code})``
        """
        arguments = Arguments("challenge_and_verify", params, factor_id=factor_id, code=code)
        params = code = None
        fields = arguments.fields()
        require(fields, "factor_id", "code")
        return self._auth._run(lambda: self._challenge_and_verify(fields))

    def unenroll(
        self, params: Mapping[str, Any] | None = None, *, factor_id: str | None = None
    ) -> AuthMFAUnenrollResponse:
        """Remove a factor. The tokens say ``aal2`` until the next refresh (`refresh_session`).

        Args:
            params: The arguments as a dictionary.
            factor_id: The factor.

        Raises:
            AuthSessionMissing: Not signed in.
            AuthApiError: The server rejected the request (``insufficient_aal``: a verified factor needs
                ``aal2``…).
            TypeError: An unknown key, or a value of the wrong type.

        Source: supabase_auth's ``mfa.unenroll``.

        Example:
            ``supabase.auth.mfa.unenroll({"factor_id": factor_id})``
        """
        arguments = Arguments("unenroll", params, factor_id=factor_id)
        fields = arguments.fields()
        require(fields, "factor_id")
        return self._auth._run(lambda: self._unenroll(fields["factor_id"]))

    def list_factors(self) -> AuthMFAListFactorsResponse:
        """The user's factors, requested from the server.

        Raises:
            AuthSessionMissing: Not signed in.

        Source: supabase_auth's ``mfa.list_factors``.

        Example:
            ``factor_id = supabase.auth.mfa.list_factors().totp[0].id``
        """
        return self._auth._run(self._list_factors)

    def get_authenticator_assurance_level(self) -> AuthMFAGetAuthenticatorAssuranceLevelResponse:
        """The session's level, and the highest level that its user can reach. Usually sends no request.

        If the next level is higher, the user has a factor that this session hasn't verified yet.

        Source: supabase_auth's ``mfa.get_authenticator_assurance_level``.

        Example:
            ``supabase.auth.mfa.get_authenticator_assurance_level().current_level``
        """
        return self._auth._run(self._assurance_level)

    # -- requests -----------------------------------------------------------------------------------------

    async def _request(
        self,
        method: str,
        path: str,
        parse: Callable[[Mapping[str, Any]], _T | None],
        body: Mapping[str, object] | None = None,
    ) -> _T:
        manager = self._auth._manager
        session = await manager.get_fresh_or_raise()
        return await manager.api.request_object(method, path, parse, token=session.access_secret, body=body)

    async def _enroll(self, fields: Mapping[str, Any]) -> AuthMFAEnrollResponse:
        enrolled = await self._request("POST", "/factors", _parse_enrollment, fields)
        if enrolled.totp is not None:
            masking.remember(Secret(enrolled.totp.secret), certain=True)  # one in a thousand has no digit
        return enrolled

    async def _challenge(self, fields: Mapping[str, Any]) -> AuthMFAChallengeResponse:
        body = {name: value for name, value in fields.items() if name == "channel"}
        return await self._request("POST", f"{_path(fields['factor_id'])}/challenge", _parse_challenge, body)

    async def _verify(self, fields: Mapping[str, Any]) -> AuthMFAVerifyResponse:
        body = {**fields, "code": Secret("".join(fields["code"].reveal().split()))}
        path = f"{_path(fields['factor_id'])}/verify"
        session = await self._auth._manager.verify_factor(path, body)
        return AuthMFAVerifyResponse(
            session.access_secret,
            session.refresh_secret,
            session.token_type,
            session.expires_in,
            session.user,
        )

    async def _challenge_and_verify(self, fields: Mapping[str, Any]) -> AuthMFAVerifyResponse:
        challenge = await self._challenge({"factor_id": fields["factor_id"]})
        return await self._verify({**fields, "challenge_id": challenge.id})

    async def _unenroll(self, factor_id: str) -> AuthMFAUnenrollResponse:
        found = await self._request("DELETE", _path(factor_id), lambda answer: optional_text(answer, "id"))
        return AuthMFAUnenrollResponse(found)

    async def _list_factors(self) -> AuthMFAListFactorsResponse:
        manager = self._auth._manager
        session = await manager.get_fresh_or_raise()
        factors = (await manager.api.get_user(session.access_secret)).factors
        totp, phone = (
            tuple(factor for factor in factors if (factor.factor_type, factor.status) == (kind, "verified"))
            for kind in ("totp", "phone")
        )
        return AuthMFAListFactorsResponse(factors, totp, phone)

    async def _assurance_level(self) -> AuthMFAGetAuthenticatorAssuranceLevelResponse:
        session = await self._auth._manager.get_fresh()
        if session is None:
            return AuthMFAGetAuthenticatorAssuranceLevelResponse(None, None, ())
        current = tokens.text_claim(session.claims, "aal")
        verified = any(factor.status == "verified" for factor in session.user.factors)
        return AuthMFAGetAuthenticatorAssuranceLevelResponse(
            current, "aal2" if verified else current, _authentication_methods(session)
        )


def _parse_enrollment(answer: Mapping[str, Any]) -> AuthMFAEnrollResponse | None:
    factor_id, kind = optional_text(answer, "id"), optional_text(answer, "type")
    totp_fields = answer.get("totp")
    secrets = (
        [optional_text(totp_fields, name) for name in _TOTP_FIELDS]
        if isinstance(totp_fields, Mapping)
        else []
    )
    hidden = [Secret(secret) for secret in secrets if secret is not None]
    whole = len(hidden) == len(_TOTP_FIELDS)
    if factor_id is None or kind is None or (kind == "totp" and not whole):
        return None
    return AuthMFAEnrollResponse(
        factor_id,
        kind,
        AuthMFAEnrollResponseTotp(*hidden) if whole else None,
        optional_text(answer, "friendly_name") or "",
        optional_text(answer, "phone"),
    )


def _parse_challenge(answer: Mapping[str, Any]) -> AuthMFAChallengeResponse | None:
    challenge_id, expires = optional_text(answer, "id"), tokens.number(answer, "expires_at")
    if challenge_id is None or expires is None:
        return None
    return AuthMFAChallengeResponse(challenge_id, int(expires), optional_text(answer, "type"))


def _path(factor_id: str) -> str:
    return f"/factors/{quote(factor_id, safe='')}"


def _authentication_methods(session: Session) -> tuple[AMREntry, ...]:
    """The authentication methods of the session; malformed claims are ignored."""
    entries = session.claims.get("amr")
    return tuple(
        AMREntry(str(entry.get("method")), int(tokens.number(entry, "timestamp") or 0))
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, Mapping)
    )
