"""Supabase's own Python client works with the demo server: each call for which there is an endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

supabase_auth: Any = pytest.importorskip("supabase_auth")

SECRET = "37c304f8-51aa-419a-a1af-06154e63707a"
NEW = {"email": "new@example.com", "password": "a good password"}


@pytest.fixture(params=["ES256", "RS256", "HS256"])
def server(request: pytest.FixtureRequest) -> Iterator[DemoServer]:
    with running_server(signing_alg=request.param, jwt_secret=SECRET) as running:
        yield running


@pytest.fixture
def make(server: DemoServer) -> Iterator[Any]:
    """Makes clients, at the root as other suites use it."""
    with httpx.Client() as http:

        def client(**options: Any) -> Any:
            return supabase_auth.SyncGoTrueClient(
                url=server.url, auto_refresh_token=False, http_client=http, **options
            )

        yield client


@pytest.fixture
def admin(server: DemoServer) -> Iterator[Any]:
    token = jwt.encode({"role": "service_role"}, SECRET, "HS256")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client() as http:
        yield supabase_auth.SyncGoTrueAdminAPI(url=server.url, headers=headers, http_client=http)


def test_sign_up_in_and_out(make: Any) -> None:
    client = make()
    assert client.sign_up(NEW).session.user.email == NEW["email"]
    first = client.sign_in_with_password(NEW).session
    assert client.get_user().user.id == first.user.id
    assert client.update_user({"data": {"theme": "dark"}}).user.user_metadata["theme"] == "dark"
    assert client.get_user_identities().identities[0].identity_data["email"] == NEW["email"]
    rotated = client.refresh_session().session
    assert rotated.refresh_token != first.refresh_token
    client.sign_out()
    assert client.get_session() is None
    with pytest.raises(supabase_auth.errors.AuthApiError) as refused:
        client.sign_in_with_password({**NEW, "password": "wrong"})
    assert refused.value.code == "invalid_credentials"


def test_set_session(make: Any) -> None:
    session = make().sign_up(NEW).session
    valid = make().set_session(session.access_token, session.refresh_token).session
    assert (valid.access_token, valid.refresh_token) == (session.access_token, session.refresh_token)
    claims = jwt.decode(session.access_token, options={"verify_signature": False})
    expired = jwt.encode({**claims, "exp": claims["iat"] - 1}, SECRET, "HS256")
    renewed = make().set_session(expired, session.refresh_token).session
    assert renewed.refresh_token != session.refresh_token
    assert renewed.user.email == NEW["email"]


def test_anonymous_and_claims(make: Any) -> None:
    client = make()
    assert client.sign_in_anonymously().user.is_anonymous
    assert client.get_claims()["claims"]["is_anonymous"] is True


def test_weak_password(make: Any) -> None:
    with pytest.raises(supabase_auth.errors.AuthWeakPasswordError) as weak:
        make().sign_up({**NEW, "password": "x"})
    assert weak.value.reasons == ["length"]


def test_otp(make: Any, server: DemoServer) -> None:
    client = make()
    client.sign_in_with_otp({"email": "ada@example.com"})
    digits = {"type": "email", "email": "ada@example.com", "token": server.outbox()[-1]["email_otp"]}
    assert client.verify_otp(digits).session.user.email == "ada@example.com"
    server.advance(61)  # a magic link and a recovery are mails of one kind
    client.reset_password_for_email("ada@example.com")
    assert server.outbox()[-1]["type"] == "recovery"


def test_a_new_address(make: Any, server: DemoServer) -> None:
    client = make()
    client.sign_up(NEW)
    changed = client.update_user({"email": "newer@example.com"}).user
    assert (changed.email, changed.new_email) == (NEW["email"], "newer@example.com")
    (mail,) = server.outbox("newer@example.com")
    digits = {"type": "email_change", "email": "newer@example.com", "token": mail["email_otp"]}
    assert client.verify_otp(digits).user.email == "newer@example.com"


def test_disabled_features_respond_as_disabled(make: Any) -> None:
    client = make()
    client.sign_up(NEW)
    calls = {
        "mfa_phone_enroll_not_enabled": lambda: client.mfa.enroll(
            {"factor_type": "phone", "phone": "+15550000000"}
        ),
        "validation_failed": lambda: client.link_identity({"provider": "google"}),
        "phone_provider_disabled": lambda: client.update_user({"phone": "+15550000000"}),
        "over_email_send_rate_limit": lambda: client.reset_password_for_email(NEW["email"]),
    }
    client.reset_password_for_email(NEW["email"])
    for code, call in calls.items():
        with pytest.raises(supabase_auth.errors.AuthApiError) as refused:
            call()
        assert refused.value.code == code


def test_pkce(make: Any, server: DemoServer) -> None:
    client = make(flow_type="pkce")
    wanted = {"provider": "google", "options": {"redirect_to": "http://localhost:8888/"}}
    # The client accepts only the names of real providers.
    url = client.sign_in_with_oauth(wanted).url.replace("provider=google", "provider=demo")
    page = httpx.get(httpx.get(url).headers["location"])
    link = next(part for part in page.text.split("<li>") if "alan@example.com" in part).split('"')[1]
    back = httpx.get(str(page.url.join(link.replace("&amp;", "&"))))
    (code,) = parse_qs(urlsplit(back.headers["location"]).query)["code"]
    session = client.exchange_code_for_session({"auth_code": code}).session
    assert session.user.email == "alan@example.com"
    assert client.get_session().refresh_token == session.refresh_token


def test_admin(admin: Any, make: Any) -> None:
    metadata = {"profile_image": "https://example.com/x.png"}
    user = admin.create_user({**NEW, "user_metadata": metadata, "app_metadata": {"roles": ["editor"]}}).user
    assert user.user_metadata == metadata
    assert {"provider", "providers", "roles"} <= user.app_metadata.keys()
    assert NEW["email"] in [each.email for each in admin.list_users()]
    assert admin.get_user_by_id(user.id).user.email == NEW["email"]
    changed = admin.update_user_by_id(user.id, {"email": "newer@example.com"}).user
    assert (changed.email, changed.user_metadata) == ("newer@example.com", metadata)
    assert admin.update_user_by_id(user.id, {"email_confirm": True}).user.email_confirmed_at
    session = make().sign_in_with_password({**NEW, "email": "newer@example.com"}).session
    admin.sign_out(session.access_token)
    with pytest.raises(supabase_auth.errors.AuthApiError):
        make().get_user(session.access_token)
    admin.delete_user(user.id)
    assert "newer@example.com" not in [each.email for each in admin.list_users()]


def test_links(admin: Any) -> None:
    target = "http://localhost:9999/welcome"
    options = {"data": {"status": "alpha"}, "redirect_to": target}
    made = admin.generate_link({"type": "signup", **NEW, "options": options})
    assert made.user.user_metadata == {"status": "alpha"}
    assert made.properties.redirect_to == target
    change = {"type": "email_change_current", "email": "ada@example.com", "new_email": "countess@example.com"}
    assert admin.generate_link(change).user.new_email == "countess@example.com"
    invited = admin.generate_link({"type": "invite", "email": "guest@example.com"})
    assert invited.user.invited_at


def test_verify_by_phone_is_refused_with_a_message(make: Any) -> None:
    for phone, message in (("1234567890", "Token has expired"), ("1-x", "Invalid phone number format")):
        with pytest.raises(supabase_auth.errors.AuthApiError, match=message):
            make().verify_otp({"phone": phone, "token": "123456", "type": "sms"})
