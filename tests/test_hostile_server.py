"""Answers that no auth server should give: each is an answer or an error of this package, and harms no session."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import made
import pytest
from waiting import wait_until

from supabase_nb import AuthClient, AuthWeakPassword, FileStorage
from supabase_nb.storage import storage_key

MakeAuth = Callable[..., AuthClient]
URL = "https://abcd.supabase.co/auth/v1"
USER, TOKEN = "GET /auth/v1/user", "POST /auth/v1/token"
SOMEONE_ELSE = "0b6c7d0e-5a55-4f2b-9d5e-54b0e4b3a0aa"


@pytest.mark.parametrize("reasons", [True, 1, 1.5, None, "length", {"length": 1}, [["length"]], [None]])
def test_reasons_of_a_weak_password_of_any_type(reasons: Any, make_auth: MakeAuth) -> None:
    body = {"code": "weak_password", "message": "Too short", "weak_password": {"reasons": reasons}}
    auth = make_auth(URL, transport=made.Answers(**{"POST /auth/v1/signup": httpx.Response(422, json=body)}))
    with pytest.raises(AuthWeakPassword, match="Too short") as caught:
        auth.sign_up(email="ada@example.com", password="abc")
    assert all(isinstance(reason, str) for reason in caught.value.reasons)
    assert len(caught.value.reasons) == (len(reasons) if isinstance(reasons, list) else 0)


def test_another_users_answer_is_not_taken_for_the_stored_session(
    make_auth: MakeAuth, storage: FileStorage
) -> None:
    storage.set(storage_key(URL), json.dumps(made.session()))
    answers = made.Answers(**{USER: made.user(SOMEONE_ELSE, email="eve@example.com")})
    auth = make_auth(URL, transport=answers, auto_refresh=True)
    auth.get_session()
    wait_until(lambda: auth.last_error is not None)
    assert auth.last_error is not None
    assert auth.last_error.code == "session_mismatch"
    assert auth.user is not None
    assert auth.user.id == made.USER_ID
    assert auth.get_session() is not None, "the session is kept"
