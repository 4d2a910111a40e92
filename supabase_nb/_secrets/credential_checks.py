"""Detects mixed-up tokens and keys before anything is sent."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from .._network.urls import PROJECT_HOST
from ..errors import AuthError
from .tokens import Secret, is_jwt, key_name, read_claims, session_id_of, text_claim

# Issuers that are certainly not a Supabase Auth server. A self-hosted server can have any other issuer.
_THIRD_PARTIES = re.compile(
    r"(?:.+\.)?(?:accounts\.google\.com|securetoken\.google\.com|auth0\.com|okta\.com|oktapreview\.com"
    r"|clerk\.accounts\.dev|appleid\.apple\.com|login\.microsoftonline\.com|sts\.windows\.net"
    r"|api\.workos\.com|token\.actions\.githubusercontent\.com)"
    r"|cognito-idp\.[a-z0-9-]+\.amazonaws\.com"
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.1


def refuse_key_for_token(token: Secret, place: str) -> None:
    """Refuse a project's key that was passed as a token.

    Args:
        token: The value.
        place: What it was passed as: ``"access token"``.

    Raises:
        AuthError: ``key_for_token``.
    """
    key = key_name(token)
    if key:
        raise AuthError(
            f"This is {key}, not a user's {place}. Nothing was sent. "
            "Use both tokens of the user's session, or sign in.",
            code="key_for_token",
        )


def refuse_mixed_up_tokens(access_token: Secret, refresh_token: Secret, auth_url: str) -> None:
    """Refuse tokens that are certainly not a session of this auth server.

    Raises:
        AuthError: ``masked_token``, ``key_for_token``, ``swapped_tokens``, ``wrong_project`` or
            ``session_mismatch``.
    """
    if any(token and not token.reveal().strip("*") for token in (access_token, refresh_token)):
        raise AuthError(
            "This is only a mask, because the token was removed from its cell. Nothing was sent. "
            "Run %supabase_set_session with no arguments to paste the tokens.",
            code="masked_token",
        )
    refuse_key_for_token(access_token, "access token")
    refuse_key_for_token(refresh_token, "refresh token")
    if is_jwt(refresh_token):
        raise AuthError(
            "The tokens seem to be swapped. Pass the access token first, then the refresh token."
            if not is_jwt(access_token)
            else "These are two access tokens. The refresh token is much shorter.",
            code="swapped_tokens",
        )
    refuse_token_of_another_project(access_token, auth_url)
    sessions = text_claim(read_claims(access_token), "session_id"), session_id_of(refresh_token)
    if all(sessions) and len(set(sessions)) > 1:
        raise AuthError(
            "These tokens are from two different sessions. Nothing was sent. "
            "Use both tokens of the same session.",
            code="session_mismatch",
        )


def refuse_token_of_another_project(access_token: Secret, auth_url: str) -> None:
    """Refuse an access token that another Supabase project or a third party issued.

    Only if that is certain, because a project with a custom domain can have another issuer.

    Raises:
        AuthError: ``wrong_project``.
    """
    issuer = _host(text_claim(read_claims(access_token), "iss") or "")
    here = PROJECT_HOST.fullmatch(_host(auth_url))
    there = PROJECT_HOST.fullmatch(issuer)
    if here and there and here[1] != there[1]:
        raise AuthError(
            f"This access token is from another project ({there[0]}); this client uses {here[0]}. "
            "Nothing was sent. Connect to the project that the tokens are from.",
            code="wrong_project",
        )
    if _THIRD_PARTIES.fullmatch(issuer):
        raise AuthError(
            "This access token was issued by a third party, not by the project's auth server, so it "
            "can't be used as a session. Nothing was sent. Sign in to the project, or use set_auth if the "
            "project accepts such tokens.",
            code="wrong_project",
        )


def refuse_token_for_key(key: Secret) -> None:
    """Refuse a user's or another service's token that was passed as the project's key.

    Raises:
        AuthError: ``token_for_key``.
    """
    if session_id_of(key):
        raise AuthError(
            "This is a user's refresh token, not the project's key. Use the publishable (anon) key: "
            "Project Settings, API keys.",
            code="token_for_key",
        )
    claims = read_claims(key)
    users = text_claim(claims, "session_id") or (
        text_claim(claims, "sub") and text_claim(claims, "role") == "authenticated"
    )
    if users or _THIRD_PARTIES.fullmatch(_host(text_claim(claims, "iss") or "")):
        raise AuthError(
            "This is a user's access token, not the project's key. Use the publishable (anon) key: "
            "Project Settings, API keys.",
            code="token_for_key",
        )


def check_header(name: object, value: Secret) -> None:
    """Refuse a header that can't be sent, such as a key with a line break in it.

    Raises:
        AuthError: The name or value has another type or other characters than a header can have.
    """
    text = value.reveal()
    sendable = isinstance(text, str) and text.isascii() and text.isprintable()
    del text  # this frame can appear in a traceback with local variables
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        raise AuthError("The name of a header is not valid. Use letters, digits and hyphens.")
    if not sendable and name.lower() == "apikey":
        raise AuthError(
            "The project's key contains a line break or another character that a key can't have. Copy the "
            "whole key again: Project Settings, API keys.",
            code="invalid_key",
        )
    if not sendable:
        raise AuthError(f"The value of the header {name} is not valid. Use a string of ASCII characters.")


def _host(url: str) -> str:
    try:
        return (urlsplit(url if "://" in url else f"//{url}").hostname or "").lower()
    except ValueError:
        return ""
