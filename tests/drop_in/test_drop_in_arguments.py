"""Methods of the session accept the same arguments as supabase_auth's, and explain what is wrong with others."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import made
import pytest

from supabase_nb import (
    AuthClient,
    AuthError,
    AuthResponse,
    AuthSessionMissing,
    AuthUnknownError,
    MemoryStorage,
    Session,
    SessionResponse,
)
from supabase_nb._secrets.tokens import Secret
from supabase_nb.demo import DemoServer

supabase_auth: Any = pytest.importorskip("supabase_auth")
ADA = {"email": "ada@example.com", "password": "correct horse battery"}


@pytest.fixture
def answers() -> made.Answers:
    """A server that says yes to everything."""
    user = made.user(app_metadata={}, user_metadata={}, created_at="2026-11-23T23:04:53Z")
    session = {**made.session(), "user": user}
    table = {f"POST /auth/v1/{path}": session for path in ("token", "signup", "verify")}
    table["POST /auth/v1/otp"] = {"message_id": "m1"}
    return made.Answers(**table, **{f"{method} /auth/v1/user": user for method in ("GET", "PUT")})


@pytest.fixture
def scripted(make_auth: Callable[..., AuthClient], answers: made.Answers) -> AuthClient:
    return make_auth("https://abcd.supabase.co/auth/v1", storage=MemoryStorage(), transport=answers)


# -- dictionaries ---------------------------------------------------------------------------------------

EMAIL, PHONE = "a@example.com", "+15550100"
OPTIONS = {"redirect_to": "https://app.example.com", "captcha_token": "captcha"}
# What supabase_auth's types say that each method takes.
DICTIONARIES: list[tuple[str, dict[str, Any]]] = [
    ("sign_up", {"email": EMAIL, "password": "pw"}),
    ("sign_up", {"phone": PHONE, "password": "pw"}),
    ("sign_up", {"phone": PHONE, "password": "pw", "options": {"channel": "whatsapp", "data": {"x": 1}}}),
    (
        "sign_up",
        {
            "email": EMAIL,
            "password": "pw",
            "options": {
                "email_redirect_to": "https://app.example.com",
                "data": {"x": 1},
                "captcha_token": "c",
            },
        },
    ),
    ("sign_in_with_password", {"email": EMAIL, "password": "pw"}),
    (
        "sign_in_with_password",
        {"phone": PHONE, "password": "pw", "options": {"data": {"x": 1}, "captcha_token": "c"}},
    ),
    ("sign_in_anonymously", {"options": {"data": {"x": 1}, "captcha_token": "c"}}),
    (
        "sign_in_with_otp",
        {
            "email": EMAIL,
            "options": {
                "email_redirect_to": "https://app.example.com",
                "should_create_user": False,
                "data": {"x": 1},
                "captcha_token": "c",
            },
        },
    ),
    ("sign_in_with_otp", {"phone": PHONE, "options": {"channel": "sms"}}),
    ("verify_otp", {"email": EMAIL, "token": "123456", "type": "email", "options": OPTIONS}),
    ("verify_otp", {"phone": PHONE, "token": "123456", "type": "sms"}),
    ("verify_otp", {"token_hash": "abcdef", "type": "magiclink"}),
    ("exchange_code_for_session", {"auth_code": "c0de", "code_verifier": "v", "redirect_to": "https://a.b"}),
]


def sent(answers: made.Answers) -> list[tuple[str, str, Any, dict[str, str]]]:
    """What the server was sent, as far as it means something there."""
    import json

    found = []
    for request in answers.asked:
        body = {key: value for key, value in json.loads(request.content or b"{}").items() if value}
        if body.get("gotrue_meta_security") == {"captcha_token": None}:
            del body["gotrue_meta_security"]
        body.pop("options", None)  # of verify_otp: theirs sends its own argument along
        for name in ("code_challenge", "code_challenge_method", "data"):
            if name != "data" or not body.get("data"):
                body.pop(name, None)
        found.append((request.method, request.url.path, body, dict(request.url.params)))
    return found


@pytest.mark.parametrize(("method", "given"), DICTIONARIES)
@pytest.mark.parametrize("by_name", [False, True])
def test_a_dictionary_sends_what_supabase_auth_sends(
    method: str, given: dict[str, Any], by_name: bool, scripted: AuthClient, answers: made.Answers
) -> None:
    import httpx

    call = {"params" if method in ("verify_otp", "exchange_code_for_session") else "credentials": given}
    with httpx.Client(transport=answers) as http:
        theirs = supabase_auth.SyncGoTrueClient(
            url=scripted.url, http_client=http, auto_refresh_token=False, flow_type="pkce"
        )
        getattr(theirs, method)(**call)
    expected = sent(answers)
    answers.asked.clear()
    response = getattr(scripted, method)(**call) if by_name else getattr(scripted, method)(given)
    assert sent(answers) == expected
    assert isinstance(response, AuthResponse)


def test_update_user_takes_attributes_options_and_keywords(
    scripted: AuthClient, answers: made.Answers
) -> None:
    scripted.set_session(made.jwt(), "abcdefghijkl")
    answers.asked.clear()
    attributes = {"email": "new@example.com", "nonce": "123456", "current_password": "old"}
    scripted.update_user(attributes, {"email_redirect_to": "https://app.example.com"})
    scripted.update_user(attributes=attributes, options={"email_redirect_to": "https://app.example.com"})
    scripted.update_user(
        email="new@example.com",
        nonce="123456",
        current_password=Secret("old"),
        redirect_to="https://app.example.com",
    )
    first, second, third = sent(answers)
    assert first == second == third
    assert first[2:] == (attributes, {"redirect_to": "https://app.example.com"})


def test_a_message_id_comes_with_a_code_by_phone(scripted: AuthClient) -> None:
    assert scripted.sign_in_with_otp({"phone": PHONE}).message_id == "m1"


def test_one_of_two_confirmations_of_a_new_address(scripted: AuthClient, answers: made.Answers) -> None:
    # tests/wire/recover.json: the other address has to be confirmed too.
    answers["POST /auth/v1/verify"] = {"code": "200", "msg": "Confirmation link accepted."}
    response = scripted.verify_otp({"email": EMAIL, "token": "123456", "type": "email_change"})
    assert (response.user, response.session) == (None, None)
    answers["POST /auth/v1/verify"] = {"code": "nonsense"}
    with pytest.raises(AuthUnknownError):
        scripted.verify_otp({"email": EMAIL, "token": "123456", "type": "email_change"})


# -- what is not understood ---------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[[AuthClient], Any], str]] = {
    "an unknown key": (
        lambda auth: auth.sign_in_with_password({"email": EMAIL, "pasword": "x"}),
        r"Unknown key 'pasword'.*email, phone, password",
    ),
    "an unknown option": (
        lambda auth: auth.sign_up({"email": EMAIL, "password": "x", "options": {"dat": {}}}),
        r"Unknown key 'dat'.*.*data",
    ),
    "an unknown attribute": (lambda auth: auth.update_user({"mail": EMAIL}), r"Unknown key 'mail'.*email"),
    "text for a dictionary": (
        lambda auth: auth.sign_in_with_password(EMAIL),
        "takes a dictionary or keywords: email=, phone=, password=",
    ),
    "text for options": (
        lambda auth: auth.sign_up({"email": EMAIL, "password": "x", "options": "data"}),
        "options must be a dictionary, not str",
    ),
    "a number for a password": (
        lambda auth: auth.sign_in_with_password(email=EMAIL, password=1234),
        "password must be a string, not int",
    ),
    "a list for data": (
        lambda auth: auth.sign_in_anonymously({"options": {"data": [1]}}),
        "data must be a dictionary, not list",
    ),
    "text for a flag": (
        lambda auth: auth.sign_in_with_otp(email=EMAIL, should_create_user="no"),
        "should_create_user must be True or False, not str",
    ),
    "an unknown key of sign_out": (
        lambda auth: auth.sign_out({"scop": "local"}),
        "Unknown key 'scop'.*scope",
    ),
    "another type for sign_out": (lambda auth: auth.sign_out(["local"]), 'sign_out takes "local"'),
    "no code": (lambda auth: auth.exchange_code_for_session({"code": "x"}), "Unknown key 'code'.*auth_code"),
    "one token": (lambda auth: auth.set_session(made.jwt()), "Pass both tokens"),
    "a number": (lambda auth: auth.set_session(5), "Pass both tokens"),
    "a dictionary without tokens": (lambda auth: auth.set_session({"user": {}}), "Pass both tokens"),
    "a misspelled refresh token": (
        lambda auth: auth.set_session({"access_token": made.jwt(), "refresh_tokn": "abcdefghijkl"}),
        "with access_token and refresh_token",
    ),
    "a misspelled access token": (
        lambda auth: auth.set_session({"acess_token": made.jwt(), "refresh_token": "abcdefghijkl"}),
        "with access_token and refresh_token",
    ),
    "an object without a refresh token": (
        lambda auth: auth.set_session(SimpleNamespace(access_token=made.jwt())),
        "with access_token and refresh_token",
    ),
    "a session and a token": (
        lambda auth: auth.set_session(made.session(), "abcdefghijkl"),
        "Pass both tokens, .* or one whole session",
    ),
    "a response and a token": (
        lambda auth: auth.set_session(AuthResponse(None, Session.from_wire(made.session())), "abcdefghijkl"),
        "Pass both tokens, .* or one whole session",
    ),
    "a response without a session and a token": (
        lambda auth: auth.set_session(AuthResponse(None, None), "abcdefghijkl"),
        "Pass both tokens, .* or one whole session",
    ),
    "a dictionary to refresh with": (
        lambda auth: auth.refresh_session({"refresh_token": "abcdefghijkl"}),
        "refresh_token must be a string, not dict",
    ),
    "a session to refresh with": (
        lambda auth: auth.refresh_session(Session.from_wire(made.session())),
        "refresh_token must be a string, not Session",
    ),
    "a dictionary to get a user with": (
        lambda auth: auth.get_user({"jwt": made.jwt()}),
        "jwt must be a string, not dict",
    ),
    "a session to get claims from": (
        lambda auth: auth.get_claims(Session.from_wire(made.session())),
        "jwt must be a string, not Session",
    ),
    "text for keys": (
        lambda auth: auth.get_claims(made.jwt(), jwks="keys"),
        "jwks must be a dictionary, not str",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_arguments_are_refused_with_the_right_ones(
    name: str, scripted: AuthClient, answers: made.Answers
) -> None:
    call, says = WRONG[name]
    with pytest.raises(TypeError, match=says):
        call(scripted)
    assert answers.asked == []


def test_an_unknown_scope_is_refused(scripted: AuthClient) -> None:
    with pytest.raises(AuthError, match='"global", "local" or "others"'):
        scripted.sign_out({"scope": "here"})


def planted() -> str:
    return "-".join(["planted", "secret"])


LEAKING: dict[str, Callable[[Any], Any]] = {
    "password": lambda auth: auth.sign_in_with_password({"email": EMAIL, "password": planted(), "x": 1}),
    "keywords": lambda auth: auth.sign_up(email=5, password=planted()),
    "code": lambda auth: auth.verify_otp(token=planted(), email=EMAIL, type=5),
    "bytes": lambda auth: auth.sign_in_with_password(email=EMAIL, password=planted().encode()),
    "no email": lambda auth: auth.verify_otp({"token": planted()}),
    "auth code": lambda auth: auth.exchange_code_for_session({"auth_code": planted(), "x": 1}),
    "attribute": lambda auth: auth.update_user({"password": planted(), "x": 1}),
    "one token": lambda auth: auth.set_session(planted()),
    "swapped": lambda auth: auth.set_session(planted(), made.jwt()),
    "a key": lambda auth: auth.set_session("sb_publishable_" + planted(), planted()),
    "a session": lambda auth: auth.set_session({"access_token": planted(), "refresh_token": made.jwt()}),
    "key as name": lambda auth: auth.sign_up({made.jwt(planted=planted()): 1}),
    "a scope": lambda auth: auth.sign_out(made.jwt(planted=planted())),
    "a short scope": lambda auth: auth.sign_out(planted()[:12]),
    "a scope's name": lambda auth: auth.sign_out({made.jwt(planted=planted()): 1}),
    "options": lambda auth: auth.sign_out(options={"scope": made.jwt(planted=planted())}),
    "a scope in a list": lambda auth: auth.sign_out([planted()]),
    "part of a session": lambda auth: auth.set_session({"access_token": planted()}),
    "a refresh token": lambda auth: auth.refresh_session({"refresh_token": planted()}),
    "a user's token": lambda auth: auth.get_user({"jwt": planted()}),
    "a token's claims": lambda auth: auth.get_claims([planted()]),
}


@pytest.mark.parametrize("name", LEAKING)
@pytest.mark.parametrize("awaited", [False, True])
def test_no_local_variable_of_ours_shows_a_secret_in_a_refusal(
    name: str, awaited: bool, scripted: AuthClient
) -> None:
    async def wait() -> None:
        await LEAKING[name](scripted.aio)

    with pytest.raises((TypeError, AuthError)) as refused:
        asyncio.run(wait()) if awaited else LEAKING[name](scripted)
    shown = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    text = "".join(shown.format())
    for frame, _ in traceback.walk_tb(refused.value.__traceback__):
        for value in frame.f_locals.values():  # a debugger shows their attributes too
            text += "".join(repr(getattr(value, name, None)) for name in getattr(value, "__slots__", ()))
    assert planted()[:12] not in text
    assert "eyJ" not in text


# -- a whole session ----------------------------------------------------------------------------------------


def their_session(wire: Mapping[str, Any]) -> Any:
    user = {"app_metadata": {}, "user_metadata": {}, "created_at": "2026-11-23T23:04:53Z", **wire["user"]}
    return supabase_auth.types.Session.model_validate({**wire, "user": user})


WHOLE: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "a dictionary": dict,
    "tokens only": lambda wire: {name: wire[name] for name in ("access_token", "refresh_token")},
    "our session": Session.from_wire,
    "our response": lambda wire: SessionResponse(Session.from_wire(wire).user, Session.from_wire(wire)),
    "their session": their_session,
    "their response": lambda wire: supabase_auth.types.AuthResponse(session=their_session(wire)),
    "their dump": lambda wire: their_session(wire).model_dump(),
    "Secrets": lambda wire: {name: Secret(wire[name]) for name in ("access_token", "refresh_token")},
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("awaited", [False, True])
def test_a_whole_session_can_be_set(name: str, awaited: bool, auth: AuthClient, server: DemoServer) -> None:
    wire = server.sign_in("ada@example.com")
    session = WHOLE[name](wire)
    response = asyncio.run(auth.aio.set_session(session)) if awaited else auth.set_session(session)
    assert response.session.access_token == wire["access_token"]
    assert response.session.refresh_token == wire["refresh_token"]


@pytest.mark.parametrize(
    "nothing", [None, AuthResponse(None, None), {"session": None}, {"user": {}, "session": None}]
)
def test_there_is_no_session_to_set(nothing: Any, scripted: AuthClient) -> None:
    with pytest.raises(AuthSessionMissing, match="Sign in with that client first"):
        scripted.set_session(nothing)


def test_empty_tokens_are_no_session(scripted: AuthClient, answers: made.Answers) -> None:
    for empty in ("", None):
        with pytest.raises(AuthSessionMissing, match="Restore the session from both tokens"):
            scripted.set_session({"access_token": empty, "refresh_token": empty})
    assert answers.asked == []


def test_a_token_is_cleaned_of_what_was_copied_with_it(auth: AuthClient, server: DemoServer) -> None:
    copied = f'"Bearer {server.sign_in("ada@example.com")["access_token"]}" '
    assert auth.get_user(copied).email == "ada@example.com"
    assert auth.get_claims(copied).claims["email"] == "ada@example.com"


def test_keywords_of_set_session(auth: AuthClient, server: DemoServer) -> None:
    wire = server.sign_in("ada@example.com")
    tokens = {name: wire[name] for name in ("access_token", "refresh_token")}
    assert auth.set_session(**tokens).user.email == "ada@example.com"
    assert asyncio.run(auth.aio.set_session(**tokens)).user.email == "ada@example.com"


# -- signing out, claims ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda auth: auth.sign_out({"scope": "local"}),
        lambda auth: auth.sign_out(options={"scope": "local"}),
        lambda auth: auth.sign_out("local"),
        lambda auth: auth.sign_out(scope="local"),
    ],
)
def test_sign_out_with_a_scope(
    call: Callable[[AuthClient], Any], auth: AuthClient, server: DemoServer
) -> None:
    other = server.sign_in("ada@example.com")
    auth.sign_in_with_password(ADA)
    call(auth)
    assert auth.get_session() is None
    assert auth.get_user(other["access_token"]).email == "ada@example.com"  # not signed out


@pytest.mark.parametrize("given", [None, {}])
def test_sign_out_without_a_scope_is_global(given: Any, auth: AuthClient, server: DemoServer) -> None:
    other = server.sign_in("ada@example.com")
    auth.sign_in_with_password(ADA)
    auth.sign_out(given)
    with pytest.raises(AuthError):
        auth.get_user(other["access_token"])


def test_claims_have_their_shape(auth: AuthClient) -> None:
    session = auth.sign_in_with_password(ADA).session
    found = auth.get_claims()
    theirs = supabase_auth.helpers.decode_jwt(session.access_token)
    assert found["claims"] == found.claims == theirs["payload"]
    assert found["headers"] == found.headers == theirs["header"]
    assert found["signature"] == found.signature == theirs["signature"]
    assert found["email"] == found.get("email") == "ada@example.com"  # a claim's own name, as before
    assert "email" in found
    assert "signature" in found
    assert "nonsense" not in found
    assert found.get("nonsense", 1) == 1
    with pytest.raises(KeyError):
        found["nonsense"]


def test_claims_show_no_signature(auth: AuthClient) -> None:
    import json
    import pickle

    found = auth.sign_in_with_password(ADA) and auth.get_claims()
    signature = auth.get_session().access_token.rpartition(".")[2]
    for text in (repr(found), json.dumps(found), str(vars(found)), repr(pickle.loads(pickle.dumps(found)))):
        assert signature not in text
        assert repr(found.signature) not in text


def test_claims_are_verified_with_keys_that_are_given(
    make_auth: Callable[..., AuthClient], auth: AuthClient, server: DemoServer
) -> None:
    import httpx

    token = server.sign_in("ada@example.com")["access_token"]
    keys = httpx.get(f"{server.auth_url}/.well-known/jwks.json").json()
    offline = make_auth(transport=made.Answers())  # any request would fail
    assert offline.get_claims(token, jwks=keys).claims["email"] == "ada@example.com"
    head, payload, _ = token.split(".")
    with pytest.raises(AuthError):
        offline.get_claims(f"{head}.{payload}.{made.segment(b'x' * 64)}", jwks=keys)
    other = auth.get_claims(token, jwks={"keys": [{"kty": "nonsense"}]})  # not among these: the project's
    assert other.claims["email"] == "ada@example.com"
