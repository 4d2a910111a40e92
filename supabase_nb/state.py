"""The one place where a session's state lives, and the one way in which it changes.

Exchange -> save -> traits -> events. What exchanges a refresh token does so inside the lock beside the
storage (other kernels wait, then adopt what was saved); what changes the state does so under one in-process
lock, which no network request is ever made under.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from .api import AuthAPI
from .clock import ServerClock
from .errors import AuthError, AuthRetryableError, AuthStorageError
from .events import Delivery
from .held import Held, Word
from .models import AuthChangeEvent, AuthEvent, Session, Status
from .pkce import Pkce
from .record import StorageDamaged, StoredSession
from .refresh import refresher
from .storage import LOCK_TIMEOUT, SessionStorage, failure_of_storage
from .tokens import Secret
from .uninterrupted import uninterrupted

logger = logging.getLogger("supabase_nb")

# When to refresh: so many seconds before expiry, or this share of the lifetime if that is less.
_MARGIN, _MARGIN_SHARE = 60.0, 0.2
_NO_REFRESH_TOKEN = (
    "There is no refresh token, so this session ends when the access token expires. "
    "Restore it with both tokens to keep it alive."
)


class SessionState:
    """What is in force for one client, in memory and in storage.

    The last `Word` of the user counts. A word that is carried out begins an era, and so does a session's end;
    an answer about the session of an earlier era changes nothing.

    Args:
        api: The auth server.
        storage: Where the session rests.
        key: Under which key.
        clock: The server's clock.
        delivery: Who is told.
    """

    def __init__(
        self, api: AuthAPI, storage: SessionStorage, key: str, clock: ServerClock, delivery: Delivery
    ) -> None:
        self.api, self.storage, self.key, self.clock, self.delivery = api, storage, key, clock, delivery
        self.held = Held()
        self.events: deque[AuthEvent] = deque(maxlen=20)
        self.notices: dict[str, str] = {}
        self.background = False
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._words = self._word = self._eras = 0
        self._waited = 0.0
        self._restored = False
        self._version: object = None
        # What storage held when it was last read or written, so that the same text is not read twice.
        self._seen: tuple[Secret, StoredSession | None] = (Secret(""), None)
        self._exchanged = float("-inf")
        _states.add(self)

    @property
    def forked(self) -> bool:
        """Whether this is a forked child's copy; the session is its parent's to refresh."""
        return os.getpid() != self._pid

    def after_fork(self) -> None:
        """In the child: the parent's threads are gone, and with them whatever they had locked."""
        self._lock = threading.RLock()
        self.background = False
        self.delivery.after_fork()

    # -- time ---------------------------------------------------------------------------------------------

    def time_left(self, held: Held | None = None) -> float | None:
        """Seconds until the access token expires, by the server's clock; ``None`` without a session."""
        held = held or self.held
        if held.session is None:
            return None
        return held.session.expires_at - self.clock.now()

    def fresh(self, held: Held) -> bool:
        """Whether the token is outside the margin in which it is refreshed."""
        left = self.time_left(held)
        return left is not None and held.session is not None and left > margin(held.session)

    def _due_in(self, held: Held) -> float | None:
        """Seconds until the server is to be asked; ``None``: never."""
        if held.session is None:
            return None
        now = self.clock.clock.steady()
        if held.next_try is not None:
            return held.next_try - now
        if not held.verified or self.clock.jumped:
            return 0.0
        left = held.session.expires_at - self.clock.now()
        if not held.session.refresh_token:
            return left  # nothing to refresh: at the expiry the session ends
        # Never two exchanges within a second, whatever the clocks say.
        return max(left - margin(held.session), self._exchanged + 1.0 - now)

    # -- storage ------------------------------------------------------------------------------------------

    @contextmanager
    def exclusively(self, patience: float = LOCK_TIMEOUT) -> Iterator[None]:
        """Keep other kernels out, so that whoever comes next finds what was saved.

        A holder that has stopped keeps nobody out for ever: after `LOCK_TIMEOUT` seconds of waiting, in one
        call or several, this goes on without the lock.

        Raises:
            AuthRetryableError: Another kernel held the lock for all of `patience`, in seconds.
        """
        steady = self.clock.clock.steady
        wait, began = max(min(patience, LOCK_TIMEOUT - self._waited), 0.0), steady()
        with self.storage_lock(wait) as locked:
            if locked:
                self._waited = 0.0
            else:
                waited = steady() - began
                self._waited += waited
                if waited >= wait and self._waited < LOCK_TIMEOUT:
                    raise AuthRetryableError(
                        "Another notebook is busy with the stored session. Nothing is lost: try again."
                    )
            yield

    @contextmanager
    def storage_lock(self, timeout: float) -> Iterator[bool]:
        """The storage's lock. One that fails costs no session: the work is done without it."""
        stack, locked = ExitStack(), False
        try:
            locked = bool(stack.enter_context(self.storage.lock(self.key, timeout)))
        except Exception as error:  # noqa: BLE001
            logger.warning("%s", failure_of_storage(error, "locked"))
        try:
            yield locked
        finally:
            try:
                stack.close()
            except Exception as error:  # noqa: BLE001
                logger.warning("%s", failure_of_storage(error, "unlocked"))

    def _stored_version(self) -> object:
        version = getattr(self.storage, "version", None)
        try:
            return version(self.key) if version else None
        except Exception:  # noqa: BLE001  # it costs a late look at storage, never a session
            return None

    def _read(self) -> tuple[StoredSession | None, AuthStorageError | None]:
        """What storage holds, or why that is unknown. Damaged data is set aside."""
        try:
            text = self.storage.get(self.key)
            secret, text = (None if text is None else Secret(text)), None
        except Exception as error:  # noqa: BLE001
            return None, failure_of_storage(error, "read")
        if secret is None:
            return None, None
        text_seen, record_seen = self._seen
        record = record_seen if secret == text_seen else StoredSession.from_text(secret)
        if record is not None:
            self._seen = (secret, record)
            return record, None
        aside = getattr(self.storage, "set_aside", None)
        try:
            where = f" It was kept as {aside(self.key)}." if aside else ""
        except Exception as error:  # noqa: BLE001
            return None, failure_of_storage(error, "set aside")
        trouble = StorageDamaged(f"The stored session is damaged.{where} Sign in or restore a session again.")
        logger.warning("%s", trouble)
        return None, trouble

    def _write(self, record: StoredSession, stored: StoredSession | None = None) -> AuthStorageError | None:
        """Save. What is `stored` already is not written again: a cell that is run again wakes nobody."""
        offset = self.clock.offset
        if stored is not None and record.same_as(stored, offset):
            self._seen = (self._seen[0], record)
            self._version = self._stored_version()
            return None
        record = replace(record, clock_offset=offset)
        text = Secret(record.to_text())
        try:
            self.storage.set(self.key, text.reveal())
        except Exception as error:  # noqa: BLE001
            return failure_of_storage(error, "saved")
        self._seen = (text, record)
        self._version = self._stored_version()
        return None

    def _forget(self, held: Held) -> AuthStorageError | None:
        """Remove what storage holds of this session; another user's is left alone."""
        if held.detached:
            return None
        stored, trouble = self._read()
        if trouble is None and (
            stored is None or (held.session and stored.session.user.id != held.session.user.id)
        ):
            return None
        try:
            self.storage.remove(self.key)
        except Exception as error:  # noqa: BLE001
            return failure_of_storage(error, "removed")
        self._version = self._stored_version()
        return None

    def _forget_all(self, held: Held) -> AuthStorageError | None:
        """Remove all that storage holds of this session, and of a sign-in that was begun."""
        failure = self._forget(held)
        if held.detached:
            return failure
        try:
            Pkce(self.storage, self.key).forget()
            if failure is None and self._read() == (None, None):
                self.storage.remove(self.key)  # what a damaged file or a save that was cut short left behind
        except Exception as error:  # noqa: BLE001
            failure = failure_of_storage(error, "removed")
        self._version = self._stored_version()
        return failure

    # -- the one way of every change ----------------------------------------------------------------------

    def new_word(self) -> Word:
        """Number a call of the user, before its request is sent: of two calls the later one counts."""
        with self._lock:
            self._words += 1
            return Word(self._words)

    def _withdraw(self, word: Word) -> None:
        with self._lock:
            word.withdrawn = True

    def _new_era(self) -> int:
        """Under the lock."""
        self._eras += 1
        return self._eras

    def _hold(self, held: Held, event: AuthChangeEvent | None = None, cause: str = "") -> None:
        """Put `held` in force and queue the news. Under the lock; `announce` follows outside of all locks."""
        self.held = held
        # Without a refresh token nothing is planned: the session only ends.
        ends = held.session is not None and not held.session.refresh_token
        due = None if ends and held.next_try is None else self._due_in(held)
        # To a millisecond: what is due when it was before is no news.
        due_at = None if due is None else round(self.clock.clock.wall() + max(due, 0.0), 3)
        traits: dict[str, object] = {
            "session": held.session,
            "user": held.session.user if held.session else None,
            "status": held.status,
            "last_error": held.error,
            "next_refresh_at": due_at,
            "notices": tuple(self.notices.values()) + ((_NO_REFRESH_TOKEN,) if ends else ()),
        }
        happened = None
        if event is not None:
            happened = AuthEvent(event, self.clock.clock.wall(), cause)
            self.events.append(happened)
            traits["last_event"] = happened
        self.delivery.put(traits, happened, held.session)

    def _end(self, error: AuthError, era: int) -> None:
        """The session is over, by the server's final answer or because it cannot be renewed."""
        with self._lock:
            held = self.held
            if era != held.era or held.session is None:
                return
            self._forget(held)
            self.drop_notices()
            ended = Held(status="expired", error=error, era=self._new_era())
            self._hold(ended, AuthChangeEvent.SIGNED_OUT, error.message)

    # -- what was stored before, what other kernels store -------------------------------------------------

    def restore(self) -> Session | None:
        """Read storage, if nothing is in force. Asks no server; the background verifies.

        Raises:
            AuthStorageError: A session may be stored, but cannot be read. (What is damaged was set aside.)
        """
        if self.held.session is None:
            trouble = uninterrupted(self._restore, afterwards=self.announce)
            self.announce()
            if trouble is not None and not isinstance(trouble, StorageDamaged) and self.held.session is None:
                raise trouble
        return self.held.session

    def _restore(self) -> AuthStorageError | None:
        era, self._version = self.held.era, self._stored_version()
        stored, trouble = self._read()
        with self._lock:
            if era == self.held.era and self.held.session is None:
                if trouble is not None:
                    self._hold(replace(self.held, error=trouble))
                elif stored is not None:
                    self.clock.hint(stored.clock_offset, not_before=stored.session.issued_at)
                    status: Status = "restoring" if self.background else "active"
                    # Somebody was told before that there was no session.
                    event = AuthChangeEvent.SIGNED_IN if self._restored else None
                    verified = not self.background
                    held = Held(stored.session, status, stored, verified=verified, era=self._new_era())
                    self._hold(held, event, "found in storage")
            self._restored = True
        return trouble

    def catch_up(self, *, locked: bool = False) -> None:
        """Look at what is stored, and take over what another kernel did to it.

        Args:
            locked: Whether this is inside the storage's lock.
        """
        self._version = self._stored_version()  # first: what comes after it is seen at the next look
        self.reconcile(*self._read(), locked=locked)

    def reconcile(
        self, stored: StoredSession | None, trouble: AuthStorageError | None, *, locked: bool = False
    ) -> None:
        """Take over what another kernel did to the stored session.

        Args:
            stored: What storage holds.
            trouble: Why that is unknown.
            locked: Whether this is inside the storage's lock; what has to be written waits for that.
        """
        with self._lock:
            held = self.held
            if held.session is None or held.detached or held.record is None:
                return
            if trouble is not None:
                # Unreadable is not signed out: what is in memory stays, and is saved at the next chance.
                if isinstance(trouble, StorageDamaged):
                    self._keep_ours(held, held.record, locked, trouble)
                return
            if stored is None:
                if held.saved:
                    self._signed_out_elsewhere()
                else:
                    self._keep_ours(held, held.record, locked)
                return
            theirs, mine = stored.session, held.session
            if theirs.user.id != mine.user.id:
                self.note("detached", "Another notebook has stored another user's session under this name.")
                error = AuthStorageError(
                    "Another notebook stored a session of another user under the same name. This one goes "
                    "on, in memory only. Connect with --name to keep both."
                )
                self._hold(replace(held, detached=True, error=error))
            elif held.record.knows(Secret(theirs.refresh_token)):
                self._keep_ours(held, held.record, locked)
            elif theirs.refresh_token != mine.refresh_token or (theirs.issued_at or 0) > (
                mine.issued_at or 0
            ):
                self.clock.hint(stored.clock_offset, not_before=theirs.issued_at)
                adopted = Held(theirs, "active", stored, era=held.era)
                self._hold(adopted, AuthChangeEvent.TOKEN_REFRESHED, "refreshed in another notebook")
            elif not held.saved:
                self._hold(replace(held, saved=True, error=None))

    def _keep_ours(
        self, held: Held, record: StoredSession, locked: bool, error: AuthStorageError | None = None
    ) -> None:
        if locked:
            error = self._write(record)
            self._hold(replace(held, saved=error is None, error=error))
        elif held.saved:
            self._hold(replace(held, saved=False, error=error or held.error))

    def _signed_out_elsewhere(self) -> None:
        self.drop_notices()
        signed_out = Held(era=self._new_era())
        self._hold(signed_out, AuthChangeEvent.SIGNED_OUT, "signed out in another notebook")

    # -- telling ------------------------------------------------------------------------------------------

    def announce(self) -> None:
        """Tell everybody what was queued, and let the refresher know. Never called under a lock."""
        if self.background and not self.forked:
            due = self._due_in(self.held)
            refresher.register(self, due)  # type: ignore[arg-type]  # Rotation is what is made
        self.delivery.flush()

    def note(self, name: str, text: str | None) -> None:
        """Set or take away a notice. Under the lock."""
        if text is None:
            self.notices.pop(name, None)
        else:
            self.notices[name] = text

    def drop_notices(self) -> None:
        """Take away what was noted about a session that is over; what others set stays. Under the lock."""
        for name in ("detached", "goodbye", "storage"):
            self.notices.pop(name, None)

    def set_notice(self, name: str, text: str | None) -> None:
        """Show a sentence with the session, or take it away."""

        def change() -> None:
            with self._lock:
                self.note(name, text)
                self._hold(self.held)

        uninterrupted(change, afterwards=self.announce)
        self.delivery.flush()


def margin(session: Session) -> float:
    """How many seconds before its expiry a session is refreshed."""
    return min(_MARGIN, _MARGIN_SHARE * session.lifetime)


_states: weakref.WeakSet[SessionState] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for state in list(_states):
        state.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
