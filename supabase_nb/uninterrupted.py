"""What Ctrl-C must not tear in two is carried out in a thread of its own, where it does not reach."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

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
    done, left = threading.Event(), threading.Event()

    def run() -> None:
        try:
            outcome.append(action())
        except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
            failure.append(error)
        done.set()
        if left.is_set():
            afterwards()

    try:
        thread = threading.Thread(target=run, name="supabase-nb-call", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending: no more threads
            return action()
        while not done.wait(_LONGEST_WAIT if patience is None else min(patience, _LONGEST_WAIT)):
            if patience is not None:
                patience -= _LONGEST_WAIT
                if patience <= 0:
                    raise TimeoutError
    except BaseException:
        left.set()
        withdraw()
        if done.is_set():
            afterwards()
        raise
    if failure:
        try:
            raise failure[0]
        finally:
            failure.clear()  # or the exception would keep itself alive, by this frame in its traceback
    return outcome[0]
