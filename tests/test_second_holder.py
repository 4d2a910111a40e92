"""Another program that refreshes the session too is reported as early as possible, and never by mistake."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from model.kernels import Kernel, World

from supabase_nb import AuthApiError, AuthClient, AuthRetryableError, MemoryStorage
from supabase_nb.auth._session.session_record import TokenPair
from supabase_nb.demo import DemoServer


class App:
    """The app that a session was pasted from, which keeps refreshing it."""

    def __init__(self, world: World) -> None:
        self.server = world.server
        self.pair = self.server.sign_in()

    def refresh(self) -> None:
        status, pair, _ = self.server.exchange(self.pair["refresh_token"])
        assert status == 200
        self.pair = pair

    def tokens(self) -> TokenPair:
        return TokenPair.from_tokens(self.pair["access_token"], self.pair["refresh_token"])


def make_world(version: int = 1, reuse_interval: float = 10.0) -> World:
    return World(MemoryStorage(), version=version, reuse_interval=reuse_interval, offset=0.0)


@pytest.fixture
def world() -> World:
    return make_world()


def says(kernel: Kernel) -> bool:
    """Whether it says that another program refreshes the session too."""
    notices: Any = kernel.traits.get("notices") or ()
    return "shared" in [notice.name for notice in notices]


def pasted(world: World, app: App, name: str = "") -> Kernel:
    kernel = Kernel(world, name=name)
    kernel.set_session(app.tokens())
    return kernel


def until_refreshed(world: World, *kernels: Kernel) -> None:
    """The time of the next refresh comes."""
    world.time += 3550
    for kernel in kernels:
        kernel.tick()


# -- what is seen -------------------------------------------------------------------------------------------


def test_the_first_refresh_after_the_apps_reveals_it(world: World) -> None:
    app = App(world)
    kernel = pasted(world, app)
    assert not says(kernel), "nothing can be seen yet"
    world.time += 3515
    app.refresh()
    world.time += 30
    kernel.refresh()
    assert says(kernel)
    assert kernel.session is not None
    stored = kernel.stored()
    assert stored is not None
    assert stored.session == kernel.session, "saved before it is told"


def test_it_is_reported_in_other_kernels_and_after_a_restart_too(world: World) -> None:
    app = App(world)
    kernel, other = pasted(world, app), Kernel(world)
    other.restore()
    world.time += 3000
    app.refresh()
    world.time += 30
    kernel.refresh()
    other.tick()
    new = Kernel(world)
    new.restore()
    assert [says(one) for one in (kernel, other, new)] == [True, True, True]


def test_a_sign_in_of_its_own_ends_it(world: World) -> None:
    app = App(world)
    kernel = pasted(world, app)
    world.time += 3000
    app.refresh()
    world.time += 30
    kernel.refresh()
    assert says(kernel)
    kernel.refresh()
    assert says(kernel), "until then"
    kernel.sign_in()
    assert not says(kernel)
    until_refreshed(world, kernel)
    assert not says(kernel)


@pytest.mark.parametrize("version", [1, 2])
def test_pasting_newer_tokens_than_the_stored_ones_reveals_the_app(version: int) -> None:
    world = make_world(version)
    app = App(world)
    kernel = pasted(world, app)
    world.time += 600
    app.refresh()
    kernel.set_session(app.tokens())
    assert says(kernel)
    assert kernel.session is not None
    assert kernel.session.refresh_token == app.pair["refresh_token"]


def test_so_does_another_access_token_of_the_same_rotation(world: World) -> None:
    """The app sent the token after us: the server gave it what it had given us, with a new access token."""
    app = App(world)
    kernel = pasted(world, app)
    world.time += 600
    kernel.refresh()
    world.time += 600
    app.refresh()
    assert kernel.session is not None
    assert kernel.session.refresh_token == app.pair["refresh_token"]
    kernel.set_session(app.tokens())
    assert says(kernel)


def test_the_counter_of_version_2_tells(world: World) -> None:
    world = make_world(version=2)
    app = App(world)
    kernel = pasted(world, app)
    world.time += 3000
    app.refresh()
    app.refresh()
    kernel.refresh()
    assert says(kernel)


@pytest.mark.parametrize("version", [1, 2])
def test_the_error_at_the_end_explains_what_happened(version: int) -> None:
    world = make_world(version)
    app = App(world)
    kernel = pasted(world, app)
    app.refresh()
    app.refresh()
    world.time += 3550
    kernel.tick()
    assert kernel.snapshot.status == "expired"
    error = kernel.snapshot.error
    assert isinstance(error, AuthApiError)
    assert error.code == "refresh_token_already_used"
    assert error.message == str(error)
    assert error.message.startswith(
        "This session was refreshed by another program, so the auth server ended it here."
    )
    assert "Sign in" in error.message
    assert not says(kernel)


def test_the_error_of_a_call_explains_it_too(world: World) -> None:
    app = App(world)
    kernel = pasted(world, app)
    app.refresh()
    app.refresh()
    world.time += 600
    with pytest.raises(AuthApiError, match="refreshed by another program"):
        kernel.refresh()


def test_the_error_of_a_rerun_cell_explains_it_too(world: World) -> None:
    app = App(world)
    first = app.tokens()
    kernel = pasted(world, app)
    world.time += 3600
    kernel.refresh()
    app.pair = kernel.session.to_wire()  # type: ignore[union-attr]
    app.refresh()
    app.refresh()
    world.time += 3600
    with pytest.raises(AuthApiError, match="refreshed by another program"):
        kernel.set_session(first)


def test_it_is_seen_with_a_real_server(make_auth: Any, server: DemoServer) -> None:
    """Through HTTP, with what the embedded server says of its users."""
    auth: AuthClient = make_auth()
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    assert auth.notices == ()
    path = "/auth/v1/token?grant_type=refresh_token"
    server.advance(600)
    server.request("POST", path, {"refresh_token": pair["refresh_token"]})
    server.advance(30)
    auth.refresh_session()
    assert ["Another program refreshes this session too" in notice for notice in auth.notices] == [True]
    again: AuthClient = make_auth()
    assert again.get_session() is not None
    assert again.notices == auth.notices
    auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
    assert auth.notices == ()


# -- what is our own doing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("fault", ["drop", "lose", "503"])
@pytest.mark.parametrize("later", [1.0, 30.0, 600.0])
def test_a_lost_answer_is_not_another_program(version: int, fault: str, later: float) -> None:
    world = make_world(version)
    kernel = pasted(world, App(world))
    world.time += 600
    kernel.always = fault
    with pytest.raises(AuthRetryableError):
        kernel.refresh()
    kernel.always = None
    world.time += later
    kernel.refresh()
    assert not says(kernel)
    until_refreshed(world, kernel)
    assert not says(kernel)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_a_killed_kernel_is_not_another_program(version: int, fault: str) -> None:
    world = make_world(version)
    kernel = pasted(world, App(world))
    world.time += 600
    kernel.fault = fault
    with pytest.raises(AuthRetryableError):
        kernel.refresh()
    world.time += 600
    for name in ("", "second", "third"):
        new = Kernel(world, name=name)
        new.set_session(TokenPair.from_session(kernel.session))  # type: ignore[arg-type]
        new.refresh()
        assert not says(new), name
    until_refreshed(world, new)
    assert not says(new)


def test_kernels_of_three_names_are_not_other_programs(world: World) -> None:
    app = App(world)
    kernels = [pasted(world, app, name) for name in ("", "second", "third")]
    for _ in range(4):
        until_refreshed(world, *kernels)
        for kernel in kernels:
            kernel.set_session(app.tokens())  # the cell is run again
            world.time += 7
    assert not any(says(kernel) for kernel in kernels)


def test_a_pasted_pair_that_an_earlier_kernel_had_spent_is_not_another_program(world: World) -> None:
    """Its answer was lost, and nothing of the session was stored."""
    app = App(world)
    world.time += 3601
    kernel = Kernel(world)
    kernel.fault = "kill after"
    with pytest.raises(AuthRetryableError):
        kernel.set_session(app.tokens())
    world.time += 600
    new = Kernel(world)
    new.set_session(app.tokens())
    assert not says(new)
    until_refreshed(world, new)
    assert not says(new)


def test_what_was_kept_in_memory_only_is_not_held_against_another_program(server: DemoServer) -> None:
    """The cell is run again in a new kernel, which knows nothing of the one before."""
    pair = server.sign_in()

    def kernel() -> AuthClient:
        options: dict[str, Any] = {"headers": {"apikey": server.anon_key}, "auto_refresh": False}
        return AuthClient(server.auth_url, storage=MemoryStorage(), **options)

    for times in (1, 2):
        first, second = kernel(), kernel()
        first.set_session(pair["access_token"], pair["refresh_token"])
        for _ in range(times):
            first.refresh_session()
        first.close()
        server.advance(600)
        second.set_session(pair["access_token"], pair["refresh_token"])
        if times == 1:
            second.refresh_session()
            assert second.notices == ()
            pair = second.get_session().to_wire()  # type: ignore[union-attr]
        else:
            with pytest.raises(AuthApiError, match="Already Used"):
                second.refresh_session()
        second.close()


class Overtaken(Kernel):
    """It is stopped with a request on the way, for so long that others take the lock."""

    meanwhile: Callable[[], object] | None = None

    async def answer(self, request: httpx.Request) -> httpx.Response:
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            act()
        return await super().answer(request)


def test_a_kernel_of_ours_that_was_stopped_is_not_another_program() -> None:
    """It sent a token that had been used in the meantime, so the server ended the session."""
    world = make_world(reuse_interval=0.0)
    kernel, other = Overtaken(world), Kernel(world)
    kernel.set_session(App(world).tokens())
    other.restore()

    def meanwhile() -> None:
        for _ in range(3):
            world.time += 60
            with suppress(AuthRetryableError):
                other.refresh()

    world.time += 600
    kernel.meanwhile = meanwhile
    with pytest.raises(AuthApiError, match="Invalid Refresh Token"):
        kernel.refresh()
    assert world.server.already_used == 2
    assert not says(other)


def test_signing_out_leaves_no_hashes_behind(make_auth: Any, server: DemoServer) -> None:
    auth: AuthClient = make_auth()
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    auth.refresh_session()
    folder = auth.storage.path  # type: ignore[attr-defined]
    texts = [file.read_text() for file in folder.glob("*.json")]
    assert any('"sent"' in text for text in texts), "which tokens were sent is noted"
    (noted,) = [text for text in texts if '"sent"' in text]
    assert pair["refresh_token"] not in noted
    auth.sign_out()
    (index,) = folder.glob("*.json")
    assert index.name.endswith("-sessions.json"), "it says only that the session has ended"
