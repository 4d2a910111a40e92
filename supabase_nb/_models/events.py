"""A session's status, its events, their subscribers, and notices."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from .session import Session

Status = Literal["signed_out", "restoring", "active", "refreshing", "retrying", "expired"]
STATUSES: tuple[Status, ...] = ("signed_out", "restoring", "active", "refreshing", "retrying", "expired")


class AuthChangeEvent(str, Enum):
    """What happened to a session, with the event names of Supabase's clients."""

    INITIAL_SESSION = "INITIAL_SESSION"
    SIGNED_IN = "SIGNED_IN"
    SIGNED_OUT = "SIGNED_OUT"
    TOKEN_REFRESHED = "TOKEN_REFRESHED"
    USER_UPDATED = "USER_UPDATED"
    PASSWORD_RECOVERY = "PASSWORD_RECOVERY"
    MFA_CHALLENGE_VERIFIED = "MFA_CHALLENGE_VERIFIED"

    __str__ = str.__str__


class Notice(str):
    """A note about a session.

    Attributes:
        name: The name that it was set under.
    """

    name: str

    def __new__(cls, text: str, name: str) -> Notice:
        """The sentence, with its name."""
        notice = super().__new__(cls, text)
        notice.name = name
        return notice


@dataclass(frozen=True)
class AuthEvent:
    """An event: its kind, its time (Unix seconds by this machine's clock) and its cause."""

    kind: AuthChangeEvent
    time: float
    cause: str


class Subscription:
    """A subscriber of `AuthClient.on_auth_state_change`. `unsubscribe` can be called repeatedly.

    Attributes:
        id: A unique id.
        callback: The function that is called.
    """

    def __init__(
        self,
        callback: AuthCallback,
        remove: Callable[[Subscription], None],
        loop: AbstractEventLoop | None = None,
    ) -> None:
        self.id = str(uuid.uuid4())
        self.callback = callback
        self.loop = loop  # where coroutine functions run
        self._remove = remove

    def unsubscribe(self) -> None:
        """Stop calling this subscriber."""
        self._remove(self)


AuthCallback = Callable[[AuthChangeEvent, "Session | None"], object]
