"""A stored session is found by its tokens, and sent only to the server that issued it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import made
import pytest
from waiting import wait_until

from supabase_nb import (
    AuthClient,
    AuthSessionMissing,
    AuthStorageError,
    Client,
    FileStorage,
    MemoryStorage,
    create_client,
)
from supabase_nb._secrets.tokens import Secret
from supabase_nb.auth._api.auth_api import AuthAPI
from supabase_nb.auth._api.server_clock import Clock
from supabase_nb.auth._session.session_record import SessionRecord
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server
from supabase_nb.models import Session
from supabase_nb.storage import storage_key

Connect = Callable[..., Client]


@pytest.fixture(scope="module")
def own_server() -> Iterator[DemoServer]:
    """Its own server, because the tests change its clock."""
    with running_server() as running:
        yield running


@pytest.fixture
def connect(own_server: DemoServer, storage: FileStorage) -> Iterator[Connect]:
    """Connects to the server, or to another `url`, like kernels that share one folder."""
    clients = []

    def connect(url: str | None = None, **options: Any) -> Client:
        options = {"storage": storage, "auto_refresh": False} | options
        client = create_client(url or own_server.url, own_server.anon_key, **options)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


def rotated_twice(auth: AuthClient, server: DemoServer, pair: tuple[str, str]) -> None:
    """Restore the pair and refresh it until the server would take its refresh token for stolen."""
    auth.set_session(*pair)
    for _ in range(2):
        server.advance(3600)
        auth.refresh_session()


def new_pair(server: DemoServer, email: str = "ada@example.com") -> tuple[str, str]:
    session = server.sign_in(email)
    return session["access_token"], session["refresh_token"]


def test_the_pair_under_another_name_continues_its_session(connect: Connect, own_server: DemoServer) -> None:
    pair, first, second = new_pair(own_server), connect(), connect(name="work")
    rotated_twice(first.auth, own_server, pair)
    second.auth.set_session(*pair)
    own_server.advance(60)
    assert first.auth.refresh_session().session is not None
    assert second.auth.refresh_session().session is not None
    assert (first.auth.status, second.auth.status) == ("active", "active")


def test_localhost_and_127_0_0_1_are_the_same_host(connect: Connect, own_server: DemoServer) -> None:
    pair = new_pair(own_server)
    first, second = connect(), connect(own_server.url.replace("127.0.0.1", "localhost"))
    rotated_twice(first.auth, own_server, pair)
    second.auth.set_session(*pair)
    own_server.advance(60)
    assert first.auth.refresh_session().session is not None
    assert (first.auth.status, second.auth.status) == ("active", "active")


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("name", ["", "work"])
def test_an_access_token_alone_does_not_take_away_the_refresh_token(
    connect: Connect, own_server: DemoServer, name: str, rotated: bool
) -> None:
    pair, first, second = new_pair(own_server), connect().auth, connect(name=name).auth
    first.set_session(*pair)
    if rotated:
        own_server.advance(60)
        first.refresh_session()
    assert second.set_session(pair[0], "").session == first.session
    assert first.refresh_session().session is not None
    assert second.refresh_session().session is not None
    assert connect(name=name).auth.refresh_session().session is not None


def test_a_second_user_does_not_make_the_first_ones_rotations_forgotten(
    connect: Connect, own_server: DemoServer
) -> None:
    pair, auth = new_pair(own_server), connect().auth
    rotated_twice(auth, own_server, pair)
    auth.set_session(*new_pair(own_server, "grace@example.com"))
    own_server.advance(60)
    user = auth.set_session(*pair).user
    assert user is not None
    assert user.email == "ada@example.com"
    assert auth.refresh_session().session is not None


@pytest.mark.parametrize("noticed", [False, True], ids=["unnoticed", "noticed"])
def test_signing_out_one_user_leaves_another_users_session_in_a_second_notebook(
    connect: Connect, own_server: DemoServer, noticed: bool
) -> None:
    first, second = connect().auth, connect().auth
    first.set_session(*new_pair(own_server, "grace@example.com"))
    second.get_session()
    first.set_session(*new_pair(own_server, "ada@example.com"))
    if noticed:
        second.refresh_session()
        assert second.notices
    first.sign_out("local")
    user = second.refresh_session().user
    assert user.email == "grace@example.com"
    assert (second.status, second.last_error, second.notices) == ("active", None, ())
    restarted = connect().auth.get_session()
    assert restarted is not None
    assert restarted.user.email == "grace@example.com"


def test_a_session_that_lost_its_name_follows_its_rotations_under_another_name(
    connect: Connect, own_server: DemoServer
) -> None:
    pair = new_pair(own_server, "grace@example.com")
    first, second, work = connect().auth, connect().auth, connect(name="work").auth
    first.set_session(*pair)
    second.get_session()
    work.set_session(*pair)
    first.set_session(*new_pair(own_server, "ada@example.com"))
    first.sign_out("local")
    for _ in range(2):  # now the server would take the token that `second` has for stolen
        own_server.advance(3600)
        newest = work.refresh_session().session
    own_server.advance(60)
    assert second.refresh_session().session.access_token == newest.access_token
    assert work.refresh_session().session is not None


def test_the_newest_rotation_is_continued_though_the_names_copy_is_older(
    connect: Connect, own_server: DemoServer, storage: FileStorage
) -> None:
    """As after a kernel that was killed while it saved."""
    auth, key = connect().auth, storage_key(own_server.url)
    auth.set_session(*new_pair(own_server))
    older = storage.get(key)
    newest = auth.refresh_session().session
    assert older is not None
    storage.set(key, older)
    assert connect().auth.get_session() == newest


def test_two_projects_behind_one_host_know_nothing_of_each_other(connect: Connect) -> None:
    answers = {"a": made.Answers(), "b": made.Answers()}
    session = made.session()
    answers["a"]["GET /a/auth/v1/user"] = session["user"]
    a = connect("https://host.example/a", transport=answers["a"])
    b = connect("https://host.example/b", transport=answers["b"])
    a.auth.set_session(session["access_token"], session["refresh_token"])
    assert b.auth.get_session() is None
    assert answers["b"].asked == []
    b.auth.sign_out("local")
    again = connect("https://host.example/a", transport=answers["a"])
    assert again.auth.get_session() == a.auth.session is not None


def test_a_session_does_not_go_to_another_auth_server(connect: Connect) -> None:
    answers = made.Answers()
    session = made.session()
    answers["GET /auth/v1/user"] = session["user"]
    first = connect("https://host.example", transport=answers)
    first.auth.set_session(session["access_token"], session["refresh_token"])
    other = connect("https://host.example", auth_url="https://host.example:8443/auth/v1", transport=answers)
    moved = connect("https://host.example", auth_url="https://host.example/elsewhere", transport=answers)
    assert other.auth.get_session() is None
    assert moved.auth.get_session() is None


# -- what earlier versions stored, and how long a session is kept -------------------------------------------


def as_earlier_versions_stored_it(
    storage: FileStorage, key: str, session: dict[str, Any], spent: str
) -> None:
    """One file per name: the session, with the salted hashes of its used tokens."""
    record = SessionRecord.new(Session.from_wire(session), spent=Secret(spent))
    storage.set(key, record.to_text())


def test_a_file_of_an_earlier_version_is_read_and_moved_over(connect: Connect, storage: FileStorage) -> None:
    answers = made.Answers(
        **{"POST /auth/v1/token": made.session("newest"), "GET /auth/v1/user": made.user()}
    )
    as_earlier_versions_stored_it(storage, "sb-host.example-auth-token", made.session("current"), "spent")
    client = connect("https://host.example", transport=answers)
    # The used token's session is recognized by its hash alone, also under another name.
    other = connect("https://host.example", transport=answers, name="work")
    assert client.auth.get_session() is not None
    client.auth.refresh_session()
    other.auth.set_session("unreadable", "spent")
    assert other.auth.session is not None
    sent = [json.loads(request.content)["refresh_token"] for request in answers.asked if request.content]
    assert sent[0] == "current"
    assert "spent" not in sent


def test_a_file_under_the_machines_other_name_is_moved(connect: Connect, storage: FileStorage) -> None:
    answers = made.Answers(**{"GET /auth/v1/user": made.user()})
    as_earlier_versions_stored_it(storage, "sb-localhost-54321-auth-token", made.session("current"), "spent")
    client = connect("http://127.0.0.1:54321", transport=answers)
    session = client.auth.get_session()
    assert session is not None
    client.auth.set_session(session.access_token, session.refresh_token)
    assert storage.get("sb-localhost-54321-auth-token") is None
    assert storage.get(storage_key("http://localhost:54321")) is not None


@pytest.mark.parametrize(("issuer", "found"), [("a", True), ("b", False), (None, False)])
def test_a_file_of_two_projects_goes_to_the_one_that_issued_it(
    issuer: str | None, found: bool, connect: Connect, storage: FileStorage
) -> None:
    claims = {} if issuer is None else {"iss": f"https://host.example/{issuer}/auth/v1"}
    stored = made.session("current", **claims)
    as_earlier_versions_stored_it(storage, "sb-host.example-auth-token", stored, "spent")
    client = connect("https://host.example/a", transport=made.Answers())
    assert (client.auth.get_session() is not None) is found


def test_other_clients_find_the_session_of_each_name_in_their_format(
    connect: Connect, own_server: DemoServer, storage: FileStorage
) -> None:
    """After a refresh under another name, too."""
    pair, first, second = new_pair(own_server), connect(), connect(name="work")
    first.auth.set_session(*pair)
    second.auth.set_session(*pair)
    rotated = second.auth.refresh_session().session
    assert rotated is not None
    for name in ("", "work"):
        stored = json.loads(storage.get(storage_key(own_server.url, name)) or "")
        assert stored["refresh_token"] == rotated.refresh_token
        assert stored["user"]["email"] == "ada@example.com"


def test_a_session_that_another_client_rotated_is_continued(
    connect: Connect, own_server: DemoServer, storage: FileStorage
) -> None:
    """They write only the name's key, without used tokens."""
    pair, client = new_pair(own_server), connect()
    client.auth.set_session(*pair)
    own_server.advance(60)
    theirs = own_server.request("POST", "/auth/v1/token?grant_type=refresh_token", {"refresh_token": pair[1]})
    storage.set(storage_key(own_server.url), json.dumps(theirs))
    later = connect(name="work")
    later.auth.set_session(*pair)
    assert later.auth.session is not None
    own_server.advance(60)
    assert connect().auth.refresh_session().session is not None


def test_signing_out_of_one_session_leaves_the_other_users(
    connect: Connect, own_server: DemoServer, storage: FileStorage
) -> None:
    ada, grace = new_pair(own_server), new_pair(own_server, "grace@example.com")
    client = connect()
    client.auth.set_session(*ada)
    client.auth.set_session(*grace)
    client.auth.sign_out()
    assert storage.get(storage_key(own_server.url)) is None
    assert client.auth.set_session(*ada).user is not None
    client.auth.sign_out()
    assert not [file for file in storage.path.iterdir() if b"refresh_token" in file.read_bytes()]


class Days(Clock):
    """This machine's clock, so many days ahead."""

    ahead = 0.0

    def wall(self) -> float:
        return super().wall() + self.ahead * 86400


@pytest.mark.parametrize(("server_ahead", "kept"), [(61, 1), (0, 51)], ids=["true", "wrong clock"])
def test_unused_sessions_are_bounded_in_number_and_age(
    server_ahead: int, kept: int, connect: Connect, storage: FileStorage
) -> None:
    """By the server's time: no session is removed because this machine's clock was wrong for a moment."""
    answers, clock = made.Answers(), Days()
    client = connect("https://host.example", transport=answers, clock=clock)

    def stored() -> int:
        return len(list(storage.path.glob("*-session-*.json")))

    def sign_in(number: int, days: int = 0) -> None:
        now = int(time.time()) + days * 86400
        session = {"session_id": f"s{number}", "iat": now, "exp": now + 3600}
        answers["POST /auth/v1/token"] = made.session(f"token{number:07d}", f"user{number}", **session)
        client.auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")

    for number in range(60):
        sign_in(number)
    assert stored() == 51  # the one in use, and fifty
    clock.ahead = 61
    sign_in(60, server_ahead)
    assert stored() == kept


@pytest.mark.parametrize("session_id", ["\ud800", "a" * 80 + "\udfff", "../../x", "a\0b", "x" * 10_000])
def test_a_session_with_any_id_is_stored_and_removed(
    connect: Connect, storage: FileStorage, session_id: str
) -> None:
    session = made.session(session_id=session_id)
    answers = made.Answers(**{"GET /auth/v1/user": made.user(), "POST /auth/v1/logout": httpx.Response(204)})
    client = connect("https://host.example", transport=answers)
    client.auth.set_session(session["access_token"], session["refresh_token"])
    restored = connect("https://host.example", transport=made.Answers()).auth.get_session()
    assert restored is not None
    assert restored.refresh_token == session["refresh_token"]
    client.auth.sign_out()
    assert not [file for file in storage.path.iterdir() if b"refresh_token" in file.read_bytes()]


@pytest.mark.parametrize("stored", [7, b"\xff", ["x"], object(), True])
def test_a_storage_that_returns_no_string_counts_as_damaged(connect: Connect, stored: Any) -> None:
    class Odd(MemoryStorage):
        def get(self, key: str) -> str | None:
            result: str = stored
            return result

    session = made.session()
    answers = made.Answers(**{"GET /auth/v1/user": made.user(), "POST /auth/v1/logout": httpx.Response(204)})
    auth = connect("https://host.example", transport=answers, storage=Odd()).auth
    assert auth.get_session() is None
    assert auth.set_session(session["access_token"], session["refresh_token"]).session is not None
    auth.sign_out()
    assert auth.status == "signed_out"


@pytest.mark.parametrize("key", ["-sent", "-sessions", "-auth-token", "-session-", ""])
@pytest.mark.parametrize("nested", ["[", '{"a":', '{"salt": "00", "sent":['])
def test_a_storage_that_returns_deeply_nested_rubbish(connect: Connect, key: str, nested: str) -> None:
    class Nested(MemoryStorage):
        def get(self, asked: str) -> str | None:
            return nested * 100_000 if key in asked else super().get(asked)

    session = made.session(exp=1)
    answers = made.Answers(**{"POST /auth/v1/token": made.session("newest")})
    auth = connect("https://host.example", transport=answers, storage=Nested()).auth
    assert auth.get_session() is None
    assert auth.set_session(session["access_token"], session["refresh_token"]).session is not None
    auth.sign_out()
    assert auth.status == "signed_out"


@pytest.mark.parametrize("method", ["get", "set", "remove"])
def test_a_storage_whose_prompt_is_cancelled_raises_our_error(
    connect: Connect, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keyring asks for a password, and the user presses Ctrl-C or closes the window."""

    def cancelled(*_: object) -> Any:
        raise KeyboardInterrupt

    session, storage = made.session(), MemoryStorage()
    answers = made.Answers(**{"GET /auth/v1/user": made.user(), "POST /auth/v1/logout": httpx.Response(204)})
    auth = connect("https://host.example", transport=answers, storage=storage).auth
    if method == "remove":
        auth.set_session(session["access_token"], session["refresh_token"])
    monkeypatch.setattr(storage, method, cancelled)
    call = {
        "get": auth.get_session,
        "set": lambda: auth.set_session(session["access_token"], session["refresh_token"]),
        "remove": auth.sign_out,
    }[method]
    with pytest.raises(AuthStorageError):
        call()
    monkeypatch.undo()
    assert auth.set_session(session["access_token"], session["refresh_token"]).session is not None


def test_a_session_whose_file_was_deleted_is_signed_out_and_nothing_of_it_is_left(
    connect: Connect, own_server: DemoServer, storage: FileStorage
) -> None:
    pair, auth = new_pair(own_server), connect().auth
    auth.set_session(*pair)
    storage.remove(storage_key(auth.url))
    with pytest.raises(AuthSessionMissing):
        auth.refresh_session()
    assert auth.status == "signed_out"
    assert [file.name for file in storage.path.glob("*.json") if pair[1] in file.read_text("utf-8")] == []


# -- the storage folder is deleted --------------------------------------------------------------------------


def test_a_deleted_folder_is_no_sign_out(
    connect: Connect, own_server: DemoServer, storage: FileStorage
) -> None:
    """By a cleaner of temporary files, or with a container's volume. Sessions in use are saved again."""
    clients = {name: connect(name=name).auth for name in ("", "same user", "other user")}
    pair = new_pair(own_server)
    clients[""].set_session(*pair)
    clients["same user"].set_session(*new_pair(own_server))
    clients["other user"].set_session(*new_pair(own_server, "grace@example.com"))
    for _ in range(3):
        shutil.rmtree(storage.path)
        for auth in clients.values():
            assert auth.refresh_session().session is not None
    for name, auth in clients.items():
        assert connect(name=name).auth.get_session() == auth.session
        assert auth.session is not None
    latest = clients[""].get_session()
    assert latest is not None
    assert connect().auth.set_session(*pair).session.refresh_token == latest.refresh_token


def test_a_folder_that_is_deleted_during_a_refresh(
    connect: Connect, own_server: DemoServer, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = connect().auth
    auth.set_session(*new_pair(own_server))
    send = AuthAPI.session

    async def delete_and_send(*arguments: Any) -> Any:
        shutil.rmtree(storage.path)
        return await send(*arguments)

    monkeypatch.setattr(AuthAPI, "session", delete_and_send)
    assert auth.refresh_session().session is not None
    assert connect().auth.get_session() == auth.session


def test_a_deleted_folder_is_noticed_in_the_background(
    connect: Connect, own_server: DemoServer, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 0.05)
    auth = connect(auto_refresh=True).auth
    session = auth.set_session(*new_pair(own_server)).session
    wait_until(lambda: auth.status == "active")
    shutil.rmtree(storage.path)
    wait_until(lambda: storage.get(storage_key(own_server.url)) is not None)
    assert auth.session == session
    assert auth.last_error is None


def test_after_a_deleted_folder_a_sign_out_is_still_noticed(
    connect: Connect, own_server: DemoServer, storage: FileStorage
) -> None:
    first, second = connect().auth, connect().auth
    first.set_session(*new_pair(own_server))
    second.get_session()
    shutil.rmtree(storage.path)
    first.refresh_session()
    first.sign_out()
    with pytest.raises(AuthSessionMissing):
        second.refresh_session()
    assert second.status == "signed_out"
    assert storage.get(storage_key(own_server.url)) is None


def test_a_sign_out_by_another_client_is_noticed_by_every_kernel(
    connect: Connect, own_server: DemoServer, storage: FileStorage
) -> None:
    """It deletes the file of the name, and the first kernel to notice deletes the session's own."""
    kernels = [connect().auth for _ in range(3)]
    kernels[0].set_session(*new_pair(own_server))
    for auth in kernels:
        assert auth.get_session() is not None
    storage.remove(storage_key(own_server.url))
    for auth in kernels:
        with pytest.raises(AuthSessionMissing):
            auth.refresh_session()
        assert auth.status == "signed_out"


def test_signed_out_and_restored_again_with_the_same_tokens(connect: Connect, storage: FileStorage) -> None:
    session = made.session()
    answers = made.Answers(**{"GET /auth/v1/user": made.user(), "POST /auth/v1/logout": httpx.Response(204)})
    auth = connect("https://host.example", transport=answers).auth
    for _ in range(2):
        auth.set_session(session["access_token"], session["refresh_token"])
        shutil.rmtree(storage.path)
        assert auth.set_session(session["access_token"], session["refresh_token"]).session is not None
        auth.sign_out()
        assert auth.get_session() is None


def test_a_user_with_deeply_nested_metadata_is_stored(storage: FileStorage) -> None:
    metadata: dict[str, Any] = {}
    for _ in range(600):
        metadata = {"a": metadata}
    session = {**made.session(), "user": made.user(user_metadata=metadata)}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=session))
    options = {"storage": storage, "auto_refresh": False, "transport": transport}
    auth = AuthClient("https://abcd.supabase.co/auth/v1", **options)
    auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
    auth.close()
    later = AuthClient("https://abcd.supabase.co/auth/v1", **options).get_session()
    assert later is not None
    assert "a" in later.user.user_metadata
