"""What time it is: by the server's clock, and by one that neither jumps nor stops in sleep."""

from __future__ import annotations

import sys
import time
from email.utils import parsedate_to_datetime

# A slow answer says little about the time: the server may have written its date at any moment of the way.
_LONGEST_ROUND_TRIP = 2.0


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


class ServerClock:
    """The server's clock as learnt from its answers, kept on the steady clock.

    Each answer bounds the difference between the two: the ``Date`` header (whole seconds) was written between
    sending and receiving. The bounds of several answers narrow it further.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._low: float | None = None
        self._high = 0.0
        self._hint: float | None = None

    @property
    def known(self) -> bool:
        """Whether an answer has told the time."""
        return self._low is not None

    @property
    def offset(self) -> float:
        """Server's time less this machine's wall clock, in seconds."""
        return self.now() - self.clock.wall()

    def hint(self, offset: float | None, *, not_before: float | None = None) -> None:
        """Start from an earlier session's offset, and from a time that is surely past (a token's ``iat``)."""
        if self.known:
            return
        offset = offset or 0.0
        if not_before is not None:
            offset = max(offset, not_before - self.clock.wall())
        self._hint = offset

    def now(self) -> float:
        """The server's time in Unix seconds; this machine's until an answer has told better."""
        low = self._low
        if low is None:
            return self.clock.wall() + (self._hint or 0.0)
        return self.clock.steady() + (low + self._high) / 2

    def learn(self, date: str | None, sent: float, received: float) -> None:
        """Take the ``Date`` header of an answer into account.

        Args:
            date: The header's value.
            sent: When the request left, on the steady clock.
            received: When the answer came, on the steady clock.
        """
        if date is None or received - sent > _LONGEST_ROUND_TRIP:
            return
        try:
            seconds = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        low, high = seconds - received, seconds + 1 - sent
        if self._low is not None and low <= self._high and high >= self._low:
            low, high = max(low, self._low), min(high, self._high)
        # Otherwise the server's clock was set, or ours slept: the newest answer counts alone.
        self._low, self._high = low, high
