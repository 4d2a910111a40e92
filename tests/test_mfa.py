"""Second factors: the session's level and tokens, and the effect on other sessions and notebooks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import made
import pytest

from supabase_nb import (
    AuthApiError,
    AuthClient,
    AuthError,
    AuthRetryableError,
    AuthSessionMissing,
    FileStorage,
)
from supabase_nb._secrets.tokens import Secret
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

PASSWORD = "correct horse battery"


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with running_server(reuse_interval=0) as running:
        yield running


@pytest.fixture
def auth(server: DemoServer, make_auth: Callable[..., AuthClient]) -> AuthClient:
    """Signed in as Ada, who has no factor yet."""
    client = make_auth()
    client.sign_in_with_password(email="ada@example.com", password=PASSWORD)
    return client


def code_of(server: DemoServer, factor_id: str) -> str:
    """What the authenticator app shows."""
    return next(shown["code"] for shown in server.totp_codes() if shown["factor_id"] == factor_id)


def enroll(server: DemoServer, auth: AuthClient, **more: str) -> str:
    factor_id = auth.mfa.enroll(factor_type="totp", **more).id
    auth.mfa.challenge_and_verify(factor_id=factor_id, code=code_of(server, factor_id))
    return factor_id


def level(auth: AuthClient) -> str | None:
    return auth.mfa.get_authenticator_assurance_level().current_level


def test_a_lost_response_to_a_code_is_not_another_program(auth: AuthClient, server: DemoServer) -> None:
    """The server has replaced the refresh token by then: the old one is sent again."""
    enroll(server, auth)
    other = server.sign_in()
    auth.set_session(other["access_token"], other["refresh_token"])
    factor_id = auth.mfa.list_factors().totp[0].id
    auth.mfa.challenge_and_verify(factor_id=factor_id, code=code_of(server, factor_id))
    assert auth.session is not None
    assert auth.session.refresh_token != other["refresh_token"]
    assert not auth._manager.store.sent.record_sending(Secret(other["refresh_token"]))


def test_a_code_raises_the_session_to_aal2(auth: AuthClient, server: DemoServer) -> None:
    before = auth.get_session()
    factor = auth.mfa.enroll({"factor_type": "totp", "friendly_name": "my phone", "issuer": "tests"})
    assert factor.totp is not None
    assert factor.totp.qr_code.startswith("data:image/svg+xml;utf-8,<?xml")
    assert "issuer=tests" in factor.totp.uri
    assert level(auth) == "aal1"
    challenge = auth.mfa.challenge({"factor_id": factor.id})
    code = code_of(server, factor.id)
    answer = auth.mfa.verify({"factor_id": factor.id, "challenge_id": challenge.id, "code": code})
    session = auth.get_session()
    assert before is not None
    assert session is not None
    assert (session.access_token, session.refresh_token) == (answer.access_token, answer.refresh_token)
    assert session.session_id == before.session_id
    assert session.refresh_token != before.refresh_token
    levels = auth.mfa.get_authenticator_assurance_level()
    assert (levels.current_level, levels.next_level) == ("aal2", "aal2")
    assert {entry.method for entry in levels.current_authentication_methods} == {"password", "totp"}
    assert auth.events[-1].kind == "MFA_CHALLENGE_VERIFIED"
    assert auth.status == "active"
    assert [factor.friendly_name for factor in auth.mfa.list_factors().totp] == ["my phone"]


def test_an_apps_key_without_a_digit_is_masked_in_logs(
    make_auth: Callable[..., AuthClient], caplog: pytest.LogCaptureFixture
) -> None:
    key = "JBSWYDPEHPKZPXPJBSWYDPEHPKZPXPAB"
    session = made.session()
    totp = {"qr_code": "<svg/>", "secret": key, "uri": f"otpauth://totp/a:b?secret={key}"}
    answers = made.Answers(
        **{
            "GET /auth/v1/user": session["user"],
            "POST /auth/v1/factors": {"id": "one", "type": "totp", "friendly_name": "", "totp": totp},
        }
    )
    auth = make_auth("https://host.example/auth/v1", transport=answers)
    auth.set_session(session["access_token"], session["refresh_token"])
    factor = auth.mfa.enroll(factor_type="totp")
    assert factor.totp is not None
    with caplog.at_level(logging.DEBUG, "supabase_nb"):
        logging.getLogger("supabase_nb").debug("the key is %s", factor.totp.secret)
    assert "the key is" in caplog.text
    assert key not in caplog.text


def test_a_refresh_keeps_the_level(auth: AuthClient, server: DemoServer) -> None:
    enroll(server, auth)
    auth.refresh_session()
    assert level(auth) == "aal2"


def test_a_new_sign_in_starts_at_aal1_and_has_the_next_level(auth: AuthClient, server: DemoServer) -> None:
    enroll(server, auth)
    auth.sign_in_with_password(email="ada@example.com", password=PASSWORD)
    levels = auth.mfa.get_authenticator_assurance_level()
    assert (levels.current_level, levels.next_level) == ("aal1", "aal2")
    with pytest.raises(AuthApiError, match="%supabase_mfa") as refused:
        auth.update_user(password="another password")
    assert refused.value.code == "insufficient_aal"


def test_verifying_ends_the_users_other_aal1_sessions(auth: AuthClient, server: DemoServer) -> None:
    other = server.sign_in("ada@example.com")["access_token"]
    assert auth.get_user(other).email == "ada@example.com"
    enroll(server, auth)
    with pytest.raises(AuthApiError) as refused:
        auth.get_user(other)
    assert refused.value.code == "session_not_found"


def test_another_notebook_with_the_same_session_takes_over_the_new_tokens(
    auth: AuthClient, server: DemoServer, make_auth: Callable[..., AuthClient]
) -> None:
    other = make_auth()
    assert other.get_session() == auth.get_session()
    enroll(server, auth)
    server.advance(20)  # its refresh token was used, and the reuse interval is over
    other.refresh_session()
    assert level(other) == "aal2"


def test_the_tokens_from_before_are_continued(
    auth: AuthClient, server: DemoServer, make_auth: Callable[..., AuthClient]
) -> None:
    """As when "Restart and run all" restores the pair that was pasted once."""
    before = auth.get_session()
    assert before is not None
    enroll(server, auth)
    server.advance(20)
    again = make_auth()
    restored = again.set_session(before.access_token, before.refresh_token).session
    assert level(again) == "aal2"
    assert restored.refresh_token != before.refresh_token


def test_the_session_is_stored_with_its_level(
    auth: AuthClient, server: DemoServer, make_auth: Callable[..., AuthClient]
) -> None:
    enroll(server, auth)
    assert level(make_auth()) == "aal2"


@pytest.mark.parametrize("code", ["000000", "12", "x"])
def test_a_wrong_code_changes_nothing(code: str, auth: AuthClient, server: DemoServer) -> None:
    factor_id = auth.mfa.enroll(factor_type="totp").id
    before = auth.get_session()
    with pytest.raises(AuthApiError, match="six digits") as refused:
        auth.mfa.challenge_and_verify(factor_id=factor_id, code=code)
    assert refused.value.code == "mfa_verification_failed"
    assert auth.get_session() == before
    assert auth.status == "active"


def test_spaces_in_a_code_do_not_matter(auth: AuthClient, server: DemoServer) -> None:
    factor_id = auth.mfa.enroll(factor_type="totp").id
    code = code_of(server, factor_id)
    auth.mfa.challenge_and_verify(factor_id=factor_id, code=f" {code[:3]} {code[3:]}\n")
    assert level(auth) == "aal2"


def test_a_lost_answer_is_found_by_the_next_refresh(
    server: DemoServer, make_auth: Callable[..., AuthClient], storage: FileStorage
) -> None:
    """The server has verified the code, and the answer didn't arrive (``tests/wire/mfa.json``)."""
    import httpx

    sent = httpx.HTTPTransport()

    def lose(request: httpx.Request) -> httpx.Response:
        response = sent.handle_request(request)
        response.read()
        if request.url.path.endswith("/verify"):
            raise httpx.ReadError("the answer is lost")
        return response

    auth = make_auth(transport=httpx.MockTransport(lose))
    auth.sign_in_with_password(email="ada@example.com", password=PASSWORD)
    factor_id = auth.mfa.enroll(factor_type="totp").id
    with pytest.raises(AuthRetryableError):
        auth.mfa.challenge_and_verify(factor_id=factor_id, code=code_of(server, factor_id))
    assert level(auth) == "aal1"
    auth.refresh_session()
    assert level(auth) == "aal2"
    sent.close()


def test_unenrolling(auth: AuthClient, server: DemoServer) -> None:
    factor_id = enroll(server, auth)
    assert auth.mfa.unenroll({"factor_id": factor_id}).id == factor_id
    assert level(auth) == "aal2"  # until the next refresh, as the server has it
    auth.refresh_session()
    levels = auth.mfa.get_authenticator_assurance_level()
    assert (levels.current_level, levels.next_level) == ("aal1", "aal1")
    assert auth.mfa.list_factors().all == ()


def test_awaited(auth: AuthClient, server: DemoServer) -> None:
    async def run() -> str | None:
        mfa = auth.aio.mfa
        factor = await mfa.enroll({"factor_type": "totp"})
        challenge = await mfa.challenge(factor_id=factor.id)
        code = code_of(server, factor.id)
        await mfa.verify(factor_id=factor.id, challenge_id=challenge.id, code=code)
        assert (await mfa.list_factors()).totp
        return (await mfa.get_authenticator_assurance_level()).current_level

    assert asyncio.run(run()) == "aal2"


def test_without_a_session(make_auth: Callable[..., AuthClient]) -> None:
    auth = make_auth()
    for call in (
        lambda: auth.mfa.enroll(factor_type="totp"),
        lambda: auth.mfa.challenge(factor_id="x"),
        lambda: auth.mfa.verify(factor_id="x", challenge_id="y", code="123456"),
        lambda: auth.mfa.unenroll(factor_id="x"),
        auth.mfa.list_factors,
    ):
        with pytest.raises(AuthSessionMissing):
            call()
    assert auth.mfa.get_authenticator_assurance_level().current_level is None


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda mfa: mfa.enroll(), "factor_type is missing"),
        (lambda mfa: mfa.challenge(), "list_factors"),
        (lambda mfa: mfa.verify(factor_id="x", challenge_id="y"), "code is missing"),
    ],
)
def test_a_missing_value_is_reported(call: Callable[[Any], Any], what: str, auth: AuthClient) -> None:
    with pytest.raises(AuthError, match=what):
        call(auth.mfa)


def test_a_factor_id_can_not_reach_another_endpoint(make_auth: Callable[..., AuthClient]) -> None:
    session = made.session()
    answers = made.Answers(**{"GET /auth/v1/user": session["user"]})
    auth = make_auth("https://abcd.supabase.co/auth/v1", transport=answers)
    auth.set_session(session["access_token"], session["refresh_token"])
    answers["DELETE /auth/v1/factors/../admin/users/x"] = {"id": "x"}
    auth.mfa.unenroll(factor_id="../admin/users/x")
    assert answers.asked[-1].url.raw_path == b"/auth/v1/factors/..%2Fadmin%2Fusers%2Fx"


def test_an_answer_of_another_user_is_refused(make_auth: Callable[..., AuthClient]) -> None:
    session = made.session()
    answers = made.Answers(**{"GET /auth/v1/user": session["user"]})
    auth = make_auth("https://abcd.supabase.co/auth/v1", transport=answers)
    auth.set_session(session["access_token"], session["refresh_token"])
    answers["POST /auth/v1/factors/f/verify"] = made.session("someoneelse1", user_id="2c687efe")
    with pytest.raises(AuthError, match="different users"):
        auth.mfa.verify(factor_id="f", challenge_id="c", code="123456")
    assert auth.get_session() == auth.session
    assert auth.session is not None
    assert auth.session.refresh_token == session["refresh_token"]


@pytest.mark.parametrize(
    "answer", [{}, {"id": 3}, {"id": "x", "type": "totp"}, {"id": "x", "type": "totp", "totp": {}}]
)
def test_an_unexpected_response_to_an_enrollment(answer: Any, make_auth: Callable[..., AuthClient]) -> None:
    session = made.session()
    answers = made.Answers(**{"GET /auth/v1/user": session["user"], "POST /auth/v1/factors": answer})
    auth = make_auth("https://abcd.supabase.co/auth/v1", transport=answers)
    auth.set_session(session["access_token"], session["refresh_token"])
    with pytest.raises(AuthError, match="Unexpected response"):
        auth.mfa.enroll(factor_type="totp")
