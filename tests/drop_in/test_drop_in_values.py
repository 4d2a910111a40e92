"""Sessions, users and responses have the attributes and dumps of supabase_auth's."""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import made
import pytest

from supabase_nb import AuthClient, AuthResponse, Session, User
from supabase_nb.models import AuthOtpResponse, SessionResponse, UserResponse

theirs: Any = pytest.importorskip("supabase_auth.types")
dumps = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="there it is supabase_auth 2.33, whose factors have no phone"
)
WIRE = Path(__file__).parents[1] / "wire"


def recorded(key: str) -> Iterator[dict[str, Any]]:
    """Objects with this key in what the real auth server answered."""

    def walk(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            if key in value and "id" in value.get("user", value):
                yield value
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                yield from walk(item)

    for file in sorted(WIRE.glob("*.json")):
        yield from walk(json.loads(file.read_text("utf-8")))


USERS = [*recorded("app_metadata")]
SESSIONS = [session for session in recorded("refresh_token") if "access_token" in session]
RICH = made.user(
    created_at="2026-11-23T23:04:53Z",
    app_metadata={"provider": "email"},
    user_metadata={"name": "Zoë", "deep": {"list": [1, 2]}},
    factors=[
        {
            "id": "f1",
            "friendly_name": "phone",
            "factor_type": "totp",
            "status": "verified",
            "created_at": "2026-11-23T23:04:53.1Z",
            "updated_at": "2026-11-23T23:04:53.123456789+02:00",
        }
    ],
    confirmation_sent_at="2026-11-23T23:04:53.5Z",
    banned_until="2026-12-01T00:00:00Z",
    is_sso_user=True,
    some_later_field={"x": 1},
)


@dumps
def test_users_have_their_dumps() -> None:
    assert len(USERS) > 20
    for wire in [*USERS, RICH]:
        their, ours = theirs.User.model_validate(wire), User.from_wire(wire)
        assert ours.model_dump() == their.model_dump()
        assert list(ours.model_dump()) == list(their.model_dump())
        assert ours.model_dump(mode="json") == their.model_dump(mode="json")
        assert json.loads(ours.model_dump_json()) == json.loads(their.model_dump_json())


@dumps
def test_sessions_and_responses_have_their_dumps() -> None:
    assert len(SESSIONS) > 20
    for wire in [*SESSIONS, made.session() | {"user": RICH, "provider_token": "a-providers-token"}]:
        their, ours = theirs.Session.model_validate(wire), Session.from_wire(wire)
        assert ours.model_dump() == their.model_dump()
        assert ours.model_dump_json() == their.model_dump_json()
        response = theirs.AuthResponse(user=their.user, session=their)
        assert AuthResponse(ours.user, ours).model_dump() == response.model_dump()
        assert SessionResponse(ours.user, ours).model_dump_json() == response.model_dump_json()
        assert UserResponse.of(ours.user).model_dump() == theirs.UserResponse(user=their.user).model_dump()
    assert AuthResponse(None, None).model_dump() == theirs.AuthResponse().model_dump()
    their_otp = theirs.AuthOtpResponse(message_id="m1")
    assert AuthOtpResponse("m1").model_dump() == their_otp.model_dump()


OPTIONS: dict[str, dict[str, Any]] = {
    "include": {"include": {"email", "created_at"}},
    "exclude": {"exclude": {"identities", "app_metadata"}},
    "exclude_none": {"exclude_none": True},
    "json": {"mode": "json", "exclude_none": True},
}


@dumps
@pytest.mark.parametrize("name", OPTIONS)
def test_dumps_take_the_usual_options(name: str) -> None:
    their, ours = theirs.User.model_validate(RICH), User.from_wire(RICH)
    assert ours.model_dump(**OPTIONS[name]) == their.model_dump(**OPTIONS[name])


@dumps
def test_the_older_names_of_dumps_work_too() -> None:
    their, ours = theirs.User.model_validate(RICH), User.from_wire(RICH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ours.dict() == their.dict()
        assert ours.json() == their.json()
    assert ours.model_dump_json(indent=2) == their.model_dump_json(indent=2)


@pytest.mark.parametrize("option", [{"include": {"email": True}}, {"mode": "yaml"}])
def test_options_that_are_not_understood_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=r"include|mode"):
        User.from_wire(RICH).model_dump(**option)


def test_a_dump_is_a_copy() -> None:
    user = User.from_wire(RICH)
    user.model_dump()["user_metadata"]["deep"]["list"].append(3)
    assert user.user_metadata["deep"] == {"list": [1, 2]}


def test_each_attribute_of_theirs_is_there() -> None:
    user, session = User.from_wire(RICH), Session.from_wire(made.session() | {"user": RICH})
    for value, kind in ((user, theirs.User), (session, theirs.Session)):
        for name in kind.model_fields:
            assert hasattr(value, name), name
    assert user.confirmation_sent_at == datetime(2026, 11, 23, 23, 4, 53, 500000, tzinfo=timezone.utc)
    assert user.factors[0].friendly_name == user.factors[0]["friendly_name"] == "phone"
    for name in theirs.Factor.model_fields:
        assert getattr(user.factors[0], name) == getattr(theirs.User.model_validate(RICH).factors[0], name)


def test_identities_are_objects_and_dictionaries() -> None:
    wire = next(
        wire for wire in USERS if wire.get("identities") and wire["identities"][0]["provider"] == "email"
    )
    their, ours = theirs.User.model_validate(wire).identities[0], User.from_wire(wire).identities[0]
    for name in theirs.UserIdentity.model_fields:
        assert getattr(ours, name) == getattr(their, name), name
    assert ours["provider"] == ours.provider == "email"
    assert ours.model_dump() == their.model_dump()


def test_odd_types_in_fields_that_we_do_not_need_refuse_no_user() -> None:
    user = User.from_wire(made.user(banned_until=5, factors="none", confirmed_at=7, identities=[{"id": 5}]))
    assert user.banned_until is None
    assert User.from_wire(made.user(factors=["x", {"id": "f1"}])).factors == ({"id": "f1"},)
    assert user.confirmed_at is None
    assert user.factors == ()
    assert user.identities[0].identity_data == {}
    assert user.identities[0].created_at is None


def test_tokens_are_in_dumps_only() -> None:
    wire = made.session("plantedtoken") | {"provider_token": "planted-provider"}
    session = Session.from_wire(wire)
    assert session.provider_token == "planted-provider"
    assert session.provider_refresh_token is None
    for value in (session, SessionResponse(session.user, session), AuthResponse(session.user, session)):
        assert "planted" not in repr(value)
        assert wire["access_token"] not in repr(value)
        assert wire["access_token"] in value.model_dump_json()


def test_a_user_can_be_pickled() -> None:
    user = User.from_wire(RICH)
    assert pickle.loads(pickle.dumps(user)) == user


CALLS: dict[str, Callable[[Any], Any]] = {
    "sign_in_with_password": lambda auth: auth.sign_in_with_password(
        {"email": "ada@example.com", "password": "correct horse battery"}
    ),
    "refresh_session": lambda auth: auth.refresh_session(),
    "get_session": lambda auth: auth.get_session(),
    "get_user": lambda auth: auth.get_user(),
    "update_user": lambda auth: auth.update_user({"data": {"theme": "dark"}}),
}


def shape(value: Any) -> Any:
    """The names and types in a dump."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value)


@pytest.fixture
def their_client(auth: AuthClient) -> Iterator[Any]:
    import httpx
    import supabase_auth

    with httpx.Client() as http:
        yield supabase_auth.SyncGoTrueClient(url=auth.url, auto_refresh_token=False, http_client=http)


def test_calls_return_values_of_their_shape(auth: AuthClient, their_client: Any) -> None:
    for name, call in CALLS.items():
        ours, their = call(auth).model_dump(), call(their_client).model_dump()
        if name == "update_user":
            assert ours.pop("session")["user"] == ours["user"]  # more than there
        assert shape(ours) == shape(their), name


def test_get_user_is_the_user_and_a_response_with_it(auth: AuthClient) -> None:
    CALLS["sign_in_with_password"](auth)
    found = auth.get_user()
    assert found.user.email == found.email == "ada@example.com"
    assert found == found.user
    assert found.id == auth.user.id


def test_subscriptions_have_an_id_and_unsubscribe(auth: AuthClient) -> None:
    events: list[str] = []
    first = auth.on_auth_state_change(lambda event, session: events.append(str(event)))
    second = auth.on_auth_state_change(lambda event, session: None)
    assert first.id != second.id
    first.unsubscribe()
    events.clear()
    CALLS["sign_in_with_password"](auth)
    assert events == []
