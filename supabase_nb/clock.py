"""What time it is: by the server's clock, and by one that neither jumps nor stops in sleep."""

from __future__ import annotations

import sys
import threading
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

# A slow answer says little about the time: the server may have written its date at any moment of the way.
_LONGEST_ROUND_TRIP = 2.0
# The two clocks of this machine drift apart by less than this; more is a jump.
_JUMP = 5.0
# A `Date` that differs by more from what the auth server itself wrote into its tokens is another machine's.
_FOREIGN = 60.0


class Clock:
    """This machine's clocks; tests put shifted ones in its place."""

    def wall(self) -> float:
        """Unix seconds, as this machine believes."""
        return time.time()

    def steady(self) -> float:
        """Seconds that only move forward, and go on while the machine is suspended."""
        if sys.platform == "linux":
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        if sys.platform == "darwin":  # there CLOCK_MONOTONIC counts sleep, `time.monotonic` does not
            return time.clock_gettime(time.CLOCK_MONOTONIC)
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait before another try."""
        threading.Event().wait(seconds)


class _Learnt(NamedTuple):
    """Bounds of the server's time less the steady clock; all in seconds."""

    low: float
    high: float
    wall: float  # less the steady clock, at that moment
    issued: bool  # by the auth server's own clock, not by a `Date`, which a proxy may have written


class ServerClock:
    """The server's clock as learnt from its answers, kept on the steady clock.

    Each answer bounds the difference between the two: its ``Date`` header, or the ``iat`` of a token in it
    (whole seconds both), was written between sending and receiving. The bounds of several answers narrow it
    further.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._learnt: _Learnt | None = None
        self._hint = 0.0

    @property
    def jumped(self) -> bool:
        """Whether the wall clock was set, or the machine slept unnoticed, since an answer told the time."""
        learnt = self._learnt
        return learnt is not None and abs(self._wall() - learnt.wall) > _JUMP

    @property
    def known(self) -> bool:
        """Whether an answer has told the time."""
        return self._learnt is not None and not self.jumped

    @property
    def offset(self) -> float:
        """Server's time less this machine's wall clock, in seconds."""
        return self.now() - self.clock.wall()

    def hint(self, offset: float | None, *, not_before: float | None = None) -> None:
        """Start from an earlier session's offset, and from a time that is surely past (a token's ``iat``)."""
        if self._learnt is not None:
            return
        offset = offset or 0.0
        if not_before is not None:
            offset = max(offset, not_before - self.clock.wall())
        self._hint = offset

    def now(self) -> float:
        """The server's time in Unix seconds; this machine's until an answer has told better."""
        learnt = self._learnt
        if learnt is None:
            return self.clock.wall() + self._hint
        middle = (learnt.low + learnt.high) / 2
        if self.jumped:
            # Rather a machine that slept than a clock that was set: then the old offset to the wall holds.
            return self.clock.wall() + middle - learnt.wall
        return self.clock.steady() + middle

    def learn(self, date: str | None, sent: float, received: float) -> None:
        """Take the ``Date`` header of an answer into account.

        Args:
            date: The header's value.
            sent: When the request left, on the steady clock.
            received: When the answer came, on the steady clock.
        """
        seconds = None
        if date is not None and received - sent <= _LONGEST_ROUND_TRIP:
            try:
                seconds = parsedate_to_datetime(date).timestamp()
            except (ValueError, TypeError, OverflowError):
                seconds = None
        learnt, jumped = self._learnt, self.jumped
        if seconds is None:
            if jumped:  # an answer that does not tell the time: what the wall says has to do
                self._hint, self._learnt = self.offset, None
            return
        if learnt is not None and learnt.issued and not jumped:
            between = seconds - received - (learnt.low + learnt.high) / 2
            if abs(between) > _FOREIGN:
                return
        self._take(seconds, sent, received, issued=False)

    def learn_issued(self, issued_at: float | None, sent: float, received: float) -> None:
        """Take the ``iat`` of a token into account that was made for this answer: its own clock.

        Args:
            issued_at: Unix seconds of the server's clock, whole.
            sent: When the request left, on the steady clock.
            received: When the answer came, on the steady clock.
        """
        if issued_at is not None:
            self._take(issued_at, sent, received, issued=True)

    def _take(self, seconds: float, sent: float, received: float, *, issued: bool) -> None:
        low, high = seconds - received, seconds + 1 - sent
        learnt = self._learnt
        if learnt is not None and not self.jumped:
            issued = issued or learnt.issued
            if low <= learnt.high and high >= learnt.low:
                low, high = max(low, learnt.low), min(high, learnt.high)
        # Otherwise the server's clock was set, or ours slept: the newest answer counts alone.
        self._learnt = _Learnt(low, high, self._wall(), issued)

    def _wall(self) -> float:
        return self.clock.wall() - self.clock.steady()
