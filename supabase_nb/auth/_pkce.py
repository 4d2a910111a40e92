"""Proof Key for Code Exchange (RFC 7636): a code works only with the verifier of its client."""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
from typing import TypeVar

from .._secrets import tokens
from .._secrets.tokens import Secret
from ..errors import AuthStorageError
from ..storage import SessionStorage, call_storage

logger = logging.getLogger("supabase_nb")

_T = TypeVar("_T")

#: Marks a verifier, so that its code leads to the event `PASSWORD_RECOVERY`.
RECOVERY = "PASSWORD_RECOVERY"


def new_verifier() -> Secret:
    """A random verifier."""
    return Secret(secrets.token_urlsafe(64))


def challenge_for(verifier: Secret) -> dict[str, str]:
    """The challenge for this verifier, which is sent when a code is requested."""
    digest = hashlib.sha256(verifier.reveal().encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return {"code_challenge": challenge, "code_challenge_method": "s256"}


class VerifierStore:
    """Stores the verifier of an unfinished sign-in, in the same place as auth-js and supabase-py.

    Args:
        storage: The session's storage, so that the sign-in survives a kernel restart.
        key: The session's key.
    """

    def __init__(self, storage: SessionStorage, key: str) -> None:
        self._storage = storage
        self._key = f"{key}-code-verifier"

    def create_challenge(self, purpose: str = "") -> dict[str, str]:
        """Create and store a new verifier, and return its challenge.

        Args:
            purpose: `RECOVERY` to mark the verifier, or nothing.
        """
        verifier = new_verifier()
        marked = Secret(f"{verifier.reveal()}/{purpose}" if purpose else verifier)
        call_storage("saved", lambda: self._storage.set(self._key, marked.reveal()))
        return challenge_for(verifier)

    def read(self) -> tuple[Secret, str]:
        """The stored verifier, empty if there is none, and its purpose."""
        stored = call_storage("read", lambda: tokens.clean(self._storage.get(self._key) or ""))
        verifier, _, purpose = stored.reveal().partition("/")
        return Secret(verifier), purpose

    def discard(self) -> None:
        """Remove the verifier after its code was exchanged. A failure is harmless and only logged."""
        try:
            self.remove()
        except AuthStorageError as error:
            logger.warning("%s", error)

    def remove(self) -> None:
        """Remove the verifier.

        Raises:
            AuthStorageError: It can't be removed.
        """
        call_storage("removed", lambda: self._storage.remove(self._key))
