"""Runs a module's functions in Pyodide, one by one, and makes sure that none starts a thread."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
import time
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

threads: list[str] = []


def _start(thread: threading.Thread) -> None:
    threads.append(thread.name)
    raise RuntimeError("can't start new thread")


threading.Thread.start = _start  # type: ignore[method-assign]


async def run(module: ModuleType) -> str:
    """The outcome of each function ``test_…``, as JSON."""
    outcomes = {}
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("test_"):
            threads.clear()
            try:
                await function()
                assert threads == [], f"started threads: {threads}"
                outcomes[name] = "passed"
            except BaseException:  # noqa: BLE001  (whatever it is, it is this test's outcome)
                outcomes[name] = traceback.format_exc()
    return json.dumps(outcomes) + "\n"


async def eventually(happened: Callable[[], Any], timeout: float = 20.0) -> None:
    """Leave the page idle until something has happened."""
    until = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        await asyncio.sleep(0.02)


def error_of(kind: type[Exception], call: Callable[..., Any], *arguments: Any) -> Any:
    """The error of this kind that the call raises; another one is not caught."""
    try:
        call(*arguments)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")
