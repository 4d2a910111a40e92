"""Parts: what `SessionSetter`, `TokenRefresher`, `SignOut` and `ScheduledWork` work with."""

from __future__ import annotations

from typing import NamedTuple

from .._api.auth_api import AuthAPI
from .._owner_loop import OwnerLoop
from .session_store import SessionStore
from .state import SessionState
from .storage_sync import StorageSync


class Parts(NamedTuple):
    """The parts of one session that the others share.

    Args:
        api: The auth server.
        state: The current session.
        store: The stored sessions.
        sync: Other kernels' changes to them.
        loop: The owner loop, which runs tasks and blocking calls.
    """

    api: AuthAPI
    state: SessionState
    store: SessionStore
    sync: StorageSync
    loop: OwnerLoop
