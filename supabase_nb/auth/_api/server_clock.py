"""The server's clock, and a steady clock that neither jumps nor stops during sleep."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import NamedTuple

# A slow response is imprecise: the server may have written its date at any moment before.
_LONGEST_ROUND_TRIP = 2.0
# This machine's two clocks drift apart by less than this. A larger difference is a jump.
_JUMP = 5.0
# A `Date` that differs by more from the times in the auth server's tokens is another machine's.
_FOREIGN = 60.0


if sys.platform == "linux":
    _steady = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
elif sys.platform == "darwin":  # there CLOCK_MONOTONIC counts sleep, `time.monotonic` does not
    _steady = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
else:
    _steady = time.monotonic


class Clock:
    """This machine's clocks. Tests replace them."""

    #: Unix seconds, by this machine's clock.
    wall: Callable[[], float] = staticmethod(time.time)

    #: Seconds that never go back, and continue while the machine is suspended.
    steady: Callable[[], float] = staticmethod(_steady)

    async def pause(self, seconds: float) -> None:
        """Wait before another attempt."""
        await asyncio.sleep(seconds)


# Sources of the time: an earlier session, a `Date` (perhaps a proxy's), the auth server itself.
_HINT, _DATE, _ISSUED = 0, 1, 2


@lru_cache(maxsize=8)
def _seconds(date: str) -> float | None:
    """Parse a ``Date`` to Unix seconds. Cached, because responses of the same second share it."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class _Learnt(NamedTuple):
    """Bounds of the server's time minus the steady clock, in seconds."""

    low: float
    high: float
    best: float  # between the bounds
    wall: float  # this machine's time minus the steady clock, at that moment
    source: int  # higher is better

    @classmethod
    def of(cls, low: float, high: float, wall: float, source: int) -> _Learnt:
        """If the bounds are far apart (a slow response), use the later time, which is the safe one."""
        return cls(low, high, max((low + high) / 2, high - 1.0), wall, source)


class ServerClock:
    """The server's clock, derived from its responses and the steady clock.

    Each response bounds their difference: its ``Date`` header, or the ``iat`` of a token in it (both in whole
    seconds), was written between sending and receiving. Several responses narrow the bounds.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._learnt: _Learnt | None = None

    @property
    def jumped(self) -> bool:
        """Whether the wall clock was set, or the machine slept unnoticed, since the last update."""
        learnt = self._learnt
        return learnt is not None and abs(self._wall() - learnt.wall) > _JUMP

    @property
    def offset(self) -> float:
        """Server's time minus this machine's wall clock, in seconds."""
        return self.now() - self.clock.wall()

    def hint(self, offset: float | None, *, not_before: float | None = None) -> None:
        """Start from an earlier session's offset, and from a time in the past (a token's ``iat``)."""
        learnt, wall = self._learnt, self._wall()
        if learnt is not None and learnt.source > _HINT:
            return
        least = offset or 0.0
        if not_before is not None:
            least = max(least, not_before - self.clock.wall())
        if learnt is not None:
            # Overestimating a token's age costs a refresh. Underestimating it leads to a rejected request.
            least = max(least, learnt.low - wall)
        self._learnt = _Learnt.of(wall + least, wall + least, wall, _HINT)

    def now(self) -> float:
        """The server's time in Unix seconds, or this machine's if it isn't known yet."""
        learnt, clock = self._learnt, self.clock
        wall = clock.wall()
        if learnt is None:
            return wall
        steady = clock.steady()
        gone = wall - steady - learnt.wall
        # If the clocks no longer agree, either may have jumped. The later time is the safe one.
        return steady + learnt.best + (gone if gone > _JUMP else 0.0)

    def learn(self, date: str | None, sent: float, received: float) -> None:
        """Learn from a response's ``Date`` header.

        Args:
            date: The header's value.
            sent: When the request was sent, on the steady clock.
            received: When the response arrived, on the steady clock.
        """
        seconds = None
        if date is not None and received - sent <= _LONGEST_ROUND_TRIP:
            seconds = _seconds(date)
        learnt, jumped = self._learnt, self.jumped
        if seconds is None:
            if learnt is not None and jumped:
                # The response is too slow, so use the safe bound.
                middle, wall = self.now() - self.clock.steady(), self._wall()
                self._learnt = _Learnt.of(middle, middle, wall, _HINT)
            return
        own = learnt is not None and learnt.source == _ISSUED and not jumped
        if learnt is not None and own and abs(seconds - received - learnt.best) > _FOREIGN:
            return
        self._take(seconds, sent, received, _DATE)

    def learn_issued(self, issued_at: float | None, sent: float, received: float) -> None:
        """Learn from the ``iat`` of a token that was issued in this response.

        Args:
            issued_at: Whole Unix seconds by the server's clock.
            sent: When the request was sent, on the steady clock.
            received: When the response arrived, on the steady clock.
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
        # Otherwise the server's clock was set, or ours stopped: use only the newest response.
        self._learnt = _Learnt.of(low, high, self._wall(), source)

    def _wall(self) -> float:
        return self.clock.wall() - self.clock.steady()
