"""Fixtures for all tests: separate folders, a server, clients that are closed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faults.proxy import FaultProxy, faulty
from filelock import FileLock

from supabase_nb import AuthClient, Client, FileStorage, MemoryStorage, create_client
from supabase_nb.demo import DemoServer

if TYPE_CHECKING:
    from model.kernels import World

# The environment's own commands, node and npm among them, where the system has none.
os.environ["PATH"] += os.pathsep + str(Path(sys.executable).parent)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take long, and give tests in a browser a second attempt."""
    # Otherwise a worker would run one of them alone at the end.
    long = {item.path for item in items if any(map(item.get_closest_marker, ("browser", "slow")))}
    items.sort(key=lambda item: item.path not in long)
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """Also in the background, where shells let programs ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the person who runs the tests is read or written."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "XDG_DATA_HOME",
            "IPYTHONDIR",
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
        ):
            patch.setenv(name, str(folder / name.lower()))
        for name in [name for name in os.environ if name.startswith("SUPABASE_")]:
            patch.delenv(name)
        patch.setenv("SUPABASE_NB_DEMO_STATE", str(folder / "demo"))
        patch.setenv("SUPABASE_NB_SESSIONS", str(folder / "sessions"))
        yield


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built as `make docs` does."""
    pytest.importorskip(
        "zensical", reason='the documentation needs the extra "docs", on Python 3.11 or newer'
    )
    root = Path(__file__).parents[1]
    folder = tmp_path_factory.mktemp("docs")  # Zensical builds inside the project's folder only
    for name in ("docs", "tools", "bench"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns(".venv"))
    for name in ("mkdocs.yml", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(root / name, folder)
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


@pytest.fixture
def server(supabase_auth_server: DemoServer) -> DemoServer:
    """The embedded auth server, one for all tests that leave it as it was."""
    return supabase_auth_server


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    """A folder of the test's own."""
    return FileStorage(tmp_path / "sessions")


@pytest.fixture
def make_auth(server: DemoServer, storage: FileStorage) -> Iterator[Callable[..., AuthClient]]:
    """Makes clients of the server that share one storage, like kernels do; closes them."""
    made = []

    def make(url: str | None = None, **options: Any) -> AuthClient:
        options = {
            "storage": storage,
            "auto_refresh": False,
            "headers": {"apikey": server.anon_key},
        } | options
        client = AuthClient(url or server.auth_url, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def auth(make_auth: Callable[..., AuthClient]) -> AuthClient:
    """A client of the server."""
    return make_auth()


@pytest.fixture
def lock_session() -> Callable[..., Any]:
    """Takes the lock of a stored session, as another kernel would: ``with lock_session(auth): …``."""

    def lock(auth: AuthClient, timeout: float = 10.0) -> Any:
        manager = auth._manager
        return manager.store.locks.lock_session(manager.state.session_id(), timeout)

    return lock


@pytest.fixture
def client(server: DemoServer, storage: FileStorage) -> Iterator[Client]:
    """A client of the server, signed in; refreshes only when it is asked to."""
    with create_client(server.url, server.anon_key, storage=storage, auto_refresh=False) as made_client:
        made_client.auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
        yield made_client


@pytest.fixture
def proxy(server: DemoServer) -> Iterator[FaultProxy]:
    """A proxy in front of the server that fails as a test requires."""
    with faulty(server) as running:
        yield running


@pytest.fixture
def world() -> World:
    """The modeled server and a virtual clock; nothing is refreshed in the background."""
    from model.kernels import World

    return World(MemoryStorage(), version=1, reuse_interval=10.0, offset=0.0)


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    """The HTTP library of someone's own clients."""
    return pytest.importorskip(request.param)  # httpx2 is not among what tools/lowest installs


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What checks the ES modules and the displays' accessibility, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = Path(__file__).parent / "js"
    # One at a time: the tests run in several processes.
    with FileLock(tmp_path_factory.getbasetemp().parent / "node_modules.lock"):
        if not (folder / "node_modules" / "axe-core").exists():
            subprocess.run([npm, "install", "--silent"], cwd=folder, check=True, timeout=150)
    return folder / "node_modules"
