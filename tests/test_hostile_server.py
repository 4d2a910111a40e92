"""Answers that no auth server should give: each is an answer or an error of this package, and harms no session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import made
import pytest

from supabase_nb import AuthClient, AuthWeakPassword

MakeAuth = Callable[..., AuthClient]
URL = "https://abcd.supabase.co/auth/v1"


@pytest.mark.parametrize("reasons", [True, 1, 1.5, None, "length", {"length": 1}, [["length"]], [None]])
def test_reasons_of_a_weak_password_of_any_type(reasons: Any, make_auth: MakeAuth) -> None:
    body = {"code": "weak_password", "message": "Too short", "weak_password": {"reasons": reasons}}
    auth = make_auth(URL, transport=made.Answers(**{"POST /auth/v1/signup": httpx.Response(422, json=body)}))
    with pytest.raises(AuthWeakPassword, match="Too short") as caught:
        auth.sign_up(email="ada@example.com", password="abc")
    assert all(isinstance(reason, str) for reason in caught.value.reasons)
    assert len(caught.value.reasons) == (len(reasons) if isinstance(reasons, list) else 0)
