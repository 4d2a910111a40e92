"""The sign-in methods: each leads to a current, stored session and an event."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import made
import pytest

from supabase_nb import (
    AuthApiError,
    AuthClient,
    AuthError,
    AuthInvalidCredentials,
    AuthRetryableError,
    AuthUnknownError,
    AuthWeakPassword,
    FileStorage,
    MemoryStorage,
)
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server
from supabase_nb.storage import storage_key

MakeAuth = Callable[..., AuthClient]
PASSWORD = "correct horse battery"
APP = "http://localhost:8888/lab"


@pytest.fixture(scope="module")
def mails() -> Iterator[DemoServer]:
    """Its own server, because the tests read its outbox and create users."""
    with running_server(mail_interval=0) as running:
        yield running


@pytest.fixture
def auth(mails: DemoServer, make_auth: MakeAuth) -> AuthClient:
    return make_auth(mails.auth_url, headers={"apikey": mails.anon_key})


@pytest.fixture
def answers() -> made.Answers:
    return made.Answers()


@pytest.fixture
def scripted(make_auth: MakeAuth, answers: made.Answers) -> AuthClient:
    """A client without a server."""
    return make_auth("https://abcd.supabase.co/auth/v1", transport=answers, storage=MemoryStorage())


def newest_mail(server: DemoServer, to: str) -> dict[str, Any]:
    return server.outbox(to)[-1]


def follow(link: str) -> str:
    """Where a link leads to, as a browser's address line shows it."""
    return httpx.get(link).headers["location"]


def body_of(request: httpx.Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.content)
    return found


# -- password -----------------------------------------------------------------------------------------------


def test_with_a_password(auth: AuthClient, make_auth: MakeAuth, mails: DemoServer) -> None:
    seen: list[tuple[str, Any]] = []
    auth.on_auth_state_change(lambda event, session: seen.append((event, session)))
    response = auth.sign_in_with_password(email="ada@example.com", password=PASSWORD)
    assert response.user is not None
    assert response.user.email == "ada@example.com"
    assert auth.session is response.session
    assert auth.status == "active"
    assert seen == [("INITIAL_SESSION", None), ("SIGNED_IN", response.session)]
    assert make_auth(mails.auth_url).get_session() == response.session
    assert auth.refresh_session().session is not None


def test_the_dictionary_of_supabases_client_says_the_same(auth: AuthClient) -> None:
    credentials = {"email": "ada@example.com", "password": PASSWORD, "options": {"captcha_token": "c"}}
    assert auth.sign_in_with_password(credentials).session is auth.session
    assert credentials["password"] == PASSWORD  # the caller's own, left as it was


def test_a_wrong_password_leaves_an_earlier_session(auth: AuthClient) -> None:
    before = auth.sign_in_with_password(email="ada@example.com", password=PASSWORD).session
    with pytest.raises(AuthInvalidCredentials, match="Check the email address and the password"):
        auth.sign_in_with_password(email="grace@example.com", password="wrong")
    assert auth.session is before


def test_another_user_replaces_the_first(auth: AuthClient) -> None:
    auth.sign_in_with_password(email="ada@example.com", password=PASSWORD)
    auth.sign_in_with_password(email="grace@example.com", password=PASSWORD)
    assert auth.user is not None
    assert auth.user.email == "grace@example.com"
    assert [event.kind for event in auth.events] == ["SIGNED_IN", "SIGNED_IN"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "either email or phone"),
        ({"password": "x"}, "either email or phone"),
        ({"email": "a@b.c", "phone": "+4930123456", "password": "x"}, "either email or phone"),
        ({"email": "a@b.c"}, "The password is missing"),
    ],
)
def test_missing_arguments_are_reported_before_anything_is_sent(
    scripted: AuthClient, answers: made.Answers, given: dict[str, str], says: str
) -> None:
    with pytest.raises(AuthInvalidCredentials, match=says):
        scripted.sign_in_with_password(given)
    assert answers.asked == []


def test_typos_raise_an_error(scripted: AuthClient) -> None:
    with pytest.raises(TypeError, match=r"Unknown key 'pasword'.*email, phone, password") as refused:
        scripted.sign_in_with_password({"email": "a@b.c", "pasword": "planted-secret"})
    assert "planted-secret" not in str(refused.value)


def test_a_phone_and_a_captcha(scripted: AuthClient, answers: made.Answers) -> None:
    answers["POST /auth/v1/token"] = made.session()
    scripted.sign_in_with_password(phone="+4930123456", password="pass", captcha_token="captcha")
    (request,) = answers.asked
    assert body_of(request) == {
        "phone": "+4930123456",
        "password": "pass",
        "gotrue_meta_security": {"captcha_token": "captcha"},
    }
    assert request.url.params["grant_type"] == "password"


# -- sign-up, anonymous -------------------------------------------------------------------------------------


def test_sign_up_signs_in_if_no_confirmation_is_required(auth: AuthClient) -> None:
    response = auth.sign_up(email="new@example.com", password=PASSWORD, data={"name": "New"})
    assert response.session is auth.session is not None
    assert auth.user is not None
    assert auth.user.user_metadata["name"] == "New"


def test_sign_up_waits_for_the_confirmation_mail(make_auth: MakeAuth) -> None:
    with running_server(autoconfirm=False) as server:
        auth = make_auth(server.auth_url, headers={"apikey": server.anon_key})
        response = auth.sign_up(email="new@example.com", password=PASSWORD, redirect_to=APP)
        assert response.session is None
        assert response.user is not None
        assert response.user.email == "new@example.com"
        assert auth.status == "signed_out"
        address = follow(newest_mail(server, "new@example.com")["action_link"])
        assert address.startswith(f"{APP}?code=")
        assert auth.sign_in_with_url(address).session is auth.session is not None


def test_a_weak_password_has_its_reasons(auth: AuthClient) -> None:
    with pytest.raises(AuthWeakPassword) as refused:
        auth.sign_up(email="weak@example.com", password="x")
    assert refused.value.reasons


def test_signing_up_with_a_known_address_is_reported(auth: AuthClient) -> None:
    with pytest.raises(AuthApiError, match="Sign in instead") as refused:
        auth.sign_up(email="ada@example.com", password=PASSWORD)
    assert refused.value.code == "user_already_exists"


def test_anonymous(auth: AuthClient) -> None:
    response = auth.sign_in_anonymously(data={"theme": "dark"})
    assert response.session is auth.session
    assert response.user is not None
    assert response.user.is_anonymous
    assert response.user.user_metadata["theme"] == "dark"
    assert auth.events[-1].cause == "signed in anonymously"


# -- one-time code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", ["", " ", "-"])
def test_a_code_by_mail(auth: AuthClient, mails: DemoServer, between: str) -> None:
    response = auth.sign_in_with_otp(email="ada@example.com")
    assert (response.user, response.session) == (None, None)
    code = newest_mail(mails, "ada@example.com")["email_otp"]
    written = f" {code[:3]}{between}{code[3:]} "
    assert auth.verify_otp(email="ada@example.com", token=written).session is auth.session is not None
    with pytest.raises(AuthInvalidCredentials, match="Each works only once"):
        auth.verify_otp(email="ada@example.com", token=code)


def test_no_stranger_becomes_a_user_unless_wanted(auth: AuthClient) -> None:
    with pytest.raises(AuthApiError) as refused:
        auth.sign_in_with_otp({"email": "stranger@example.com", "options": {"should_create_user": False}})
    assert refused.value.code == "otp_disabled"


def test_a_code_by_phone(scripted: AuthClient, answers: made.Answers) -> None:
    answers.table |= {"POST /auth/v1/otp": {"message_id": "m"}, "POST /auth/v1/verify": made.session()}
    scripted.sign_in_with_otp(phone="+4930123456", channel="whatsapp")
    scripted.verify_otp(phone="+4930123456", token="123 456")
    sent, verified = map(body_of, answers.asked)
    assert sent == {"phone": "+4930123456", "channel": "whatsapp", "create_user": True}
    assert verified == {"phone": "+4930123456", "token": "123456", "type": "sms"}
    assert scripted.status == "active"


def test_a_project_without_a_phone_provider_says_so(auth: AuthClient) -> None:
    with pytest.raises(AuthApiError) as refused:
        auth.sign_in_with_otp(phone="+4930123456")
    assert refused.value.code == "phone_provider_disabled"


def test_a_recovery_code_has_its_own_event(auth: AuthClient, mails: DemoServer) -> None:
    mails.request("POST", "/auth/v1/recover", {"email": "ada@example.com"})
    code = newest_mail(mails, "ada@example.com")["email_otp"]
    auth.verify_otp({"email": "ada@example.com", "token": code, "type": "recovery"})
    assert auth.events[-1].kind == "PASSWORD_RECOVERY"


# -- by an address ------------------------------------------------------------------------------------------


def test_a_magic_link_with_a_code(auth: AuthClient, mails: DemoServer, make_auth: MakeAuth) -> None:
    auth.sign_in_with_otp(email="ada@example.com", redirect_to=APP)
    address = follow(newest_mail(mails, "ada@example.com")["action_link"])
    assert "access_token" not in address
    # The kernel may have been restarted in the meantime, because the verifier is in storage.
    later = make_auth(mails.auth_url, headers={"apikey": mails.anon_key})
    assert later.sign_in_with_url(address).session is later.session is not None
    assert later.events[-1].kind == "SIGNED_IN"
    with pytest.raises(AuthError, match="another client started, or that is already complete"):
        later.sign_in_with_url(address)


@pytest.mark.parametrize("address", [5, b"https://app.example/#access_token=x", ["https://app.example"]])
def test_an_address_that_is_no_text(address: Any, auth: AuthClient) -> None:
    with pytest.raises(TypeError, match="address must be a string, not"):
        auth.sign_in_with_url(address)


@pytest.mark.parametrize(
    "call",
    [
        lambda auth, text: auth.sign_in_with_otp(email="ada@example.com", redirect_to=text),
        lambda auth, text: auth.sign_in_with_oauth({"provider": text}),
        lambda auth, text: auth.sign_in_with_oauth({"provider": "github", "options": {"scopes": text}}),
        lambda auth, text: auth.mfa.challenge(factor_id=text),
    ],
)
def test_text_that_no_address_can_hold(call: Callable[..., object], auth: AuthClient) -> None:
    auth.sign_in_with_password(email="ada@example.com", password="correct horse battery")
    with pytest.raises(TypeError, match="a character that can't be sent"):
        call(auth, "a\ud800")


def test_a_link_with_tokens_in_its_fragment(auth: AuthClient, mails: DemoServer) -> None:
    mails.request("POST", f"/auth/v1/otp?redirect_to={APP}", {"email": "ada@example.com"})
    address = follow(newest_mail(mails, "ada@example.com")["action_link"])
    assert "#access_token=" in address
    response = auth.sign_in_with_url(f' "{address}" ')
    assert response.session is auth.session is not None
    assert auth.events[-1].kind == "SIGNED_IN"


def test_the_same_fragment_again_tomorrow(auth: AuthClient, mails: DemoServer) -> None:
    """Its refresh token has been used by then. The stored rotation continues, and nothing is revoked."""
    mails.request("POST", "/auth/v1/otp", {"email": "ada@example.com"})
    address = follow(newest_mail(mails, "ada@example.com")["action_link"])
    auth.sign_in_with_url(address)
    newest = auth.refresh_session().session
    auth.refresh_session()
    assert newest is not None
    assert auth.sign_in_with_url(address).session == auth.session
    assert auth.refresh_session().session is not None


def test_a_recovery_link_has_its_own_event(auth: AuthClient, mails: DemoServer) -> None:
    mails.request("POST", "/auth/v1/recover", {"email": "grace@example.com"})
    auth.sign_in_with_url(follow(newest_mail(mails, "grace@example.com")["action_link"]))
    assert auth.events[-1].kind == "PASSWORD_RECOVERY"


def test_a_token_hash_in_the_address(auth: AuthClient, mails: DemoServer) -> None:
    mails.request("POST", "/auth/v1/otp", {"email": "ada@example.com"})
    token_hash = newest_mail(mails, "ada@example.com")["hashed_token"]
    auth.sign_in_with_url(f"https://app.example.com/confirm?token_hash={token_hash}&type=magiclink")
    assert auth.status == "active"


def test_oauth(auth: AuthClient, mails: DemoServer) -> None:
    url = auth.get_oauth_url("demo", redirect_to=APP, scopes="read", query_params={"hint": "x y"})
    query = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{mails.auth_url}/authorize?")
    assert query.pop("code_challenge_method") == "s256"
    assert len(query.pop("code_challenge")) == 43
    assert query == {"provider": "demo", "redirect_to": APP, "scopes": "read", "hint": "x y"}
    with httpx.Client(follow_redirects=True) as browser:
        page = browser.get(url)
        choice = page.text.split('href="')[1].split('"')[0].replace("&amp;", "&")
        browser.follow_redirects = False
        address = browser.get(f"{mails.url}{choice}").headers["location"]
    assert address.startswith(f"{APP}?code=")
    assert auth.sign_in_with_url(address).session is auth.session is not None


def test_the_address_says_that_it_failed(scripted: AuthClient, answers: made.Answers) -> None:
    address = (
        f"{APP}#error=access_denied&error_code=otp_expired&error_description=Email+link+is+invalid%1b[31m"
    )
    with pytest.raises(AuthInvalidCredentials) as refused:
        scripted.sign_in_with_url(address)
    assert str(refused.value).startswith("The sign-in failed: Email link is invalid [31m. Request a new code")
    with pytest.raises(AuthApiError, match="The sign-in failed: access denied"):
        scripted.sign_in_with_url(f"{APP}?error=access_denied")
    assert answers.asked == []


@pytest.mark.parametrize("address", ["", "x", APP, f"{APP}?a=1#b=2", "http://[", "\0", 7 * "https://"])
def test_an_address_without_anything_in_it(scripted: AuthClient, address: str) -> None:
    with pytest.raises(AuthError, match="neither a code nor tokens"):
        scripted.sign_in_with_url(address)


# -- PKCE ---------------------------------------------------------------------------------------------------


def test_the_verifier_is_stored_where_supabases_clients_store_theirs(
    auth: AuthClient, mails: DemoServer, storage: FileStorage
) -> None:
    key = f"{storage_key(mails.url)}-code-verifier"
    url = auth.get_oauth_url("demo")
    verifier = storage.get(key)
    assert verifier
    assert 43 <= len(verifier) <= 128
    assert verifier not in url
    # As auth-js writes it, in JSON, and marked.
    auth.sign_in_with_otp(email="ada@example.com")
    address = follow(newest_mail(mails, "ada@example.com")["action_link"])
    storage.set(key, json.dumps(f"{storage.get(key)}/PASSWORD_RECOVERY"))
    auth.exchange_code_for_session({"auth_code": parse_qs(urlsplit(address).query)["code"][0]})
    assert auth.events[-1].kind == "PASSWORD_RECOVERY"
    assert storage.get(key) is None


def test_your_own_verifier(auth: AuthClient, mails: DemoServer, storage: FileStorage) -> None:
    auth.sign_in_with_otp(email="ada@example.com")
    code = parse_qs(urlsplit(follow(newest_mail(mails, "ada@example.com")["action_link"])).query)["code"][0]
    key = f"{storage_key(mails.url)}-code-verifier"
    verifier = storage.get(key)
    storage.remove(key)
    assert verifier
    with pytest.raises(AuthError, match="another client started"):
        auth.exchange_code_for_session(code)
    assert auth.exchange_code_for_session(code, code_verifier=verifier).session is not None


def test_a_refused_code_keeps_the_verifier(auth: AuthClient, mails: DemoServer, storage: FileStorage) -> None:
    auth.get_oauth_url("demo")
    with pytest.raises(AuthApiError):
        auth.exchange_code_for_session("no-such-code")
    assert storage.get(f"{storage_key(mails.url)}-code-verifier")


# -- what all have in common --------------------------------------------------------------------------------

WAYS: dict[str, Callable[[AuthClient], Any]] = {
    "password": lambda auth: auth.sign_in_with_password(email="a@b.c", password="planted-secret"),
    "sign up": lambda auth: auth.sign_up({"email": "a@b.c", "password": "planted-secret"}),
    "anonymous": lambda auth: auth.sign_in_anonymously(),
    "code": lambda auth: auth.verify_otp(email="a@b.c", token="planted-secret"),
    "hash": lambda auth: auth.sign_in_with_url("https://x.y/?token_hash=planted-secret"),
    "id token": lambda auth: auth.sign_in_with_id_token(
        provider="google", token="planted-secret", access_token="planted-secret", nonce="planted-secret"
    ),
    "pkce": lambda auth: auth.exchange_code_for_session("planted-secret", code_verifier="planted-secret"),
    "address": lambda auth: auth.sign_in_with_url(f"https://x.y/#access_token={made.expired(planted=1)}"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("no network"),
        httpx.Response(503),
        made.refusal(400, "validation_failed"),
        httpx.Response(200, html="<form>planted-secret</form>"),
        httpx.Response(307, headers={"location": "https://evil.example/"}),
    ],
    ids=["network", "503", "400", "html", "redirect"],
)
def test_a_failure_is_typed_and_shows_no_secret(
    scripted: AuthClient, answers: made.Answers, way: str, answer: Any
) -> None:
    for path in ("token", "signup", "verify", "user"):
        for method in ("POST", "GET"):
            answers[f"{method} /auth/v1/{path}"] = answer
    caught: AuthError | None = None
    try:
        WAYS[way](scripted)
    except AuthError as error:
        caught = error
    assert caught is not None
    assert scripted.status == "signed_out"
    # The frames below the caller's own.
    trace = caught.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    caught.__traceback__ = trace
    shown = "".join(traceback.TracebackException.from_exception(caught, capture_locals=True).format())
    assert "/supabase_nb/auth/" in shown
    assert "planted-secret" not in shown
    assert made.expired(planted=1).split(".")[1] not in shown
    assert len(answers.asked) <= 3


def test_an_outage_is_reported_as_such(scripted: AuthClient, answers: made.Answers) -> None:
    answers["POST /auth/v1/token"] = httpx.Response(429, headers={"retry-after": "7"})
    with pytest.raises(AuthRetryableError) as refused:
        scripted.sign_in_with_password(email="a@b.c", password="x")
    assert refused.value.retry_after == 7


def test_signing_in_is_not_retried_automatically(scripted: AuthClient, answers: made.Answers) -> None:
    answers["POST /auth/v1/otp"] = httpx.Response(503)
    with pytest.raises(AuthRetryableError):
        scripted.sign_in_with_otp(email="a@b.c")
    assert len(answers.asked) == 1


def test_what_is_sent_has_no_access_token(scripted: AuthClient, answers: made.Answers) -> None:
    """A second user signs in while a first one is: nothing of the first goes along."""
    answers["POST /auth/v1/token"] = made.session()
    scripted.sign_in_with_password(email="a@b.c", password="x")
    answers["POST /auth/v1/token"] = made.session("other", iat=int(time.time()) + 5)
    scripted.sign_in_with_password(email="c@d.e", password="y")
    assert all("authorization" not in request.headers for request in answers.asked)


@pytest.mark.parametrize("fails", ["remove", "lock", "unlock", "version"])
def test_a_code_that_was_exchanged_is_never_lost_to_the_storage(
    fails: str, mails: DemoServer, make_auth: MakeAuth, caplog: pytest.LogCaptureFixture
) -> None:
    """The code was used, so the session becomes current even if the storage fails."""

    class Failing(MemoryStorage):
        broken = False

        def _fail(self, what: str) -> None:
            if self.broken and what == fails:
                raise OSError("read-only")

        def remove(self, key: str) -> None:
            self._fail("remove")
            super().remove(key)

        def lock(self, key: str, timeout: float = 30.0) -> Any:
            self._fail("lock")
            return self._locked(key, timeout)

        @contextmanager
        def _locked(self, key: str, timeout: float) -> Iterator[bool]:
            with super().lock(key, timeout) as locked:
                yield locked
            self._fail("unlock")

        def version(self, key: str) -> object:
            self._fail("version")
            return super().version(key)

    storage = Failing()
    auth = make_auth(mails.auth_url, headers={"apikey": mails.anon_key}, storage=storage)
    auth.sign_in_with_otp(email="ada@example.com", redirect_to=APP)
    address = follow(newest_mail(mails, "ada@example.com")["action_link"])
    storage.broken = True
    assert auth.sign_in_with_url(address).session is auth.session is not None
    assert auth.status == "active"
    if fails in ("lock", "unlock"):
        assert f"The session could not be {fails}ed: its storage failed (OSError)." in caplog.text
    storage.broken = False
    auth.sign_out("local")
    assert storage.get(f"{storage_key(mails.url)}-code-verifier") is None


def test_the_first_of_two_confirmations_of_a_new_address() -> None:
    """``tests/wire/recover.json``: the other address has to be confirmed too; there is no session yet."""
    answers = made.Answers(**{"POST /auth/v1/verify": {"code": "200", "msg": "Confirmation link accepted."}})
    auth = AuthClient(
        "https://abcd.supabase.co/auth/v1", storage=MemoryStorage(), transport=answers, auto_refresh=False
    )
    credentials = {"email": "new@example.com", "token": "123456", "type": "email_change"}
    response = auth.verify_otp(credentials)
    assert (response.user, response.session) == (None, None)
    answers["POST /auth/v1/verify"] = {"code": "nonsense"}
    with pytest.raises(AuthUnknownError):
        auth.verify_otp(credentials)
    auth.close()
