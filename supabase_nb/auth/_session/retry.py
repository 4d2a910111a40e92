"""Retry policy: when to try again after a temporary failure."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ...errors import AuthError, AuthRetryableError
from .._api.server_clock import Clock
from .._api.timeouts import REQUEST_TIMEOUT

#: Limits of a foreground call: seconds and attempts.
FOREGROUND_TIMEOUT, MAX_ATTEMPTS = REQUEST_TIMEOUT, 3
# Background: full jitter under a cap, which is lower in the first two minutes. In seconds.
_FIRST_PAUSE, _SHORT_CAP, _LONG_CAP, _SHORT_OUTAGE = 0.5, 4.0, 30.0, 120.0
# After an error that doesn't come from the auth server itself.
_REFUSED_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 3600.0

_T = TypeVar("_T")


async def retry(action: Callable[[float], Awaitable[_T]], clock: Clock) -> _T:
    """Retry after temporary failures, within the limits of a foreground call.

    Args:
        action: The call to try. Its argument is the deadline, on the steady clock.
        clock: The clock, also for the pauses.
    """
    deadline = clock.steady() + FOREGROUND_TIMEOUT
    for attempt in range(MAX_ATTEMPTS):
        started = clock.steady()
        try:
            return await action(deadline)
        except AuthRetryableError as error:
            failure = error
        pause = _FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.0)
        pause = max(pause, failure.retry_after or 0.0)
        # An attempt that took long will take long again.
        if attempt + 1 == MAX_ATTEMPTS or clock.steady() + pause + (clock.steady() - started) > deadline:
            break
        await clock.pause(pause)
    raise failure


def backoff(error: AuthError, failures: int, since: float) -> float:
    """Seconds until the next attempt in the background.

    Args:
        error: The last failure.
        failures: The number of failures before it.
        since: How long attempts have been failing, in seconds.
    """
    if not error.retryable:
        return _REFUSED_PAUSE
    cap = _SHORT_CAP if since < _SHORT_OUTAGE else _LONG_CAP
    pause = random.uniform(0.0, min(cap, _FIRST_PAUSE * 2 ** min(failures, 10)))
    return max(pause, retry_after_of(error))


def retry_after_of(error: AuthError | None) -> float:
    """How long the server asked to wait (``Retry-After``), in seconds, at most an hour."""
    return min(getattr(error, "retry_after", None) or 0.0, _LONGEST_RETRY_AFTER)


def time_until(deadline: float, now: float) -> float:
    """Seconds until the deadline, with a minimum for the last attempt."""
    return max(deadline - now, 0.1)
