"""Work in a notebook as a Supabase Auth user.

- `auth`: a user's session. `client`: a project, used as this user. `distributed`: the session on a cluster.
- `notebook`: the magics and displays.
- `models`, `errors`, `storage`: what methods return and raise, and where sessions are stored.
- `demo`: the embedded auth server. `pytest_plugin`: a fixture with it. `cli`: the command line.
- `pyodide_transports`: HTTP in a browser.
- `_secrets`: tokens and keys. `_network`: connections. `_runtime`: threads, forks, browsers. `_models`: the
  values of `models`. `_scan`: `supabase-nb scan`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .auth import AuthClient
    from .client import Client, create_client
    from .client._truncation_warning import DataWarning
    from .client.client_options import ClientOptions
    from .client.httpx_auth import SessionAuth
    from .errors import (
        AuthApiError,
        AuthError,
        AuthImplicitGrantRedirectError,
        AuthInvalidCredentials,
        AuthInvalidCredentialsError,
        AuthInvalidJwt,
        AuthInvalidJwtError,
        AuthRetryableError,
        AuthSessionMismatch,
        AuthSessionMissing,
        AuthSessionMissingError,
        AuthStorageError,
        AuthUnknownError,
        AuthWeakPassword,
        AuthWeakPasswordError,
        CustomAuthError,
        UserDoesntExist,
    )
    from .models import (
        AuthChangeEvent,
        AuthEvent,
        AuthOtpResponse,
        AuthResponse,
        ClaimsResponse,
        Factor,
        Session,
        SessionResponse,
        Subscription,
        User,
        UserIdentity,
        UserResponse,
    )
    from .storage import FileStorage, KeyringStorage, MemoryStorage, SessionStorage

# The module of each public name. Imported on first use, so that `%load_ext` is fast.
_MODULES = {
    "auth": ("AuthClient",),
    "client": ("Client", "create_client"),
    "client.client_options": ("ClientOptions",),
    "errors": (
        "AuthApiError",
        "AuthError",
        "AuthImplicitGrantRedirectError",
        "AuthInvalidCredentials",
        "AuthInvalidCredentialsError",
        "AuthInvalidJwt",
        "AuthInvalidJwtError",
        "AuthRetryableError",
        "AuthSessionMismatch",
        "AuthSessionMissing",
        "AuthSessionMissingError",
        "AuthStorageError",
        "AuthUnknownError",
        "AuthWeakPassword",
        "AuthWeakPasswordError",
        "CustomAuthError",
        "UserDoesntExist",
    ),
    "models": (
        "AuthChangeEvent",
        "AuthEvent",
        "AuthOtpResponse",
        "AuthResponse",
        "ClaimsResponse",
        "Factor",
        "Session",
        "SessionResponse",
        "Subscription",
        "User",
        "UserIdentity",
        "UserResponse",
    ),
    "client.httpx_auth": ("SessionAuth",),
    "client._truncation_warning": ("DataWarning",),
    "storage": ("FileStorage", "KeyringStorage", "MemoryStorage", "SessionStorage"),
}

__all__ = [
    "AuthApiError",
    "AuthChangeEvent",
    "AuthClient",
    "AuthError",
    "AuthEvent",
    "AuthImplicitGrantRedirectError",
    "AuthInvalidCredentials",
    "AuthInvalidCredentialsError",
    "AuthInvalidJwt",
    "AuthInvalidJwtError",
    "AuthOtpResponse",
    "AuthResponse",
    "AuthRetryableError",
    "AuthSessionMismatch",
    "AuthSessionMissing",
    "AuthSessionMissingError",
    "AuthStorageError",
    "AuthUnknownError",
    "AuthWeakPassword",
    "AuthWeakPasswordError",
    "ClaimsResponse",
    "Client",
    "ClientOptions",
    "CustomAuthError",
    "DataWarning",
    "Factor",
    "FileStorage",
    "KeyringStorage",
    "MemoryStorage",
    "Session",
    "SessionAuth",
    "SessionResponse",
    "SessionStorage",
    "Subscription",
    "User",
    "UserDoesntExist",
    "UserIdentity",
    "UserResponse",
    "__version__",
    "create_client",
]


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            value: object = getattr(import_module(f".{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by ``%load_ext supabase_nb``."""
    from .notebook._magics.registration import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by ``%unload_ext supabase_nb``."""
    from .notebook._magics.registration import unload

    unload(shell)
