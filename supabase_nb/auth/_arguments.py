"""Parses the arguments of methods: dictionaries as in supabase_auth, keywords, whole sessions.

Errors are stored and raised later, when the caller has deleted its arguments, because a traceback with local
variables would show them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypedDict

from .. import errors
from .._secrets import masking
from .._secrets.masking import safe_text
from .._secrets.tokens import Secret
from ..models import Session
from ._session.session_record import TokenPair

Scope = Literal["global", "local", "others"]
SCOPES: tuple[Scope, ...] = ("global", "local", "others")
#: Marks a missing second token.
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING"})()
PASS_BOTH_TOKENS = (
    "Pass both tokens, as in set_session(access_token, refresh_token), or one whole session: a dictionary or "
    "an object with access_token and refresh_token."
)
_SECRET_FIELDS = frozenset(
    {
        *("password", "current_password", "nonce", "token", "token_hash", "captcha_token"),
        *("auth_code", "code_verifier", "access_token", "refresh_token", "jwt", "code"),
    }
)
# Secret fields that aren't tokens. They are masked like tokens.
_PASSWORDS = _SECRET_FIELDS - {"refresh_token", "jwt"}
# Other names in supabase_auth's dictionaries.
_ALIASES = {"email_redirect_to": "redirect_to"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_MIN_TOKEN_LENGTH = 12  # length of a refresh token
_MISSING_FIELDS = {
    "token": "The one-time code (token) is missing.",
    "auth_code": "The code (auth_code) is missing.",
    "factor_id": "The factor_id is missing. mfa.list_factors() returns the factors.",
    "factor_type": 'The factor_type is missing. It is "totp" for an authenticator app.',
}


class SignOutOptions(TypedDict, total=False):
    """The dictionary that `AuthClient.sign_out` accepts."""

    scope: Scope


class _SessionTokens(Protocol):
    @property
    def access_token(self) -> str: ...
    @property
    def refresh_token(self) -> str: ...


class _SessionResponse(Protocol):
    @property
    def session(self) -> _SessionTokens | None: ...


#: A session in one value: ours, supabase_auth's, a response with one, or its JSON object.
SessionLike = Mapping[str, Any] | _SessionTokens | _SessionResponse | None


class Arguments:
    """The arguments of a method. Secrets are wrapped.

    Args:
        method: The method's name, for messages.
        credentials: A dictionary of fields, with more in its ``options``.
        options: More fields.
        **named: All fields of the method, with the values passed as keywords.
    """

    __slots__ = ("_fields", "_problem")

    def __init__(
        self, method: str, credentials: object = None, options: object = None, /, **named: object
    ) -> None:
        self._problem = ""
        self._fields: dict[str, Any] = {}
        flat: dict[Any, object] = {}
        if credentials is not None and not isinstance(credentials, Mapping):
            names = ", ".join(f"{name}=" for name in named)
            self._problem = f"{method} takes a dictionary or keywords: {names}."
        else:
            flat.update(credentials or {})
        for more in (flat.pop("options", None), options):
            if more is not None and not isinstance(more, Mapping):
                self._problem = f"options must be a dictionary, not {type(more).__name__}."
            else:
                flat.update(more or {})
        for key, value in flat.items():
            name = _ALIASES.get(key, key)
            if name not in named:
                self._problem = f"Unknown key {safe_text(repr(key), 100)}. Valid keys: {', '.join(named)}."
            elif value is not None:
                self._fields[name] = value
        self._fields |= {name: value for name, value in named.items() if value is not None}
        for name, value in self._fields.items():
            self._problem = self._problem or _wrong_type(name, value)
        for name in _SECRET_FIELDS & self._fields.keys():
            self._fields[name] = Secret(self._fields[name])
        given = [self._fields[name] for name in _PASSWORDS & self._fields.keys()]
        masking.remember_passwords(value for value in given if isinstance(value.reveal(), str))

    def fields(self) -> dict[str, Any]:
        """The fields.

        Raises:
            TypeError: An unknown key, or a value of the wrong type.
        """
        if self._problem:
            raise TypeError(self._problem)
        return dict(self._fields)


def _wrong_type(name: str, value: object) -> str:
    kinds: tuple[type, ...] = (str, Secret)
    right = "a string"
    if name in ("data", "jwks", "query_params"):
        kinds, right = (Mapping,), "a dictionary"
    elif name in ("should_create_user", "skip_http_redirect"):
        kinds, right = (bool,), "True or False"
    if not isinstance(value, kinds):
        return f"{name} must be {right}, not {type(value).__name__}."
    if name not in _SECRET_FIELDS and isinstance(value, str) and _LONE_SURROGATE.search(value):
        return f"{name} contains a character that can't be sent. Copy it again."
    return ""


def require(fields: Mapping[str, Any], *names: str) -> None:
    """Check that these fields were passed.

    Raises:
        AuthInvalidCredentials: A field is missing.
    """
    for name in names:
        if not fields.get(name):
            what = _MISSING_FIELDS.get(name, f"The {name} is missing.")
            raise errors.AuthInvalidCredentials(what, code="validation_failed")


def require_contact(fields: Mapping[str, Any], *names: str) -> None:
    """The same, and check that either an email address or a phone number was passed."""
    if bool(fields.get("email")) == bool(fields.get("phone")):
        raise errors.AuthInvalidCredentials("Pass either email or phone.", code="validation_failed")
    require(fields, *names)


def parse_scope(scope: object, options: object) -> Scope | errors.AuthError | TypeError:
    """The scope of a sign-out, or the error to raise.

    The caller raises it after deleting its arguments, because users may pass an access token, as for
    supabase-py's ``admin.sign_out``. The error repeats only values that are shorter than any token.
    """
    given = scope if options is None else options
    if isinstance(given, Mapping):
        for key in given:
            if key != "scope":
                return TypeError(
                    f'Unknown key {safe_text(repr(key), 100)}. The only key is scope: {{"scope": "local"}}.'
                )
        given = given.get("scope")
    if given is None:
        return "global"
    if not isinstance(given, str):
        return TypeError(f'sign_out takes "local" or {{"scope": "local"}}, not {type(given).__name__}.')
    for known in SCOPES:
        if known == given:
            return known
    named = f"scope {given!r}" if len(given) < _MIN_TOKEN_LENGTH else "such scope"
    return errors.AuthError(f'There is no {named}. Use "global", "local" or "others".')


def token_pair(access_token: object, refresh_token: object, known: Session | None) -> TokenPair | None:
    """Both tokens, passed separately or as one session; ``None`` if one is missing.

    A misspelled key must not look like a session without a refresh token, or an expired one.

    Args:
        access_token: The access token, or the whole session if it is the only argument.
        refresh_token: The refresh token, or `MISSING`.
        known: A session whose decoded claims can be reused.

    Raises:
        AuthSessionMissing: The argument is ``None`` or a response without a session.
    """
    whole = _get_field(access_token, "session", access_token)
    pair = _get_field(whole, "access_token"), _get_field(whole, "refresh_token")
    if refresh_token is not MISSING:
        is_whole = whole is not access_token or pair != (MISSING, MISSING)
        return None if is_whole else TokenPair.from_tokens(access_token, refresh_token, known)
    if whole is None:
        raise errors.AuthSessionMissing("The value contains no session. Sign in with that client first.")
    return None if MISSING in pair else TokenPair.from_tokens(*pair, known)


def _get_field(value: object, name: str, default: object = MISSING) -> object:
    return value.get(name, default) if isinstance(value, Mapping) else getattr(value, name, default)
