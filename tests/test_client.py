"""The client: every request is sent as the current user, to the project and nowhere else."""

from __future__ import annotations

import collections
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import httpx
import made
import pytest

from supabase_nb import (
    AuthError,
    AuthInvalidJwt,
    AuthRetryableError,
    AuthSessionMissing,
    Client,
    FileStorage,
    MemoryStorage,
    SessionAuth,
    create_client,
)
from supabase_nb._network.connection_pool import Pool, proxy_of
from supabase_nb.auth._api.server_clock import Clock
from supabase_nb.auth._session.state import margin
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

URL = "https://abcd.supabase.co"
KEY = "sb_publishable_abc"
TRIPS, USER, TOKEN = "GET /rest/v1/trips", "GET /auth/v1/user", "POST /auth/v1/token"


class Ahead(Clock):
    """A clock that can be put forward, and its wall clock set."""

    ahead = 0.0
    set_by = 0.0

    def wall(self) -> float:
        return super().wall() + self.ahead + self.set_by

    def steady(self) -> float:
        return super().steady() + self.ahead


class Still(Ahead):
    """One that does not go on by itself."""

    def __init__(self) -> None:
        self._wall, self._steady = super().wall(), super().steady()

    def wall(self) -> float:
        return self._wall + self.ahead + self.set_by

    def steady(self) -> float:
        return self._steady + self.ahead


def bearer(request: httpx.Request) -> str | None:
    value = request.headers.get("authorization")
    return value.removeprefix("Bearer ") if value else None


@pytest.fixture
def answers() -> made.Answers:
    return made.Answers(**{TRIPS: [], TOKEN: made.session(), "POST /auth/v1/logout": httpx.Response(204)})


@pytest.fixture
def make(answers: made.Answers) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make_client(key: str = KEY, **options: Any) -> Client:
        options = {"storage": MemoryStorage(), "auto_refresh": False, "transport": answers} | options
        clients.append(create_client(URL, key, **options))
        return clients[-1]

    yield make_client
    for client in clients:
        client.close()


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


@pytest.fixture
def mocked(make: Callable[..., Client], clock: Ahead) -> Client:
    """Signed in for an hour; no server."""
    client = make(clock=clock)
    client.auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
    return client


def trips(client: Client) -> list[Any]:
    return client.table("trips").select("*").execute().data


# -- data as the user ---------------------------------------------------------------------------------------


def test_rows_are_the_users(client: Client) -> None:
    user = client.auth.user
    assert user is not None
    rows = trips(client)
    assert len(rows) == 3
    assert {row["user_id"] for row in rows} == {user.id}
    assert client.from_("trips").select("destination").order("km").limit(1).execute().data == [
        {"destination": "Geneva"}
    ]


def test_without_signing_in_no_rows_are_visible(server: DemoServer) -> None:
    with create_client(server.url, server.anon_key, storage=MemoryStorage()) as client:
        assert trips(client) == []


def test_the_first_request_restores_the_stored_session(client: Client, server: DemoServer) -> None:
    # In the background the server would confirm it, and describe the user anew.
    options = {"storage": client.auth.storage, "auto_refresh": False}
    with create_client(server.url, server.anon_key, **options) as later:
        assert later.auth.session is None
        assert len(trips(later)) == 3
        assert later.auth.user == client.auth.user


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="there it is postgrest 2.33, which closes what it is given"
)
def test_a_with_block_leaves_the_connections_open(client: Client) -> None:
    with client.schema("public") as database, client.postgrest as same:
        for one in (database, same):
            assert len(one.from_("trips").select("*").execute().data) == 3
    assert len(trips(client)) == 3


def test_several_projects_and_names_at_once(server: DemoServer, storage: FileStorage) -> None:
    with (
        create_client(server.url, server.anon_key, storage=storage, name="ada") as ada,
        create_client(server.url, server.anon_key, storage=storage, name="grace") as grace,
    ):
        for client, email in ((ada, "ada@example.com"), (grace, "grace@example.com")):
            client.auth.sign_in_with_password(email=email, password="correct horse battery")
        assert [row["start"] for row in trips(ada)] == ["London", "Turin", "Geneva"]
        assert [row["start"] for row in trips(grace)] == ["New York", "Philadelphia", "Boston"]


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (lambda c: c.table("trips").select("*").execute(), "GET /rest/v1/trips"),
        (lambda c: c.schema("other").from_("trips").select("*").execute(), "GET /rest/v1/trips"),
        (lambda c: c.rpc("sum", {"a": 1}).execute(), "POST /rest/v1/rpc/sum"),
        (lambda c: c.storage.list_buckets(), "GET /storage/v1/bucket"),
        (lambda c: c.storage.from_("b").list(), "POST /storage/v1/object/list/b"),
        (lambda c: c.functions.invoke("hello"), "POST /functions/v1/hello"),
        (lambda c: c.http.get("/rest/v1/trips"), "GET /rest/v1/trips"),
    ],
)
def test_every_part_sends_the_newest_token_through_one_pool(
    mocked: Client, answers: made.Answers, call: Callable[[Client], Any], path: str
) -> None:
    answers[path] = []
    session = mocked.auth.session
    assert session is not None
    call(mocked)
    assert bearer(answers.asked[-1]) == session.access_token
    answers[TOKEN] = later(Ahead())
    mocked.auth.refresh_session()
    call(mocked)
    newest = mocked.auth.session
    assert newest is not None
    assert newest.access_token != session.access_token
    assert bearer(answers.asked[-1]) == newest.access_token
    assert answers.asked[-1].headers["apikey"] == KEY
    # All of it, the auth server's part too, went through the one transport that was given.
    assert answers.count(TOKEN) == 2


def test_the_parts_share_one_http_client(mocked: Client) -> None:
    assert mocked.postgrest.session is mocked.http
    assert mocked.storage.session is mocked.http
    assert mocked.functions._client is mocked.http


def test_one_pool_opens_one_connection(client: Client) -> None:
    client.auth.get_user()
    trips(client)
    client.http.get("/rest/v1/trips")
    pool = client.http._transport._pool  # type: ignore[attr-defined]
    assert isinstance(pool, Pool)
    (transport,) = pool._opened.values()
    assert len(transport._pool.connections) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("package", ["postgrest", "storage3", "supabase_functions", "realtime"])
def test_a_missing_extra_names_the_line_that_installs_it(
    mocked: Client, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "supabase_nb.client._realtime", raising=False)
    part = {"supabase_functions": "functions", "storage3": "storage"}.get(package, package)
    with pytest.raises(ImportError, match=r'pip install "supabase-nb\[data\]"'):
        getattr(mocked, part)


# -- keys ---------------------------------------------------------------------------------------------------


def test_a_new_style_key_is_no_bearer(make: Callable[..., Client], answers: made.Answers) -> None:
    trips(make())
    assert answers.asked[-1].headers["apikey"] == KEY
    assert bearer(answers.asked[-1]) is None


def test_an_older_key_is_a_bearer_token_without_a_user(
    make: Callable[..., Client], answers: made.Answers
) -> None:
    key = made.jwt({"role": "anon", "ref": "abcd"})
    trips(make(key))
    assert answers.asked[-1].headers["apikey"] == bearer(answers.asked[-1]) == key


@pytest.mark.parametrize("key", ["sb_secret_abcdefgh", made.jwt({"role": "service_role"})])
def test_a_secret_key_is_refused_with_the_reason(make: Callable[..., Client], key: str) -> None:
    with pytest.raises(AuthError, match="bypasses Row Level Security") as refused:
        make(key)
    assert refused.value.code == "secret_key"
    assert key not in str(refused.value)
    assert make(key, allow_secret_key=True).key == key


def test_a_variable_that_was_not_set(make: Callable[..., Client]) -> None:
    with pytest.raises(AuthError, match="The project's key is missing"):
        make(None)  # type: ignore[arg-type]
    with pytest.raises(AuthError, match="not a project's URL"):
        create_client(os.environ.get("NO_SUCH_URL"), KEY)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["sb_publishable_é", "sb_publishable_a\nb", "sb_publishable_\ud800", "\x00"])
def test_a_key_with_other_characters_is_refused(key: str, make: Callable[..., Client]) -> None:
    with pytest.raises(AuthError, match="Copy the whole key again") as caught:
        make(key)
    assert caught.value.code == "invalid_key"


def test_spaces_and_line_breaks_around_a_key_are_ignored(make: Callable[..., Client]) -> None:
    assert make(" sb_publishable_x\r\n").key == "sb_publishable_x"


def test_another_projects_key_is_refused(make: Callable[..., Client]) -> None:
    with pytest.raises(AuthError, match="another project"):
        make(made.jwt({"role": "anon", "ref": "efgh"}))


def later(clock: Ahead, refresh_token: str = "mnopqrstuvwx") -> dict[str, Any]:
    """What an exchange gives at the clock's time."""
    now = int(clock.wall()) + 1
    return made.session(refresh_token, iat=now, exp=now + 3600)


# -- about to expire, expired, refused ----------------------------------------------------------------------


def test_a_token_about_to_expire_waits_for_the_shared_refresh(
    mocked: Client, answers: made.Answers, clock: Ahead
) -> None:
    clock.ahead = 3600 - 30
    answers[TOKEN] = later(clock)
    exchanges = answers.count(TOKEN)
    threads = [threading.Thread(target=trips, args=(mocked,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(TOKEN) == exchanges + 1
    session = mocked.auth.session
    assert session is not None
    assert {bearer(request) for request in answers.asked if "rest" in request.url.path} == {
        session.access_token
    }


@pytest.mark.parametrize(
    ("passed", "set_by"),
    [(3570, 0), (3570, -7200), (0, 3570)],
    ids=["time passes", "the wall clock is set back meanwhile", "the machine was halted, unnoticed"],
)
def test_a_look_at_the_clock_a_moment_ago_hides_nothing(
    mocked: Client, answers: made.Answers, clock: Ahead, passed: float, set_by: float
) -> None:
    for _ in range(2):
        trips(mocked)
    clock.ahead, clock.set_by = passed, set_by
    answers[TOKEN] = later(Ahead())
    trips(mocked)
    assert mocked.auth.session is not None
    assert mocked.auth.session.refresh_token == "mnopqrstuvwx"
    assert bearer(answers.asked[-1]) == mocked.auth.session.access_token


@pytest.mark.parametrize("told", [False, True], ids=["as time passes", "as the server tells meanwhile"])
def test_a_recent_check_of_storage_is_valid_until_the_refresh_is_due(
    make: Callable[..., Client], answers: made.Answers, told: bool
) -> None:
    client = make(clock=(clock := Still()))
    client.auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
    session = client.auth.session
    assert session is not None
    due = session.expires_at - margin(session) - client.auth._manager.clock.now()
    clock.ahead = due - (20 if told else 0.5)
    trips(client)
    assert bearer(answers.asked[-1]) == session.access_token
    if told:
        # Its clock is 40 s ahead of what was believed.
        date = formatdate(clock.wall() + 40, usegmt=True)
        answers[USER] = httpx.Response(200, json=made.user(), headers={"date": date})
        client.auth.get_user()
        clock.ahead += 1.1
    else:
        clock.ahead += 0.6
    answers[TOKEN] = later(clock)
    trips(client)
    assert bearer(answers.asked[-1]) == answers.table[TOKEN]["access_token"]


def test_in_an_outage_a_token_goes_out_as_long_as_it_lasts(
    mocked: Client, answers: made.Answers, clock: Ahead
) -> None:
    clock.ahead = 3600 - 30
    session = mocked.auth.session
    assert session is not None
    answers[TOKEN] = httpx.Response(503, headers={"retry-after": "60"})
    for _ in range(3):
        trips(mocked)
        assert bearer(answers.asked[-1]) == session.access_token
    # The first one tried to refresh; the others know that it just failed.
    assert answers.count(TOKEN) == 2
    clock.ahead = 3601
    with pytest.raises(AuthRetryableError, match="session is unchanged"):
        trips(mocked)
    assert answers.count(TRIPS) == 3


def test_in_an_outage_no_token_goes_out_a_moment_too_late(
    make: Callable[..., Client], answers: made.Answers
) -> None:
    client = make(clock=(clock := Still()))
    client.auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
    session = client.auth.session
    assert session is not None
    answers[TOKEN] = httpx.Response(503, headers={"retry-after": "60"})
    clock.ahead = session.expires_at - client.auth._manager.clock.now() - 0.5
    for _ in range(2):  # the second time it is there
        trips(client)
        assert bearer(answers.asked[-1]) == session.access_token
    clock.ahead += 0.6
    with pytest.raises(AuthRetryableError, match="session is unchanged"):
        trips(client)
    assert answers.count(TRIPS) == 2


def test_an_expired_token_that_cannot_be_renewed_is_not_sent(
    mocked: Client, answers: made.Answers, clock: Ahead
) -> None:
    clock.ahead = 3601
    answers[TOKEN] = httpx.Response(503, headers={"retry-after": "60"})
    with pytest.raises(AuthRetryableError, match="session is unchanged"):
        trips(mocked)
    assert answers.count(TRIPS) == 0


@pytest.mark.parametrize("restored", [False, True], ids=["never looked for", "restored"])
def test_an_ended_session_sends_nothing_without_its_user(
    mocked: Client, answers: made.Answers, clock: Ahead, restored: bool
) -> None:
    if restored:
        clock.ahead = 3601  # a request that waits, hence looks in storage
        answers[TOKEN] = later(clock)
        trips(mocked)
    sent = answers.count(TRIPS)
    answers[TOKEN] = made.refusal(400, "refresh_token_not_found")
    with pytest.raises(AuthError):
        mocked.auth.refresh_session()
    assert mocked.auth.status == "expired"
    with pytest.raises(AuthSessionMissing, match="session has ended, so nothing was sent"):
        trips(mocked)
    assert answers.count(TRIPS) == sent
    mocked.auth.sign_out()
    assert trips(mocked) == []
    assert bearer(answers.asked[-1]) is None


def test_401_leads_to_one_shared_refresh_and_one_retry(client: Client, server: DemoServer) -> None:
    trips(client)
    server.expire("ada@example.com")
    before = collections.Counter(server.stats())
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(trips(client)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 8
    assert (collections.Counter(server.stats()) - before)["token.refresh_token"] == 1


def test_a_post_is_sent_again_with_its_body(mocked: Client, answers: made.Answers) -> None:
    sent: list[tuple[str | None, bytes]] = []
    answers["POST /rest/v1/trips"] = _refuse_the_first(sent)
    answers[TOKEN] = later(Ahead())
    assert mocked.http.post("/rest/v1/trips", json={"km": 1}).status_code == 200
    assert [body for _, body in sent] == [b'{"km":1}'] * 2
    assert sent[0][0] != sent[1][0]


def test_a_streamed_body_is_not_sent_again(
    mocked: Client, answers: made.Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list[bytes]] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append(list(request.stream))  # type: ignore[arg-type]  # as a network does it: nothing is kept
        return httpx.Response(401)

    monkeypatch.setattr(answers, "handle_request", refuse)
    exchanges = answers.count(TOKEN)
    assert mocked.http.post("/rest/v1/trips", content=iter([b"once"])).status_code == 401
    assert sent == [[b"once"]]
    assert answers.count(TOKEN) == exchanges


def test_ctrl_c_while_a_refused_request_waits_leaves_no_connection_open(
    mocked: Client, answers: made.Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"{}"

        def close(self) -> None:
            closed.set()

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(answers, "handle_request", lambda _: httpx.Response(401, stream=Body()))
    monkeypatch.setattr(mocked._session_tokens, "refresh", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mocked.http.get("/rest/v1/trips")
    assert closed.is_set()


def test_401_for_another_reason_costs_one_exchange_not_one_each(
    mocked: Client, answers: made.Answers
) -> None:
    answers[TRIPS] = httpx.Response(401, json={"message": "Invalid API key"})
    answers[TOKEN] = lambda _: httpx.Response(200, json=later(Ahead()))
    exchanges = answers.count(TOKEN)
    for _ in range(5):
        assert mocked.http.get("/rest/v1/trips").status_code == 401
    assert answers.count(TOKEN) == exchanges + 1


def test_401_reaches_the_caller_if_there_is_no_newer_token(mocked: Client, answers: made.Answers) -> None:
    answers[TRIPS] = httpx.Response(401, json={"message": "JWT expired"})
    answers[TOKEN] = made.refusal(400, "refresh_token_not_found")
    response = mocked.http.get("/rest/v1/trips")
    assert response.status_code == 401
    assert response.json() == {"message": "JWT expired"}


def _refuse_the_first(sent: list[tuple[str | None, bytes]]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        sent.append((bearer(request), request.content))
        return httpx.Response(401 if len(sent) == 1 else 200, json={})

    return answer


def test_50_rotations_with_8_threads_no_401(client: Client, server: DemoServer) -> None:
    """Requests are in flight while all tokens made so far expire, 50 times over."""
    statuses: collections.Counter[int] = collections.Counter()
    done = [0] * 8
    moved = threading.Condition()
    stop = threading.Event()

    def ask(number: int) -> None:
        while not stop.is_set():
            status = client.http.get("/rest/v1/trips").status_code
            with moved:
                statuses[status] += 1
                done[number] += 1
                moved.notify_all()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    before = collections.Counter(server.stats())
    try:
        for _ in range(50):
            server.expire("ada@example.com")
            with moved:
                # Each thread has begun and ended a request since: at most one expiry falls into any of them.
                goal = [count + 2 for count in done]
                assert moved.wait_for(lambda goal=goal: all(map(int.__ge__, done, goal)), 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}, statuses
    exchanges = (collections.Counter(server.stats()) - before)["token.refresh_token"]
    assert 1 <= exchanges <= 50


def test_tokens_of_2_seconds_no_401() -> None:
    """Nobody but the clock ends tokens here: the background and the requests themselves see to it."""
    statuses: collections.Counter[int] = collections.Counter()
    rotated = threading.Semaphore(0)
    stop = threading.Event()
    with (
        running_server(access_token_lifetime=2) as server,
        create_client(server.url, server.anon_key, storage=MemoryStorage()) as client,
    ):
        client.auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
        client.auth.observe(lambda _: rotated.release(), "session")

        def ask() -> None:
            while not stop.is_set():
                statuses[client.http.get("/rest/v1/trips").status_code] += 1

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                assert rotated.acquire(timeout=30)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert set(statuses) == {200}, statuses


# -- to the project only ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "https://abcd.supabase.co.evil.example/",
        "http://abcd.supabase.co/",
        "https://abcd.supabase.co:8443/",
        "https://efgh.supabase.co/",
    ],
)
def test_a_redirect_elsewhere_carries_no_secrets(
    mocked: Client, answers: made.Answers, elsewhere: str
) -> None:
    answers[TRIPS] = httpx.Response(307, headers={"location": elsewhere})
    answers["GET /"] = {"mine": True}
    assert mocked.http.get("/rest/v1/trips").json() == {"mine": True}
    first, second = answers.asked[-2:]
    assert bearer(first)
    assert str(second.url) == elsewhere
    assert bearer(second) is None
    assert "apikey" not in second.headers


def test_a_redirect_within_the_project_is_signed_too(mocked: Client, answers: made.Answers) -> None:
    answers[TRIPS] = httpx.Response(307, headers={"location": "/rest/v1/other"})
    answers["GET /rest/v1/other"] = []
    mocked.http.get("/rest/v1/trips")
    assert bearer(answers.asked[-1]) == bearer(answers.asked[-2])


def test_nothing_overrides_the_token(mocked: Client, answers: made.Answers) -> None:
    session = mocked.auth.session
    assert session is not None
    mocked.http.get("/rest/v1/trips", headers={"Authorization": "Bearer other"}, auth=("user", "password"))
    assert bearer(answers.asked[-1]) == session.access_token
    mocked.postgrest.auth("other")
    trips(mocked)
    assert bearer(answers.asked[-1]) == session.access_token


def test_requests_to_the_auth_server_carry_their_own_token_only(
    mocked: Client, answers: made.Answers
) -> None:
    answers[USER] = made.user()
    other = made.jwt(jti="other")
    mocked.auth.get_user(other)
    assert bearer(answers.asked[-1]) == other
    assert bearer(answers.asked[0]) is None


def test_an_answer_holds_no_token(mocked: Client, answers: made.Answers) -> None:
    answers[TRIPS] = httpx.Response(307, headers={"location": "/rest/v1/other"})
    answers["GET /rest/v1/other"] = []
    response = mocked.http.get("/rest/v1/trips")
    for request in (response.request, response.history[0].request):
        assert not {"authorization", "apikey"} & request.headers.keys()


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout, KeyboardInterrupt])
def test_a_failure_holds_no_token(mocked: Client, answers: made.Answers, kind: type[BaseException]) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        headers = list(request.headers.items())
        raise kind(f"failed with {len(headers)} headers")

    answers[TRIPS] = fail
    with pytest.raises(kind, match="failed with") as caught:
        mocked.http.get("/rest/v1/trips")
    error = caught.value
    if isinstance(error, httpx.RequestError):
        assert error.request.url.path == "/rest/v1/trips"
    # All frames but this test's own.
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "handle_request" in shown
    session = mocked.auth.session
    assert session is not None
    assert session.access_token not in shown
    assert session.access_token.split(".")[1] not in shown
    assert session.refresh_token not in shown


def test_views_of_a_client_hold_no_token(mocked: Client) -> None:
    session = mocked.auth.session
    assert session is not None
    for part in (
        mocked,
        mocked.http,
        mocked._session_tokens,
        SessionAuth(mocked),
        mocked.storage,
        mocked.postgrest,
    ):
        shown = f"{part!r} {part} {vars(part)}"
        assert session.access_token not in shown
        assert session.refresh_token not in shown


# -- set_auth -----------------------------------------------------------------------------------------------

OTHER = made.jwt(jti="other")


def test_set_auth_swaps_the_token_of_every_part(mocked: Client, answers: made.Answers) -> None:
    answers.table |= {"GET /storage/v1/bucket": [], "POST /functions/v1/hello": {}}
    session = mocked.auth.session
    assert session is not None
    asked = [lambda: trips(mocked), mocked.storage.list_buckets, lambda: mocked.functions.invoke("hello")]
    mocked.set_auth(f"Bearer {OTHER} ")
    for ask in asked:
        ask()
        assert bearer(answers.asked[-1]) == OTHER
    mocked.set_auth(None)
    for ask in asked:
        ask()
        assert bearer(answers.asked[-1]) == session.access_token


def test_set_auth_none_returns_to_the_key_when_signed_out(
    make: Callable[..., Client], answers: made.Answers
) -> None:
    client = make()
    client.set_auth(OTHER)
    trips(client)
    assert bearer(answers.asked[-1]) == OTHER
    client.set_auth(None)
    trips(client)
    assert bearer(answers.asked[-1]) is None


def test_set_auth_leaves_the_session_alone(mocked: Client) -> None:
    before = mocked.auth.session, mocked.auth.user, mocked.auth.status
    due = mocked.auth.next_refresh_at
    mocked.set_auth(OTHER)
    assert (mocked.auth.session, mocked.auth.user, mocked.auth.status) == before
    assert mocked.auth.next_refresh_at == pytest.approx(due)
    assert mocked.auth.get_session() is before[0]


def test_set_auth_leaves_the_storage_alone(mocked: Client) -> None:
    key = mocked.auth._manager.store.key
    before = mocked.auth.storage.get(key), mocked.auth.storage.version(key)  # type: ignore[attr-defined]
    mocked.set_auth(OTHER)
    mocked.set_auth(None)
    assert (mocked.auth.storage.get(key), mocked.auth.storage.version(key)) == before  # type: ignore[attr-defined]


def test_set_auth_leaves_refreshes_alone(mocked: Client, answers: made.Answers) -> None:
    mocked.set_auth(OTHER)
    answers[TOKEN] = later(Ahead())
    session = mocked.auth.refresh_session().session
    assert session is not None
    trips(mocked)
    assert bearer(answers.asked[-1]) == OTHER
    mocked.set_auth(None)
    trips(mocked)
    assert bearer(answers.asked[-1]) == session.access_token


def test_set_auth_causes_no_event_and_keeps_subscribers(mocked: Client, answers: made.Answers) -> None:
    seen: list[str] = []
    mocked.auth.on_auth_state_change(lambda event, _: seen.append(event))
    mocked.set_auth(OTHER)
    mocked.set_auth(None)
    assert seen == ["INITIAL_SESSION"]
    assert [event.kind for event in mocked.auth.events] == ["SIGNED_IN"]
    answers[TOKEN] = later(Ahead())
    mocked.auth.refresh_session()
    assert seen == ["INITIAL_SESSION", "TOKEN_REFRESHED"]


def test_a_refused_override_is_not_renewed(mocked: Client, answers: made.Answers) -> None:
    mocked.set_auth(OTHER)
    answers[TRIPS] = httpx.Response(401)
    exchanges = answers.count(TOKEN)
    assert mocked.http.get("/rest/v1/trips").status_code == 401
    assert (answers.count(TRIPS), answers.count(TOKEN)) == (1, exchanges)


def test_a_notice_names_whose_token_set_auth_sends(mocked: Client) -> None:
    mocked.set_auth(made.jwt(email="alan@example.com"))
    (notice,) = mocked.auth.notices
    assert notice.startswith("Requests are sent as alan@example.com (set_auth).")


def test_the_panel_says_that_another_token_is_in_use(mocked: Client) -> None:
    mocked.set_auth(OTHER)
    (notice,) = mocked.auth.notices
    assert notice == ("Requests are sent as another user (set_auth).")
    assert notice.name == "set_auth"
    mocked.auth.sign_out("local")
    assert mocked.auth.notices == (notice,)  # still true
    mocked.set_auth(None)
    assert mocked.auth.notices == ()


@pytest.mark.parametrize("token", ["", "no-token", "a.b", "a.b.c\r\nX-Evil: 1", 7, "sb_secret_x"])
def test_an_invalid_token_is_not_set(mocked: Client, answers: made.Answers, token: Any) -> None:
    session = mocked.auth.session
    assert session is not None
    with pytest.raises(AuthInvalidJwt, match="not an access token"):
        mocked.set_auth(token)
    trips(mocked)
    assert bearer(answers.asked[-1]) == session.access_token
    assert mocked.auth.notices == ()


# -- around it ----------------------------------------------------------------------------------------------


def test_closing_twice_is_harmless_and_keeps_the_session(client: Client, server: DemoServer) -> None:
    client.close()
    client.close()
    with create_client(server.url, server.anon_key, storage=client.auth.storage) as later:
        assert later.auth.get_session() == client.auth.session


def test_closing_while_a_connection_is_being_made_leaves_none_open(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    connected: list[socket.socket] = []
    connect = socket.create_connection

    def slow(*args: Any, **more: Any) -> socket.socket:
        begun.set()
        assert go_on.wait(30)
        connected.append(connect(*args, **more))
        return connected[-1]

    for transport in client.http._transport._pool._opened.values():  # type: ignore[attr-defined]
        transport.close()  # what was idle
    monkeypatch.setattr(socket, "create_connection", slow)
    asker = threading.Thread(target=trips, args=(client,))
    asker.start()
    assert begun.wait(30)
    client.close()
    go_on.set()
    asker.join()
    assert [each.fileno() for each in connected] == [-1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_its_own_connections(client: Client) -> None:
    trips(client)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, b"%d" % client.http.get("/rest/v1/trips").status_code)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with open(read, "rb") as answer:
        assert answer.read() == b"200"
    assert len(trips(client)) == 3


def echo(request: httpx.Request) -> httpx.Response:
    """A server that repeats in its error what it was sent."""
    said = f"no: {request.headers['authorization']}, {request.headers['apikey']}"
    return httpx.Response(
        400,
        json={"message": said, "error": said, "statusCode": "400", "hint": quote(said)},
        headers={"x-kept": "yes"},
    )


@pytest.mark.parametrize(
    ("path", "call"),
    [
        (TRIPS, trips),
        ("POST /rest/v1/rpc/f", lambda client: client.rpc("f").execute()),
        ("POST /functions/v1/hello", lambda client: client.functions.invoke("hello")),
        ("GET /storage/v1/bucket/photos", lambda client: client.storage.get_bucket("photos")),
        (TRIPS, lambda client: client.http.get("/rest/v1/trips").raise_for_status()),
    ],
)
def test_a_servers_error_does_not_repeat_the_token(
    path: str, call: Callable[[Client], object], make: Callable[..., Client], answers: made.Answers
) -> None:
    client = make(
        made.jwt({"iss": "supabase", "role": "service_role", "exp": 4_102_444_800}), allow_secret_key=True
    )
    client.auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
    assert client.auth.session is not None
    answers[path] = echo
    with pytest.raises(Exception, match=r"400|no") as caught:
        call(client)
    seen: BaseException | None = caught.value
    while seen is not None:
        response = getattr(seen, "response", None)
        shown = f"{seen} {seen!r} {vars(seen)} {response.text if response is not None else ''}"
        for secret in (client.auth.session.access_token, client.key):
            assert secret not in shown
        seen = seen.__cause__ or seen.__context__


def test_the_rest_of_an_error_response_stays(mocked: Client, answers: made.Answers) -> None:
    assert mocked.auth.session is not None
    answers[TRIPS] = echo
    response = mocked.http.get("/rest/v1/trips")
    assert (response.status_code, response.headers["x-kept"]) == (400, "yes")
    assert response.json()["message"] == "no: Bearer •••, •••"
    answers[TRIPS] = httpx.Response(400, content=b"\xff no", headers={"x-kept": "yes"})
    assert mocked.http.get("/rest/v1/trips").content == b"\xff no"
    # A value that was read is not touched.
    answers[TRIPS] = lambda request: httpx.Response(200, json=[request.headers["authorization"]])
    assert trips(mocked) == [f"Bearer {mocked.auth.session.access_token}"]


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"https_proxy": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"all_proxy": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"https_proxy": "http://proxy.example:3128", "no_proxy": "supabase.co"}, None),
        ({"http_proxy": "http://proxy.example:3128"}, None),
        ({}, None),
    ],
)
def test_the_systems_proxy_is_used(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], proxy: str | None
) -> None:
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(httpx.URL(URL)) == proxy
    assert proxy_of(httpx.URL("http://127.0.0.1:54321")) is None


def test_reading_the_token_takes_no_lock(
    mocked: Client, answers: made.Answers, lock_session: Callable[..., Any]
) -> None:
    """A request is sent while all locks are held."""
    held = threading.Event()
    free = threading.Event()
    trips(mocked)

    def hold() -> None:
        with lock_session(mocked.auth):
            held.set()
            free.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    try:
        before = answers.count(TRIPS)
        asker = threading.Thread(target=trips, args=(mocked,), daemon=True)
        asker.start()
        asker.join(20)
        assert answers.count(TRIPS) == before + 1
    finally:
        free.set()
        holder.join()
