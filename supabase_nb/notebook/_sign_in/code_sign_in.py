"""Signs in with a one-time code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._secrets.tokens import Secret

if TYPE_CHECKING:
    from ...auth import AuthClient
    from ...models import AuthResponse


def email_or_phone(who: str) -> dict[str, str]:
    """An email address or phone number as a keyword for the sign-in methods."""
    return {"email" if "@" in who else "phone": who}


def sign_in_with_code(auth: AuthClient, identifier: dict[str, str], answer: Secret) -> AuthResponse:
    """Sign in with the code from a message, or with the URL that its link led to."""
    if "://" in answer.reveal():
        return auth.sign_in_with_url(answer)
    kind = "email" if "email" in identifier else "sms"
    return auth.verify_otp(identifier, token=answer, type=kind)
