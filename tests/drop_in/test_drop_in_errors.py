"""Error names of Supabase's Python packages: `except` clauses and fields work the same."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

import supabase_nb
from supabase_nb import AuthClient

theirs: Any = pytest.importorskip("supabase_auth.errors")
THEIRS = {
    name: kind
    for name, kind in vars(theirs).items()
    if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == theirs.__name__
}


def test_each_error_of_theirs_can_be_imported_from_the_package() -> None:
    assert len(THEIRS) >= 11
    assert THEIRS.keys() <= set(supabase_nb.__all__)


@pytest.mark.parametrize("name", THEIRS)
def test_an_except_clause_for_a_base_class_catches_what_it_catches_there(name: str) -> None:
    bases = [base.__name__ for base in THEIRS[name].__mro__ if base.__name__ in THEIRS]
    for base in bases:
        assert issubclass(getattr(supabase_nb, name), getattr(supabase_nb, base)), base


def test_a_refusal_has_the_fields_that_it_has_there(auth: AuthClient) -> None:
    with pytest.raises(supabase_nb.AuthApiError) as refused:
        auth.sign_in_with_password({"email": "ada@example.com", "password": "wrong"})
    assert refused.value.to_dict() == {
        "name": "AuthInvalidCredentialsError",
        "message": refused.value.message,
        "status": 400,
        "code": "invalid_credentials",
    }


def test_no_email_and_no_phone_is_the_error_of_theirs(auth: AuthClient) -> None:
    with pytest.raises(supabase_nb.CustomAuthError) as refused:
        auth.sign_in_with_password({"password": "some password"})
    assert refused.value.name == "AuthInvalidCredentialsError"


def test_a_weak_password_says_its_reasons(auth: AuthClient) -> None:
    with pytest.raises(supabase_nb.AuthWeakPasswordError) as refused:
        auth.sign_up({"email": "new@example.com", "password": "x"})
    assert refused.value.to_dict()["reasons"] == ["length"]
    assert refused.value.to_dict()["name"] == "AuthWeakPasswordError"


@pytest.mark.parametrize(
    "name", [name for name in THEIRS if name not in ("AuthError", "CustomAuthError", "AuthApiError")]
)
def test_the_name_of_an_error_is_supabase_auths(name: str) -> None:
    error = getattr(supabase_nb, name)("what happened")
    assert error.name == name
    assert pickle.loads(pickle.dumps(error)).to_dict() == error.to_dict()


def test_an_address_of_a_failed_sign_in_raises_their_error_with_details(auth: AuthClient) -> None:
    with pytest.raises(supabase_nb.AuthImplicitGrantRedirectError) as refused:
        auth.sign_in_with_url("https://app.example.com/?error=access_denied&error_code=bad_oauth_callback")
    assert refused.value.details == {"error": "access_denied", "code": "bad_oauth_callback"}
    assert refused.value.to_dict()["details"] == refused.value.details
