"""docs/supabase-auth-methods.md is correct for each method of the installed supabase_auth."""

from __future__ import annotations

import functools
import hashlib
import html
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import made
import pytest
import typing_extensions

from supabase_nb import AuthApiError, AuthClient, AuthSessionMissingError, MemoryStorage
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


def member(client: Any, name: str) -> Any:
    """A method of a client, or of its namespace: ``mfa.enroll``."""
    return functools.reduce(getattr, name.split("."), client)


def has(client: Any, name: str) -> bool:
    try:
        return callable(member(client, name))
    except AttributeError:
        return False


def test_what_is_there_and_what_is_missing(auth: AuthClient) -> None:
    awaited = supabase_auth.AsyncGoTrueClient(url="http://127.0.0.1")
    for name, (kind, how) in ROWS.items():
        assert kind in ("same", "different", "missing"), name
        assert bool(how) is (kind != "same"), f"{name}: how, or why?"
        assert has(auth, name) is (kind != "missing"), name
        if kind != "missing" and name not in ("close", "on_auth_state_change"):
            assert inspect.iscoroutinefunction(member(awaited, name)), name
            assert has(auth.aio, name), name


def test_what_is_missing_is_left_out_on_purpose() -> None:
    missing = {name for name, (kind, _) in ROWS.items() if kind == "missing"}
    assert missing == {name for name in ROWS if name.startswith(("admin.", "initialize"))}


def test_alternatives_that_the_page_names_exist(auth: AuthClient) -> None:
    named = set(re.findall(r"`(\w+)\(", " ".join(how for _, how in ROWS.values()))) - {"model_dump"}
    assert len(named) > 3
    for name in named - {"unsubscribe"}:
        assert hasattr(auth, name), name


@pytest.mark.parametrize("name", [name for name, (kind, _) in ROWS.items() if kind != "missing"])
@pytest.mark.parametrize("awaited", [False, True])
def test_parameters_of_theirs_are_taken(name: str, awaited: bool, auth: AuthClient) -> None:
    theirs = member(supabase_auth.SyncGoTrueClient(url="http://127.0.0.1"), name)
    alike = awaited and name not in ("close", "on_auth_state_change")
    ours = inspect.signature(member(auth.aio if alike else auth, name)).parameters
    positional = [p for p in ours.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    for at, parameter in enumerate(inspect.signature(theirs).parameters.values()):
        assert parameter.name in ours, "by name"
        if parameter.name != "options" or name == "update_user":
            assert len(positional) > at, "by position"
    needed = [p.name for p in ours.values() if p.default is p.empty]
    assert set(needed) <= set(inspect.signature(theirs).parameters)


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
    "sign_in_with_id_token": [types.SignInWithIdTokenCredentials],
    "sign_in_with_oauth": [types.SignInWithOAuthCredentials],
    "sign_in_with_sso": [types.SignInWithSSOCredentials],
    "link_identity": [types.SignInWithOAuthCredentials],
    "resend": [types.ResendEmailCredentials, types.ResendPhoneCredentials],
    "mfa.enroll": [types.MFAEnrollTOTPParams, types.MFAEnrollPhoneParams],
    "mfa.challenge": [types.MFAChallengeParams],
    "mfa.verify": [types.MFAVerifyParams],
    "mfa.challenge_and_verify": [types.MFAChallengeAndVerifyParams],
    "mfa.unenroll": [types.MFAUnenrollParams],
}
VALUES = {
    "data": {"x": 1},
    "should_create_user": True,
    "channel": "sms",
    "type": "email",
    "scope": "local",
    "skip_http_redirect": True,
    "query_params": {"prompt": "consent"},
}
# Without a dictionary: nothing, or an address first.
WITHOUT = {
    "get_session",
    "get_user_identities",
    "mfa.get_authenticator_assurance_level",
    "reauthenticate",
    "reset_password_email",
    "reset_password_for_email",
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
    answers["POST /auth/v1/resend"] = answers["POST /auth/v1/recover"] = {}
    page = {"url": "https://provider.example.com/"}
    answers["POST /auth/v1/sso"] = answers["GET /auth/v1/user/identities/authorize"] = page
    totp = {"qr_code": "<svg/>", "secret": "planted", "uri": "otpauth://totp/x"}
    answers["POST /auth/v1/factors"] = {"id": "f", "type": "totp", "friendly_name": "", "totp": totp}
    factor = "/auth/v1/factors/factor_id-value"
    answers[f"POST {factor}/challenge"] = {"id": "c", "type": "totp", "expires_at": 1795738074}
    answers[f"POST {factor}/verify"], answers[f"DELETE {factor}"] = session, {"id": "f"}
    return make_auth("https://abcd.supabase.co/auth/v1", storage=MemoryStorage(), transport=answers)


def test_dictionaries_of_all_methods_are_tested() -> None:
    assert set(SAME) - WITHOUT <= PARAMETERS.keys()


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kinds in PARAMETERS.items() for kind in kinds]
)
def test_every_key_of_their_dictionaries_is_taken(name: str, kind: Any, accepting: AuthClient) -> None:
    given = sample(kind)
    assert given
    accepting.set_session(made.jwt(), "abcdefghijkl")
    member(accepting, name)(given)


@pytest.mark.parametrize("name", ["reset_password_for_email", "reset_password_email"])
def test_options_of_a_new_password(name: str, accepting: AuthClient) -> None:
    member(accepting, name)("ada@example.com", sample(types.Options))
    member(accepting, name)("ada@example.com", options=sample(types.Options))


# -- values that methods which are the same return ----------------------------------------------------------


@pytest.fixture(scope="module")
def same_server() -> Iterator[DemoServer]:
    """A server of this module's own: users are made there."""
    with running_server() as running:
        yield running


NEW = {"password": "correct horse battery", "options": {"data": {"name": "New"}}}
HERE = "http://127.0.0.1:8899/callback"
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


def page_of(url: str) -> Any:
    """The links of the page that an address leads to, by what they say."""
    page = httpx.get(url, follow_redirects=True)
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', page.text)
    return {text: str(page.url.join(html.unescape(link))) for link, text in links}


def signed_up(client: Any, email: str) -> Any:
    return client.sign_up({"email": email, **NEW})


def link_by_provider(client: Any, server: DemoServer, email: str) -> Any:
    signed_up(client, email)
    asked = client.link_identity({"provider": "github", "options": {"redirect_to": HERE}})
    signed_up_too = f"other-{email}"
    server.admin("POST", "/users", {"email": signed_up_too, "email_confirm": True})
    back = httpx.get(page_of(asked.url)[signed_up_too]).headers["location"]
    client.exchange_code_for_session({"auth_code": re.findall(r"code=([^&#]+)", back)[0]})
    return asked


def sign_in_by_id_token(client: Any, server: DemoServer, email: str) -> Any:
    nonce = hashlib.sha256(b"nonce").hexdigest()
    token = server.id_token(email, sub=email, email_verified=True, nonce=nonce)
    return client.sign_in_with_id_token({"provider": "github", "token": token, "nonce": "nonce"})


def sign_in_by_organisation(client: Any, server: DemoServer, email: str) -> Any:
    try:
        return client.sign_in_with_sso({"domain": "example.com"})
    except (supabase_auth.errors.AuthApiError, AuthApiError) as error:
        return {"code": error.code, "status": error.status}


def resent(client: Any, server: DemoServer, email: str) -> Any:
    answers = [client.resend({"type": "signup", "email": email}).model_dump()]
    signed_up(client, email)
    client.update_user({"email": f"new-{email}"})
    server.advance(61)
    options = {"email_redirect_to": HERE}
    answers.append(client.resend({"type": "email_change", "email": email, "options": options}).model_dump())
    assert len(server.outbox(f"new-{email}")) == 2
    return answers


def new_password(client: Any, server: DemoServer, email: str) -> Any:
    signed_up(client, email)
    answer = client.reset_password_for_email(email, {"redirect_to": HERE})
    back = httpx.get(server.outbox(email)[-1]["action_link"]).headers["location"]
    assert back.startswith(HERE)
    told: list[str] = []
    client.on_auth_state_change(lambda event, session: told.append(str(event)))
    session = client.exchange_code_for_session({"auth_code": re.findall(r"code=([^&#]+)", back)[0]})
    return [answer, session.model_dump(), told[-1]]


def enrolled(client: Any, server: DemoServer, email: str) -> Any:
    signed_up(client, email)
    return client.mfa.enroll({"factor_type": "totp", "friendly_name": "app", "issuer": "tests"})


def shown(server: DemoServer, email: str) -> str:
    return str(server.totp_codes(email)[0]["code"])


def challenged(client: Any, server: DemoServer, email: str) -> Any:
    return client.mfa.challenge({"factor_id": enrolled(client, server, email).id})


def verified(client: Any, server: DemoServer, email: str) -> Any:
    factor = enrolled(client, server, email)
    challenge = client.mfa.challenge({"factor_id": factor.id})
    told: list[str] = []
    client.on_auth_state_change(lambda event, session: told.append(str(event)))
    params = {"factor_id": factor.id, "challenge_id": challenge.id, "code": shown(server, email)}
    return [client.mfa.verify(params).model_dump(), client.get_session().model_dump(), told[-1]]


def challenged_and_verified(client: Any, server: DemoServer, email: str) -> Any:
    factor = enrolled(client, server, email)
    return client.mfa.challenge_and_verify({"factor_id": factor.id, "code": shown(server, email)})


def unenrolled(client: Any, server: DemoServer, email: str) -> Any:
    challenged_and_verified(client, server, email)
    answer = client.mfa.unenroll({"factor_id": client.mfa.list_factors().totp[0].id})
    return [answer.model_dump(), client.get_user().model_dump(), client.refresh_session().model_dump()]


def levels(client: Any, server: DemoServer, email: str) -> Any:
    def level() -> Any:
        return client.mfa.get_authenticator_assurance_level().model_dump()

    found = [level(), signed_up(client, email) and level(), enrolled_too(client) and level()]
    factor = client.mfa.list_factors().all[0]
    client.mfa.challenge_and_verify({"factor_id": factor.id, "code": shown(server, email)})
    found.append(level())
    client.sign_in_with_password({"email": email, "password": NEW["password"]})
    return [*found, level()]


def enrolled_too(client: Any) -> Any:
    return client.mfa.enroll({"factor_type": "totp"})


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
    "get_user_identities": lambda client, server, email: [
        signed_up(client, email),
        client.get_user_identities(),
    ][1],
    "link_identity": link_by_provider,
    "reauthenticate": lambda client, server, email: [signed_up(client, email), client.reauthenticate()][1],
    "resend": resent,
    "reset_password_email": lambda client, server, email: client.reset_password_email(email),
    "reset_password_for_email": new_password,
    "sign_in_with_id_token": sign_in_by_id_token,
    "sign_in_with_sso": sign_in_by_organisation,
    "mfa.enroll": enrolled,
    "mfa.challenge": challenged,
    "mfa.verify": verified,
    "mfa.challenge_and_verify": challenged_and_verified,
    "mfa.unenroll": unenrolled,
    "mfa.get_authenticator_assurance_level": levels,
}
# What the server makes anew for each session, user or factor.
VOLATILE = re.compile(
    r"^(?:id|sub|user_id|identity_id|email|(access|refresh)_token|\w+_at|expires_in|message_id|new_email|iss"
    r"|provider_id|qr_code|secret|uri|timestamp|url)$"
)


def comparable(value: Any) -> Any:
    """A dump without what differs each time: of that, the type."""
    if isinstance(value, dict):
        return {key: type(item) if VOLATILE.match(key) else comparable(item) for key, item in value.items()}
    return [comparable(item) for item in value] if isinstance(value, list) else value


def dumped(value: Any) -> Any:
    """What a method has returned, as plain values."""
    return value.model_dump() if hasattr(value, "model_dump") else value


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
            dumped(CALLS[name](client, same_server, f"{name}-{who}@example.com"))
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


def address(client: Any, pair: Tokens) -> Any:
    """Theirs has a challenge only if it was made for that."""
    options = {"redirect_to": HERE, "scopes": "read:user", "query_params": {"prompt": "consent"}}
    found = client.sign_in_with_oauth({"provider": "github", "options": options}).model_dump()
    query = httpx.URL(found.pop("url")).params
    return found | {name: query[name] for name in query if not name.startswith("code_challenge")}


def factors_of_session(client: Any, pair: Tokens) -> Any:
    client.set_session(*pair)
    factor = client.mfa.enroll({"factor_type": "totp"})
    listed = client.mfa.list_factors().model_dump()
    client.mfa.unenroll({"factor_id": factor.id})
    return listed


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
    "sign_in_with_oauth": address,
    "mfa.list_factors": factors_of_session,
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


@pytest.mark.parametrize("scope", ["local", "global", "others"])
def test_signing_out_without_a_session(scope: str, both: tuple[Any, AuthClient]) -> None:
    """The page says: no event, and an error for the other sessions of no user."""
    theirs, ours = both
    events: dict[str, list[str]] = {"theirs": [], "ours": []}
    theirs.on_auth_state_change(lambda event, session: events["theirs"].append(str(event)))
    ours.on_auth_state_change(lambda event, session: events["ours"].append(str(event)))
    assert theirs.sign_out({"scope": scope}) is None
    if scope == "others":
        with pytest.raises(AuthSessionMissingError):
            ours.sign_out({"scope": scope})
    else:
        ours.sign_out({"scope": scope})
    assert ("SIGNED_OUT" in events["theirs"]) == (scope != "others")
    assert "SIGNED_OUT" not in events["ours"]
    assert "there is no `SIGNED_OUT` event" in ROWS["sign_out"][1]
    assert '`"others"` raises `AuthSessionMissingError`' in ROWS["sign_out"][1]


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
    assert different - compared == {"close", "on_auth_state_change", "unlink_identity"}


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


def test_unlinking_leaves_equal_identities(both: tuple[Any, AuthClient], same_server: DemoServer) -> None:
    left = []
    for number, client in enumerate(both):
        email = f"unlinking-{number}@example.com"
        signed_up(client, email)
        token = same_server.id_token(email, sub=email, email_verified=True)
        client.sign_in_with_id_token({"provider": "github", "token": token})
        identities = client.get_user_identities().identities
        assert len(identities) == 2
        client.unlink_identity(next(each for each in identities if each.provider == "github"))
        left.append(comparable(client.get_user_identities().model_dump()))
    assert left[0] == left[1]
    assert len(left[0]["identities"]) == 1


def test_an_organisations_page(make_auth: Callable[..., AuthClient]) -> None:
    """The embedded server has none."""
    bodies, dumps = [], []
    answers = made.Answers(**{"POST /auth/v1/sso": {"url": "https://sso.example.com/"}})
    url, given = "https://abcd.supabase.co/auth/v1", {"options": {"redirect_to": HERE}}
    with httpx.Client(transport=answers) as http:
        theirs = supabase_auth.SyncGoTrueClient(url=url, http_client=http, flow_type="pkce")
        for client in (theirs, make_auth(url, transport=answers, storage=MemoryStorage())):
            for by in ({"domain": "example.com"}, {"provider_id": "7ba1"}):
                dumps.append(client.sign_in_with_sso({**by, **given}).model_dump())
                body = json.loads(answers.asked[-1].content)
                body.pop("gotrue_meta_security", None)  # without a captcha, theirs is empty
                assert len(body.pop("code_challenge")) == 43
                bodies.append(body)
    assert bodies[:2] == bodies[2:]
    assert dumps[:2] == dumps[2:]
