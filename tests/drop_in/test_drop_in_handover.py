"""`set_session` takes over a session from supabase-py's client, and the reverse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supabase_nb import AuthClient
from supabase_nb.demo import DemoServer

supabase: Any = pytest.importorskip("supabase")


@pytest.fixture
def theirs(server: DemoServer) -> Iterator[Any]:
    """A client of supabase-py, signed in; the server is a project's auth server."""
    options = supabase.ClientOptions(auto_refresh_token=False)
    client = supabase.create_client(server.url, server.anon_key, options)
    client.auth.sign_in_with_password({"email": "ada@example.com", "password": "correct horse battery"})
    yield client
    client.auth.close()


HANDED_OVER: dict[str, Callable[[Any], Any]] = {
    "session": lambda theirs: theirs.auth.get_session(),
    "response": lambda theirs: theirs.auth.refresh_session(),
    "dump": lambda theirs: theirs.auth.get_session().model_dump(),
}


@pytest.mark.parametrize("name", HANDED_OVER)
def test_a_session_is_handed_over_in_one_value(name: str, theirs: Any, auth: AuthClient) -> None:
    handed_over = HANDED_OVER[name](theirs)
    response = auth.set_session(handed_over)
    session = theirs.auth.get_session()
    assert response.session.access_token == session.access_token
    assert response.session.model_dump()["user"] == theirs.auth.get_user().user.model_dump()
    assert auth.refresh_session().session.refresh_token != session.refresh_token


def test_a_session_is_handed_back(theirs: Any, auth: AuthClient) -> None:
    auth.set_session(theirs.auth.get_session())
    session = auth.refresh_session().session
    theirs.auth.set_session(session.access_token, session.refresh_token)
    assert theirs.auth.get_user().user.id == session.user.id
