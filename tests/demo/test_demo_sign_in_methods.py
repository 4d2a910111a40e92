"""Sign-in by email or with a provider (one-time passwords, links, PKCE), and changes by users."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from supabase_nb.demo import DemoServer, DemoServerError
from supabase_nb.demo.testing import running_server

VERIFIER = "a-verifier-of-more-than-forty-three-characters-0123456789"
DIGEST = hashlib.sha256(VERIFIER.encode()).digest()
CHALLENGE = {
    "code_challenge": base64.urlsafe_b64encode(DIGEST).decode().rstrip("="),
    "code_challenge_method": "s256",
}
APP = "http://localhost:8888/lab?a=1"


def post(server: DemoServer, path: str, body: Any, **more: Any) -> Any:
    return server.request("POST", f"/auth/v1{path}", body, **more)


def redeem(server: DemoServer, location: str, verifier: str = VERIFIER) -> Any:
    (code,) = parse_qs(urlsplit(location).query)["code"]
    return post(server, "/token?grant_type=pkce", {"auth_code": code, "code_verifier": verifier})


def method_of(session: dict[str, Any]) -> str:
    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    method: str = claims["amr"][0]["method"]
    return method


def test_six_digits(server: DemoServer) -> None:
    assert post(server, "/otp", {"email": "Ada@Example.com"}) == {}
    (mail,) = server.outbox("ada@example.com")
    assert server.outbox("grace@example.com") == []
    digits = {"type": "email", "email": "ada@example.com", "token": mail["email_otp"]}
    session = post(server, "/verify", digits)
    assert session["user"]["email"] == "ada@example.com"
    assert method_of(session) == "otp"
    with pytest.raises(DemoServerError, match="Token has expired or is invalid"):
        post(server, "/verify", digits)


def test_a_second_mail_ends_the_first(server: DemoServer) -> None:
    for _ in range(2):
        post(server, "/otp", {"email": "ada@example.com"})
        server.advance(61)
    first, second = server.outbox()
    with pytest.raises(DemoServerError, match="invalid or has expired"):
        post(server, "/verify", {"type": "magiclink", "token_hash": first["hashed_token"]})
    post(server, "/verify", {"type": "magiclink", "token_hash": second["hashed_token"]})


def test_a_mail_expires(server: DemoServer) -> None:
    post(server, "/otp", {"email": "ada@example.com"})
    server.advance(3601)
    (mail,) = server.outbox()
    with pytest.raises(DemoServerError, match="invalid or has expired"):
        post(server, "/verify", {"type": "email", "token_hash": mail["hashed_token"]})


def test_a_mail_makes_a_user_unless_told_not_to(server: DemoServer) -> None:
    with pytest.raises(DemoServerError, match="422 Signups not allowed for otp"):
        post(server, "/otp", {"email": "new@example.com", "create_user": False})
    post(server, "/otp", {"email": "new@example.com", "data": {"name": "New"}})
    (mail,) = server.outbox()
    session = post(server, "/verify", {"type": "email", "token_hash": mail["hashed_token"]})
    assert session["user"]["user_metadata"]["name"] == "New"


def test_the_link_leads_back_with_the_session(server: DemoServer) -> None:
    post(server, f"/otp?redirect_to={APP}", {"email": "ada@example.com"})
    (mail,) = server.outbox()
    answer = httpx.get(mail["action_link"])
    target = urlsplit(answer.headers["location"])
    assert (answer.status_code, target.netloc, target.query) == (303, "localhost:8888", "a=1")
    fragment = {name: value for name, (value,) in parse_qs(target.fragment).items()}
    assert (
        server.request("GET", "/auth/v1/user", token=fragment["access_token"])["email"] == "ada@example.com"
    )
    again = httpx.get(mail["action_link"]).headers["location"]
    refusal = parse_qs(urlsplit(again).fragment)
    assert refusal["error_code"] == ["otp_expired"]
    assert refusal["error_description"] == ["Email link is invalid or has expired"]


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "http://evil.example\\@localhost/",
        "javascript:alert(1)",
        "//evil.example",
        "http://localhost@evil.example",
        "http://[",
        "",
    ],
)
def test_a_link_redirects_only_to_allowed_urls(server: DemoServer, wanted: str) -> None:
    link = server.admin(
        "POST", "/generate_link", {"type": "magiclink", "email": "ada@example.com", "redirect_to": wanted}
    )
    assert link["redirect_to"] == f"{server.url}/demo/welcome"
    assert httpx.get(link["redirect_to"]).status_code == 200


def test_pkce_by_mail(server: DemoServer) -> None:
    post(server, f"/otp?redirect_to={APP}", {"email": "ada@example.com", **CHALLENGE})
    (mail,) = server.outbox()
    location = httpx.get(mail["action_link"]).headers["location"]
    assert location.startswith(f"{APP}&code=")
    with pytest.raises(DemoServerError, match="code challenge does not match"):
        redeem(server, location, VERIFIER + "x")
    session = redeem(server, location)
    assert session["user"]["email"] == "ada@example.com"
    with pytest.raises(DemoServerError, match="404 invalid flow state"):
        redeem(server, location)


def test_pkce_through_the_demo_provider(server: DemoServer) -> None:
    query = httpx.QueryParams({"provider": "demo", "redirect_to": APP, **CHALLENGE})
    with httpx.Client(follow_redirects=True) as browser:
        page = browser.get(f"{server.auth_url}/authorize?{query}")
        assert page.url.path == "/demo/provider"
        line = next(part for part in page.text.split("<li>") if "grace@example.com" in part)
        back = page.url.join(line.split('"')[1].replace("&amp;", "&"))
        answer = browser.get(back, follow_redirects=False)
    session = redeem(server, answer.headers["location"])
    assert session["user"]["email"] == "grace@example.com"
    assert method_of(session) == "oauth"
    again = httpx.get(back)
    assert again.headers["location"].startswith(f"{server.url}/demo/welcome?error=invalid_request")
    assert "error_code=bad_oauth_state" in again.headers["location"]


def test_a_code_expires(server: DemoServer) -> None:
    post(server, "/otp", {"email": "ada@example.com", **CHALLENGE})
    (mail,) = server.outbox()
    location = httpx.get(mail["action_link"]).headers["location"]
    server.advance(301)
    with pytest.raises(DemoServerError, match="422 invalid flow state, flow state has expired"):
        redeem(server, location)


@pytest.mark.parametrize(("path", "lives"), [("/otp", True), ("/recover", False)])
def test_a_flow_lives_from_its_start_but_that_of_a_magic_link_from_its_code(
    server: DemoServer, path: str, lives: bool
) -> None:
    post(server, path, {"email": "ada@example.com", **CHALLENGE})
    (mail,) = server.outbox()
    server.advance(301)
    location = httpx.get(mail["action_link"]).headers["location"]
    if lives:
        assert redeem(server, location)["user"]["email"] == "ada@example.com"
    else:
        with pytest.raises(DemoServerError, match="422 invalid flow state, flow state has expired"):
            redeem(server, location)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code_challenge": "short"}, "between 43 and 128"),
        ({"code_challenge_method": ""}, "requires code_challenge_method and code_challenge"),
        ({"code_challenge_method": "md5"}, "method is invalid"),
        ({"code_challenge": "ä" * 43}, "can only contain"),
    ],
)
def test_bad_challenges(supabase_auth_server: DemoServer, change: dict[str, str], message: str) -> None:
    with pytest.raises(DemoServerError, match=message):
        post(supabase_auth_server, "/otp", {"email": "ada@example.com", **CHALLENGE, **change})


def test_other_providers_are_not_enabled(supabase_auth_server: DemoServer) -> None:
    with pytest.raises(DemoServerError, match="provider is not enabled"):
        supabase_auth_server.request("GET", "/auth/v1/authorize?provider=google")


def test_recovery(server: DemoServer) -> None:
    assert post(server, "/recover", {"email": "nobody@example.com"}) == {}
    post(server, "/recover", {"email": "ada@example.com"})
    (mail,) = server.outbox()
    assert mail["type"] == "recovery"
    session = post(server, "/verify", {"type": "recovery", "token_hash": mail["hashed_token"]})
    server.request("PUT", "/auth/v1/user", {"password": "a new password"}, token=session["access_token"])
    server.sign_in(password="a new password")


def test_a_new_password_ends_the_mails_sent_before(server: DemoServer) -> None:
    token = server.sign_in()["access_token"]
    post(server, "/recover", {"email": "ada@example.com"})
    (mail,) = server.outbox()
    user = server.request("PUT", "/auth/v1/user", {"password": "a new password"}, token=token)
    assert "recovery_sent_at" not in user
    with pytest.raises(DemoServerError, match="Email link is invalid or has expired"):
        post(server, "/verify", {"type": "recovery", "token_hash": mail["hashed_token"]})
    post(server, "/recover", {"email": "ada@example.com"})


def test_confirming_by_mail() -> None:
    new = {"email": "new@example.com", "password": "a good password"}
    with running_server(autoconfirm=False) as server:
        user = post(server, "/signup", new)
        assert "access_token" not in user
        assert "confirmation_sent_at" in user
        with pytest.raises(DemoServerError, match="Email not confirmed"):
            server.sign_in(**new)
        (mail,) = server.outbox()
        post(server, "/verify", {"type": "signup", "token_hash": mail["hashed_token"]})
        server.sign_in(**new)
        # The response doesn't reveal that the user exists, and no second email is sent.
        fake = post(server, "/signup", new)
        assert fake["id"] != user["id"]
        assert fake["identities"] == []
        assert len(server.outbox()) == 1


def test_a_new_address_is_confirmed_by_mail() -> None:
    with running_server(autoconfirm=False) as server:
        token = server.sign_in()["access_token"]
        user = server.request("PUT", "/auth/v1/user", {"email": "countess@example.com"}, token=token)
        assert (user["email"], user["new_email"]) == ("ada@example.com", "countess@example.com")
        (old,), (new,) = server.outbox("ada@example.com"), server.outbox("countess@example.com")
        half = post(server, "/verify", {"type": "email_change", "token_hash": new["hashed_token"]})
        assert half == {
            "code": "200",
            "msg": "Confirmation link accepted. Please proceed to confirm link sent to the other email",
        }
        assert server.request("GET", "/auth/v1/user", token=token)["email"] == "ada@example.com"
        session = post(server, "/verify", {"type": "email_change", "token_hash": old["hashed_token"]})
        assert session["user"]["email"] == "countess@example.com"
        assert "new_email" not in session["user"]


def test_an_anonymous_user_becomes_permanent(server: DemoServer) -> None:
    session = post(server, "/signup", {})
    new = {"email": "guest@example.com", "password": "a good password"}
    user = server.request("PUT", "/auth/v1/user", new, token=session["access_token"])
    assert (user["id"], user["is_anonymous"]) == (session["user"]["id"], False)
    assert user["identities"][0]["email"] == "guest@example.com"
    assert server.sign_in(**new)["user"]["id"] == user["id"]
    with pytest.raises(DemoServerError, match="already been registered"):
        server.request("PUT", "/auth/v1/user", {"email": "ada@example.com"}, token=session["access_token"])


def test_what_the_service_role_does_with_users(server: DemoServer) -> None:
    created = server.admin("POST", "/users", {"email": "new@example.com", "user_metadata": {"a": 1}})
    assert created["user_metadata"] == {"a": 1}
    assert server.admin("GET", f"/users/{created['id']}")["email"] == "new@example.com"
    listed = server.admin("GET", "/users?page=1&per_page=2")["users"]
    assert [user["email"] for user in listed] == ["new@example.com", "alan@example.com"]
    assert len(server.admin("GET", "/users?page=2&per_page=3")["users"]) == 1
    change = {"email": "newer@example.com", "user_metadata": {"a": None, "b": 2}, "role": "teacher"}
    changed = server.admin("PUT", f"/users/{created['id']}", change)
    assert (changed["email"], changed["role"], changed["user_metadata"]["b"]) == (
        "newer@example.com",
        "teacher",
        2,
    )
    assert "a" not in changed["user_metadata"]
    assert server.admin("DELETE", f"/users/{created['id']}") == {}
    with pytest.raises(DemoServerError, match="404 User not found"):
        server.admin("GET", f"/users/{created['id']}")
    with pytest.raises(DemoServerError, match="404 user_id must be an UUID"):
        server.admin("GET", "/users/nobody")
    with pytest.raises(DemoServerError, match="already been registered"):
        server.admin("POST", "/users", {"email": "ada@example.com"})


@pytest.mark.parametrize(("duration", "seconds"), [("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5)])
def test_a_ban_expires(server: DemoServer, duration: str, seconds: float) -> None:
    user = server.sign_in()["user"]
    server.admin("PUT", f"/users/{user['id']}", {"ban_duration": duration})
    if seconds > 60:
        with pytest.raises(DemoServerError, match="User is banned"):
            server.sign_in()
    server.advance(seconds + 1)
    server.sign_in()


@pytest.mark.parametrize("duration", ["24", "h", "1d", "-1h", "1h 1m", "999999999h9"])
def test_bad_ban_durations(supabase_auth_server: DemoServer, duration: str) -> None:
    user = supabase_auth_server.sign_in()["user"]
    with pytest.raises(DemoServerError, match="invalid format for ban duration"):
        supabase_auth_server.admin("PUT", f"/users/{user['id']}", {"ban_duration": duration})


def test_times_just_set_show_nanoseconds(server: DemoServer) -> None:
    """As recorded; a client that reads at most six digits fails on them."""
    times = [server.sign_in()["user"]["last_sign_in_at"] for _ in range(5)]
    assert max(len(time.partition(".")[2]) for time in times) > len("123456Z")
