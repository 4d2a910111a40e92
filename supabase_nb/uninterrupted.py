"""What Ctrl-C must not tear in two is carried out in a thread of its own, where it does not reach."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from . import workers

_T = TypeVar("_T")
# Windows lets Ctrl-C through only between two waits.
_LONGEST_WAIT = 1.0


def _nothing() -> None:
    pass


def uninterrupted(
    action: Callable[[], _T],
    *,
    patience: float | None = None,
    withdraw: Callable[[], object] = _nothing,
    afterwards: Callable[[], object] = _nothing,
) -> _T:
    """Carry out `action` whole; only the waiting for it can be interrupted.

    Args:
        action: What to do. It does not know whether anybody still waits.
        patience: How long to wait, in seconds; ``None``: as long as it takes. In the latter case threads
            other than the main one, which Ctrl-C does not reach anyway, carry it out themselves.
        withdraw: Called when nobody waits any more.
        afterwards: Called when the action has ended and nobody waits for it any more.

    Returns:
        What the action returned; what it raised is raised.

    Raises:
        TimeoutError: The patience is over. The action goes on.
    """
    if patience is None and threading.current_thread() is not threading.main_thread():
        return action()
    outcome: list[_T] = []
    failure: list[BaseException] = []
    left: list[bool] = []
    left_to_wait = float("inf") if patience is None else patience
    working = threading.Lock()
    working.acquire()

    def run() -> None:
        try:
            outcome.append(action())
        except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
            failure.append(error)
        working.release()
        if left:
            afterwards()

    try:
        try:
            workers.start(run, "supabase-nb-call")
        except RuntimeError:  # no more threads, or the interpreter is ending
            return action()
        while not working.acquire(timeout=min(left_to_wait, _LONGEST_WAIT)):
            left_to_wait -= _LONGEST_WAIT
            if left_to_wait <= 0:
                raise TimeoutError
    except BaseException:
        left.append(True)
        withdraw()
        if outcome or failure:
            afterwards()
        raise
    if failure:
        try:
            raise failure[0]
        finally:
            failure.clear()  # or the exception would keep itself alive, by this frame in its traceback
    return outcome[0]
