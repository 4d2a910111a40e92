"""SessionStore: a project's stored sessions, each under its id, and which one a name uses.

Each session has a record under its id. A name's key (``sb-abcd-auth-token``, the key of Supabase's other
clients) has a copy of the session that the name uses, so that other clients can read it. An index lists
which names use a record and when it was last used. So given tokens lead to their session's later rotation
under any name, and after another user has worked in the same notebook.

These calls can block, so the owner loop makes them in threads, with `run`. Records and
copies are changed under the index's lock. Exchanging a refresh token needs the session's own lock too.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

from ..._secrets.tokens import Secret
from ...errors import AuthStorageError
from ...storage import SessionStorage, call_storage, storage_error
from .._api.server_clock import ServerClock
from .._owner_loop import OwnerLoop
from .._pkce import VerifierStore
from .rotation_conflict import SentRefreshTokens
from .session_index import Index, IndexEntry, SessionIndex
from .session_locks import SessionLocks, can_block
from .session_record import SessionRecord, StorageDamaged, TokenPair

logger = logging.getLogger("supabase_nb")

_T = TypeVar("_T")

# Sessions that no name uses: how many are kept, and for how long after their last use, in seconds.
_MAX_UNUSED, _MAX_UNUSED_AGE = 50, 60 * 24 * 3600.0


class LookupResult(NamedTuple):
    """The result of looking for stored sessions, by tokens or by this client's name.

    Args:
        record: The session that the name uses.
        others: More stored sessions that the tokens may belong to.
        name_taken: Whether the name now uses another user's session.
        error: Why the name's session couldn't be read.
        name_is_free: Whether the name uses no session, and this one was found by its id.
    """

    record: SessionRecord | None
    others: tuple[SessionRecord, ...] = ()
    name_taken: bool = False
    error: AuthStorageError | None = None
    name_is_free: bool = False


class SessionStore:
    """Reads and writes a project's sessions.

    Args:
        storage: The storage.
        key: The storage key of this client's name.
        project: The prefix of the project's records (`storage.project_key`).
        clock: The server's clock.
        loop: The owner loop, which runs tasks and blocking calls.
        older_keys: Where earlier versions stored what belongs under `key` now, each with the issuer that the
            session must have (`storage.older_storage_keys`).
    """

    def __init__(
        self,
        storage: SessionStorage,
        key: str,
        project: str,
        clock: ServerClock,
        loop: OwnerLoop,
        *,
        older_keys: Mapping[str, str] | None = None,
    ) -> None:
        self.storage, self.key, self.clock = storage, key, clock
        self._project, self._older_keys = project, dict(older_keys or {})
        self._sent_key = f"{project}-sent"
        self._loop = loop
        self.locks = SessionLocks(storage, project, clock.clock, loop)
        self._index = SessionIndex(storage, f"{project}-sessions", self.locks, clock)
        self.sent = SentRefreshTokens(storage, self._sent_key, self.locks.lock_index)
        # A session and its copies are the same text, so the last one that was parsed is cached.
        self._last_read: tuple[Secret, SessionRecord] | None = None
        # Sessions of which only a name's copy was stored, by another client.
        self._without_record: set[str] = set()

    async def run(self, call: Callable[[], _T]) -> _T:
        """Call the storage without blocking the loop."""
        return await self._loop.in_thread(call) if can_block(self.storage) else call()

    def _key_of(self, session_id: str) -> str:
        safe = session_id if len(session_id) <= 64 else hashlib.sha256(session_id.encode()).hexdigest()
        return f"{self._project}-session-{safe}"

    # -- calls of the storage: any exception becomes an `AuthStorageError` --------------------------------

    def _get(self, key: str) -> str | None:
        return call_storage("read", lambda: self.storage.get(key))

    def _set(self, key: str, value: str) -> None:
        text, value = Secret(value), ""
        call_storage("saved", lambda: self.storage.set(key, text.reveal()))

    def _remove(self, key: str) -> None:
        call_storage("removed", lambda: self.storage.remove(key))

    def version(self, session_id: str | None) -> object:
        """A value that changes when another kernel changes this session's record or this name's copy."""
        version = getattr(self.storage, "version", None)
        if version is None:
            return None
        try:
            own = None if session_id is None else version(self._key_of(session_id))
            return version(self.key), own
        except Exception:  # noqa: BLE001  (it costs a late look at the storage, never a session)
            return None

    # -- reading ------------------------------------------------------------------------------------------

    def read(self) -> LookupResult:
        """The session that this name uses, with its newest tokens."""
        text, error = self._read_text(self.key)
        record = None
        if text is not None:
            record, error = self._parse(self.key, text)
        elif error is None:
            record = self._read_older_key()
        if record is None:
            return LookupResult(None, error=error)
        # A name's copy can be older than the record (after a kill) or newer (from another client).
        own_key = self._key_of(record.id)
        own, error = self._read_text(own_key)
        if own is None and error is None:
            self._without_record.add(record.id)
        else:
            self._without_record.discard(record.id)
        if own is None or own == text:
            return LookupResult(record)
        latest, _ = self._parse(own_key, own)
        return LookupResult(record if latest is None else latest.merged_with(record))

    def read_by_id(self, session_id: str) -> LookupResult:
        """A session, whether or not a name uses it."""
        record, error = self._read_record(self._key_of(session_id))
        return LookupResult(record, error=error)

    def find(self, pair: TokenPair) -> LookupResult:
        """The stored sessions that a pair may belong to: this name's, the one with its id, or any."""
        found = self.read()
        if pair.session_id is not None:
            if found.record is not None and found.record.id == pair.session_id:
                return found
            own = self.read_by_id(pair.session_id)
            others = () if own.record is None else (own.record,)
            return found._replace(others=others, error=found.error or own.error)
        if found.record is not None and found.record.is_later_than(pair):
            return found
        # Without an id (version 1, and an unreadable access token), check all of them.
        records = (
            self._read_record(self._key_of(session_id))[0] for session_id in self._index.read_or_empty()
        )
        return found._replace(others=tuple(record for record in records if record is not None))

    def _read_record(self, key: str) -> tuple[SessionRecord | None, AuthStorageError | None]:
        """A stored session, or why it can't be read. Damaged data is set aside, not deleted."""
        text, error = self._read_text(key)
        return self._parse(key, text) if text is not None else (None, error)

    def _read_text(self, key: str) -> tuple[Secret | None, AuthStorageError | None]:
        try:
            text = self._get(key)
            secret, text = (None if text is None else Secret(text)), None
        except AuthStorageError as error:
            return None, error
        return secret, None

    def _parse(self, key: str, text: Secret) -> tuple[SessionRecord | None, AuthStorageError | None]:
        last = self._last_read
        if last is not None and last[0] == text:
            return last[1], None
        record = SessionRecord.from_text(text)
        if record is not None:
            self._last_read = text, record
            return record, None
        aside = getattr(self.storage, "set_aside", None)
        try:
            where = f" It was kept as {aside(key)}." if aside else ""
        except Exception as error:  # noqa: BLE001
            return None, storage_error(error, "set aside")
        damaged = StorageDamaged(f"The stored session is damaged.{where} Sign in or restore a session again.")
        logger.warning("%s", damaged)
        return None, damaged

    def _read_older_key(self) -> SessionRecord | None:
        """The session as stored by an earlier version, if it comes from this auth server."""
        return next((record for _, record in self._under_older_keys()), None)

    def _under_older_keys(self) -> Iterator[tuple[str, SessionRecord]]:
        for key, issuer in self._older_keys.items():
            record, _ = self._read_record(key)
            if record is not None and issuer in ("", record.session.claims.get("iss")):
                yield key, record

    # -- writing ------------------------------------------------------------------------------------------

    def save(
        self,
        record: SessionRecord,
        *,
        assign_name: bool,
        previous: SessionRecord | None = None,
        restores: bool = False,
    ) -> AuthStorageError | None:
        """Store a session.

        Args:
            record: The session.
            assign_name: Make this client's name use it. Otherwise, update only the names that already do.
            previous: The record that this name uses. If it is the same, nothing is written.
            restores: Whether to store it even if it was signed out.

        Returns:
            The error, if it could not be saved.
        """
        offset = self.clock.offset
        if (
            assign_name
            and previous is not None
            and record.same_as(previous, offset)
            and self._is_indexed(record)
        ):
            return None
        record = record._replace(clock_offset=offset)
        text = Secret(record.to_text())
        try:
            with self._index.change() as (index, unreadable):
                entry = index.get(record.id)
                if not restores and (entry.ended if entry else unreadable and self._is_gone(record)):
                    return None
                self._set(self._key_of(record.id), text.reveal())
                names = self._names_of(record.id, index) - {self.key}
                if assign_name or self._name_uses(self.key, record.id):
                    names.add(self.key)
                for name in sorted(names):
                    self._set(name, text.reveal())
                self._add_to_index(index, record.id, names)
        except AuthStorageError as error:
            return error
        self._without_record.discard(record.id)
        self._remove_older_keys()
        return None

    def _is_indexed(self, record: SessionRecord) -> bool:
        """Whether the index has the record. Earlier versions stored sessions only under names."""
        entry = self._index.read_or_empty().get(record.id)
        return entry is not None and self.key in entry.names and not self._index.is_outdated(entry)

    def name_was_reused(self, record: SessionRecord) -> bool:
        """Whether another session has used this client's name since, which was then signed out.

        Raises:
            AuthStorageError: The index can't be read.
        """
        entry = self._index.read().get(record.id)
        return entry is not None and not entry.ended and self.key not in entry.names

    def was_signed_out(self, record: SessionRecord, *, saved: bool) -> bool:
        """Whether a session that the name no longer uses was signed out.

        Our sign-outs are noted in the index, and other clients delete only the name's copy. If neither
        happened, all files were deleted, for example by a cleaner of temporary files.

        Args:
            record: The session.
            saved: Whether its newest tokens were saved. Otherwise, only what the index says counts.
        """
        entry = self._index.read_or_empty().get(record.id)
        if entry is not None and entry.ended:
            return True
        if not saved:
            return False
        # The index still has a session if a sign-out couldn't write it (a full disk).
        known = entry is not None or record.id in self._without_record
        return known or not self._is_gone(record)

    def _is_gone(self, record: SessionRecord) -> bool:
        return self._read_text(self._key_of(record.id)) == (None, None)

    def note_lost_name(self, record: SessionRecord) -> None:
        """Another session uses this client's name. Other Supabase clients don't change the index."""
        with suppress(AuthStorageError), self._index.change() as (index, _):
            if record.id in index:
                index[record.id] = index[record.id].without_names({self.key})

    def _names_of(self, session_id: str, index: Index) -> set[str]:
        """The names that still use a session."""
        entry = index.get(session_id)
        return {name for name in entry.names if self._name_uses(name, session_id)} if entry else set()

    def _name_uses(self, name: str, session_id: str) -> bool:
        record, _ = self._read_record(name)
        return record is not None and record.id == session_id

    def _remove_older_keys(self) -> None:
        """Remove a session that was moved from an older key."""
        for key, _ in self._under_older_keys():
            with suppress(Exception):
                self._remove(key)
        self._older_keys = {}

    # -- removing -----------------------------------------------------------------------------------------

    def remove(self, record: SessionRecord | None, *, of_user: bool = False) -> AuthStorageError | None:
        """Remove a session under every name, and an unfinished sign-in.

        Args:
            record: The session; ``None``: whatever is stored under this client's name.
            of_user: Remove the user's other sessions too.

        Returns:
            The error, if something could not be removed.
        """
        failure: AuthStorageError | None = None

        def remove(key: str) -> None:
            nonlocal failure
            try:
                self._remove(key)
            except AuthStorageError as error:
                failure = error

        with suppress(AuthStorageError), self._index.change() as (index, _):
            ended = {record.id} if record else {known for known in index if self.key in index[known].names}
            if record is not None and of_user:
                ended |= {known for known in index if self._belongs_to_user(known, record.session.user.id)}
            for session_id in ended:
                for name in self._names_of(session_id, index) | {self.key}:
                    if self._name_uses(name, session_id):
                        remove(name)
                remove(self._key_of(session_id))
                index[session_id] = self._index.ended_entry()
            if all(entry.ended for entry in index.values()):
                with suppress(AuthStorageError):
                    self._remove(self._sent_key)
        if self._read_record(self.key) == (None, None):
            remove(self.key)  # leftovers of a damaged file or an interrupted save
            self._remove_older_keys()
        try:
            VerifierStore(self.storage, self.key).remove()
        except AuthStorageError as error:
            failure = error
        return failure

    def remove_if_unused(self, record: SessionRecord) -> None:
        """Remove a session that no name uses, because deleting its name's copy means signing out."""
        with suppress(AuthStorageError), self._index.change() as (index, _):
            if not self._names_of(record.id, index):
                self._remove(self._key_of(record.id))
                index[record.id] = self._index.ended_entry()

    def _belongs_to_user(self, session_id: str, user_id: str) -> bool:
        record, _ = self._read_record(self._key_of(session_id))
        return record is not None and record.session.user.id == user_id

    # -- the index ----------------------------------------------------------------------------------------

    def _add_to_index(self, index: Index, session_id: str, names: set[str]) -> None:
        """Add a session that was just saved. Remove sessions that are no longer kept."""
        entry = index.pop(session_id, None)
        for known in index:
            index[known] = index[known].without_names(names)
        if entry is None:
            self._remove_unused(index)
        used = self.clock.now() if entry is None or self._index.is_outdated(entry) else entry.last_used
        index[session_id] = IndexEntry(tuple(sorted(names)), used)

    def _remove_unused(self, index: Index) -> None:
        unused = [known for known in index if not self._names_of(known, index)]
        unused.sort(key=lambda known: index[known].last_used, reverse=True)
        now = self.clock.now()
        ended = [known for known in unused if index[known].ended]
        for group in ([known for known in unused if not index[known].ended], ended):
            for place, known in enumerate(group):
                if place >= _MAX_UNUSED or now - index[known].last_used > _MAX_UNUSED_AGE:
                    with suppress(AuthStorageError):
                        self._remove(self._key_of(known))
                        del index[known]
