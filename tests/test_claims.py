"""`get_claims`: verified with the project's keys, or by the auth server if the keys can't verify a token."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import made
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from supabase_nb import AuthClient, MemoryStorage
from supabase_nb.auth._api.server_clock import Clock
from supabase_nb.errors import AuthApiError, AuthInvalidJwt, AuthRetryableError

JWKS, USER = "GET /auth/v1/.well-known/jwks.json", "GET /auth/v1/user"


class Later(Clock):
    """This machine's clock, set forward by the test."""

    ahead = 0.0

    def steady(self) -> float:
        return super().steady() + self.ahead


class Key:
    """A signing key of a project."""

    def __init__(self, kid: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._kid = kid
        self.public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True) | {"alg": "ES256", "kid": kid}

    def sign(self, **claims: Any) -> str:
        claims = {"sub": made.USER_ID, "exp": int(time.time()) + 3600} | claims
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._kid})


KEY, NEW_KEY, FOREIGN = Key("first"), Key("second"), Key("foreign")
BAD_JWT = made.refusal(403, "bad_jwt", "invalid JWT: unable to parse or verify signature")


@pytest.fixture
def network() -> made.Answers:
    """A server that publishes one key and takes every token."""
    return made.Answers(**{JWKS: {"keys": [KEY.public]}, USER: made.user()})


@pytest.fixture
def clock() -> Later:
    return Later()


@pytest.fixture
def auth(network: made.Answers, clock: Later) -> Iterator[AuthClient]:
    client = AuthClient(
        "https://abcd.supabase.co/auth/v1", storage=MemoryStorage(), transport=network, clock=clock
    )
    yield client
    client.close()


NO_KEYS: dict[str, Any] = {
    "empty": {"keys": []},
    "no list": {"keys": {"kty": "EC"}},
    "null": {"keys": None},
    "no object": [],
    "keys of the wrong types": {"keys": [7, None, "x", [], {"kty": 7, "kid": "first"}, {"kid": "first"}]},
    "a point that is not on the curve": {"keys": [KEY.public | {"x": KEY.public["y"]}]},
    "a key of another kind": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "first"}]},
    "a login page": httpx.Response(200, html="<html>Welcome</html>"),
    "empty body": httpx.Response(200),
    "not there": httpx.Response(404, text="404 page not found"),
    "out of order": httpx.Response(503),
}


@pytest.mark.parametrize("keys", NO_KEYS)
def test_without_usable_keys_the_server_verifies(
    keys: str, auth: AuthClient, network: made.Answers, clock: Later
) -> None:
    network[JWKS] = NO_KEYS[keys]
    token = KEY.sign(email="ada@example.com")
    for _ in range(3):
        assert auth.get_claims(token)["email"] == "ada@example.com"
    assert (network.count(USER), network.count(JWKS)) == (3, 1)

    network[JWKS] = {"keys": [KEY.public]}
    clock.ahead = 6.0
    auth.get_claims(token)
    assert (network.count(USER), network.count(JWKS)) == (3, 2)  # the keys are back


@pytest.mark.parametrize("keys", NO_KEYS)
def test_without_usable_keys_a_forged_token_is_refused(
    keys: str, auth: AuthClient, network: made.Answers
) -> None:
    network[JWKS], network[USER] = NO_KEYS[keys], BAD_JWT
    with pytest.raises(AuthInvalidJwt, match="the auth server rejected it"):
        auth.get_claims(KEY.sign())


def test_a_key_that_is_new_is_asked_of_the_server_until_it_is_fetched(
    auth: AuthClient, network: made.Answers, clock: Later
) -> None:
    auth.get_claims(KEY.sign())
    network[JWKS] = {"keys": [KEY.public, NEW_KEY.public]}
    token = NEW_KEY.sign(email="ada@example.com")
    assert auth.get_claims(token)["email"] == "ada@example.com"
    assert (network.count(USER), network.count(JWKS)) == (1, 1)
    clock.ahead = 6.0
    auth.get_claims(token)
    assert (network.count(USER), network.count(JWKS)) == (1, 2)


@pytest.mark.parametrize("keys", [5, "x", {"a": 1}, None, [5]])
def test_keys_of_the_wrong_type_are_no_keys(keys: Any, auth: AuthClient) -> None:
    assert auth.get_claims(KEY.sign(role="planner"), jwks={"keys": keys}).claims["role"] == "planner"


def test_good_keys_survive_one_bad_answer(auth: AuthClient, network: made.Answers, clock: Later) -> None:
    auth.get_claims(KEY.sign())
    network[JWKS] = httpx.Response(200, html="<html>Welcome</html>")
    clock.ahead = 6.0
    auth.get_claims(FOREIGN.sign())
    assert (network.count(USER), network.count(JWKS)) == (1, 2)
    auth.get_claims(KEY.sign())
    assert (network.count(USER), network.count(JWKS)) == (1, 2)


def test_a_token_without_a_kid_is_asked_of_the_server(auth: AuthClient, network: made.Answers) -> None:
    token = made.jwt(email="ada@example.com")
    assert auth.get_claims(token)["email"] == "ada@example.com"
    network[USER] = BAD_JWT
    with pytest.raises(AuthInvalidJwt):
        auth.get_claims(token)


def test_a_wrong_signature_is_not_asked_of_the_server(auth: AuthClient, network: made.Answers) -> None:
    head, payload, _ = KEY.sign().split(".")
    with pytest.raises(AuthInvalidJwt, match="signature is wrong"):
        auth.get_claims(f"{head}.{payload}.{made.segment(b'x' * 64)}")
    with pytest.raises(AuthInvalidJwt, match="expired"):
        auth.get_claims(KEY.sign(exp=int(time.time()) - 60))
    assert network.count(USER) == 0


def test_other_server_errors_are_passed_on(auth: AuthClient, network: made.Answers) -> None:
    network[USER] = made.refusal(403, "user_not_found")
    with pytest.raises(AuthApiError, match="no longer exists"):
        auth.get_claims(FOREIGN.sign())
    network[USER] = httpx.ConnectError("no route")
    with pytest.raises(AuthRetryableError):
        auth.get_claims(FOREIGN.sign())


WITHOUT_CRYPTOGRAPHY = """
import json, sys
sys.path.insert(0, {folder!r})
import httpx
from supabase_nb import AuthClient, MemoryStorage
from supabase_nb.errors import AuthInvalidJwt

def answer(request):
    if request.url.path.endswith("jwks.json"):
        return httpx.Response(200, json={{"keys": [json.loads({key!r})]}})
    if request.headers["authorization"] == "Bearer " + {token!r}:
        return httpx.Response(200, json={{"id": "u"}})
    return httpx.Response(403, json={{"code": "bad_jwt", "message": "invalid JWT"}})

auth = AuthClient(
    "https://abcd.supabase.co/auth/v1", storage=MemoryStorage(), transport=httpx.MockTransport(answer)
)
print(auth.get_claims({token!r})["email"])
try:
    auth.get_claims({forged!r})
except AuthInvalidJwt as error:
    print(error)
"""


@pytest.mark.parametrize("failure", ["ModuleNotFoundError('cryptography')", "ImportError('DLL load failed')"])
def test_without_cryptography_the_server_verifies(failure: str, tmp_path: Path) -> None:
    (tmp_path / "cryptography").mkdir()
    (tmp_path / "cryptography" / "__init__.py").write_text(f"raise {failure}\n")
    program = WITHOUT_CRYPTOGRAPHY.format(
        folder=str(tmp_path),
        key=json.dumps(KEY.public),
        token=KEY.sign(email="ada@example.com"),
        forged=FOREIGN.sign(),
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stdout.splitlines() == [
        "ada@example.com",
        "The access token can't be verified: the auth server rejected it. Refresh, or sign in again.",
    ], ran.stderr
