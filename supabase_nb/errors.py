"""The AuthError family: what happened, and what to do next.

AuthError
├── AuthApiError               the auth server refused; ``code`` is its own
│   ├── AuthInvalidCredentials wrong e-mail, password or one-time code (*)
│   ├── AuthWeakPassword       ``reasons`` says why (*)
│   ├── AuthImplicitGrantRedirectError  the address of a sign-in says that it failed (*)
│   ├── AuthSessionMismatch    the tokens belong to different users
│   └── UserDoesntExist        the token matches no user (*)
├── CustomAuthError            what supabase_auth's clients raise under a name of its own, and those with (*)
│   ├── AuthSessionMissing     there is no (longer a) session to work with
│   ├── AuthInvalidJwt         a token that cannot be verified
│   └── AuthRetryableError     an outage: try again later, nothing is lost
├── AuthStorageError           the session could not be read or saved
└── AuthUnknownError           an answer that is not the auth server's

Each name of ``supabase_auth.errors`` exists here too, with the same base classes.

No message, argument or attribute of these ever holds a token.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence

#: Answers of the auth server that end a session (``tests/wire/``: rotation, users, time-box).
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

#: Codes of the server (and ours) -> the next step for a person.
NEXT_STEPS: Mapping[str, str] = {
    "anonymous_provider_disabled": "Enable anonymous sign-ins in the project's settings, or sign in.",
    "bad_code_verifier": "Begin the sign-in again, and finish it where it was begun.",
    "bad_jwt": "Copy the whole access token again.",
    "email_address_invalid": "Check the e-mail address.",
    "email_not_confirmed": "Open the confirmation e-mail first, then sign in again.",
    "email_provider_disabled": "Sign in another way, or enable e-mail sign-ins in the project's settings.",
    "flow_state_expired": "Begin the sign-in again: it has to be finished within five minutes.",
    "flow_state_not_found": "Begin the sign-in again: each code works once.",
    "identity_already_exists": "Sign in with that account instead, or unlink it there first.",
    "insufficient_aal": "Verify your second factor first: %supabase_mfa.",
    "invalid_client": "Restore it with its access token: that names the app which it belongs to.",
    "invalid_credentials": "Check the e-mail address and the password.",
    "invalid_grant": "Sign in again and restore the new tokens.",
    "manual_linking_disabled": "Switch manual linking on in the project's settings.",
    "mfa_challenge_expired": "Try again: a challenge lives for five minutes.",
    "mfa_factor_name_conflict": "Choose another friendly_name.",
    "mfa_factor_not_found": "Take a factor of auth.mfa.list_factors(), and a new challenge.",
    "mfa_ip_address_mismatch": "Make a new challenge: this one was used, or begun at another address.",
    "mfa_totp_enroll_not_enabled": "Switch it on in the project's settings.",
    "mfa_verification_failed": "Type the six digits that the app shows now; check the clock of its device.",
    "no_authorization": "Sign in or restore a session first.",
    "oauth_client_refused": "Sign in here instead: only its app can refresh this session.",
    "otp_expired": "Request a new code or link. Each works once and only for a short time.",
    "over_email_send_rate_limit": "Wait a minute, then request the e-mail again.",
    "over_request_rate_limit": "Wait a minute, then try again.",
    "provider_disabled": "Switch the provider on in the project's settings, or use another one.",
    "reauthentication_needed": "Call auth.reauthenticate(), then pass the code from the mail as nonce.",
    "reauthentication_not_valid": "Ask for a new code with auth.reauthenticate().",
    "refresh_token_already_used": "It was refreshed elsewhere since. Sign in again and restore the new "
    "tokens.",
    "refresh_token_not_found": "Sign in again and restore the new tokens.",
    "same_password": "Choose a password that differs from the old one.",
    "saml_provider_disabled": "Switch single sign-on on in the project, or sign in in another way.",
    "session_expired": "Sign in again: the project limits how long a session may last.",
    "session_mismatch": "Use both tokens of the same session.",
    "session_not_found": "Sign in again: this session was signed out.",
    "signup_disabled": "Ask the project's owner for an account.",
    "single_identity_not_deletable": "Link another account first.",
    "unexpected_redirect": "Check the project's URL. Requests with tokens don't follow redirects.",
    "user_already_exists": "Sign in instead, or use another e-mail address.",
    "user_banned": "Ask the project's owner to lift the ban.",
    "user_not_found": "Sign in again: the user no longer exists.",
    "validation_failed": "Check the values that you passed.",
    "weak_password": "Choose a stronger password.",
}


class AuthError(Exception):
    """Anything that went wrong with a session.

    Attributes:
        message: What happened, and what to do next, for people. Never holds a token.
        status: The HTTP status, when a server answered.
        code: The server's error code (``refresh_token_not_found``…) or one of ours.
        session_id: The session that a refusal is about, where the server said so. An id, not a token.
        name: What supabase_auth calls this kind of error: ``"AuthSessionMissingError"``.
    """

    session_id: str | None = None
    name: str = "AuthError"

    #: Show our own frames in notebooks too (`%supabase_debug on`).
    show_traceback = False

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later: an outage, or a login page in between."""
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
        """What IPython shows: the message; our frames only when asked for (and never with locals)."""
        if AuthError.show_traceback:
            return redacted_traceback(self)
        return [f"{type(self).__name__}: {self.message}"]


def redacted_traceback(error: BaseException) -> list[str]:
    """A traceback with its frames and without locals; tokens in quoted source lines are masked."""
    from .redaction import hide

    return hide("".join(traceback.format_exception(type(error), error, error.__traceback__))).splitlines()


def _rebuild(kind: type[AuthError], state: dict[str, object]) -> AuthError:
    error = kind.__new__(kind, str(state.get("message", "")))
    error.__dict__.update(state)
    return error


class AuthApiError(AuthError):
    """The auth server refused. ``code`` tells why."""

    name = "AuthApiError"


class CustomAuthError(AuthError):
    """The base of the errors that have a name of their own in supabase_auth."""

    name = "CustomAuthError"


class AuthInvalidCredentials(AuthApiError, CustomAuthError):
    """Wrong e-mail, password or one-time code."""

    name = "AuthInvalidCredentialsError"


class AuthImplicitGrantRedirectError(AuthApiError, CustomAuthError):
    """The address that a link or a provider's page led to says that the sign-in failed.

    Attributes:
        details: ``error`` and ``code`` as the address has them.
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
        """As for any error, and the ``details``."""
        return {**super().to_dict(), "details": self.details}


class AuthWeakPassword(AuthApiError, CustomAuthError):
    """The password is too weak; ``reasons`` says in what."""

    name = "AuthWeakPasswordError"

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None, reasons: Sequence[str] = ()
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.reasons = tuple(reasons)

    def to_dict(self) -> dict[str, object]:
        """As for any error, and the ``reasons``."""
        return {**super().to_dict(), "reasons": list(self.reasons)}


class AuthSessionMismatch(AuthApiError):
    """The refresh token belongs to another user than the access token. Nothing was saved."""

    name = "AuthSessionMismatch"


class UserDoesntExist(AuthApiError, CustomAuthError):
    """The access token matches no user (reference page "Set the session data")."""

    name = "UserDoesntExist"


class AuthSessionMissing(CustomAuthError):
    """There is no session, or no longer one, to work with."""

    name = "AuthSessionMissingError"


class AuthInvalidJwt(CustomAuthError):
    """A token's signature or claims do not hold."""

    name = "AuthInvalidJwtError"


class AuthRetryableError(CustomAuthError):
    """An outage: the network, a time-out or an overloaded server. The session is kept.

    Attributes:
        retry_after: Seconds the server asked us to wait, if it did.
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
        """Yes."""
        return True


class AuthStorageError(AuthError):
    """The stored session could not be read or saved. What is in memory stays usable."""

    name = "AuthStorageError"


class AuthUnknownError(AuthError):
    """An answer that is not the auth server's: HTML of a proxy, a redirect, wrong types."""

    name = "AuthUnknownError"

    @property
    def retryable(self) -> bool:
        """Yes, unless the project's URL has to be corrected first."""
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
    """A call on a client that was closed."""
    return AuthError(
        "This client was closed. Run %supabase_connect to connect again, or make another client.",
        code="client_closed",
    )


def with_next_step(message: str, code: str | None) -> str:
    """The server's message with the next step for a person behind it."""
    message = message.strip().rstrip(".")
    step = NEXT_STEPS.get(code or "")
    return f"{message}. {step}" if step else f"{message}."


def copy_error(error: AuthError) -> AuthError:
    """The same error anew: one that several threads raise must not share its traceback."""
    state = {name: value for name, value in error.__dict__.items() if not name.startswith("__")}
    return _rebuild(type(error), state)
