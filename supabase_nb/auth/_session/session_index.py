"""The index of a project's stored sessions: the names that use each, and which have ended. No tokens."""

from __future__ import annotations

import json
from typing import NamedTuple


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


def parse(text: str) -> Index:
    """Read an index.

    Raises:
        Exception: It is damaged.
    """
    return {
        str(session_id): IndexEntry(
            tuple(str(name) for name in entry["names"]), float(entry["used"]), entry.get("ended") is True
        )
        for session_id, entry in json.loads(text).items()
    }


def to_text(index: Index) -> str:
    """The text for the storage."""
    return json.dumps(
        {
            key: {"names": e.names, "used": round(e.last_used), **({"ended": True} if e.ended else {})}
            for key, e in index.items()
        }
    )
