"""What many cost: observers of one client, clients of one process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import project
from measure import CPU, HERE, Row, Spread, cpu_of, environment, in_turn

from supabase_nb import AuthChangeEvent, AuthClient, MemoryStorage

SIZES = (1, 10, 100, 1_000, 10_000)
#: For the plot: title -> line -> points.
curves: dict[str, dict[str, list[tuple[int, float]]]] = {}


def rows(quick: bool) -> list[Row]:
    return [*_observers(quick), *_clients(quick)]


# -- observers ----------------------------------------------------------------------------------------------


def _observers(quick: bool) -> list[Row]:
    sizes = (1, 10, 100) if quick else SIZES
    rounds = 3 if quick else 15
    traits = {size: _per_event(size, rounds, _observe) for size in sizes}
    callbacks = {size: _per_event(size, rounds, _subscribe) for size in sizes}
    curves["One event: how many times a bare loop"] = {
        "observers of a trait": [(size, found.median) for size, found in traits.items()],
        "callbacks of on_auth_state_change": [(size, found.median) for size, found in callbacks.items()],
    }
    most = sizes[-1]
    return [
        Row(
            what.format(f"{most:,}"),
            f"a bare loop over {most:,} callables",
            "<= 3",
            f"{found.median:.2f}",
            str(found),
            CPU,
            found.median <= 3,
            note,
        )
        for what, found, note in (
            (
                "one event to {} observers of the trait `last_event`",
                traits[most],
                "from the change of the state to the last observer; all of the event's fixed cost is in it",
            ),
            (
                "one event to {} callbacks of `on_auth_state_change`",
                callbacks[most],
                "likewise",
            ),
        )
    ]


def _observe(auth: AuthClient, calls: list[int]) -> list[Callable[[object], None]]:
    made = [_counter(calls) for _ in range(len(calls))]
    for observer in made:
        auth.observe(observer, "last_event")
    return made


def _subscribe(auth: AuthClient, calls: list[int]) -> list[Callable[..., None]]:
    made = [_counter(calls) for _ in range(len(calls))]
    for callback in made:
        auth.on_auth_state_change(callback)
    return made


def _counter(calls: list[int]) -> Callable[..., None]:
    def observer(event: object, session: object = None) -> None:
        calls[0] += 1

    return observer


def _per_event(size: int, rounds: int, add: Callable[[AuthClient, list[int]], list[Any]]) -> Spread:
    auth = _client()
    calls = [0] * size
    observers = add(auth, calls)
    keeper = auth._keeper

    def event() -> None:
        # As every change does it, less the request that led to it.
        with keeper._lock:
            keeper._hold(keeper.held, AuthChangeEvent.USER_UPDATED, "user changed")
        keeper.delivery.flush()

    def loop() -> None:
        for observer in observers:
            observer(event, None)

    calls[0] = 0
    event()
    assert calls[0] == size, f"{calls[0]} of {size} were told"
    times = max(1, 1_000 // size)
    found = in_turn(rounds, cpu_of(event, times), cpu_of(loop, times))
    return Spread.of([ours / bare for ours, bare in found])


def _client() -> AuthClient:
    auth = AuthClient(project.URL, storage=MemoryStorage(), transport=project.transport(), auto_refresh=False)
    auth.set_session(project.access_token(), project.REFRESH_TOKEN)
    return auth


# -- clients ------------------------------------------------------------------------------------------------

_CROWD = HERE / "crowd_of_clients.py"


def _clients(quick: bool) -> list[Row]:
    sizes = (1, 50) if quick else SIZES
    compared = 50 if quick else 1_000
    # Seconds for which the idle process is watched.
    watched = 2.0 if quick else 20.0
    found = {size: _crowd("ours", size, watched if size == compared else 0.0) for size in sizes}
    theirs = {size: _crowd("theirs", size, watched if size == compared else 0.0) for size in sizes[:4]}
    ours, other = found[compared], theirs[compared]
    curves["Clients in one process: threads"] = {
        "supabase_nb": [(size, one["threads"]) for size, one in found.items()],
        "supabase_auth": [(size, one["threads"]) for size, one in theirs.items()],
    }
    per_client = {size: one["bytes"] / size / 1024 for size, one in found.items() if size > 1}
    curves["Clients in one process: KiB a client"] = {
        "supabase_nb": list(per_client.items()),
        "supabase_auth": [(size, one["bytes"] / size / 1024) for size, one in theirs.items() if size > 1],
    }
    last, before = list(per_client.values())[-1], per_client[compared]
    what = f"{compared:,} clients in one kernel: "
    return [
        Row(
            what + "threads",
            "one timer a client (supabase_auth)",
            "1",
            f"{ours['threads']:.0f} against {other['threads']:.0f}",
            met=ours["threads"] == 1,
            note="beside the main thread; each client has a session that is refreshed in the background",
        ),
        Row(
            what + "memory a client",
            "supabase_auth",
            "linear",
            f"{before:.0f} KiB against {other['bytes'] / compared / 1024:.0f} KiB",
            met=None if quick else last <= 1.2 * before,
            note=f"resident memory; with {list(per_client)[-1]:,} clients {last:.0f} KiB a client",
        ),
        Row(
            what + "wake-ups a minute when idle",
            "supabase_auth",
            "figure given",
            f"{ours['wakeups']:.0f} against {other['wakeups']:.0f}",
            note=f"of all threads together, from {watched:.0f} s; ours look for other kernels' rotations and "
            f"for a machine that slept: {ours['busy']:.2f} % of a core, theirs do not",
        ),
    ]


def _crowd(whose: str, size: int, watched: float) -> dict[str, float]:
    command = [sys.executable, str(_CROWD), whose, str(size), str(watched)]
    answer = subprocess.run(command, check=True, env=environment(), capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found
