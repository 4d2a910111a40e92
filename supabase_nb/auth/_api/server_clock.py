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
_MIN_JUMP = 5.0
# A `Date` that differs by more from the times in the auth server's tokens is another machine's.
_MAX_DATE_DIFFERENCE = 60.0


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
_FROM_HINT, _FROM_DATE, _FROM_TOKEN = 0, 1, 2


@lru_cache(maxsize=8)
def _parse_date(date: str) -> float | None:
    """Parse a ``Date`` to Unix seconds. Cached, because responses of the same second share it."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class _Estimate(NamedTuple):
    """Bounds of the server's time minus the steady clock, in seconds."""

    low: float
    high: float
    best: float  # between the bounds
    wall: float  # this machine's time minus the steady clock, at that moment
    source: int  # higher is better

    @classmethod
    def between(cls, low: float, high: float, wall: float, source: int) -> _Estimate:
        """If the bounds are far apart (a slow response), use the later time, which is the safe one."""
        return cls(low, high, max((low + high) / 2, high - 1.0), wall, source)


class ServerClock:
    """The server's clock, derived from its responses and the steady clock.

    Each response bounds their difference: its ``Date`` header, or the ``iat`` of a token in it (both in whole
    seconds), was written between sending and receiving. Several responses narrow the bounds.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._estimate: _Estimate | None = None

    @property
    def jumped(self) -> bool:
        """Whether the wall clock was set, or the machine slept unnoticed, since the last update."""
        estimate = self._estimate
        return estimate is not None and abs(self._wall() - estimate.wall) > _MIN_JUMP

    @property
    def is_known(self) -> bool:
        """Whether the server has told its time, and this machine's clock hasn't been set since."""
        return self._estimate is not None and self._estimate.source > _FROM_HINT and not self.jumped

    @property
    def offset(self) -> float:
        """Server's time minus this machine's wall clock, in seconds."""
        return self.now() - self.clock.wall()

    def hint(self, offset: float | None, *, not_before: float | None = None) -> None:
        """Start from an earlier session's offset, and from a time in the past (a token's ``iat``)."""
        estimate, wall = self._estimate, self._wall()
        if estimate is not None and estimate.source > _FROM_HINT:
            return
        least = offset or 0.0
        if not_before is not None:
            least = max(least, not_before - self.clock.wall())
        if estimate is not None:
            # Overestimating a token's age costs a refresh. Underestimating it leads to a rejected request.
            least = max(least, estimate.low - wall)
        self._estimate = _Estimate.between(wall + least, wall + least, wall, _FROM_HINT)

    def now(self) -> float:
        """The server's time in Unix seconds, or this machine's if it isn't known yet."""
        estimate, clock = self._estimate, self.clock
        wall = clock.wall()
        if estimate is None:
            return wall
        steady = clock.steady()
        jump = wall - steady - estimate.wall
        # If the clocks no longer agree, either may have jumped. The later time is the safe one.
        return steady + estimate.best + (jump if jump > _MIN_JUMP else 0.0)

    def learn(self, date: str | None, sent: float, received: float) -> None:
        """Learn from a response's ``Date`` header.

        Args:
            date: The header's value.
            sent: When the request was sent, on the steady clock.
            received: When the response arrived, on the steady clock.
        """
        seconds = None
        if date is not None and received - sent <= _LONGEST_ROUND_TRIP:
            seconds = _parse_date(date)
        estimate, jumped = self._estimate, self.jumped
        if seconds is None:
            if estimate is not None and jumped:
                # The response is too slow, so use the safe bound.
                middle, wall = self.now() - self.clock.steady(), self._wall()
                self._estimate = _Estimate.between(middle, middle, wall, _FROM_HINT)
            return
        own = estimate is not None and estimate.source == _FROM_TOKEN and not jumped
        if estimate is not None and own and abs(seconds - received - estimate.best) > _MAX_DATE_DIFFERENCE:
            return
        self._narrow(seconds, sent, received, _FROM_DATE)

    def learn_issued(self, issued_at: float | None, sent: float, received: float) -> None:
        """Learn from the ``iat`` of a token that was issued in this response.

        Args:
            issued_at: Whole Unix seconds by the server's clock.
            sent: When the request was sent, on the steady clock.
            received: When the response arrived, on the steady clock.
        """
        if issued_at is not None:
            self._narrow(issued_at, sent, received, _FROM_TOKEN)

    def _narrow(self, seconds: float, sent: float, received: float, source: int) -> None:
        low, high = seconds - received, seconds + 1 - sent
        estimate = self._estimate
        if estimate is not None and estimate.source > _FROM_HINT and not self.jumped:
            source = max(source, estimate.source)
            if low <= estimate.high and high >= estimate.low:
                low, high = max(low, estimate.low), min(high, estimate.high)
        # Otherwise the server's clock was set, or ours stopped: use only the newest response.
        self._estimate = _Estimate.between(low, high, self._wall(), source)

    def _wall(self) -> float:
        return self.clock.wall() - self.clock.steady()
