"""Failures of all kinds: nothing visible in the exception contains a token."""

import asyncio
import copy
import dataclasses
import inspect
import io
import json
import logging
import pickle
import subprocess
import sys
import traceback
import warnings
from html import escape as html_escape
from typing import Any, ClassVar
from urllib.parse import quote, quote_plus

import httpx
import made
import pytest

from supabase_nb import AuthClient, MemoryStorage, Session, create_client
from supabase_nb.auth._browser_sign_in import begin_with_oauth_server, begin_with_provider
from supabase_nb.errors import AuthError

pytestmark = pytest.mark.slow

REFRESH = "plantedrefr3"
PASSWORD = "planted-passw0rd"
CODE = "9090909090"  # as long as codes get: six digits would turn up by chance, in some local time
VERIFIER = "plantedverifier"
TOTP = "PLANTEDTOTPSECRET2345672345672AB"
CAPTCHA = "planted-captcha-token"
OTHER = made.session("otherplanted", user_id="0b1c7e0e-0000-4000-8000-000000000000", marker="other")
VALID = made.session(REFRESH, marker="planted")
EXPIRED = VALID | {"access_token": made.expired(marker="planted")}
# A session of a client of the OAuth server: it is refreshed elsewhere.
OF_CLIENT = EXPIRED | {"access_token": made.expired(marker="planted", client_id="app")}
SECRETS = (
    *(wire["access_token"].split(".")[1] for wire in (VALID, EXPIRED, OTHER, OF_CLIENT)),
    REFRESH, OTHER["refresh_token"], PASSWORD, CODE, VERIFIER, TOTP, CAPTCHA,
)  # fmt: skip
ECHO = f"of {VALID['access_token']}, {EXPIRED['access_token']} and refresh_token={REFRESH}"


ENROLLED = {
    "id": "f", "type": "totp", "friendly_name": "",
    "totp": {"qr_code": f"<svg>{TOTP}</svg>", "secret": TOTP, "uri": f"otpauth://totp/x?secret={TOTP}"},
}  # fmt: skip


def html(status):
    return httpx.Response(status, html=f"<html>{ECHO} '{REFRESH}'</html>")


def sent(request):
    """Every secret in a request."""
    body = json.loads(request.content or b"{}")
    return [
        value for value in (request.headers.get("authorization"), *body.values()) if isinstance(value, str)
    ]


def repeated(status, form=str, name="msg"):
    """A server whose error text repeats what it was sent."""
    return lambda request: httpx.Response(
        status, json={name: "".join(f"(bad: {form(value)})" for value in sent(request))}
    )


#: What the network answers to the request that matters; or raises.
ANSWERS: dict[str, Any] = {
    "refusal": made.refusal(400, "refresh_token_already_used", f"Refused: {ECHO}"),
    "old refusal": httpx.Response(401, json={"error": "invalid_grant", "error_description": ECHO}),
    "weak password": httpx.Response(
        422, json={"code": "weak_password", "message": ECHO, "weak_password": {"reasons": [ECHO]}}
    ),
    "unknown code": httpx.Response(400, json={"code": ECHO, "message": ECHO}),
    "code that is none": httpx.Response(400, json={"code": {"a": ECHO}, "msg": ECHO}),
    "user not found": made.refusal(403, "user_not_found", ECHO),
    "session not found": made.refusal(403, "session_not_found", ECHO, **{"sb-auth-session-id": ECHO}),
    "bad_jwt": made.refusal(403, "bad_jwt", f"invalid JWT: {VALID['access_token']} is expired"),
    "repeats the request": repeated(400),
    "repeats it, URL-encoded": repeated(401, lambda value: quote(value, safe="")),
    "repeats it in JSON": repeated(403, json.dumps),
    "repeats it out of order": repeated(503),
    "repeats it without spaces": lambda request: httpx.Response(429, json={"message": "|".join(sent(request))}),
    "repeats it as a code": repeated(400, name="error_code"),
    "repeats it behind a long text": lambda request: httpx.Response(
        400, json={"msg": "".join(f"{VALID['access_token']}{value}" for value in sent(request) * 9)}
    ),
    "repeats it in a header": lambda request: made.refusal(
        403, "session_not_found", **{"sb-auth-session-id": "/".join(sent(request))}
    ),
    "outage": httpx.Response(503, text=ECHO, headers={"retry-after": ECHO}),
    "busy": httpx.Response(429, json={"code": "over_request_rate_limit", "message": ECHO}),
    "proxy": html(407),
    "login page": html(200),
    "redirect": httpx.Response(307, headers={"location": f"https://evil.example/?{REFRESH}#{ECHO}"}),
    "another user": httpx.Response(200, json=OTHER),
    "a user of the wrong types": httpx.Response(200, json={"id": 7, "email": ECHO}),
    "a session of the wrong types": httpx.Response(200, json=VALID | {"user": ECHO}),
    "no expiry": httpx.Response(200, json={"access_token": made.jwt([ECHO]), "refresh_token": REFRESH}),
    "cut off": httpx.Response(200, content=json.dumps(VALID)[:-40].encode()),
    "empty": httpx.Response(200),
    "no network": httpx.ConnectError(ECHO),
    "certificate": httpx.ConnectError(f"[SSL: CERTIFICATE_VERIFY_FAILED] {ECHO}"),
    "time-out": httpx.ReadTimeout(ECHO),
    "proxy error": httpx.ProxyError(f"407 <html>{ECHO}</html>"),
    "protocol": httpx.LocalProtocolError(f"Illegal header value b'Bearer {VALID['access_token']}'"),
    "decoding": httpx.DecodingError(ECHO),
    "bad URL": httpx.InvalidURL(ECHO),
    "an enrollment": httpx.Response(200, json=ENROLLED),
    "half an enrollment": httpx.Response(200, json={"id": "f", "type": "totp", "totp": {"secret": TOTP}}),
    "a defect": ValueError(ECHO),
    "a defect with arguments": KeyError(VALID["access_token"], REFRESH),
    "Ctrl-C": KeyboardInterrupt(ECHO),
    "exit": SystemExit(ECHO),
    "memory": MemoryError(ECHO),
}  # fmt: skip


class Secretive:
    """The tokens, which no local variable of a caller may show."""

    def __init__(self, wire):
        self.access = lambda: wire["access_token"]
        self.refresh = lambda: wire["refresh_token"]


GIVEN = {"valid": Secretive(VALID), "expired": Secretive(EXPIRED), "of a client": Secretive(OF_CLIENT)}

CALLS: dict[str, Any] = {
    "set_session, valid": lambda auth: auth.set_session(GIVEN["valid"].access(), GIVEN["valid"].refresh()),
    "set_session, expired": lambda auth: auth.set_session(
        GIVEN["expired"].access(), GIVEN["expired"].refresh()
    ),
    "refresh_session": lambda auth: auth.refresh_session(),
    "refresh_session of another": lambda auth: auth.refresh_session(GIVEN["valid"].refresh()),
    "get_user": lambda auth: auth.get_user(),
    "get_user of another": lambda auth: auth.get_user(GIVEN["valid"].access()),
    "get_claims": lambda auth: auth.get_claims(GIVEN["valid"].access()),
    "update_user": lambda auth: auth.update_user({"password": PASSWORD[:]}),
    "sign_out": lambda auth: auth.sign_out(),
    "sign_out of others": lambda auth: auth.sign_out("others"),
    "sign_in_with_password": lambda auth: auth.sign_in_with_password(
        {"email": "ada@example.com", "password": PASSWORD[:]}
    ),
    "sign_up": lambda auth: auth.sign_up(email="ada@example.com", password=PASSWORD[:]),
    "verify_otp": lambda auth: auth.verify_otp(email="ada@example.com", token=CODE[:], type="email"),
    "sign_in_with_url": lambda auth: auth.sign_in_with_url(
        f"http://x.example/#access_token={GIVEN['valid'].access()}&refresh_token={GIVEN['valid'].refresh()}"
    ),
    "exchange_code_for_session": lambda auth: auth.exchange_code_for_session(
        {"auth_code": CODE * 3, "code_verifier": VERIFIER[:]}
    ),
    "a browser's address": lambda auth: begin_with_provider(auth, "github", "http://127.0.0.1:1/").finish(
        f"http://site.example/?code={CODE * 3}"
    ),
    "a browser's address of another sign-in": lambda auth: begin_with_provider(
        auth, "github", "http://127.0.0.1:1/"
    ).finish(f"http://127.0.0.1:1/?code={CODE * 3}&supabase_nb_state={VERIFIER}"),
    "sign_in_with_id_token": lambda auth: auth.sign_in_with_id_token(
        provider="google",
        token=GIVEN["valid"].access(),
        access_token=PASSWORD[:],
        nonce=VERIFIER[:],
        captcha_token=CAPTCHA[:],
    ),
    "sign_in_with_sso": lambda auth: auth.sign_in_with_sso(domain="x.example", captcha_token=CAPTCHA[:]),
    "link_identity": lambda auth: auth.link_identity(provider="github"),
    "unlink_identity": lambda auth: auth.unlink_identity({"identity_id": "identity"}),
    "get_user_identities": lambda auth: auth.get_user_identities(),
    "reset_password_for_email": lambda auth: auth.reset_password_for_email(
        "ada@example.com", {"captcha_token": CAPTCHA[:]}
    ),
    "resend": lambda auth: auth.resend(type="signup", email="ada@example.com", captcha_token=CAPTCHA[:]),
    "reauthenticate": lambda auth: auth.reauthenticate(),
    "update_user with a nonce": lambda auth: auth.update_user(password=PASSWORD[:], nonce=CODE[:]),
    "mfa.enroll": lambda auth: auth.mfa.enroll(factor_type="totp"),
    "mfa.challenge": lambda auth: auth.mfa.challenge(factor_id="f"),
    "mfa.verify": lambda auth: auth.mfa.verify(factor_id="f", challenge_id="c", code=CODE[:]),
    "mfa.challenge_and_verify": lambda auth: auth.mfa.challenge_and_verify(factor_id="f", code=CODE[:]),
    "mfa.unenroll": lambda auth: auth.mfa.unenroll(factor_id="f"),
    "mfa.list_factors": lambda auth: auth.mfa.list_factors(),
    "aio.mfa.verify": lambda auth: asyncio.run(
        auth.aio.mfa.verify({"factor_id": "f", "challenge_id": "c", "code": CODE[:]})
    ),
    "set_session of a client": lambda auth: auth.set_session(
        GIVEN["of a client"].access(), GIVEN["of a client"].refresh()
    ),
    "aio.set_session": lambda auth: asyncio.run(
        auth.aio.set_session(GIVEN["expired"].access(), GIVEN["expired"].refresh())
    ),
}


EXCHANGES = (
    "set_session, expired", "set_session of a client", "refresh_session", "refresh_session of another",
    "aio.set_session", "mfa.verify", "aio.mfa.verify",
)  # fmt: skip


def caught(call):
    """What a call raises, with the frames it came through; ``None`` when it raises nothing."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001
        return error
    return None


def chain(error):
    """An exception and all that it carries along."""
    seen: list[BaseException] = []
    todo = [error]
    while todo:
        current = todo.pop()
        if current is not None and current not in seen:
            seen.append(current)
            todo += [current.__cause__, current.__context__, *getattr(current, "exceptions", ())]
    return seen


def ours(error):
    """From the first frame of the package on: what is above holds the caller's own variables."""
    frames = error.__traceback__
    while frames is not None and "/supabase_nb/" not in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    return frames


#: Ways through the package that the slow views have shown once.
SHOWN_IN_FULL: set[object] = set()


def views(error):
    """All that tools show of an exception: each by its name."""
    yield "str", str(error)
    yield "repr", repr(error)
    for one in chain(error):
        yield "args", repr(one.args)
        yield "attributes", repr(vars(one))
        yield "notes", repr(getattr(one, "__notes__", ""))
        for name in ("request", "response", "doc", "object"):
            yield name, repr(getattr(one, name, ""))
    yield "traceback", "".join(traceback.format_exception(error))
    within = error.with_traceback(ours(error))
    summary = traceback.TracebackException.from_exception(within, capture_locals=True)
    yield "traceback with locals", "".join(summary.format())
    way = tuple((frame.f_code, line) for frame, line in traceback.walk_tb(within.__traceback__))
    if way in SHOWN_IN_FULL:
        return  # the same frames again: what the slow views would show of them is seen above
    SHOWN_IN_FULL.add(way)
    for mode in ("Plain", "Context", "Verbose", "Minimal", "Docs"):
        yield f"%xmode {mode}", xmode(mode, within)
    yield "rich", rich(within)
    if sys.version_info < (3, 13):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import cgitb
        yield "cgitb", cgitb.text((type(within), within, within.__traceback__))
    for copied in (copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        if isinstance(error, AuthError):
            yield "copy", repr(copied(error)) + str(copied(error)) + repr(vars(copied(error)))
    if isinstance(error, AuthError):
        yield "IPython", "\n".join(error._render_traceback_())
        AuthError.show_traceback = True
        yield "IPython, %supabase_debug on", "\n".join(error._render_traceback_())
        AuthError.show_traceback = False


def xmode(mode, error):
    from IPython.core.ultratb import FormattedTB

    # IPython 8, the last version for Python 3.10, names it differently.
    parameters = inspect.signature(FormattedTB.__init__).parameters
    plain = {"theme_name": "nocolor"} if "theme_name" in parameters else {"color_scheme": "NoColor"}
    formatter = FormattedTB(mode="Verbose" if mode == "Docs" else mode, include_vars=True, **plain)
    return formatter.text(type(error), error, error.__traceback__)


def rich(error):
    from rich.console import Console
    from rich.traceback import Traceback

    class Uncoloured(Traceback):
        LEXERS: ClassVar = {".py": "text"}  # colours are most of the work

    console = Console(file=io.StringIO(), width=4000)
    shown = Uncoloured.from_exception(
        type(error), error, error.__traceback__, width=4000, show_locals=True, locals_max_string=None
    )
    console.print(shown)
    return console.file.getvalue()


def leaks(error):
    """The names of the views that show a secret; what they show is printed."""
    found = set()
    for name, shown in views(error):
        for secret in SECRETS:
            before, planted, after = shown.partition(secret)
            if planted:
                sys.stdout.write(f"{name}: {before[-60:]}[{planted}]{after[:20]}\n")
                found.add(name)
    return sorted(found)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No pauses between the tries of a call."""
    monkeypatch.setattr("supabase_nb.auth._session.retry._FIRST_PAUSE", 0.0)


@pytest.fixture
def network():
    """What answers; all well until a test says otherwise."""
    return made.Answers(**{
        "GET /auth/v1/user": VALID["user"],
        "PUT /auth/v1/user": VALID["user"],
        "POST /auth/v1/token": VALID,
        "POST /auth/v1/signup": VALID,
        "POST /auth/v1/verify": VALID,
        "POST /auth/v1/logout": httpx.Response(204),
        "GET /auth/v1/.well-known/jwks.json": {"keys": []},
        "POST /auth/v1/oauth/token": VALID,
        "POST /auth/v1/sso": {"url": "https://sso.example/"},
        "GET /auth/v1/user/identities/authorize": {"url": "https://provider.example/"},
        "DELETE /auth/v1/user/identities/identity": {},
        "POST /auth/v1/recover": {},
        "POST /auth/v1/resend": {},
        "GET /auth/v1/reauthenticate": {},
        "POST /auth/v1/factors": ENROLLED,
        "POST /auth/v1/factors/f/challenge": {"id": "c", "type": "totp", "expires_at": 1795738074},
        "POST /auth/v1/factors/f/verify": VALID,
        "DELETE /auth/v1/factors/f": {"id": "f"},
    })  # fmt: skip


@pytest.fixture
def auth(network):
    client = AuthClient(
        "https://abcd.supabase.co/auth/v1",
        storage=MemoryStorage(), auto_refresh=False, transport=network, headers={"apikey": "anon"},
    )  # fmt: skip
    client.set_session(VALID["access_token"], VALID["refresh_token"])
    yield client
    client.close()


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("call", CALLS)
def test_failures_of_the_network(call, answer, network, auth, caplog, capfd):
    if answer in ("Ctrl-C", "exit") and call in EXCHANGES:
        pytest.skip("an exchange runs as a task of its own, which is never interrupted")
    caplog.set_level(logging.DEBUG)
    for path in network.table:
        network.table[path] = ANSWERS[answer]
    error = caught(lambda: CALLS[call](auth))
    if error is not None:
        assert leaks(error) == []
        assert isinstance(error, (AuthError, KeyboardInterrupt, SystemExit, MemoryError))
    said = caplog.text + "".join(capfd.readouterr()) + repr(auth.last_error) + repr(auth.events)
    assert not [secret for secret in SECRETS if secret in said]


def circular():
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    "data",
    [{"a": object()}, {(1, 2): 3}, {"a": float("nan")}, {"a": b"x"}, circular()],
    ids=["object", "key", "NaN", "bytes", "circular"],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda auth, data: auth.update_user(data=data),
        lambda auth, data: auth.sign_up(email="ada@example.com", password=PASSWORD[:], data=data),
        lambda auth, data: asyncio.run(auth.aio.update_user(password=PASSWORD[:], data=data)),
    ],
    ids=["update_user", "sign_up", "awaited"],
)
def test_values_that_json_does_not_have(call, data, network, auth):
    asked = len(network.asked)
    error = caught(lambda: call(auth, data))
    assert isinstance(error, TypeError)
    assert "JSON" in str(error)
    assert leaks(error) == []
    assert len(network.asked) == asked


def shown_of(value):
    """What tools show of a value: its repr, its attributes, what they hold, and copies of it."""
    yield repr(value)
    yield str(value)
    yield repr(vars(value))
    yield repr([vars(each) for each in vars(value).values() if hasattr(each, "__dict__")])
    yield repr(copy.deepcopy(value)) if hasattr(value, "model_dump") else ""


def test_values_of_second_factors_show_nothing(auth, caplog):
    caplog.set_level(logging.DEBUG)
    enrolled = auth.mfa.enroll(factor_type="totp")
    assert enrolled.totp.secret == TOTP
    for value in (
        enrolled,
        enrolled.totp,
        auth.mfa.challenge(factor_id="f"),
        auth.mfa.verify(factor_id="f", challenge_id="c", code=CODE),
        auth.mfa.get_authenticator_assurance_level(),
        auth.mfa,
        auth.aio.mfa,
    ):
        assert not [secret for text in shown_of(value) for secret in SECRETS if secret in text]
    traits = repr(auth.trait_values()) + repr(auth.events)
    assert not [secret for secret in SECRETS if secret in traits + caplog.text]


def test_a_sign_in_under_way_shows_no_verifier(network, auth, caplog):
    caplog.set_level(logging.DEBUG)
    network["GET /auth/v1/.well-known/oauth-authorization-server"] = {"registration_endpoint": "x"}
    network["POST /auth/v1/oauth/clients/register"] = {"client_id": "app"}
    sent = {}

    def answer(request):
        sent.update(json.loads(request.content))
        return httpx.Response(200, json=VALID)

    network["POST /auth/v1/token"] = network["POST /auth/v1/oauth/token"] = answer
    for begin in (lambda: begin_with_provider(auth, "github", "http://127.0.0.1:1/"),
                  lambda: begin_with_oauth_server(auth, "http://127.0.0.1:1/")):  # fmt: skip
        under_way = begin()
        under_way.finish(f"http://site.example/?code={CODE * 3}")
        shown = "".join(shown_of(under_way)) + under_way.url + caplog.text
        assert len(sent["code_verifier"]) > 40
        assert sent["code_verifier"] not in shown
        assert CODE not in shown


@pytest.mark.parametrize(
    "form",
    [str, str.upper, quote, quote_plus, json.dumps, html_escape, lambda value: json.dumps(json.dumps(value))],
)
def test_a_password_that_an_error_text_repeats_in_another_form(form, network, auth):
    password = 'Pläntéd & "pass"/w0rd+'
    for field, value in {"msg": "msg", "code": "weak_password", "error_code": "odd"}.items():
        network["POST /auth/v1/token"] = httpx.Response(
            422,
            json={"msg": "", field: value}
            | {"message": f"password={form(password)}, twice: {form(password)}"},
        )
        error = caught(lambda: auth.sign_in_with_password(email="ada@example.com", password=password))
        assert isinstance(error, AuthError)
        said = str(error) + repr(error) + repr(vars(error))
        for part in ("Pläntéd", "PLÄNTÉD", "w0rd", "W0RD", "nt%C3", "u00e9d"):
            assert part not in said


def test_the_rest_of_a_text_that_repeats_a_secret_is_kept(network, auth):
    network["POST /auth/v1/verify"] = made.refusal(
        403, "otp_expired", "Code 123456 of ada@example.com is bad"
    )
    error = caught(lambda: auth.verify_otp(email="ada@example.com", token="123456", type="email"))
    assert "Code ••• of ada@example.com is bad" in str(error)


def test_a_short_password_does_not_tear_a_text_apart(network, auth):
    network["PUT /auth/v1/user"] = made.refusal(
        422, "weak_password", "Password should be at least 6 characters"
    )
    error = caught(lambda: auth.update_user({"password": "a"}))
    assert "Password should be at least 6 characters" in str(error)


def test_a_refused_address_is_named(network, auth):
    network["PUT /auth/v1/user"] = made.refusal(400, "email_address_invalid", "ada@nowhere is invalid")
    assert "ada@nowhere is invalid" in str(caught(lambda: auth.update_user({"email": "ada@nowhere"})))


def test_the_address_of_a_failed_sign_in_repeats_its_own_token(auth):
    address = f"http://x.example/#error=server_error&error_description=Bad+{REFRESH}&refresh_token={REFRESH}"
    error = caught(lambda: auth.sign_in_with_url(address))
    assert "Bad •••" in str(error)
    assert leaks(error.with_traceback(None)) == []


CGITB = {"cgitb"} if sys.version_info < (3, 13) else set()


def test_these_tests_can_see(tmp_path):
    """An exception that shows tokens is seen in every view."""

    def fails(access_token, refresh_token):
        error = ValueError(f"{access_token} {refresh_token}")
        error.add_note(refresh_token) if sys.version_info >= (3, 11) else None
        raise error

    fails.__code__ = fails.__code__.replace(co_filename="/x/supabase_nb/x.py")
    error = caught(lambda: fails(VALID["access_token"], REFRESH))
    seen = leaks(error)
    assert set(seen) >= {"str", "repr", "args", "traceback", "traceback with locals", "rich", "%xmode Plain"}
    assert sum(name.startswith("%xmode") for name in seen) == 5

    file = tmp_path / "supabase_nb" / "x.py"
    file.parent.mkdir()
    file.write_text(
        "def hides(access_token, refresh_token):\n    raise ValueError('no token here', len(access_token))\n"
    )
    names = {}
    exec(compile(file.read_text(), file, "exec"), names)
    seen = leaks(caught(lambda: names["hides"](VALID["access_token"], REFRESH)))
    assert set(seen) >= {"traceback with locals", "rich", "%xmode Verbose"} | CGITB


@pytest.mark.parametrize(
    "access_token",
    [
        VALID["access_token"] + "\n",
        VALID["access_token"] + "ü",
        VALID["access_token"].encode(),
        {"access_token": VALID["access_token"]},
        [VALID["access_token"], REFRESH],
        VALID["access_token"] + ".more",
        VALID["access_token"].replace(".", " . "),
        REFRESH,
        VALID["access_token"] * 9000,
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "refresh_token", [REFRESH, REFRESH + "\r\nx: y", REFRESH.encode(), None, VALID["access_token"]]
)
def test_text_that_is_not_a_token(access_token, refresh_token, network, auth, caplog):
    caplog.set_level(logging.DEBUG)
    network["POST /auth/v1/token"] = made.refusal(400, "validation_failed", ECHO)
    hidden = {"access": lambda: access_token, "refresh": lambda: refresh_token}
    for call in (
        lambda: auth.set_session(hidden["access"](), hidden["refresh"]()),
        lambda: auth.get_user(hidden["access"]()),
        lambda: auth.get_claims(hidden["access"]()),
        lambda: auth.refresh_session(hidden["refresh"]()),
    ):
        error = caught(call)
        assert error is None or (isinstance(error, AuthError | TypeError) and leaks(error) == [])
    assert not [secret for secret in SECRETS if secret in caplog.text]


class FailingStorage(MemoryStorage):
    """Fails in one of its methods, as people's own storages do: with the value in the exception."""

    fails = ""

    def _fail(self, name, value=""):
        if self.fails == name:
            raise RuntimeError(f"cannot {name} {value} {ECHO}")

    def get(self, key):
        self._fail("get")
        return super().get(key)

    def set(self, key, value):
        self._fail("set", value)
        super().set(key, value)

    def remove(self, key):
        self._fail("remove")
        super().remove(key)


@pytest.mark.parametrize("fails", ["get", "set", "remove"])
@pytest.mark.parametrize("call", CALLS)
def test_failures_of_the_storage(call, fails, network, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    storage = FailingStorage()
    auth = AuthClient(
        "https://abcd.supabase.co/auth/v1", storage=storage, auto_refresh=False, transport=network
    )
    auth.set_session(VALID["access_token"], VALID["refresh_token"])
    storage.fails = fails
    error = caught(lambda: CALLS[call](auth))
    auth.close()
    if error is not None:
        assert leaks(error) == []
    said = caplog.text + "".join(capfd.readouterr()) + repr(auth.last_error)
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.parametrize(
    "stored", ["{", "[]", json.dumps({"access_token": VALID["access_token"]}), ECHO, "\ud800"]
)
def test_a_damaged_storage(stored, network, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    storage = MemoryStorage()
    auth = AuthClient(
        "https://abcd.supabase.co/auth/v1", storage=storage, auto_refresh=False, transport=network
    )
    storage.set("sb-abcd-auth-token", stored)
    error = caught(auth.get_session)
    auth.close()
    assert error is None or leaks(error) == []
    assert not [secret for secret in SECRETS if secret in caplog.text + "".join(capfd.readouterr())]


def test_failing_subscribers_and_observers_with_a_token(auth, caplog, capfd):
    caplog.set_level(logging.DEBUG)

    def subscriber(event, session):
        raise ValueError(f"{session.access_token} refresh_token={session.refresh_token}")

    def observer(change):
        raise ValueError(change["new"] and change["new"].access_token)

    auth.on_auth_state_change(subscriber)
    auth.observe(observer, "session")
    error = caught(lambda: auth.set_session(GIVEN["expired"].access(), GIVEN["expired"].refresh()))
    said = caplog.text + "".join(capfd.readouterr())
    assert error is None
    assert "ValueError" in said, "a subscriber's failure is told"
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.parametrize(
    "wire",
    [VALID | {"user": {"id": 3}}, VALID | {"refresh_token": "# " + REFRESH}, [VALID], VALID["access_token"]],
)
def test_reading_a_wire_form(wire):
    hidden = {"wire": lambda: wire}
    error = caught(lambda: Session.from_wire(hidden["wire"]()))
    assert isinstance(error, ValueError)
    assert not [secret for secret in SECRETS if secret in f"{error}{error.args}"]


def test_replacing_a_field_of_a_session_shows_nothing():
    session = Session.from_wire(VALID)
    error = caught(lambda: dataclasses.replace(session, token_type="x"))
    assert isinstance(error, TypeError)
    assert not [secret for secret in SECRETS if secret in str(error)]


CRASHES = """
import faulthandler, sys
import httpx
from supabase_nb import AuthClient, MemoryStorage

def send(request):
    faulthandler.dump_traceback(all_threads=True)
    return httpx.Response(503)

at, rt = sys.stdin.read().split()
auth = AuthClient("https://abcd.supabase.co/auth/v1", storage=MemoryStorage(), auto_refresh=False,
                  transport=httpx.MockTransport(send))
auth.set_session(at, rt)
"""


def test_faulthandler_and_the_interpreters_own_traceback():
    """In the midst of a request, and of the failure that ends the process."""
    given = f"{EXPIRED['access_token']} {REFRESH}"
    done = subprocess.run([sys.executable, "-c", CRASHES], input=given, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Current thread" in done.stderr
    assert "AuthRetryableError" in done.stderr
    assert not [secret for secret in SECRETS if secret in done.stderr + done.stdout]


KEY = "sb_secret_plantedkey1234567890"


@pytest.mark.parametrize(
    "make",
    [
        lambda: create_client("https://abcd.supabase.co", KEY[:]),
        lambda: create_client("abcd", KEY[:], allow_secret_key=True),
        lambda: create_client(supabase_url="abcd", supabase_key=KEY[:], allow_secret_key=True),
        lambda: create_client("https://abcd.supabase.co", KEY[:], supabase_key=KEY[:]),
        lambda: create_client("https://abcd.supabase.co", KEY[:], allow_secret_key=True, headers={"X": 5}),
        lambda: create_client("https://abcd.supabase.co", KEY[:] + "é", allow_secret_key=True),
        lambda: AuthClient("abcd", headers={"apikey": KEY[:]}),
        lambda: AuthClient("https://abcd.supabase.co", headers={"X": 5, "apikey": KEY[:]}),
        lambda: AuthClient("https://abcd.supabase.co", headers={"apikey": KEY[:] + "\n"}),
    ],
)
def test_a_client_that_is_refused_shows_no_secret_key(make):
    error = caught(make)
    assert isinstance(error, (AuthError, TypeError))
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert "plantedkey" not in "".join(shown.format())
