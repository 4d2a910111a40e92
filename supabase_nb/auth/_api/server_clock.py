"""What time it is: by the server's clock, and by one that neither jumps nor stops in sleep."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

# A slow answer says little about the time: the server may have written its date at any moment of the way.
_LONGEST_ROUND_TRIP = 2.0
# The two clocks of this machine drift apart by less than this; more is a jump.
_JUMP = 5.0
# A `Date` that differs by more from what the auth server itself wrote into its tokens is another machine's.
_FOREIGN = 60.0


class Clock:
    """This machine's clocks; tests put shifted ones in its place."""

    #: Unix seconds, as this machine believes.
    wall: Callable[[], float] = staticmethod(time.time)

    def steady(self) -> float:
        """Seconds that only move forward, and go on while the machine is suspended."""
        if sys.platform == "linux":
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        if sys.platform == "darwin":  # there CLOCK_MONOTONIC counts sleep, `time.monotonic` does not
            return time.clock_gettime(time.CLOCK_MONOTONIC)
        return time.monotonic()

    async def pause(self, seconds: float) -> None:
        """Wait before another try."""
        await asyncio.sleep(seconds)


# Where the time is known from: an earlier session, a `Date` (perhaps a proxy's), the auth server itself.
_HINT, _DATE, _ISSUED = 0, 1, 2


@lru_cache(maxsize=8)
def _seconds(date: str) -> float | None:
    """A ``Date`` in Unix seconds. Answers of one second share it."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class _Learnt(NamedTuple):
    """Bounds of the server's time less the steady clock; all in seconds."""

    low: float
    high: float
    best: float  # between the two
    wall: float  # this machine's time less the steady clock, at that moment
    source: int  # the higher, the better

    @classmethod
    def of(cls, low: float, high: float, wall: float, source: int) -> _Learnt:
        """Where the bounds are far apart (a slow answer) the later time counts, which is the safe one."""
        return cls(low, high, max((low + high) / 2, high - 1.0), wall, source)


class ServerClock:
    """The server's clock as learnt from its answers, kept on the steady clock.

    Each answer bounds the difference between the two: its ``Date`` header, or the ``iat`` of a token in it
    (whole seconds both), was written between sending and receiving. The bounds of several answers narrow it
    further.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._learnt: _Learnt | None = None

    @property
    def jumped(self) -> bool:
        """Whether the wall clock was set, or the machine slept unnoticed, since the time was last learnt."""
        learnt = self._learnt
        return learnt is not None and abs(self._wall() - learnt.wall) > _JUMP

    @property
    def offset(self) -> float:
        """Server's time less this machine's wall clock, in seconds."""
        return self.now() - self.clock.wall()

    def hint(self, offset: float | None, *, not_before: float | None = None) -> None:
        """Start from an earlier session's offset, and from a time that is surely past (a token's ``iat``)."""
        learnt, wall = self._learnt, self._wall()
        if learnt is not None and learnt.source > _HINT:
            return
        least = offset or 0.0
        if not_before is not None:
            least = max(least, not_before - self.clock.wall())
        if learnt is not None:
            # A token that is thought too old costs an exchange; one that is thought too young is refused.
            least = max(least, learnt.low - wall)
        self._learnt = _Learnt.of(wall + least, wall + least, wall, _HINT)

    def now(self) -> float:
        """The server's time in Unix seconds; this machine's until something better is known."""
        learnt, clock = self._learnt, self.clock
        wall = clock.wall()
        if learnt is None:
            return wall
        steady = clock.steady()
        gone = wall - steady - learnt.wall
        # Where the two no longer agree, it is not known which one jumped: again the later is the safe one.
        return steady + learnt.best + (gone if gone > _JUMP else 0.0)

    def learn(self, date: str | None, sent: float, received: float) -> None:
        """Take the ``Date`` header of an answer into account.

        Args:
            date: The header's value.
            sent: When the request left, on the steady clock.
            received: When the answer came, on the steady clock.
        """
        seconds = None
        if date is not None and received - sent <= _LONGEST_ROUND_TRIP:
            seconds = _seconds(date)
        learnt, jumped = self._learnt, self.jumped
        if seconds is None:
            if learnt is not None and jumped:
                # The answer has no usable time, so the safe one has to do.
                middle, wall = self.now() - self.clock.steady(), self._wall()
                self._learnt = _Learnt.of(middle, middle, wall, _HINT)
            return
        own = learnt is not None and learnt.source == _ISSUED and not jumped
        if learnt is not None and own and abs(seconds - received - learnt.best) > _FOREIGN:
            return
        self._take(seconds, sent, received, _DATE)

    def learn_issued(self, issued_at: float | None, sent: float, received: float) -> None:
        """Take the ``iat`` of a token into account that was made for this answer: its own clock.

        Args:
            issued_at: Unix seconds of the server's clock, whole.
            sent: When the request left, on the steady clock.
            received: When the answer came, on the steady clock.
        """
        if issued_at is not None:
            self._take(issued_at, sent, received, _ISSUED)

    def _take(self, seconds: float, sent: float, received: float, source: int) -> None:
        low, high = seconds - received, seconds + 1 - sent
        learnt = self._learnt
        if learnt is not None and learnt.source > _HINT and not self.jumped:
            source = max(source, learnt.source)
            if low <= learnt.high and high >= learnt.low:
                low, high = max(low, learnt.low), min(high, learnt.high)
        # Otherwise the server's clock was set, or ours slept: the newest answer counts alone.
        self._learnt = _Learnt.of(low, high, self._wall(), source)

    def _wall(self) -> float:
        return self.clock.wall() - self.clock.steady()
