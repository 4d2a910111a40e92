"""Proof Key for Code Exchange (RFC 7636): a code is of use only where it was asked for."""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
from typing import TypeVar

from .. import tokens
from ..errors import AuthStorageError
from ..storage import SessionStorage, ask_storage
from ..tokens import Secret

logger = logging.getLogger("supabase_nb")

_T = TypeVar("_T")

#: What a verifier may be marked with, so that the code leads to `PASSWORD_RECOVERY`.
RECOVERY = "PASSWORD_RECOVERY"


def new_verifier() -> Secret:
    """A verifier that can't be guessed."""
    return Secret(secrets.token_urlsafe(64))


def challenge_of(verifier: Secret) -> dict[str, str]:
    """What is sent with the request for a code that is of use only with this verifier."""
    digest = hashlib.sha256(verifier.reveal().encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return {"code_challenge": challenge, "code_challenge_method": "s256"}


class Pkce:
    """The verifier of an unfinished sign-in; it is stored where auth-js and supabase-py store theirs.

    Args:
        storage: Where the session is stored too, so that the sign-in outlives the kernel.
        key: The session's key.
    """

    def __init__(self, storage: SessionStorage, key: str) -> None:
        self._storage = storage
        self._key = f"{key}-code-verifier"

    def challenge(self, purpose: str = "") -> dict[str, str]:
        """Make a new verifier, and what is sent with the request for a code.

        Args:
            purpose: `RECOVERY`, or nothing: what the verifier is marked with.
        """
        verifier = new_verifier()
        marked = Secret(f"{verifier.reveal()}/{purpose}" if purpose else verifier)
        ask_storage("saved", lambda: self._storage.set(self._key, marked.reveal()))
        return challenge_of(verifier)

    def verifier(self) -> tuple[Secret, str]:
        """The verifier, empty where there is none, and what it was made for."""
        stored = ask_storage("read", lambda: tokens.clean(self._storage.get(self._key) or ""))
        verifier, _, purpose = stored.reveal().partition("/")
        return Secret(verifier), purpose

    def done(self) -> None:
        """Forget the verifier: the code was exchanged, so a verifier that stays is of no use any more."""
        try:
            self.forget()
        except AuthStorageError as error:
            logger.warning("%s", error)

    def forget(self) -> None:
        """Remove the verifier.

        Raises:
            AuthStorageError: It cannot be removed.
        """
        ask_storage("removed", lambda: self._storage.remove(self._key))
