"""What users of supabase-py type works here, or docs/from-supabase-py.md says how it differs."""

from __future__ import annotations

import inspect
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import supabase_nb
from supabase_nb import AuthClient, AuthError, MemoryStorage, create_client
from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

supabase_auth = pytest.importorskip("supabase_auth")

PAGE = Path(__file__).parent.parent / "docs" / "from-supabase-py.md"
ROW = re.compile(r"^\| `([a-z_.]+)` \| (same|different|missing) \|(.*)\|$", re.MULTILINE)
PASSWORD = {"email": "ada@example.com", "password": "correct horse battery"}


def listed() -> dict[str, str]:
    return {name: kind for name, kind, _ in ROW.findall(PAGE.read_text("utf-8"))}


def theirs_in_public() -> set[str]:
    from supabase_auth._sync.gotrue_admin_api import SyncGoTrueAdminAPI
    from supabase_auth._sync.gotrue_mfa_api import SyncGoTrueMFAAPI

    def public(kind: type, prefix: str = "") -> set[str]:
        return {prefix + name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}

    return (
        public(supabase_auth.SyncGoTrueClient)
        | public(SyncGoTrueMFAAPI, "mfa.")
        | public(SyncGoTrueAdminAPI, "admin.") - {"admin.close"}
    )


@pytest.fixture(scope="module")
def own_server() -> Iterator[DemoServer]:
    with running_server(mail_interval=0) as running:
        yield running


@pytest.fixture
def both(own_server: DemoServer) -> Iterator[tuple[Any, AuthClient]]:
    """Their client and ours, of the same server."""
    headers = {"apikey": own_server.anon_key}
    theirs = supabase_auth.SyncGoTrueClient(
        url=own_server.auth_url, headers=headers, auto_refresh_token=False
    )
    ours = AuthClient(own_server.auth_url, headers=headers, storage=MemoryStorage(), auto_refresh=False)
    yield theirs, ours
    theirs.close()
    ours.close()


def test_the_page_lists_every_method() -> None:
    version = supabase_auth.version.__version__ if hasattr(supabase_auth, "version") else ""
    if not version.startswith("2.34"):
        pytest.skip("another version is installed")
    assert set(listed()) == theirs_in_public()


def test_what_is_said_to_be_here_is_here() -> None:
    for name, kind in listed().items():
        here = "." not in name and callable(getattr(AuthClient, name, None))
        assert here is (kind != "missing"), name


def comparable(value: Any) -> Any:
    """A dump without what differs from one sign-in to the next."""
    dumped = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    text = json.dumps(dumped, sort_keys=True)
    text = re.sub(r"eyJ[\w.-]+", "jwt", text)
    text = re.sub(
        r'"(refresh_token|last_sign_in_at|updated_at|created_at|id|identity_id|user_id|sub)": "[^"]*"',
        r'"\1": "…"',
        text,
    )
    text = re.sub(r'"(expires_at|expires_in)": \d+', r'"\1": 0', text)
    text = re.sub(r'"\d{4}-\d\d-\d\dT[^"]*"', '"a time"', text)
    # Theirs fills in every field it knows; ours gives what the server sent.
    found = json.loads(text)
    return without_empty(found)


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        found = {name: without_empty(item) for name, item in value.items()}
        return {name: item for name, item in found.items() if item not in (None, {}, [], False)}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def is_part_of(theirs: Any, ours: Any) -> bool:
    """Whether ours has all that theirs has: it also keeps fields of the server that theirs doesn't know."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return all(name in ours and is_part_of(value, ours[name]) for name, value in theirs.items())
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(is_part_of, theirs, ours))
    return bool(theirs == ours)


def otp(auth: Any, server: DemoServer) -> Any:
    auth.sign_in_with_otp({"email": "grace@example.com"})
    code = server.outbox("grace@example.com")[-1]["email_otp"]
    return auth.verify_otp({"email": "grace@example.com", "token": code, "type": "email"})


CALLS: dict[str, Callable[[Any, DemoServer], Any]] = {
    "sign_in_with_password": lambda auth, _: auth.sign_in_with_password(PASSWORD),
    "sign_in_anonymously": lambda auth, _: auth.sign_in_anonymously(),
    "sign_up": lambda auth, _: auth.sign_up(
        {
            "email": f"new{time.monotonic_ns()}@example.com",
            "password": "correct horse battery",
            "options": {"data": {"city": "London"}},
        }
    ),
    "set_session": lambda auth, server: auth.set_session(*pair_of(server)),
    "get_session": lambda auth, _: (auth.sign_in_with_password(PASSWORD), auth.get_session())[1],
    "refresh_session": lambda auth, _: (auth.sign_in_with_password(PASSWORD), auth.refresh_session())[1],
    "get_user": lambda auth, _: (auth.sign_in_with_password(PASSWORD), auth.get_user().user)[1],
    "update_user": lambda auth, _: (
        auth.sign_in_with_password(PASSWORD),
        auth.update_user({"data": {"city": "London"}}).user,
    )[1],
    "verify_otp": otp,
    "get_claims": lambda auth, _: (
        auth.sign_in_with_password(PASSWORD),
        sorted(auth.get_claims()["claims"]),
    )[1],
    "sign_out": lambda auth, _: (
        auth.sign_in_with_password(PASSWORD),
        auth.sign_out({"scope": "local"}),
        auth.get_session(),
    )[2],
}


def pair_of(server: DemoServer) -> tuple[str, str]:
    pair = server.sign_in()
    return pair["access_token"], pair["refresh_token"]


@pytest.mark.parametrize("method", CALLS)
def test_ours_gives_all_that_theirs_gives(
    method: str, both: tuple[Any, AuthClient], own_server: DemoServer
) -> None:
    theirs, ours = (CALLS[method](auth, own_server) for auth in both)
    first, second = comparable(theirs), comparable(ours)
    for found in (first, second):
        if isinstance(found, dict):
            found.pop("email", None)  # a new address for each sign-up
    if method == "sign_up":
        assert (first["session"]["token_type"], first["user"]["role"]) == (
            second["session"]["token_type"],
            second["user"]["role"],
        )
    else:
        assert is_part_of(first, second)


def test_the_arguments_by_their_names(own_server: DemoServer) -> None:
    with create_client(
        supabase_url=own_server.url,
        supabase_key=own_server.anon_key,
        storage=MemoryStorage(),
        auto_refresh=False,
    ) as client:
        access_token, refresh_token = pair_of(own_server)
        response = client.auth.set_session({"access_token": access_token, "refresh_token": refresh_token})
        assert client.auth.set_session(response).session == response.session
        assert client.auth.set_session(response.session).user == response.user


def test_a_session_of_theirs_is_taken_as_it_is(both: tuple[Any, AuthClient]) -> None:
    theirs, ours = both
    theirs.sign_in_with_password(PASSWORD)
    session = ours.set_session(theirs.get_session()).session
    assert session.access_token == theirs.get_session().access_token


def test_one_argument_without_both_tokens_is_refused(both: tuple[Any, AuthClient]) -> None:
    for value in ("eyJ.eyJ.x", {"access_token": "eyJ.eyJ.x"}, None, 42):
        with pytest.raises(AuthError, match="one value that holds both") as caught:
            both[1].set_session(value)
        assert "eyJ" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [name for name in dir(supabase_auth.errors) if re.fullmatch(r"Auth\w+Error|UserDoesntExist", name)],
)
def test_errors_have_their_names(name: str) -> None:
    if name == "AuthImplicitGrantRedirectError":
        pytest.skip("the implicit flow is not here")
    kind = getattr(supabase_nb, name)
    assert issubclass(kind, supabase_nb.AuthError)
