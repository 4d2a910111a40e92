"""The contract of `set_session`: rules 1 to 6, further decisions, and what other clients get wrong."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import made
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import wait_until

from supabase_nb import (
    AuthApiError,
    AuthClient,
    AuthError,
    AuthRetryableError,
    AuthSessionMismatch,
    AuthSessionMissing,
    AuthUnknownError,
    FileStorage,
    MemoryStorage,
    UserDoesntExist,
)
from supabase_nb.demo import DemoServer
from supabase_nb.models import AuthChangeEvent
from supabase_nb.storage import storage_key

MakeAuth = Callable[..., AuthClient]
URL = "https://abcd.supabase.co/auth/v1"
USER, TOKEN = "GET /auth/v1/user", "POST /auth/v1/token"


@pytest.fixture
def answers() -> made.Answers:
    return made.Answers()


@pytest.fixture
def scripted(answers: made.Answers, make_auth: MakeAuth) -> AuthClient:
    """A client whose server says what the test makes it say."""
    return make_auth(URL, transport=answers)


def events_of(auth: AuthClient) -> list[tuple[str, Any]]:
    seen: list[tuple[str, Any]] = []
    auth.on_auth_state_change(lambda event, session: seen.append((event, session)))
    seen.clear()  # INITIAL_SESSION
    return seen


# -- rule 1: what counts as expired -------------------------------------------------------------------------

UNREADABLE = {
    "no dots": "abc",
    "one dot": "abc.def",
    "four segments": "a.b.c.d",
    "empty": "",
    "payload not base64": "eyJh.!!!.sig",
    "payload not JSON": f"eyJh.{made.segment(b'nonsense')}.sig",
    "payload a list": made.jwt([1, 2]),
    "payload a number": made.jwt(7),
    "payload nested too deep": f"eyJh.{made.segment(b'[' * 60_000)}.sig",
    "no exp": made.jwt({"sub": made.USER_ID}),
    "exp is text": made.jwt(exp="soon"),
    "exp is true": made.jwt(exp=True),
    "exp is null": made.jwt(exp=None),
    "exp is NaN": made.jwt(json.dumps({"exp": math.nan}).encode()),
    "exp is infinite": made.jwt(b'{"exp": 1e999}'),
    "exp is negative": made.jwt(exp=-1),
    "exp has 5000 digits": made.jwt(b'{"exp": ' + b"9" * 5000 + b"}"),
    "not a text": 7,
    "none": None,
    "not ASCII": "ä.ö.ü",
    "a header's end": "a.b.c\r\nX-Evil: 1",
    "ten megabytes": "a" * 10_000_000,
}


@pytest.mark.parametrize("access_token", UNREADABLE.values(), ids=UNREADABLE.keys())
class TestRule1Unreadable:
    def test_counts_as_expired_and_is_refreshed(
        self, access_token: Any, scripted: AuthClient, answers: made.Answers
    ) -> None:
        rotated = made.session("rotatedtoken")
        answers[TOKEN] = rotated
        response = scripted.set_session(access_token, "abcdefghijkl")
        assert response.session is not None
        assert response.session.access_token == rotated["access_token"]
        assert [json.loads(request.content) for request in answers.asked] == [
            {"refresh_token": "abcdefghijkl"}
        ]

    def test_without_a_refresh_token_there_is_no_session(
        self, access_token: Any, scripted: AuthClient, answers: made.Answers
    ) -> None:
        with pytest.raises(AuthSessionMissing):
            scripted.set_session(access_token, "")
        assert answers.asked == []


def test_rule_1_an_expiry_beyond_all_floats_is_usable(scripted: AuthClient, answers: made.Answers) -> None:
    answers[USER] = made.user()
    token = made.jwt(b'{"sub": "%s", "exp": %s}' % (made.USER_ID.encode(), b"9" * 400))
    session = scripted.set_session(token, "abcdefghijkl").session
    assert session is not None
    assert session.access_token == token
    assert scripted.time_left() > 10**9


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    access_token=st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.lists(st.integers())),
    refresh_token=st.one_of(st.text(), st.binary(), st.integers(), st.none()),
)
def test_rule_1_nothing_that_is_given_raises_anything_but_our_errors(
    access_token: Any, refresh_token: Any
) -> None:
    answers = made.Answers()
    answers[TOKEN] = made.refusal(400, "refresh_token_not_found")
    answers[USER] = made.refusal(403, "bad_jwt")
    auth = AuthClient(URL, storage=MemoryStorage(), transport=answers, auto_refresh=False)
    with pytest.raises(AuthError):
        auth.set_session(access_token, refresh_token)
    auth.close()


# -- rule 2: expired ----------------------------------------------------------------------------------------


def test_rule_2_an_expired_pair_is_exchanged_and_the_rotated_one_is_the_session(
    auth: AuthClient, server: DemoServer
) -> None:
    pair = server.sign_in()
    response = auth.set_session(made.expired(sub=pair["user"]["id"]), pair["refresh_token"])
    assert response.session is not None
    assert response.session.refresh_token not in ("", pair["refresh_token"])
    assert response.user is not None
    assert response.user.email == "ada@example.com"
    assert auth.session == response.session


def test_rule_2_exactly_now_is_expired(scripted: AuthClient, answers: made.Answers) -> None:
    answers[TOKEN] = made.session("rotatedtoken")
    scripted.set_session(made.jwt(exp=int(time.time())), "abcdefghijkl")
    assert answers.count(TOKEN) == 1


@pytest.mark.parametrize("refresh_token", ["", None, "  ", '""'])
def test_rule_2_expired_without_a_refresh_token_sends_nothing(
    refresh_token: Any, scripted: AuthClient, answers: made.Answers
) -> None:
    with pytest.raises(AuthSessionMissing, match="no refresh token"):
        scripted.set_session(made.expired(), refresh_token)
    assert answers.asked == []


def test_a_refresh_token_that_cannot_be_one_is_never_sent(
    scripted: AuthClient, answers: made.Answers
) -> None:
    with pytest.raises(AuthApiError, match="Copy the whole") as caught:
        scripted.set_session(made.expired(), "hello, world")
    assert caught.value.code == "validation_failed"
    assert answers.asked == []


# -- rule 3: still valid ------------------------------------------------------------------------------------


def test_rule_3_a_valid_pair_is_verified_and_kept(auth: AuthClient, server: DemoServer) -> None:
    pair = server.sign_in()
    before = server.stats().get("token.refresh_token", 0)
    response = auth.set_session(pair["access_token"], pair["refresh_token"])
    session = response.session
    assert session is not None
    assert (session.access_token, session.refresh_token) == (pair["access_token"], pair["refresh_token"])
    assert session.token_type == "bearer"
    assert session.expires_at == session.claims["exp"]
    assert 3500 < session.expires_in <= 3600
    assert response.user is not None
    assert response.user.user_metadata == pair["user"]["user_metadata"]
    assert server.stats().get("token.refresh_token", 0) == before


def test_rule_3_the_user_is_fetched_afresh(scripted: AuthClient, answers: made.Answers) -> None:
    answers[USER] = made.user(email="new@example.com")
    response = scripted.set_session(made.jwt(email="old@example.com"), "abcdefghijkl")
    assert response.user is not None
    assert response.user.email == "new@example.com"


def test_rule_3_a_deleted_user_does_not_exist(auth: AuthClient, server: DemoServer) -> None:
    created = server.admin(
        "POST",
        "/users",
        {"email": "gone@example.com", "password": "correct horse battery", "email_confirm": True},
    )
    pair = server.sign_in("gone@example.com")
    server.admin("DELETE", f"/users/{created['id']}")
    with pytest.raises(UserDoesntExist) as caught:
        auth.set_session(pair["access_token"], pair["refresh_token"])
    assert caught.value.code == "user_not_found"
    assert auth.session is None


@pytest.mark.parametrize("refreshes", [True, False], ids=["with refresh tokens", "without"])
def test_rule_3_a_revoked_session_is_missing_and_the_earlier_one_stays(
    auth: AuthClient, server: DemoServer, refreshes: bool
) -> None:
    mine, other = server.sign_in(), server.sign_in("grace@example.com")
    auth.set_session(mine["access_token"], mine["refresh_token"] if refreshes else "")
    server.request("POST", "/auth/v1/logout?scope=local", token=other["access_token"])
    with pytest.raises(AuthSessionMissing) as caught:
        auth.set_session(other["access_token"], other["refresh_token"] if refreshes else "")
    assert caught.value.code == "session_not_found"
    assert auth.status == "active"
    assert auth.user is not None
    assert auth.user.email == "ada@example.com"


def test_rule_3_expired_by_the_servers_clock_is_rule_2(scripted: AuthClient, answers: made.Answers) -> None:
    answers[USER] = made.refusal(
        403,
        "bad_jwt",
        "invalid JWT: unable to parse or verify signature, token has invalid claims: token is expired",
    )
    answers[TOKEN] = made.session("rotatedtoken")
    session = scripted.set_session(made.jwt(), "abcdefghijkl").session
    assert session is not None
    assert session.refresh_token == "rotatedtoken"


def test_rule_3_a_wrong_signature_is_refused(auth: AuthClient, server: DemoServer) -> None:
    pair = server.sign_in()
    head, payload, _ = pair["access_token"].split(".")
    with pytest.raises(AuthApiError) as caught:
        auth.set_session(f"{head}.{payload}.{made.segment(b'x' * 64)}", pair["refresh_token"])
    assert caught.value.code == "bad_jwt"
    assert auth.session is None


def test_valid_without_a_refresh_token_is_active_until_it_expires(
    auth: AuthClient, server: DemoServer
) -> None:
    pair = server.sign_in()
    session = auth.set_session(pair["access_token"], "").session
    assert session is not None
    assert session.refresh_token == ""
    assert auth.status == "active"


# -- rule 4: save, then notify ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["valid", "expired"])
def test_rule_4_saved_before_subscribers_are_called(
    kind: str, auth: AuthClient, server: DemoServer, storage: FileStorage
) -> None:
    pair = server.sign_in()
    found: list[Any] = []
    auth.on_auth_state_change(lambda event, _: found.append((event, storage.get(storage_key(server.url)))))
    token = pair["access_token"] if kind == "valid" else made.expired(sub=pair["user"]["id"])
    session = auth.set_session(token, pair["refresh_token"]).session
    assert session is not None
    assert [event for event, _ in found] == ["INITIAL_SESSION", "TOKEN_REFRESHED"]
    assert found[0][1] is None
    assert json.loads(found[1][1])["refresh_token"] == session.refresh_token


def test_rule_4_every_subscriber_is_called_even_if_one_raises(
    auth: AuthClient, server: DemoServer, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    subscriptions = []

    def raises(event: AuthChangeEvent, _: object) -> None:
        if event == "TOKEN_REFRESHED":
            raise RuntimeError(f"my {event}")

    def leaves(event: AuthChangeEvent, _: object) -> None:
        if event == "TOKEN_REFRESHED":
            subscriptions[1].unsubscribe()
            subscriptions[1].unsubscribe()
            seen.append("leaves")

    for callback in (raises, leaves, lambda event, _: seen.append(str(event))):
        subscriptions.append(auth.on_auth_state_change(callback))
    pair = server.sign_in()
    response = auth.set_session(pair["access_token"], pair["refresh_token"])
    assert response.session is not None
    assert seen == ["INITIAL_SESSION", "leaves", "TOKEN_REFRESHED"]
    assert "RuntimeError" in caplog.text
    auth.set_session(pair["access_token"], pair["refresh_token"])
    assert seen == ["INITIAL_SESSION", "leaves", "TOKEN_REFRESHED", "TOKEN_REFRESHED"]


def test_an_exception_in_an_observer_does_not_affect_others(
    auth: AuthClient, server: DemoServer, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def raises(change: Any) -> None:
        raise RuntimeError

    auth.observe(raises, "session")
    auth.observe(lambda change: seen.append((change.name, change.new)), ["session", "status"])
    pair = server.sign_in()
    session = auth.set_session(pair["access_token"], pair["refresh_token"]).session
    assert sorted(seen, key=lambda item: item[0]) == [("session", session), ("status", "active")]
    assert "RuntimeError" in caplog.text
    with pytest.raises(Exception, match="read-only"):
        auth.session = None  # type: ignore[assignment]


# -- rule 5: on failure nothing changes ---------------------------------------------------------------------

FAILURES: dict[str, tuple[Any, type[AuthError]]] = {
    "a proxy's login page": (httpx.Response(200, html="<h1>Log in</h1>"), AuthUnknownError),
    "an empty 200": (httpx.Response(200), AuthUnknownError),
    "a 200 that is cut off": (httpx.Response(200, content=b'{"access_token": "eyJ'), AuthUnknownError),
    "a 200 of the wrong types": (
        {"access_token": 5, "refresh_token": [], "user": "ada", "expires_in": "later"},
        AuthUnknownError,
    ),
    "a user without an id": ({**made.session(), "user": {"email": "x"}}, AuthUnknownError),
    "a redirect elsewhere": (
        httpx.Response(307, headers={"location": "https://evil.example/"}),
        AuthUnknownError,
    ),
    "another user's session": (
        made.session(user_id="29053827-b365-40b0-abe9-b55d5d340cac"),
        AuthSessionMismatch,
    ),
    "refused": (made.refusal(400, "refresh_token_not_found"), AuthApiError),
    "refused in the older shape": (
        httpx.Response(400, json={"code": 400, "error_code": "refresh_token_not_found", "msg": "no"}),
        AuthApiError,
    ),
    "a gateway's 403": (httpx.Response(403, text="Forbidden"), AuthApiError),
    "no network": (httpx.ConnectError("no route"), AuthRetryableError),
    "a time-out": (httpx.ReadTimeout("slow"), AuthRetryableError),
    "out of order": (httpx.Response(503), AuthRetryableError),
    "too many requests": (
        made.refusal(429, "over_request_rate_limit", **{"retry-after": "60"}),
        AuthRetryableError,
    ),
}


@pytest.mark.parametrize(("answer", "kind"), FAILURES.values(), ids=FAILURES.keys())
def test_rule_5_on_failure_nothing_changes(
    answer: Any, kind: type[AuthError], scripted: AuthClient, answers: made.Answers, storage: FileStorage
) -> None:
    answers[USER] = made.user("abababab-b365-40b0-abe9-b55d5d340cac")
    mine = made.jwt(sub="abababab-b365-40b0-abe9-b55d5d340cac", session_id="mine")
    scripted.set_session(mine, "mytokenabcde")
    stored, before = storage.get(storage_key(URL)), scripted.session
    seen = events_of(scripted)
    answers[TOKEN] = answer
    with pytest.raises(kind) as caught:
        scripted.set_session(made.expired(), "abcdefghijkl")
    assert "abcdefghijkl" not in str(caught.value)
    assert (storage.get(storage_key(URL)), scripted.session, scripted.status) == (stored, before, "active")
    assert seen == []


def test_rule_5_the_current_sessions_own_dead_pair_ends_it(
    auth: AuthClient, server: DemoServer, storage: FileStorage
) -> None:
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    server.request("POST", "/auth/v1/logout?scope=local", token=pair["access_token"])
    seen = events_of(auth)
    with pytest.raises(AuthSessionMissing):
        auth.set_session(pair["access_token"], pair["refresh_token"])
    assert (auth.status, auth.session) == ("expired", None)
    assert [event for event, _ in seen] == ["SIGNED_OUT"]
    assert storage.get(storage_key(server.url)) is None
    assert auth.last_error is not None
    assert auth.last_error.code == "session_not_found"


# -- beyond the page: run it again --------------------------------------------------------------------------


def spend(auth: AuthClient, pair: dict[str, Any], times: int) -> None:
    auth.set_session(pair["access_token"], pair["refresh_token"])
    for _ in range(times):
        auth.refresh_session()


@pytest.mark.parametrize("kind", ["valid", "expired", "unreadable"])
def test_run_it_again_continues_the_stored_rotation_and_spends_nothing(
    kind: str, make_auth: MakeAuth, server: DemoServer
) -> None:
    pair = server.sign_in()
    spend(make_auth(), pair, 2)
    token = {
        "valid": pair["access_token"],
        "expired": made.expired(sub=pair["user"]["id"]),
        "unreadable": "nonsense",
    }[kind]
    before = server.stats().get("token.refresh_token", 0)
    later = make_auth()
    session = later.set_session(token, pair["refresh_token"]).session
    assert session is not None
    assert session.refresh_token != pair["refresh_token"]
    assert server.stats().get("token.refresh_token", 0) == before
    assert later.events[-1].cause == "continued from storage"
    assert any("Resumed your saved session" in notice for notice in later.notices)
    assert later.refresh_session().session is not None


def test_run_it_again_in_a_kernel_that_lost_the_ancestors(
    make_auth: MakeAuth, server: DemoServer, storage: FileStorage
) -> None:
    """Another of Supabase's clients rewrote the file: the newer `iat` of the same session tells."""
    pair = server.sign_in()
    first = make_auth()
    first.set_session(pair["access_token"], pair["refresh_token"])
    server.advance(5)
    rotated = first.refresh_session().session
    assert rotated is not None
    storage.set(storage_key(server.url), json.dumps(rotated.to_wire()))
    session = make_auth().set_session(pair["access_token"], pair["refresh_token"]).session
    assert session == rotated


def test_the_servers_header_identifies_an_unknown_used_token(
    scripted: AuthClient, answers: made.Answers, storage: FileStorage
) -> None:
    stored = made.session("newesttoken1", session_id=made.SESSION_ID)
    storage.set(storage_key(URL), json.dumps(stored))

    def token(request: httpx.Request) -> Any:
        sent = json.loads(request.content)["refresh_token"]
        if sent == "newesttoken1":
            return made.session("afterrevoked")
        return made.refusal(400, "refresh_token_already_used", **{"sb-auth-session-id": made.SESSION_ID})

    answers[TOKEN] = token
    session = scripted.set_session("unreadable", "spenttoken12").session
    assert session is not None
    assert session.refresh_token == "afterrevoked"
    # The used one is recognized from now on, and not sent again.
    answers[USER] = made.user()
    scripted.set_session("unreadable", "spenttoken12")
    assert [json.loads(r.content)["refresh_token"] for r in answers.asked if r.content] == [
        "spenttoken12",
        "newesttoken1",
    ]


def test_a_pasted_pair_that_is_newer_than_the_stored_one_wins(
    scripted: AuthClient, answers: made.Answers, storage: FileStorage
) -> None:
    now = int(time.time())
    storage.set(storage_key(URL), json.dumps(made.session("oldoldoldold", iat=now - 600)))
    answers[USER] = made.user()
    session = scripted.set_session(made.jwt(iat=now), "newnewnewnew").session
    assert session is not None
    assert session.refresh_token == "newnewnewnew"


def test_a_tie_that_nothing_settles_goes_to_the_supplied_pair(
    scripted: AuthClient, answers: made.Answers, storage: FileStorage
) -> None:
    now = int(time.time())
    storage.set(storage_key(URL), json.dumps(made.session("storedstored", iat=now)))
    answers[USER] = made.user()
    session = scripted.set_session(made.jwt(iat=now), "suppliedsupp").session
    assert session is not None
    assert session.refresh_token == "suppliedsupp"


def test_version_2_refresh_tokens_contain_their_session_and_order(
    scripted: AuthClient, answers: made.Answers, storage: FileStorage
) -> None:
    # tests/wire/rotation-v2-refresh-tokens.json, family 1: t1 and t3
    t1 = "AExz5L79ekXXvYm1ma-cN18Ako06GEBLUL_pxK8OdWTdaizW_Ig"
    t3 = "AExz5L79ekXXvYm1ma-cN18C-_PwR49HZ2bEQwtlW5TvBlK4_5c"
    storage.set(
        storage_key(URL), json.dumps(made.session(t3, session_id="4c73e4be-fd7a-45d7-bd89-b599af9c375f"))
    )
    answers[USER] = made.user()
    session = scripted.set_session("unreadable", t1).session
    assert session is not None
    assert session.refresh_token == t3
    assert answers.count(TOKEN) == 0


def test_expired_without_a_refresh_token_is_missing_even_with_that_session_in_storage(
    make_auth: MakeAuth, server: DemoServer
) -> None:
    pair = server.sign_in()
    spend(make_auth(), pair, 1)
    with pytest.raises(AuthSessionMissing):
        make_auth().set_session(made.expired(), "")


# -- what people paste --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", ["  {}\n", '"{}"', "'{}'", "Bearer {}", "bearer  {}", "`{}`", ' "Bearer {}" ']
)
def test_spaces_quotes_and_bearer_are_stripped(shape: str, auth: AuthClient, server: DemoServer) -> None:
    pair = server.sign_in()
    session = auth.set_session(shape.format(pair["access_token"]), f" '{pair['refresh_token']}' ").session
    assert session is not None
    assert session.access_token == pair["access_token"]
    assert session.refresh_token == pair["refresh_token"]


# -- crossings ----------------------------------------------------------------------------------------------


def test_set_session_b_while_a_refresh_of_a_is_under_way_leaves_b(
    answers: made.Answers, make_auth: MakeAuth
) -> None:
    asked, go_on = threading.Event(), threading.Event()
    auth = make_auth(URL, transport=answers, storage=MemoryStorage())
    answers[USER] = made.user()
    auth.set_session(made.jwt(session_id="a"), "aaaaaaaaaaaa")

    def slow(_: httpx.Request) -> Any:
        asked.set()
        assert go_on.wait(10)
        return made.session("rotatedofaaa", session_id="a")

    answers[TOKEN] = slow
    refresh = threading.Thread(target=lambda: auth.refresh_session())
    refresh.start()
    assert asked.wait(10)
    b = made.jwt(session_id="b")
    entering = threading.Thread(target=lambda: auth.set_session(b, "bbbbbbbbbbbb"))
    entering.start()
    go_on.set()
    refresh.join(10)
    entering.join(10)
    assert auth.session is not None
    assert auth.session.access_token == b


def test_rule_6_other_projects_keep_their_sessions_apart(
    make_auth: MakeAuth, server: DemoServer, storage: FileStorage
) -> None:
    pair = server.sign_in()
    make_auth().set_session(pair["access_token"], pair["refresh_token"])
    assert make_auth("https://other.supabase.co/auth/v1").get_session() is None


# -- what it costs, and whom it keeps waiting ---------------------------------------------------------------


def test_an_unchanged_session_is_not_written_again(
    scripted: AuthClient, answers: made.Answers, storage: FileStorage
) -> None:
    """Running a cell again doesn't wake other kernels, but new data is always written."""
    key, pair = storage_key(URL), made.session()
    answers[USER] = made.user()
    first = scripted.set_session(pair["access_token"], pair["refresh_token"])
    version = storage.version(key)
    again = scripted.set_session(pair["access_token"], pair["refresh_token"])
    assert storage.version(key) == version
    assert again.user == first.user
    answers[USER] = made.user(phone="123")
    changed = scripted.set_session(pair["access_token"], pair["refresh_token"])
    assert storage.version(key) != version
    assert changed.user is not None
    assert changed.user.phone == "123"
    assert json.loads(storage.get(key) or "")["user"]["phone"] == "123"
    storage.remove(key)
    scripted.set_session(pair["access_token"], pair["refresh_token"])
    assert storage.get(key) is not None


def test_other_kernels_need_not_wait_for_a_token_to_be_verified(
    scripted: AuthClient, answers: made.Answers, storage: FileStorage
) -> None:
    free: list[bool] = []

    def user(request: httpx.Request) -> Any:
        with scripted._manager.store.locks.lock_session(made.SESSION_ID, 0.0) as locked:
            free.append(locked)
        return made.user()

    answers[USER] = user
    pair = made.session()
    scripted.set_session(pair["access_token"], pair["refresh_token"])
    assert free == [True]


def test_a_rotation_that_another_kernel_stores_meanwhile_is_continued(
    scripted: AuthClient, answers: made.Answers, storage: FileStorage
) -> None:
    now = int(time.time())
    rotated = made.session("rotated00002", iat=now + 5)
    asked: list[str] = []

    def user(request: httpx.Request) -> Any:
        asked.append(request.headers["authorization"].removeprefix("Bearer "))
        storage.set(storage_key(URL), json.dumps(rotated))
        return made.user()

    answers[USER] = user
    supplied = made.jwt(iat=now)
    session = scripted.set_session(supplied, "supplied0001").session
    assert session is not None
    assert session.refresh_token == "rotated00002"
    assert asked == [supplied, rotated["access_token"]]  # nothing is in force that was not verified


def test_an_abandoned_call_sends_no_refresh_token(
    scripted: AuthClient, answers: made.Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is over while the token is verified; that it has expired is learnt too late."""
    monkeypatch.setattr("supabase_nb.auth._session.retry.FOREGROUND_TIMEOUT", 0.2)
    over = threading.Event()

    def user(request: httpx.Request) -> Any:
        assert over.wait(20)
        return made.refusal(403, "bad_jwt", "invalid JWT: token is expired")

    answers[USER] = user
    with pytest.raises(AuthRetryableError, match="Timed out"):
        scripted.set_session(made.jwt(), "abcdefghijkl")
    over.set()
    answers[USER] = made.user()
    assert scripted.set_session(made.jwt(), "mnopqrstuvwx").session is not None
    assert answers.count(TOKEN) == 0


def test_a_refused_pair_hides_nothing_that_another_kernel_did(
    make_auth: MakeAuth, server: DemoServer, storage: FileStorage
) -> None:
    """Looking at the storage for one's own ends is not yet catching up with it."""
    pair = server.sign_in()
    here, there = make_auth(), make_auth()
    here.set_session(pair["access_token"], pair["refresh_token"])
    there.get_session()
    there.refresh_session()
    with pytest.raises(AuthError):
        here.set_session("unreadable", "nobodysatall")
    here.start_auto_refresh()
    wait_until(lambda: here.session == there.session)  # the background tells in a thread of its own
