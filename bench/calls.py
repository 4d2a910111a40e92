"""What single calls cost: `set_session`, a token on a request, reading the token."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
from itertools import cycle, islice
from typing import Any

import httpx
import project
from measure import COUNT, CPU, Row, Spread, cpu_of, in_processes, in_turn, one_core
from supabase_auth import SyncGoTrueClient

from supabase_nb import AuthClient, MemoryStorage, SessionAuth

_LOCKS = (type(threading.Lock()), type(threading.RLock()))


def rows(quick: bool) -> list[Row]:
    rounds, times = (3, 20) if quick else (60, 200)
    return [*_set_session(rounds, times), _token_on_request(rounds, times), _reading(quick)]


def _client(**options: Any) -> AuthClient:
    return AuthClient(
        project.URL,
        headers={"apikey": project.KEY},
        storage=MemoryStorage(),
        transport=project.transport(),
        **options,
    )


def _restoring(
    rounds: int, times: int, *, tokens: int = 1, background: bool = True, together: bool = False
) -> list[tuple[float, ...]]:
    """`set_session` of ours, supabase_auth's, and a request: with so many access tokens in turn."""
    pairs = [project.access_token() for _ in range(tokens)]
    http = httpx.Client(transport=project.transport())
    headers = {"apikey": project.KEY, "Authorization": f"Bearer {pairs[0]}"}
    ours = _client(auto_refresh=background)
    theirs = SyncGoTrueClient(
        url=project.URL,
        headers={"apikey": project.KEY},
        auto_refresh_token=background,
        http_client=httpx.Client(transport=project.transport()),
    )
    mine, its = cycle(pairs), cycle(pairs)
    with one_core() if together else nullcontext():
        found = in_turn(
            rounds,
            cpu_of(lambda: ours.set_session(next(mine), project.REFRESH_TOKEN), times),
            cpu_of(lambda: theirs.set_session(next(its), project.REFRESH_TOKEN), times),
            cpu_of(lambda: http.get(f"{project.URL}/user", headers=headers).json(), times),
        )
    ours.close()
    theirs.sign_out({"scope": "local"})
    return found


def _set_session(rounds: int, times: int) -> list[Row]:
    def own(**options: Any) -> tuple[Spread, Spread]:
        """Our own time and supabase_auth's, in requests."""
        found = in_processes(rounds, partial(_restoring, **options), times)
        return (
            Spread.of([(mine - bare) / bare for mine, _, bare in found]),
            Spread.of([(its - bare) / bare for _, its, bare in found]),
        )

    again, theirs = own()
    others = {
        "another pair each time": own(tokens=2),
        "without automatic refreshes": own(background=False),
        "with all threads on one core": own(together=True),
    }
    also = [f"{where} {ours.median:.2f} against {its.median:.2f}" for where, (ours, its) in others.items()]
    return [
        Row(
            "`set_session` of a valid pair, warm: our own CPU time over the request",
            "a bare `httpx` GET on a warm client, mock transport",
            "<= 1.5",
            f"{again.median:.2f}",
            str(again),
            CPU,
            again.median <= 1.5,
            "(call - GET) / GET, for the pair that is in force, as when a cell is run again; the session rests in "
            "memory",
        ),
        Row(
            "the same call",
            f"supabase_auth's own time over the request: {theirs.median:.2f}",
            "below it",
            f"{again.median:.2f}",
            f"{theirs} is theirs",
            CPU,
            again.median < theirs.median,
            f"ours against theirs {'; '.join(also)}. What ours gains on one core is what it costs on two to hand "
            "the call to a thread that Ctrl-C does not reach",
        ),
    ]


def _requesting(rounds: int, times: int) -> list[tuple[float, ...]]:
    """A request as the user, without a token, and with one by hand."""
    auth = _client(auto_refresh=False)
    token = project.access_token()
    auth.set_session(token, project.REFRESH_TOKEN)
    bare = httpx.Client(transport=project.transport())
    signed = httpx.Client(transport=project.transport(), auth=SessionAuth(auth))
    by_hand = {"Authorization": f"Bearer {token}"}
    url = f"{project.URL}/anything"
    return in_turn(
        rounds,
        cpu_of(lambda: signed.get(url), times),
        cpu_of(lambda: bare.get(url), times),
        cpu_of(lambda: bare.get(url, headers=by_hand), times),
    )


def _token_on_request(rounds: int, times: int) -> Row:
    found = in_processes(rounds * 2, _requesting, times)
    ratio = Spread.of([ours / theirs for ours, theirs, _ in found])
    header = Spread.of([hand / theirs for _, theirs, hand in found])
    return Row(
        "token on a request (`SessionAuth`, nothing due)",
        "the request without it, mock transport",
        "<= 1.05",
        f"{ratio.median:.3f}",
        f"{ratio.low:.3f} to {ratio.high:.3f}",
        CPU,
        ratio.median <= 1.05,
        f"with the same header given by hand, `headers={{…}}`: {header.median:.3f}",
    )


class _Plain:
    """The least that reading can cost: an attribute of an attribute."""

    def __init__(self) -> None:
        self.session = self
        self.access_token = "token"


def _reading(quick: bool) -> Row:
    auth = _client(auto_refresh=False)
    auth.set_session(project.access_token(), project.REFRESH_TOKEN)
    held = _locks_of(auth)
    with ExitStack() as stack:
        for lock in held:
            stack.enter_context(lock)
        read: list[str] = []
        # In another thread: an RLock would let this one pass.
        reader = threading.Thread(target=lambda: read.append(auth.session.access_token), daemon=True)
        reader.start()
        reader.join(5)
    free = bool(read)
    plain = _Plain()
    stop = threading.Event()

    def refresh() -> None:
        while not stop.wait(0.01):
            auth.refresh_session()

    refreshing = threading.Thread(target=refresh)
    refreshing.start()
    before = auth.session.access_token
    try:
        reads = 2_000 if quick else 20_000
        found = in_turn(
            3 if quick else 11,
            _in_threads(lambda: auth.session.access_token, reads),
            _in_threads(lambda: plain.session.access_token, reads),
        )
    finally:
        stop.set()
        refreshing.join()
    assert auth.session.access_token != before, "nothing was refreshed meanwhile"
    ratio = Spread.of([ours / theirs for ours, theirs in found])
    return Row(
        "reading `session.access_token`, 8 threads, a refresh every 10 ms",
        "an attribute read",
        "no lock taken on the read path",
        f"{'no lock' if free else 'a lock'} ({ratio.median:.1f} times an attribute read)",
        f"{ratio.low:.1f} to {ratio.high:.1f}",
        f"{COUNT}; {CPU}",
        free,
        f"read while another thread held all {len(held)} locks of the client; the time is the readers' own",
    )


def _locks_of(root: object) -> list[Any]:
    """Every lock that can be reached from an object's own state."""
    locks, seen, left = [], set(), [root]
    while left:
        found = left.pop()
        if id(found) in seen or isinstance(found, (type, type(gc), type(_locks_of))):
            continue
        seen.add(id(found))
        if isinstance(found, _LOCKS):
            locks.append(found)
        elif isinstance(found, (dict, list, tuple, set)) or type(found).__module__.startswith(
            ("supabase_nb", "threading")
        ):
            left.extend(islice(gc.get_referents(found), 10_000))
    return locks


def _in_threads(read: Callable[[], object], reads: int) -> Callable[[], float]:
    """The median CPU time of 8 threads that read so often."""

    def once() -> float:
        taken: list[float] = []
        barrier = threading.Barrier(8)

        def work() -> None:
            barrier.wait()
            began = time.thread_time()
            for _ in range(reads):
                read()
            taken.append(time.thread_time() - began)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return statistics.median(taken)

    return once
