"""The session on a Dask cluster of processes: workers get the newest access token, and nothing else."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from typing import Any

import httpx
import made
import pytest

from supabase_nb import (
    AuthRetryableError,
    AuthSessionMissing,
    Client,
    MemoryStorage,
    SessionAuth,
    create_client,
)
from supabase_nb._secrets.tokens import Secret
from supabase_nb.auth._session_token import NO_TOKEN
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

distributed = pytest.importorskip("distributed")

from supabase_nb.client._dask_session import RemoteTokens, _CachedToken, on_worker  # noqa: E402
from supabase_nb.distributed import share  # noqa: E402

pytestmark = [pytest.mark.timeout(120)]
LOCAL = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def project() -> Iterator[DemoServer]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=True, **LOCAL) as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.fixture
def supabase(project: DemoServer) -> Iterator[Client]:
    with create_client(project.url, project.anon_key, storage=MemoryStorage(), auto_refresh=False) as client:
        client.auth.sign_in_with_password(email="ada@example.com", password=PASSWORD)
        yield client


# Tasks. They run in the workers' processes, and what they return comes back from there.


def ask(auth: SessionAuth, url: str) -> tuple[int, int, str, bool]:
    with httpx.Client(auth=auth) as client:
        response = client.get(f"{url}/rest/v1/trips")
    token = response.request.headers["authorization"].removeprefix("Bearer ")
    return response.status_code, len(response.json()), token, isinstance(auth._tokens, RemoteTokens)


async def ask_async(auth: SessionAuth, url: str) -> tuple[int, int]:
    async with httpx.AsyncClient(auth=auth) as client:
        response = await client.get(f"{url}/rest/v1/trips")
    return response.status_code, len(response.json())


def search_worker(secret_parts: tuple[str, str]) -> list[str]:
    """Whether a text is among this process's objects; given in two halves, not to find itself."""
    import gc

    wanted = "".join(secret_parts)
    found = []
    for thing in gc.get_objects():
        if isinstance(thing, dict):
            found += [
                str(key) for key, value in list(thing.items()) if type(value) is str and wanted == value
            ]
    return found


def submit(cluster: Any, task: Any, *arguments: Any, count: int = 6) -> list[Any]:
    found: list[Any] = cluster.gather(
        [cluster.submit(task, *arguments, pure=False) for _ in range(count)], errors="raise"
    )
    return found


# -----------------------------------------------------------------------------------------------------------


def test_tasks_send_requests_as_the_user(supabase: Client, cluster: Any) -> None:
    auth = share(supabase, cluster)
    answers = submit(cluster, ask, auth, supabase.url)
    session = supabase.auth.session
    assert session is not None
    assert set(answers) == {(200, 3, session.access_token, True)}
    assert set(submit(cluster, ask_async, auth, supabase.url, count=2)) == {(200, 3)}


def test_each_rotation_reaches_them(supabase: Client, cluster: Any, project: DemoServer) -> None:
    auth = share(supabase, cluster)
    for _ in range(3):
        # The old token counts no more: requests with it are refused.
        project.advance(2)
        project.expire("ada@example.com")
        newest = supabase.auth.refresh_session().session
        assert newest is not None
        answers = submit(cluster, ask, auth, supabase.url)
        assert set(answers) == {(200, 3, newest.access_token, True)}


def test_a_refused_token_is_renewed_once_by_the_kernel(
    supabase: Client, cluster: Any, project: DemoServer
) -> None:
    auth = share(supabase, cluster)
    submit(cluster, ask, auth, supabase.url)
    project.expire("ada@example.com")
    project.reset_stats()
    assert {answer[:2] for answer in submit(cluster, ask, auth, supabase.url, count=12)} == {(200, 3)}
    assert project.stats()["token.refresh_token"] == 1


def test_the_pickle_holds_no_token_and_the_worker_no_refresh_token(supabase: Client, cluster: Any) -> None:
    auth = share(supabase, cluster)
    session = supabase.auth.session
    assert session is not None
    dumped = pickle.dumps(auth)
    for secret in (session.access_token, session.refresh_token, supabase.key, b"eyJ".decode()):
        assert secret.encode() not in dumped
    submit(cluster, ask, auth, supabase.url)
    half = len(session.refresh_token) // 2
    parts = session.refresh_token[:half], session.refresh_token[half:]
    assert cluster.run(search_worker, parts) == {worker: [] for worker in cluster.scheduler_info()["workers"]}


def test_nothing_but_the_access_token_passes_the_scheduler(supabase: Client, cluster: Any) -> None:
    share(supabase, cluster)
    session = supabase.auth.session
    assert session is not None

    def look(dask_scheduler: Any) -> str:
        return repr(
            {name: one["value"] for name, one in dask_scheduler.extensions["variables"].variables.items()}
        )

    held = cluster.run_on_scheduler(look)
    assert session.access_token in held
    assert session.refresh_token not in held


def test_tasks_use_the_current_user_and_fail_when_signed_out(supabase: Client, cluster: Any) -> None:
    auth = share(supabase, cluster)
    supabase.auth.sign_out("local")
    with pytest.raises(AuthSessionMissing, match="shared this session is signed out"):
        submit(cluster, ask, auth, supabase.url, count=1)
    supabase.auth.sign_in_with_password(email="grace@example.com", password=PASSWORD)
    assert {answer[:2] for answer in submit(cluster, ask, auth, supabase.url, count=2)} == {(200, 3)}


def test_a_closed_client_stops_sharing(project: DemoServer, cluster: Any) -> None:
    with create_client(project.url, project.anon_key, storage=MemoryStorage(), auto_refresh=False) as client:
        client.auth.sign_in_with_password(email="ada@example.com", password=PASSWORD)
        auth = share(client, cluster)
    with pytest.raises(AuthSessionMissing, match="or its client was closed"):
        submit(cluster, ask, auth, project.url, count=1)


def test_tasks_send_no_token_to_other_origins(supabase: Client, cluster: Any) -> None:
    auth = share(supabase, cluster)

    def ask_elsewhere(auth: SessionAuth) -> bool:
        transport = httpx.MockTransport(lambda _: httpx.Response(200))
        with httpx.Client(auth=auth, transport=transport) as client:
            return "authorization" in client.get("https://evil.example/").request.headers

    assert submit(cluster, ask_elsewhere, auth, count=1) == [False]


def test_in_threads_of_this_process_there_is_no_detour(supabase: Client) -> None:
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        auth = share(supabase, client)
        assert pickle.loads(pickle.dumps(auth)) is auth
        (answer,) = submit(client, ask, auth, supabase.url, count=1)
        assert (answer[0], answer[3]) == (200, False)


def test_an_unknown_session_on_the_scheduler_is_an_error(cluster: Any) -> None:
    shared_as = ("no-such-name", (("http", "127.0.0.1", 9),))
    auth = SessionAuth._picklable(RemoteTokens(*shared_as), on_worker, shared_as)

    def ask_nobody(auth: SessionAuth) -> None:
        from supabase_nb.client import _dask_session as ours

        ours._TIMEOUT = 0.2
        with httpx.Client(auth=auth) as client:
            client.get("http://127.0.0.1:9/rest/v1/trips")

    with pytest.raises(AuthRetryableError, match="could not be read from the cluster's scheduler"):
        submit(cluster, ask_nobody, auth, count=1)


def test_a_worker_asks_the_scheduler_again_in_time() -> None:
    remote = RemoteTokens("shared", [])
    assert remote.token_if_ready() is None
    remote.cached = _CachedToken(1, Secret(made.jwt()), NO_TOKEN, time.monotonic() + 5.0)
    assert remote.token_if_ready() is remote.cached.token
    remote.cached = remote.cached._replace(until=time.monotonic())
    assert remote.token_if_ready() is None


def test_an_asynchronous_dask_client_is_refused(supabase: Client) -> None:
    class Asynchronous:
        asynchronous = True

    with pytest.raises(TypeError, match="synchronous dask client"):
        share(supabase, Asynchronous())  # type: ignore[arg-type]
