"""Rules of a session, each kept by one line of code: without it, one of these tests fails."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

import httpx
import jwt
import made
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from model.kernels import KEY, Kernel, World

from supabase_nb import (
    AuthClient,
    AuthRetryableError,
    AuthStorageError,
    FileStorage,
    MemoryStorage,
)
from supabase_nb._secrets.tokens import Secret
from supabase_nb.auth._api.server_clock import Clock
from supabase_nb.auth._session.session_record import SessionRecord, TokenPair
from supabase_nb.errors import AuthApiError, AuthInvalidJwt
from supabase_nb.models import Session

URL = "https://abcd.supabase.co/auth/v1"
USER, TOKEN = "GET /auth/v1/user", "POST /auth/v1/token"
JWKS = "GET /auth/v1/.well-known/jwks.json"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The modeled server and a virtual clock."""

    return World(MemoryStorage(), version=1, reuse_interval=10.0, offset=0.0)


def sign_in(world: World, kernel: Kernel) -> Session:
    return kernel.sign_in()


def another(world: World) -> Kernel:
    """Another kernel, with the session that is stored."""
    kernel = Kernel(world)
    kernel.restore()
    kernel.tick()
    return kernel


def rotate(kernel: Kernel) -> Session:
    assert kernel.session is not None
    return kernel.refresh()


def pair_of(session: Session) -> TokenPair:
    return TokenPair.from_tokens(session.access_token, session.refresh_token)


def stored(world: World) -> Session | None:
    text = world.storage.get(KEY)
    record = None if text is None else SessionRecord.from_text(Secret(text))
    return None if record is None else record.session


def before_the_next_answer(world: World, path: str, happening: Callable[[], object]) -> None:
    """While the next request for this path is under way, something happens in another kernel."""
    answer = world.server.answer

    def with_it(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(path):
            world.server.answer = answer  # type: ignore[method-assign]
            happening()
        return answer(request)

    world.server.answer = with_it  # type: ignore[method-assign]


# -- what is stored is read again -------------------------------------------------------------------------


def test_a_rotation_while_a_pair_is_verified_is_continued(world: World) -> None:
    """`set_session` reads storage again when it has the lock."""
    one, two = Kernel(world), Kernel(world)
    first = sign_in(world, one)
    world.time += 60
    before_the_next_answer(world, "/user", lambda: rotate(one))
    two.set_session(pair_of(first))
    assert two.session == one.session == stored(world)
    assert two.session.refresh_token != first.refresh_token


def test_a_rejected_kernel_uses_tokens_that_another_stored(world: World) -> None:
    """The server rejects a token that another kernel has used: continue with that kernel's session."""
    one = Kernel(world)
    sign_in(world, one)
    two = another(world)
    world.time += 60

    def twice() -> None:
        for _ in range(2):
            rotate(two)
            world.time += 11

    before_the_next_answer(world, "/token", twice)
    session = rotate(one)
    assert one.snapshot.status == "active"
    assert world.server.session_of(session.access_token) is not None
    assert stored(world) == session


def test_signing_out_during_an_exchange_stays_signed_out(world: World) -> None:
    one = Kernel(world)
    sign_in(world, one)
    two = another(world)
    world.time += 60
    one.stop_in_exchange()
    two.sign_out("local")
    one.go_on()
    assert one.session is None
    assert stored(world) is None


def test_a_late_response_does_not_overwrite_a_later_rotation(world: World) -> None:
    one = Kernel(world)
    sign_in(world, one)
    two = another(world)
    world.time += 60
    one.stop_in_exchange()
    for _ in range(2):
        world.time += 11
        rotate(two)
    later = two.session
    one.go_on()
    assert stored(world) == later
    assert one.session == later


# -- claims -----------------------------------------------------------------------------------------------


class Behind(Clock):
    """This machine's clock is two hours behind the server's."""

    def wall(self) -> float:
        return super().wall() - 7200


@pytest.mark.parametrize(("seconds", "expired"), [(5, False), (60, True), (7100, True)])
def test_claims_expire_by_the_servers_clock(seconds: int, expired: bool) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"alg": "ES256", "kid": "first"}
    date = {"date": formatdate(time.time(), usegmt=True)}
    network = made.Answers(
        **{
            JWKS: lambda _: httpx.Response(200, json={"keys": [public]}, headers=date),
            USER: lambda _: httpx.Response(200, json=made.user(), headers=date),
        }
    )
    auth = AuthClient(URL, storage=MemoryStorage(), transport=network, clock=Behind(), auto_refresh=False)
    claims = {"sub": made.USER_ID, "exp": int(time.time()) - seconds}
    token = jwt.encode(claims, key, algorithm="ES256", headers={"kid": "first"})
    auth.get_user(token)  # an answer that says what time it is
    if expired:
        with pytest.raises(AuthInvalidJwt, match="has expired"):
            auth.get_claims(token)
    else:
        assert auth.get_claims(token)["sub"] == made.USER_ID
    auth.close()


# -- when the server is asked -----------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["refresh_session", "set_session"])
def test_a_call_waits_as_long_as_the_server_asks(call: str, world: World) -> None:
    """`Retry-After` in the foreground: the next try is made then, and succeeds."""
    kernel = Kernel(world)
    session = sign_in(world, kernel)
    world.time += 4000
    kernel.asked, kernel.fault, kernel.retry_after = 0, "429", ("seconds", 3.0)
    asked = world.time
    if call == "refresh_session":
        rotate(kernel)
    else:
        kernel.set_session(pair_of(session))
    assert kernel.asked == 2
    assert world.time - asked >= 3.0


def test_a_call_does_not_wait_for_an_hour(world: World) -> None:
    kernel = Kernel(world)
    session = sign_in(world, kernel)
    world.time += 4000
    kernel.asked, kernel.fault, kernel.retry_after = 0, "429", ("seconds", 3600.0)
    with pytest.raises(AuthRetryableError) as caught:
        kernel.set_session(pair_of(session))
    assert caught.value.retry_after == 3600.0
    assert kernel.asked == 1


@pytest.mark.parametrize("lifetime", [0, 1])
def test_the_background_never_makes_two_exchanges_within_a_second(lifetime: int, world: World) -> None:
    """A server whose tokens are due as soon as they are given out, the first ones to `set_session`."""
    kernel = Kernel(world)
    session = sign_in(world, kernel)
    world.time += 4000
    world.server.lifetime = lifetime
    times: list[float] = []
    exchange = world.server.exchange

    def noted(refresh_token: str) -> Any:
        times.append(world.time)
        return exchange(refresh_token)

    world.server.exchange = noted  # type: ignore[method-assign]
    kernel.set_session(pair_of(session))
    end = world.time + 100
    while world.time < end:
        kernel.tick()
        world.time += 0.1
    assert len(times) > 3
    assert min(later - sooner for sooner, later in itertools.pairwise(times)) >= 1.0


# -- what the user said last ------------------------------------------------------------------------------


def test_a_refusal_of_the_former_session_does_not_end_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes late, and the next one could not be saved: so only memory has it."""
    kernel = Kernel(world)
    first = sign_in(world, kernel)
    world.time += 60
    world.server.sessions[first.session_id or ""].alive = False
    kernel.stop_in_exchange()
    kernel.sign_out("local")
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError("no space left")

        patch.setattr(world.storage, "set", full)
        with pytest.raises(AuthStorageError):
            kernel.sign_in()
    next_one = kernel.session
    kernel.go_on()
    assert kernel.session == next_one is not None
    assert kernel.snapshot.status == "active"


class Watched(MemoryStorage):
    """Says when its lock was let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    @contextmanager
    def lock(self, key: str, timeout: float = 30.0) -> Iterator[bool]:
        try:
            with super().lock(key, timeout) as locked:
                yield locked
        finally:
            self.let_go.set()


@pytest.mark.parametrize("slow", ["GET /auth/v1/user", "POST /auth/v1/token"])
def test_an_abandoned_call_changes_nothing(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response arrives when nothing waits for it: no refresh token is used, no session starts."""
    monkeypatch.setattr("supabase_nb.auth._session.retry.FOREGROUND_TIMEOUT", 0.2)
    answer, storage = threading.Event(), Watched()

    def user(_: object) -> httpx.Response:
        assert answer.wait(30)
        return made.refusal(403, "bad_jwt", "invalid JWT: token is expired")

    def token(_: object) -> httpx.Response:
        assert answer.wait(30)
        return httpx.Response(200, json=made.session("refreshtoken2"))

    network = made.Answers(**{USER: user, TOKEN: token})
    auth = AuthClient(URL, storage=storage, transport=network, auto_refresh=False)
    with pytest.raises(AuthRetryableError):
        auth.set_session(made.jwt() if slow == USER else made.expired(), "refreshtoken")
    storage.let_go.clear()
    answer.set()
    if slow == TOKEN:  # the other was cancelled, before it took the lock
        assert storage.let_go.wait(30)
    assert auth.session is None
    assert auth.get_session() is None
    assert network.count(TOKEN) == (1 if slow == TOKEN else 0)
    auth.close()


# -- storage ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize("kind", ["valid", "expired"])
def test_set_session_refuses_a_file_that_others_can_read(
    kind: str, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold a later rotation of this session: nothing is sent before it is known."""
    network = made.Answers(**{USER: made.user(), TOKEN: made.session("refreshtoken2")})
    first, second = (
        AuthClient(URL, storage=storage, transport=network, auto_refresh=False) for _ in range(2)
    )
    first.set_session(made.jwt(), "refreshtoken")
    file = storage.path / f"{KEY}.json"
    file.chmod(0o644)

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "chmod", refused)
    before = file.read_bytes()
    network.asked.clear()
    with pytest.raises(AuthStorageError) as caught:
        second.set_session(made.jwt() if kind == "valid" else made.expired(), "refreshtoken")
    assert caught.value.code == "storage_open_to_others"
    assert str(file) in str(caught.value)
    assert second.session is None
    assert file.read_bytes() == before
    assert network.asked == []
    for auth in (first, second):
        auth.close()


# -- one exchange -----------------------------------------------------------------------------------------


def test_all_calls_wait_for_one_attempt_and_none_for_a_token_that_is_replaced(world: World) -> None:
    kernel = Kernel(world)
    first = sign_in(world, kernel)
    refresher = kernel.manager.refresher
    start, started = refresher.start, []

    def counted(*arguments: Any, **options: Any) -> Any:
        started.append(arguments)
        return start(*arguments, **options)

    refresher.start = counted  # type: ignore[method-assign]

    async def at_once() -> list[Session]:
        return await asyncio.gather(*(refresher.refresh(first.access_secret) for _ in range(5)))

    world.time += 60
    sessions = kernel.run(at_once)
    assert len({session.access_token for session in sessions}) == 1
    assert len(started) == 1
    # Whoever still has the old token gets the new one, without a request.
    assert kernel.run(lambda: refresher.refresh(first.access_secret)) == sessions[0]
    assert len(started) == 1


# -- two users under one name -----------------------------------------------------------------------------


def test_a_session_survives_when_another_user_takes_its_name(world: World) -> None:
    one, two = Kernel(world), Kernel(world)
    one.sign_in("grace")
    two.restore()
    pair = world.server.sign_in("ada")
    two.set_session(TokenPair.from_tokens(pair["access_token"], pair["refresh_token"]))
    one.tick()
    assert one.session is not None
    assert (one.session.user.id, one.snapshot.name_taken) == ("grace", True)
    # It is still refreshed and stored, and found by its tokens under another name.
    world.time += 60
    session = rotate(one)
    other = Kernel(world, name="work")
    other.set_session(pair_of(session))
    world.time += 60
    newest = rotate(other)
    one.tick()
    assert one.session == newest
    other.sign_out("local")
    one.tick()
    assert one.session is None
    two.tick()
    assert two.session is not None
    assert two.session.user.id == "ada"


def by_another_client(world: World, pair: dict[str, Any]) -> None:
    """Another Supabase client stores its session under the same name."""
    world.storage.set(KEY, json.dumps(pair))


def test_a_session_survives_when_another_clients_user_signs_out_under_its_name(
    world: World,
) -> None:
    kernel = Kernel(world)
    kernel.sign_in("ada")
    by_another_client(world, world.server.sign_in("grace"))
    kernel.tick()
    assert kernel.snapshot.name_taken
    world.storage.remove(KEY)
    for _ in range(3):
        kernel.tick()
        world.time += 5
    assert kernel.session is not None
    assert (kernel.session.user.id, kernel.snapshot.name_taken) == ("ada", False)
    newest = rotate(kernel)
    restarted = another(world)
    assert restarted.session == newest, "the name is its own again"
    restarted.sign_out("local")
    kernel.tick()
    assert kernel.session is None


@pytest.mark.parametrize("version", [1, 2])
def test_another_clients_rotation_in_the_same_second_is_continued(version: int) -> None:
    world = World(MemoryStorage(), version=version, reuse_interval=0.0, offset=0.0)
    kernel = Kernel(world)
    session = kernel.sign_in()
    world.time = session.issued_at or 0.0
    rotated = world.server.exchange(session.refresh_token)[1]
    by_another_client(world, world.server.exchange(rotated["refresh_token"])[1])
    kernel.tick()
    rotate(kernel)
    assert world.server.already_used == 0


# -- what is not lost, and not ended ----------------------------------------------------------------------


def test_a_set_session_that_is_given_up_saves_the_tokens_that_it_was_issued(world: World) -> None:
    """Ctrl-C while the server exchanges them: the cell can be run again, long after."""
    kernel = Kernel(world)
    pair = world.server.sign_in()
    cell = TokenPair.from_tokens(made.expired(sub=pair["user"]["id"]), pair["refresh_token"])
    manager = kernel.manager

    async def give_up() -> None:
        call = asyncio.ensure_future(manager.session_setter.set_session(cell))
        kernel.fault = "stop"
        await kernel._stopped.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        kernel._go_on.set()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*tasks, return_exceptions=True)

    kernel.run(give_up)
    assert kernel.session is None
    world.time += 3000
    other = Kernel(world)
    other.set_session(cell)
    assert other.session is not None
    rotate(other)
    assert world.server.already_used == 0


def test_a_wrong_refresh_token_does_not_end_the_session_of_the_access_token_beside_it(world: World) -> None:
    kernel = Kernel(world)
    session = sign_in(world, kernel)
    world.time += 60
    claims = {**session.claims, "exp": 1}
    with pytest.raises(AuthApiError, match="Invalid Refresh Token"):
        kernel.set_session(TokenPair.from_tokens(made.jwt(claims), "mistypedtokn"))
    assert kernel.session == session == stored(world)


def test_a_sign_out_does_not_end_what_a_later_call_began(world: World) -> None:
    """It waited for another kernel while `set_session` was carried out."""
    kernel = Kernel(world)
    sign_in(world, kernel)
    pair = world.server.sign_in("grace")
    sync = kernel.manager.sync
    reload = sync.reload

    async def slowly(**options: Any) -> None:
        sync.reload = reload  # type: ignore[method-assign]
        await reload(**options)
        tokens = TokenPair.from_tokens(pair["access_token"], pair["refresh_token"])
        await kernel.manager.session_setter.set_session(tokens)

    sync.reload = slowly  # type: ignore[method-assign]
    kernel.sign_out("local")
    assert kernel.session is not None
    assert kernel.session.user.id == "grace"
    assert stored(world) == kernel.session


def test_a_kernel_that_was_killed_between_two_writes_leaves_the_newer_tokens(world: World) -> None:
    """The session's record is written first, then the copy under its name."""
    one = Kernel(world)
    sign_in(world, one)
    before = world.storage.get(KEY)
    assert before is not None
    world.time += 60
    newest = rotate(one)
    world.storage.set(KEY, before)
    world.time += 60
    two = Kernel(world)
    assert two.restore() == newest
    rotate(two)
    assert world.server.already_used == 0


def test_background_changes_are_delivered_without_a_call(world: World) -> None:
    kernel = Kernel(world)
    sign_in(world, kernel)
    world.time += 3580
    world.loop.run_until_complete(kernel.manager.run_due())
    assert kernel.session is not None
    assert kernel.traits["session"] == kernel.session


def without_rotation(world: World) -> tuple[Kernel, Session]:
    """A session with a server that returns the refresh token that it was sent."""
    kernel, answer = Kernel(world), world.server.answer
    first = sign_in(world, kernel)

    def same_token(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/token"):
            return answer(request)
        sent = json.loads(request.content)["refresh_token"]
        session = next(session for session in world.server.sessions.values() if session.alive)
        return httpx.Response(200, json=world.server._pair(session, sent))

    world.server.answer = same_token  # type: ignore[method-assign]
    return kernel, first


def test_a_server_that_keeps_the_refresh_token_is_continued_with_its_new_access_token(world: World) -> None:
    """Rotation can be switched off in a project: only the access token is new."""
    kernel, first = without_rotation(world)
    world.time += 60
    session = rotate(kernel)
    assert session.access_token != first.access_token
    assert session.refresh_token == first.refresh_token
    assert kernel.session == session == stored(world)
    assert world.server.session_of(session.access_token) is not None


def test_a_change_of_the_user_is_no_other_program_if_the_server_keeps_the_refresh_token(world: World) -> None:
    kernel, first = without_rotation(world)
    world.time += 60
    world.server.touched[first.user.id] = world.server.now()  # in the app
    world.time += 60
    rotate(kernel)
    assert kernel.traits["notices"] == ()
