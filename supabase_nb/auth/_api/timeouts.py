"""Limits of requests to the auth server: timeouts, and the size of a response."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

#: Timeouts in seconds: to connect, to wait for data, and for the whole request.
CONNECT_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT = 5.0, 10.0, 15.0
#: For a call, which may send several requests and wait for other kernels. Slightly longer than for a request,
#: whose own error says more.
CALL_TIMEOUT = 15.5
#: Maximum size in bytes.
LARGEST_RESPONSE = 4 * 1024 * 1024

_T = TypeVar("_T")


async def in_time(seconds: float | None, coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine, and cancel it after this time (``None``: never).

    Raises:
        asyncio.TimeoutError: It took longer.
    """
    if sys.version_info >= (3, 11):
        async with asyncio.timeout(seconds):
            return await coroutine
    task = asyncio.get_running_loop().create_task(coroutine)
    try:
        await asyncio.wait((task,), timeout=seconds)
        if task.done():
            return task.result()
    finally:
        task.cancel()  # has no effect if it is done
        del task  # otherwise its exception would keep itself alive through this frame
    raise asyncio.TimeoutError
