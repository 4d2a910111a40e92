"""The errors of this package. Each says what happened and what to do next.

AuthError
├── AuthApiError               the auth server rejected the request; ``code`` says why
│   ├── AuthInvalidCredentials wrong email, password or one-time code (*)
│   ├── AuthWeakPassword       ``reasons`` says why (*)
│   ├── AuthImplicitGrantRedirectError  the URL that a link or provider led to reports an error (*)
│   ├── AuthSessionMismatch    the tokens belong to different users
│   └── UserDoesntExist        the token matches no user (*)
├── CustomAuthError            base class of these and of those marked (*), as in supabase_auth
│   ├── AuthSessionMissing     you aren't signed in, or the session has ended
│   ├── AuthInvalidJwt         a token can't be verified
│   └── AuthRetryableError     an outage: the session is kept, try again later
├── AuthStorageError           the stored session can't be read or saved
└── AuthUnknownError           the response is not from an auth server

Each name of ``supabase_auth.errors`` exists here too, with the same base classes.

No message, argument or attribute of an error contains a token.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence

#: Error codes of the auth server that end a session (``tests/wire/``: rotation, users, time-box).
FINAL_CODES = frozenset(
    {
        "invalid_grant",
        "oauth_client_refused",
        "refresh_token_already_used",
        "refresh_token_not_found",
        "session_expired",
        "session_not_found",
        "user_banned",
        "user_not_found",
    }
)

#: Error code of the server -> what the user should do next.
NEXT_STEPS: Mapping[str, str] = {
    "anonymous_provider_disabled": "Enable anonymous sign-ins in the project's settings, or sign in.",
    "bad_code_verifier": "Start the sign-in again, and finish it with the same client.",
    "bad_jwt": "Copy the whole access token again.",
    "email_address_invalid": "Check the email address.",
    "email_not_confirmed": "Open the confirmation email first, then sign in again.",
    "email_provider_disabled": "Sign in another way, or enable email sign-ins in the project's settings.",
    "flow_state_expired": "Start the sign-in again, and finish it within five minutes.",
    "flow_state_not_found": "Start the sign-in again. Each code works only once.",
    "identity_already_exists": "Sign in with that account instead, or unlink it from the other user first.",
    "insufficient_aal": "Run %supabase_mfa to verify your second factor.",
    "invalid_client": "Pass the session's access token too. It names the app that the session belongs to.",
    "invalid_credentials": "Check the email address and the password.",
    "invalid_grant": "Sign in again, or restore a session from newer tokens.",
    "manual_linking_disabled": "Enable manual linking in the project's settings.",
    "mfa_challenge_expired": "Try again. A challenge is valid for five minutes.",
    "mfa_factor_name_conflict": "Choose another friendly_name.",
    "mfa_factor_not_found": "Choose a factor from auth.mfa.list_factors(), and create a new challenge.",
    "mfa_ip_address_mismatch": "Create a new challenge. This one was used, or created from another IP "
    "address.",
    "mfa_totp_enroll_not_enabled": "Enable authenticator apps (TOTP) in the project's settings.",
    "mfa_verification_failed": "Enter the six digits that the app shows now, and check the clock of its "
    "device.",
    "no_authorization": "Sign in or restore a session first.",
    "oauth_client_refused": "Only the app that this session belongs to can refresh it. Sign in here instead.",
    "otp_expired": "Request a new code or link. Each works only once, and only for a short time.",
    "over_email_send_rate_limit": "Wait a minute, then request the email again.",
    "over_request_rate_limit": "Wait a minute, then try again.",
    "provider_disabled": "Enable the provider in the project's settings, or use another one.",
    "reauthentication_needed": "Call auth.reauthenticate(), then pass the code from the email as nonce.",
    "reauthentication_not_valid": "Request a new code with auth.reauthenticate().",
    "refresh_token_already_used": "The session was refreshed elsewhere. Sign in again, or restore it from "
    "its newest tokens.",
    "refresh_token_not_found": "Sign in again, or restore a session from newer tokens.",
    "same_password": "Choose a password that differs from the old one.",
    "saml_provider_disabled": "Enable single sign-on in the project's settings, or sign in another way.",
    "session_expired": "Sign in again. The project limits how long a session can last.",
    "session_mismatch": "Use both tokens of the same session.",
    "session_not_found": "Sign in again. This session was signed out.",
    "signup_disabled": "Ask the project's owner for an account.",
    "single_identity_not_deletable": "Link another account first.",
    "unexpected_redirect": "Check the project's URL. Requests with tokens don't follow redirects.",
    "user_already_exists": "Sign in instead, or use another email address.",
    "user_banned": "Ask the project's owner to lift the ban.",
    "user_not_found": "Sign in again. The user no longer exists.",
    "validation_failed": "Check the values that you passed.",
    "weak_password": "Choose a stronger password.",
}


class AuthError(Exception):
    """Base class of all errors of this package.

    Attributes:
        message: What happened and what to do next. Never contains a token.
        status: The HTTP status, if a server responded.
        code: The error code of the server, such as ``refresh_token_not_found``, or of this package.
        session_id: The id of the session that the server rejected, if known.
        name: The name of this error in supabase_auth, such as ``"AuthSessionMissingError"``.
    """

    session_id: str | None = None
    name: str = "AuthError"

    #: Whether IPython shows the traceback (`%supabase_debug on`).
    show_traceback = False

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later, as after an outage or behind a captive portal."""
        return False

    def to_dict(self) -> dict[str, object]:
        """The error as a dictionary: ``name``, ``message``, ``status`` and ``code``.

        Source: ``to_dict`` of supabase_auth's errors.

        Example:
            >>> AuthApiError("Refused.", status=403, code="user_banned").to_dict()
            {'name': 'AuthApiError', 'message': 'Refused.', 'status': 403, 'code': 'user_banned'}
        """
        return {"name": self.name, "message": self.message, "status": self.status, "code": self.code}

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        parts = [repr(self.message)]
        parts += [
            f"{name}={value!r}" for name in ("status", "code") if (value := getattr(self, name)) is not None
        ]
        return f"{type(self).__name__}({', '.join(parts)})"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__.copy()))

    def _render_traceback_(self, *_: object) -> list[str]:
        """Called by IPython. After `%supabase_debug on`, a traceback without local variables."""
        if AuthError.show_traceback:
            return redacted_traceback(self)
        return [f"{type(self).__name__}: {self.message}"]


def redacted_traceback(error: BaseException) -> list[str]:
    """A traceback with its frames and without locals; tokens in quoted source lines are masked."""
    from ._secrets.masking import mask_for_logs

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return mask_for_logs(text).splitlines()


def _rebuild(kind: type[AuthError], state: dict[str, object]) -> AuthError:
    error = kind.__new__(kind, str(state.get("message", "")))
    error.__dict__.update(state)
    return error


class AuthApiError(AuthError):
    """The auth server rejected the request. ``code`` says why."""

    name = "AuthApiError"


class CustomAuthError(AuthError):
    """Base class of several errors, as in supabase_auth."""

    name = "CustomAuthError"


class AuthInvalidCredentials(AuthApiError, CustomAuthError):
    """Wrong email, password or one-time code."""

    name = "AuthInvalidCredentialsError"


class AuthImplicitGrantRedirectError(AuthApiError, CustomAuthError):
    """The URL that a link or provider led to says that the sign-in failed.

    Attributes:
        details: ``error`` and ``code`` from that URL.
    """

    name = "AuthImplicitGrantRedirectError"

    def __init__(
        self,
        message: str,
        details: Mapping[str, str] | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.details = None if details is None else dict(details)

    def to_dict(self) -> dict[str, object]:
        """The error as a dictionary, including ``details``."""
        return {**super().to_dict(), "details": self.details}


class AuthWeakPassword(AuthApiError, CustomAuthError):
    """The password is too weak. ``reasons`` says why."""

    name = "AuthWeakPasswordError"

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None, reasons: Sequence[str] = ()
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.reasons = tuple(reasons)

    def to_dict(self) -> dict[str, object]:
        """The error as a dictionary, including ``reasons``."""
        return {**super().to_dict(), "reasons": list(self.reasons)}


class AuthSessionMismatch(AuthApiError):
    """The access token and the refresh token belong to different users. Nothing was saved."""

    name = "AuthSessionMismatch"


class UserDoesntExist(AuthApiError, CustomAuthError):
    """The access token matches no user (reference page "Set the session data")."""

    name = "UserDoesntExist"


class AuthSessionMissing(CustomAuthError):
    """You aren't signed in, or the session has ended."""

    name = "AuthSessionMissingError"


class AuthInvalidJwt(CustomAuthError):
    """A token's signature or claims are invalid."""

    name = "AuthInvalidJwtError"


class AuthRetryableError(CustomAuthError):
    """An outage: a network error, a timeout or an overloaded server. The session is kept.

    Attributes:
        retry_after: Seconds to wait, if the server sent ``Retry-After``.
    """

    name = "AuthRetryableError"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Always true."""
        return True


class AuthStorageError(AuthError):
    """The stored session could not be read or saved. The session in memory stays usable."""

    name = "AuthStorageError"


class AuthUnknownError(AuthError):
    """The response is not from an auth server: a proxy's page, a redirect, wrong types."""

    name = "AuthUnknownError"

    @property
    def retryable(self) -> bool:
        """True, unless the project's URL is wrong."""
        return self.code != "unexpected_redirect"


AuthSessionMissingError = AuthSessionMissing
"""The same class under supabase_auth's name."""
AuthInvalidJwtError = AuthInvalidJwt
"""The same class under supabase_auth's name."""
AuthInvalidCredentialsError = AuthInvalidCredentials
"""The same class under supabase_auth's name."""
AuthWeakPasswordError = AuthWeakPassword
"""The same class under supabase_auth's name."""


def client_closed() -> AuthError:
    """The error for a call on a closed client."""
    return AuthError(
        "This client was closed. Run %supabase_connect to connect again, or create another client.",
        code="client_closed",
    )


def with_next_step(message: str, code: str | None) -> str:
    """The server's message, followed by what to do next."""
    message = message.strip().rstrip(".")
    step = NEXT_STEPS.get(code or "")
    return f"{message}. {step}" if step else f"{message}."


def copy_error(error: AuthError) -> AuthError:
    """A copy, so that threads that raise the same error don't share its traceback."""
    state = {name: value for name, value in error.__dict__.items() if not name.startswith("__")}
    return _rebuild(type(error), state)
