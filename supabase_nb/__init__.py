"""Work in a notebook as a Supabase Auth user."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .auth import AuthClient
    from .client import Client, create_client
    from .client.frames.row_limit import DataWarning
    from .client.session_auth import SessionAuth
    from .errors import (
        AuthApiError,
        AuthError,
        AuthInvalidCredentials,
        AuthInvalidJwt,
        AuthRetryableError,
        AuthSessionMismatch,
        AuthSessionMissing,
        AuthStorageError,
        AuthUnknownError,
        AuthWeakPassword,
        UserDoesntExist,
    )
    from .models import AuthChangeEvent, AuthEvent, AuthResponse, Session, Subscription, User
    from .storage import FileStorage, KeyringStorage, MemoryStorage, SessionStorage

# Where each public name stands. Resolved on first use, so that `%load_ext` imports nothing heavy.
_HOMES = {
    "auth": ("AuthClient",),
    "client": ("Client", "create_client"),
    "errors": (
        "AuthApiError",
        "AuthError",
        "AuthInvalidCredentials",
        "AuthInvalidJwt",
        "AuthRetryableError",
        "AuthSessionMismatch",
        "AuthSessionMissing",
        "AuthStorageError",
        "AuthUnknownError",
        "AuthWeakPassword",
        "UserDoesntExist",
        # Their names in supabase-py.
        "AuthInvalidCredentialsError",
        "AuthInvalidJwtError",
        "AuthSessionMissingError",
        "AuthWeakPasswordError",
    ),
    "models": (
        "AuthChangeEvent",
        "AuthEvent",
        "AuthResponse",
        "Session",
        "SessionResponse",
        "Subscription",
        "User",
    ),
    "client.session_auth": ("SessionAuth",),
    "client.frames.row_limit": ("DataWarning",),
    "storage": ("FileStorage", "KeyringStorage", "MemoryStorage", "SessionStorage"),
}

__all__ = [
    "AuthApiError",
    "AuthChangeEvent",
    "AuthClient",
    "AuthError",
    "AuthEvent",
    "AuthInvalidCredentials",
    "AuthInvalidJwt",
    "AuthResponse",
    "AuthRetryableError",
    "AuthSessionMismatch",
    "AuthSessionMissing",
    "AuthStorageError",
    "AuthUnknownError",
    "AuthWeakPassword",
    "Client",
    "DataWarning",
    "FileStorage",
    "KeyringStorage",
    "MemoryStorage",
    "Session",
    "SessionAuth",
    "SessionStorage",
    "Subscription",
    "User",
    "UserDoesntExist",
    "__version__",
    "create_client",
]


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            value: object = getattr(import_module(f".{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext supabase_nb`` does."""
    from .notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%unload_ext supabase_nb`` does."""
    from .notebook.magics import unload

    unload(shell)
