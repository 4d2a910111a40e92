"""Signing out: here at once, whatever the network does; the server is told then, or later."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from . import workers
from .errors import FINAL_CODES, AuthError, AuthRetryableError, AuthStorageError, AuthUnknownError
from .held import Held
from .models import AuthChangeEvent, Session
from .rotation import Rotation
from .tokens import Secret
from .uninterrupted import uninterrupted

logger = logging.getLogger("supabase_nb")

# Signing out does not wait for a refresh of ours, whose answer is dropped; for another kernel not long.
_SIGN_OUT_LOCK = 2.0
# How long `sign_out` waits for the server's answer; the background waits for the rest. Seconds.
_SIGN_OUT_WAIT = 1.0
# How long, and how often, the server is told of a sign-out that it did not hear; seconds.
_GOODBYE_FOR, _GOODBYE_PAUSE = 24 * 3600.0, 15.0


@dataclass(frozen=True, eq=False)
class Goodbye:
    """A sign-out that the server has not heard of yet."""

    session: Session
    scope: str
    at: float
    until: float


class Leaving(Rotation):
    """Ends the session that is in force, because the user says so."""

    _goodbyes: tuple[Goodbye, ...] = ()

    def leave(self, scope: str, cause: str = "signed out") -> None:
        """`sign_out`: here at once, whatever the network does; then the server is told.

        Raises:
            AuthStorageError: What is stored could not be removed.
        """
        with suppress(AuthStorageError):  # what cannot be read can still be removed
            self.restore()
        left, failure = self._let_go(cause, scope)
        for goodbye in left:
            told = threading.Event()
            tell = partial(self._tell_now, goodbye, told)
            try:
                workers.start(tell, "supabase-nb-call")
            except RuntimeError:  # no more threads, or the interpreter is ending
                tell()
            told.wait(_SIGN_OUT_WAIT)
            self.announce()
        if failure is not None:
            raise failure

    def _tell_now(self, goodbye: Goodbye, told: threading.Event) -> None:
        try:
            heard = False
            with suppress(KeyboardInterrupt):  # raised by a transport, in a thread that Ctrl-C does not reach
                heard = self._tell(goodbye, expired=goodbye.session.expires_at <= self.clock.now())
            self._heard(goodbye) if heard else self._unheard(goodbye)
        finally:
            told.set()
            self.delivery.flush_soon()

    def hand_over(self, cause: str) -> None:
        """Let go of the session, which goes on elsewhere: here it is gone, and no server is told."""
        self._let_go(cause, None)

    def _let_go(self, cause: str, scope: str | None) -> tuple[tuple[Goodbye, ...], AuthStorageError | None]:
        word = self.new_word()

        def let_go() -> tuple[tuple[Goodbye, ...], AuthStorageError | None]:
            with self._lock:
                # Whatever the user said before this is not carried out any more.
                self._word = max(self._word, word.number)
            patience = _SIGN_OUT_LOCK if self._flight is None else 0.0
            with self.storage_lock(patience), self._lock:
                # Another kernel may be ahead: then it is that session which ends.
                self.catch_up()
                session = self.held.session
                failure = self._forget_all(self.held)
                self.drop_notices()
                left: tuple[Goodbye, ...] = ()
                if session is not None and scope is not None:
                    # Kept from the start, so that Ctrl-C during the telling forgets nothing.
                    left = (self._sign_out_later(session, scope, _GOODBYE_PAUSE),)
                event = AuthChangeEvent.SIGNED_OUT if session is not None else None
                self._hold(Held(error=failure, era=self._new_era()), event, cause)
            return left, failure

        outcome = uninterrupted(let_go, afterwards=self.announce)
        self.announce()
        return outcome

    def _sign_out_later(self, session: Session, scope: str, wait: float = 0.0) -> Goodbye:
        """Have the background end a session at the server, `wait` seconds from now. Under the lock."""
        now = self.clock.clock.steady()
        goodbye = Goodbye(session, scope, now + wait, now + _GOODBYE_FOR)
        self._goodbyes = (*self._goodbyes, goodbye)
        return goodbye

    def _tell(self, goodbye: Goodbye, *, expired: bool = False) -> bool:
        """Tell the server of a sign-out. ``False``: the request did not reach it."""
        token = Secret(goodbye.session.access_token)
        for _ in range(2):
            try:
                if expired:
                    # The server refuses a logout with an expired token.
                    token = Secret(self.api.refresh(Secret(goodbye.session.refresh_token)).access_token)
                self.api.logout(token, goodbye.scope)
            except (AuthRetryableError, AuthUnknownError):
                return False  # an outage, or a login page in between
            except AuthError as error:
                if says_expired(error) and not expired and goodbye.session.refresh_token:
                    expired = True
                    continue
                # Gone already (``tests/wire/sign-out.json``: "logout: again"), or not to be told at all.
                logger.info("the server took no notice of the sign-out: %s", error)
            return True
        return True

    def due_in(self) -> float | None:
        """Seconds until `work` has something to do (for the refresher)."""
        due = super().due_in()
        if not self._goodbyes or self.forked:
            return due
        wait = min(goodbye.at for goodbye in self._goodbyes) - self.clock.clock.steady()
        return wait if due is None else min(due, wait)

    def work(self) -> None:
        """As the refresher always does; then say what is left to be said to the server."""
        super().work()
        now = self.clock.clock.steady()
        for goodbye in [goodbye for goodbye in self._goodbyes if goodbye.at <= now]:
            if self._tell(goodbye) or now > goodbye.until:
                self._heard(goodbye)
            else:
                self._unheard(goodbye)
        self.delivery.flush_soon()

    def _heard(self, goodbye: Goodbye) -> None:
        with self._lock:
            self._goodbyes = tuple(known for known in self._goodbyes if known is not goodbye)
            if not self._goodbyes and "goodbye" in self.notices:
                self.note("goodbye", None)
                self._hold(self.held)

    def _unheard(self, goodbye: Goodbye) -> None:
        """Try again later, unless the user has come back meanwhile."""
        with self._lock:
            if goodbye not in self._goodbyes:
                return
            again = replace(goodbye, at=self.clock.clock.steady() + _GOODBYE_PAUSE)
            self._goodbyes = tuple(again if known is goodbye else known for known in self._goodbyes)
            self.note("goodbye", "Signed out here. The server could not be told yet; it is tried again.")
            self._hold(self.held)

    def _drop_goodbyes(self, session: Session) -> None:
        """A session begins: it must not fall to what was said before it. Under the lock."""
        self._goodbyes = tuple(
            goodbye
            for goodbye in self._goodbyes
            if goodbye.session.user.id != session.user.id
            or (goodbye.scope == "local" and goodbye.session.session_id != session.session_id)
        )
        if not self._goodbyes:
            self.note("goodbye", None)


def says_expired(error: AuthError) -> bool:
    """``bad_jwt`` … "token is expired" (``tests/wire/sessions-es256.json``, "get user: expired")."""
    return error.status in (401, 403) and "expired" in error.message and error.code not in FINAL_CODES
