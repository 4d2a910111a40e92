"""Detects another program that refreshes the same session, and records the refresh tokens that we send.

A session that was pasted may still be open in the app that it came from. Both then exchange the same refresh
tokens, until one of them sends a token that was spent long ago, and the server ends the session.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from ... import errors
from ..._secrets import tokens
from ..._secrets.tokens import Secret
from ...errors import AuthApiError, AuthStorageError
from ...models import Session
from ...storage import MemoryStorage, SessionStorage, call_storage
from .session_record import SessionRecord

# A token that was issued this many seconds before its response went to another program first.
_ISSUED_LONG_BEFORE = 5.0
# How many tokens to remember. Only the last one of each session matters: its response may have been lost.
_MAX_HASHES = 64

_REFUSED = (
    "This session was refreshed by another program, so the auth server ended it here. "
    "Sign in here to give this notebook a session of its own."
)


class SentRefreshTokens:
    """Salted hashes of the refresh tokens that were sent, by any kernel that shares the storage.

    Each is recorded before it is sent. If it is sent again, because the response was lost or the kernel was
    killed, the server returns the tokens that it issued the first time. Without the record, this would look
    as if another program had refreshed the session.

    Args:
        storage: Where the hashes are stored.
        key: Their key in the storage.
        lock: Creates a lock that keeps other kernels from changing them.
    """

    def __init__(
        self, storage: SessionStorage, key: str, lock: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self._storage, self._key, self._lock = storage, key, lock

    def record_sending(self, token: Secret) -> bool:
        """Record that a refresh token is about to be sent. Returns whether it is sent for the first time."""
        try:
            with self._lock():
                salt, hashes = self._read()
                hashed = tokens.fingerprint(token, salt)
                if hashed in hashes:
                    return False
                text = json.dumps({"salt": salt, "sent": [*hashes, hashed][-_MAX_HASHES:]})
                call_storage("saved", lambda: self._storage.set(self._key, text))
        except AuthStorageError:
            return False
        return True

    def has_full_history(self, session: SessionRecord) -> bool:
        """Whether every kernel that may have sent the session's refresh token has recorded it here.

        With `MemoryStorage`, an earlier kernel may have used a token that is now pasted again.
        """
        return not isinstance(self._storage, MemoryStorage) or bool(session.spent_token_hashes)

    def _read(self) -> tuple[str, list[str]]:
        text = call_storage("read", lambda: self._storage.get(self._key))
        try:
            found = json.loads(text or "")
            salt, hashes = str(found["salt"]), [str(hashed) for hashed in found["sent"]]
            if len(bytes.fromhex(salt)) == 8:
                return salt, hashes
        except (TypeError, ValueError, KeyError, RecursionError):
            pass  # none yet, or damaged
        return os.urandom(8).hex(), []


def refreshed_elsewhere(before: Session, after: Session) -> bool:
    """Whether another program has refreshed the session between `before` and our refresh, `after`.

    Valid only if we sent the refresh token of `before` for the first time.
    """
    if before.refresh_token == after.refresh_token:
        return False  # the server doesn't rotate refresh tokens
    sent, got = (tokens.counter_of(session.refresh_secret) for session in (before, after))
    if sent is not None and got is not None:
        return got > sent + 1  # each rotation counts one (`tests/wire/rotation-v2-refresh-tokens.json`)
    # Issuing a version 1 token sets the user's `updated_at`. Sending its parent again returns the same token,
    # and `updated_at` then shows when it was issued (`tests/wire/rotation.json`, family 3).
    seen, touched, answered = _user_updated_at(before), _user_updated_at(after), after.issued_at
    if seen is None or touched is None or answered is None:
        return False
    return touched > seen and answered - touched > _ISSUED_LONG_BEFORE


def _user_updated_at(session: Session) -> float | None:
    at: datetime | None = session.user.updated_at
    return at.timestamp() if at else None


def other_program_error(refused: AuthApiError) -> AuthApiError:
    """The rejection of a token that only another program can have used, with a message that says so."""
    error = errors.copy_error(refused)
    error.message = _REFUSED
    error.args = (_REFUSED,)
    assert isinstance(error, AuthApiError)
    return error
