"""SessionIndex: which names use each stored session of a project, and which have ended. No tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ...errors import AuthStorageError
from ...storage import SessionStorage, call_storage
from .._api.server_clock import ServerClock
from .session_locks import SessionLocks

_DAY = 24 * 3600.0


class IndexEntry(NamedTuple):
    """One session.

    Args:
        names: The keys of the names that use it.
        last_used: When it was last used, in Unix seconds by the server's clock; to a day.
        ended: Whether it was signed out. Other kernels may still have it.
    """

    names: tuple[str, ...]
    last_used: float
    ended: bool = False

    def without_names(self, names: set[str]) -> IndexEntry:
        """The entry without these names."""
        return self._replace(names=tuple(name for name in self.names if name not in names))


#: By the sessions' ids.
Index = dict[str, IndexEntry]


class SessionIndex:
    """The index in the storage.

    Args:
        storage: The storage.
        key: Where it is stored.
        locks: The locks of the project's sessions.
        clock: The server's clock.
    """

    def __init__(self, storage: SessionStorage, key: str, locks: SessionLocks, clock: ServerClock) -> None:
        self._storage, self._key, self._locks, self._clock = storage, key, locks, clock

    def read(self) -> Index:
        """The index; empty if it is damaged.

        Raises:
            AuthStorageError: It can't be read.
        """
        text = call_storage("read", lambda: self._storage.get(self._key))
        try:
            return _parse(text or "{}")
        except Exception:  # noqa: BLE001  (of any damaged text)
            return {}

    def read_or_empty(self) -> Index:
        """The index; empty if it can't be read either."""
        try:
            return self.read()
        except AuthStorageError:
            return {}

    @contextmanager
    def change(self) -> Iterator[tuple[Index, bool]]:
        """Lock the index, and store what the caller changed in it.

        Yields the index, and whether it is empty because it can't be read. Then nothing is stored.

        Raises:
            AuthStorageError: It can't be read or stored.
        """
        with self._locks.lock_index():
            index: Index = {}
            failure: AuthStorageError | None = None
            try:
                index = self.read()
            except AuthStorageError as error:
                failure = error
            before = dict(index)
            yield index, failure is not None
            if failure is not None:
                raise failure
            if index != before:
                text = _to_text(index)
                call_storage("saved", lambda: self._storage.set(self._key, text))

    def is_outdated(self, entry: IndexEntry) -> bool:
        """Whether the entry's time is more than a day old."""
        return abs(self._clock.now() - entry.last_used) > _DAY

    def ended_entry(self) -> IndexEntry:
        """The entry of a session that has ended, so that kernels that still have it can tell."""
        return IndexEntry((), self._clock.now(), ended=True)


def _parse(text: str) -> Index:
    """Parse an index. Raises an exception if it is damaged."""
    return {
        str(session_id): IndexEntry(
            tuple(str(name) for name in entry["names"]), float(entry["used"]), entry.get("ended") is True
        )
        for session_id, entry in json.loads(text).items()
    }


def _to_text(index: Index) -> str:
    """The text for the storage."""
    return json.dumps(
        {
            key: {"names": e.names, "used": round(e.last_used), **({"ended": True} if e.ended else {})}
            for key, e in index.items()
        }
    )
