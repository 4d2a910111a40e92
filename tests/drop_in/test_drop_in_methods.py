"""docs/supabase-auth-methods.md is right about each method of the installed supabase_auth."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import made
import pytest
import typing_extensions

from supabase_nb import AuthClient, MemoryStorage
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

supabase_auth: Any = pytest.importorskip("supabase_auth")
types: Any = pytest.importorskip("supabase_auth.types")
PAGE = (Path(__file__).parents[2] / "docs" / "supabase-auth-methods.md").read_text("utf-8")
ROWS = {
    name: (kind, how.strip())
    for name, kind, how in re.findall(r"^\| `([\w.]+)` \| (\w+) \| (.*)\|$", PAGE, re.MULTILINE)
}
SAME = sorted(name for name, (kind, _) in ROWS.items() if kind == "same")
VERSION = tuple(map(int, supabase_auth.version.__version__.split(".")[:2]))
DESCRIBED = tuple(map(int, re.findall(r"`supabase_auth` (\d+)\.(\d+)", PAGE)[0]))
pytestmark = pytest.mark.skipif(
    VERSION < DESCRIBED, reason=f"the page describes {DESCRIBED}, installed is {VERSION}"
)


def public(value: Any) -> Iterator[str]:
    """The public methods of a client, those of its namespaces with a dot."""
    for name in dir(value):
        if not name.startswith("_"):
            member = getattr(value, name)
            if callable(member):
                yield name
            else:
                yield from (f"{name}.{inner}" for inner in public(member))


@pytest.mark.parametrize("kind", ["SyncGoTrueClient", "AsyncGoTrueClient"])
def test_each_method_of_theirs_is_on_the_page(kind: str) -> None:
    methods = set(public(getattr(supabase_auth, kind)(url="http://127.0.0.1")))
    assert len(methods) > 50
    assert ROWS.keys() - methods == set()
    assert methods - ROWS.keys() == set()


def test_what_is_there_and_what_is_missing(auth: AuthClient) -> None:
    for name, (kind, how) in ROWS.items():
        assert kind in ("same", "different", "missing"), name
        assert bool(how) is (kind != "same"), f"{name}: how, or why?"
        assert hasattr(auth, name.partition(".")[0]) is (kind != "missing"), name
        if kind != "missing" and name not in ("close", "on_auth_state_change"):
            assert inspect.iscoroutinefunction(getattr(supabase_auth.AsyncGoTrueClient, name)), name
            assert hasattr(auth.aio, name), name


def test_alternatives_that_the_page_names_exist(auth: AuthClient) -> None:
    named = set(re.findall(r"`(\w+)\(", " ".join(how for _, how in ROWS.values()))) - {"model_dump"}
    assert len(named) > 3
    for name in named - {"unsubscribe"}:
        assert hasattr(auth, name), name


@pytest.mark.parametrize("name", [name for name, (kind, _) in ROWS.items() if kind != "missing"])
@pytest.mark.parametrize("awaited", [False, True])
def test_parameters_of_theirs_are_taken(name: str, awaited: bool) -> None:
    ours = inspect.signature(getattr(AuthClient, name)).parameters
    theirs = inspect.signature(getattr(supabase_auth.SyncGoTrueClient, name)).parameters
    if awaited and name not in ("close", "on_auth_state_change"):
        from supabase_nb.auth.aio import AuthAio

        ours = inspect.signature(getattr(AuthAio, name)).parameters
    positional = [p for p in ours.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    for at, parameter in enumerate(list(theirs.values())[1:], 1):
        assert parameter.name in ours, "by name"
        if parameter.name != "options" or name == "update_user":
            assert len(positional) > at, "by position"
    needed = [p.name for p in list(ours.values())[1:] if p.default is p.empty]
    assert set(needed) <= set(theirs)


# -- arguments of methods that are the same ----------------------------------------------------------------

PARAMETERS: dict[str, list[Any]] = {
    "sign_up": [types.SignUpWithEmailAndPasswordCredentials, types.SignUpWithPhoneAndPasswordCredentials],
    "sign_in_with_password": [
        types.SignInWithEmailAndPasswordCredentials,
        types.SignInWithPhoneAndPasswordCredentials,
    ],
    "sign_in_anonymously": [types.SignInAnonymouslyCredentials],
    "sign_in_with_otp": [
        types.SignInWithEmailAndPasswordlessCredentials,
        types.SignInWithPhoneAndPasswordlessCredentials,
    ],
    "verify_otp": [types.VerifyEmailOtpParams, types.VerifyMobileOtpParams, types.VerifyTokenHashParams],
    "exchange_code_for_session": [types.CodeExchangeParams],
    "update_user": [types.UserAttributes],
    "sign_out": [types.SignOutOptions],
}
VALUES = {
    "data": {"x": 1},
    "should_create_user": True,
    "channel": "sms",
    "type": "email",
    "scope": "local",
}


def sample(kind: Any) -> dict[str, Any]:
    """A dictionary with every key of a TypedDict."""
    found: dict[str, Any] = {}
    for name, hint in typing_extensions.get_type_hints(kind).items():
        found[name] = (
            sample(hint) if typing_extensions.is_typeddict(hint) else VALUES.get(name, f"{name}-value")
        )
    return found


@pytest.fixture
def accepting(make_auth: Callable[..., AuthClient]) -> AuthClient:
    """A client whose server says yes to everything."""
    session = made.session()
    answers = made.Answers(**{f"POST /auth/v1/{path}": session for path in ("token", "signup", "verify")})
    answers["POST /auth/v1/otp"] = answers["POST /auth/v1/logout"] = {}
    answers["GET /auth/v1/user"] = answers["PUT /auth/v1/user"] = made.user()
    return make_auth("https://abcd.supabase.co/auth/v1", storage=MemoryStorage(), transport=answers)


def test_dictionaries_of_all_methods_are_tested() -> None:
    assert set(SAME) - {"get_session"} <= PARAMETERS.keys()


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kinds in PARAMETERS.items() for kind in kinds]
)
def test_every_key_of_their_dictionaries_is_taken(name: str, kind: Any, accepting: AuthClient) -> None:
    given = sample(kind)
    assert given
    accepting.set_session(made.jwt(), "abcdefghijkl")
    getattr(accepting, name)(given)


# -- values that methods which are the same return ----------------------------------------------------------


@pytest.fixture(scope="module")
def same_server() -> Iterator[DemoServer]:
    """A server of this module's own: users are made there."""
    with running_server() as running:
        yield running


NEW = {"password": "correct horse battery", "options": {"data": {"name": "New"}}}
ADA = {"email": "ada@example.com", "password": "correct horse battery"}


def sign_in_by_code(client: Any, server: DemoServer, email: str) -> Any:
    client.sign_in_with_otp({"email": email})
    code = re.findall(r"\b\d{6}\b", str(server.outbox(email)[-1]))[0]
    return client.verify_otp({"email": email, "token": code, "type": "email"})


def sign_in_by_link(client: Any, server: DemoServer, email: str) -> Any:
    client.sign_in_with_otp({"email": email})
    link = httpx.get(server.outbox(email)[-1]["action_link"]).headers["location"]
    return client.exchange_code_for_session({"auth_code": re.findall(r"code=([^&#]+)", link)[0]})


def after_sign_in(client: Any, server: DemoServer, email: str) -> Any:
    client.sign_in_with_password(ADA)
    return client.get_session()


CALLS: dict[str, Callable[[Any, DemoServer, str], Any]] = {
    "sign_up": lambda client, server, email: client.sign_up({"email": email, **NEW}),
    "sign_in_with_password": lambda client, server, email: client.sign_in_with_password(ADA),
    "sign_in_anonymously": lambda client, server, email: client.sign_in_anonymously(
        {"options": {"data": {"name": "Visitor"}}}
    ),
    "sign_in_with_otp": lambda client, server, email: client.sign_in_with_otp({"email": email}),
    "verify_otp": sign_in_by_code,
    "exchange_code_for_session": sign_in_by_link,
    "get_session": after_sign_in,
}
# What the server makes anew for each session or user.
VOLATILE = re.compile(
    r"^(?:id|sub|user_id|identity_id|email|(access|refresh)_token|\w+_at|expires_in|message_id)$"
)


def comparable(value: Any) -> Any:
    """A dump without what differs each time: of that, the type."""
    if isinstance(value, dict):
        return {key: type(item) if VOLATILE.match(key) else comparable(item) for key, item in value.items()}
    return [comparable(item) for item in value] if isinstance(value, list) else value


def test_calls_of_all_methods_are_tested() -> None:
    assert CALLS.keys() == set(SAME)


@pytest.mark.parametrize("name", SAME)
def test_the_same_methods_return_equal_dumps(
    name: str, same_server: DemoServer, make_auth: Callable[..., AuthClient]
) -> None:
    ours = make_auth(same_server.auth_url, headers={"apikey": same_server.anon_key}, storage=MemoryStorage())
    with httpx.Client() as http:
        theirs = supabase_auth.SyncGoTrueClient(
            url=same_server.auth_url, auto_refresh_token=False, http_client=http, flow_type="pkce"
        )
        dumps = [
            CALLS[name](client, same_server, f"{name}-{who}@example.com").model_dump()
            for who, client in (("theirs", theirs), ("ours", ours))
        ]
    assert comparable(dumps[0]) == comparable(dumps[1])


# -- values of methods that differ in another way ------------------------------------------------------------

Tokens = tuple[str, str]


def updated(client: Any, pair: Tokens) -> Any:
    client.set_session(*pair)
    dump = client.update_user({"data": {"theme": "dark"}}).model_dump()
    if isinstance(client, AuthClient):  # the page's row: the response has the session too
        assert dump.pop("session")["user"] == dump["user"]
    return dump


def user_of_session(client: Any, pair: Tokens) -> Any:
    client.set_session(*pair)
    return client.get_user().model_dump()


def claims_of_session(client: Any, pair: Tokens) -> Any:
    client.set_session(*pair)
    found = client.get_claims()
    return {name: found[name] for name in ("claims", "headers", "signature")}


def signed_out(client: Any, pair: Tokens) -> Any:
    client.set_session(*pair)
    return [client.sign_out({"scope": "local"}), client.get_session()]


def expired(pair: Tokens) -> str:
    """The access token as it would be had it expired."""
    return made.expired(sub=supabase_auth.helpers.decode_jwt(pair[0])["payload"]["sub"])


# Both clients are given the same tokens, so nothing differs but the seconds that are left.
ON_THE_SAME_TOKENS: dict[str, Callable[[Any, Tokens], Any]] = {
    "set_session": lambda client, pair: client.set_session(*pair).model_dump(),
    "get_session": lambda client, pair: [client.set_session(*pair), client.get_session().model_dump()][1],
    "get_user": user_of_session,
    "get_user of a token": lambda client, pair: client.get_user(pair[0]).model_dump(),
    "get_claims": claims_of_session,
    "get_claims of a token": lambda client, pair: client.get_claims(pair[0])["claims"],
}
# Each of these changes something on the server, so each client has a session of its own.
ON_ITS_OWN_TOKENS: dict[str, Callable[[Any, Tokens], Any]] = {
    "set_session, expired": lambda client, pair: client.set_session(expired(pair), pair[1]).model_dump(),
    "refresh_session": lambda client, pair: [
        client.set_session(*pair),
        client.refresh_session().model_dump(),
    ][1],
    "refresh_session of a token": lambda client, pair: client.refresh_session(pair[1]).model_dump(),
    "update_user": updated,
    "sign_out": signed_out,
}


@pytest.fixture
def both(same_server: DemoServer, make_auth: Callable[..., AuthClient]) -> Iterator[tuple[Any, AuthClient]]:
    """A client of supabase_auth and one of ours."""
    ours = make_auth(same_server.auth_url, headers={"apikey": same_server.anon_key}, storage=MemoryStorage())
    with httpx.Client() as http:
        yield (
            supabase_auth.SyncGoTrueClient(
                url=same_server.auth_url, auto_refresh_token=False, http_client=http
            ),
            ours,
        )


def pair_of(server: DemoServer, email: str = "ada@example.com") -> Tokens:
    wire = server.sign_in(email)
    return wire["access_token"], wire["refresh_token"]


def without_time_left(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_time_left(item) for key, item in value.items() if key != "expires_in"}
    return value


def test_all_methods_that_return_a_session_or_user_are_compared() -> None:
    compared = {name.split(" ")[0].strip(",") for name in (*ON_THE_SAME_TOKENS, *ON_ITS_OWN_TOKENS)}
    different = {name for name, (kind, _) in ROWS.items() if kind == "different"}
    assert different - compared == {"close", "on_auth_state_change"}


@pytest.mark.parametrize("name", ON_THE_SAME_TOKENS)
def test_the_same_tokens_give_the_same_values(
    name: str, both: tuple[Any, AuthClient], same_server: DemoServer
) -> None:
    pair = pair_of(same_server)
    theirs, ours = (without_time_left(ON_THE_SAME_TOKENS[name](client, pair)) for client in both)
    assert theirs == ours
    assert theirs


@pytest.mark.parametrize("name", ON_ITS_OWN_TOKENS)
def test_changes_return_equal_dumps(name: str, both: tuple[Any, AuthClient], same_server: DemoServer) -> None:
    theirs, ours = (comparable(ON_ITS_OWN_TOKENS[name](client, pair_of(same_server))) for client in both)
    assert theirs == ours
    assert theirs
