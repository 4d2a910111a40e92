"""The embedded server inside the page, without any network."""

from __future__ import annotations

import sys
import time
from typing import Any

from runner import error_of, eventually, run

from supabase_nb import AuthError, AuthRetryableError, AuthSessionMissing, Client
from supabase_nb.demo import DemoServer, DemoServerError, ensure_server, find_server, stop_server


async def main(argument: str) -> str:
    return await run(sys.modules[__name__])


def connected(server: DemoServer, **options: Any) -> Client:
    return Client(server.url, server.anon_key, **options)


async def test_copied_tokens_stay_the_same() -> None:
    server = ensure_server(access_token_lifetime=20)
    pair = server.copied_tokens()
    supabase = connected(server)
    assert supabase.auth.set_session(*pair).user.email == "ada@example.com"
    supabase.auth.refresh_session()
    assert server.copied_tokens() == pair
    supabase.auth.sign_out("local")
    assert server.copied_tokens() != pair
    supabase.close()


async def test_the_session_is_refreshed_between_cells() -> None:
    server = ensure_server(access_token_lifetime=2)
    supabase = connected(server)
    first = supabase.auth.set_session(*server.copied_tokens()).session
    await eventually(lambda: supabase.auth.session.refresh_token != first.refresh_token)
    supabase.close()


async def test_a_table_under_row_level_security() -> None:
    server = ensure_server(access_token_lifetime=20)
    supabase = connected(server, auto_refresh=False)
    user = supabase.auth.set_session(*server.copied_tokens("grace@example.com")).user
    server.expire("grace@example.com")
    rows = supabase.table("trips").select("user_id").execute().data
    assert {row["user_id"] for row in rows} == {user.id}
    supabase.close()


async def test_sign_in_and_sign_out() -> None:
    server = ensure_server(access_token_lifetime=20)
    supabase = connected(server, auto_refresh=False)
    wrong = {"email": "ada@example.com", "password": "not this one"}
    assert error_of(Exception, supabase.auth.sign_in_with_password, wrong).code == "invalid_credentials"
    right = {"email": "ada@example.com", "password": "correct horse battery"}
    session = supabase.auth.sign_in_with_password(right).session
    supabase.auth.sign_out("local")
    pair = session.access_token, session.refresh_token
    assert error_of(AuthSessionMissing, supabase.auth.set_session, *pair).code == "session_not_found"


async def test_an_outage_ends_by_itself() -> None:
    server = ensure_server(access_token_lifetime=20)
    supabase = connected(server)
    supabase.auth.set_session(*server.copied_tokens())
    server.outage(3600)
    error_of(AuthRetryableError, supabase.auth.refresh_session)
    server.outage(0)
    await eventually(lambda: supabase.auth.status == "active")
    supabase.close()


async def test_other_options_start_it_anew_with_the_same_users() -> None:
    one = ensure_server(access_token_lifetime=20)
    pair = one.copied_tokens()
    assert ensure_server().instance == one.instance
    two = ensure_server(access_token_lifetime=30)
    assert two.instance != one.instance
    supabase = connected(two, auto_refresh=False)
    session = supabase.auth.set_session("", pair[1]).session
    assert round(session.expires_at - time.time()) in (29, 30)


async def test_a_server_that_was_stopped_is_not_found() -> None:
    server = ensure_server()
    assert find_server() is server
    assert stop_server()
    assert not stop_server()
    assert find_server() is None
    assert "stopped" in str(error_of(DemoServerError, server.stats))


async def test_it_signs_like_a_project() -> None:
    server = ensure_server()
    supabase = connected(server, auto_refresh=False)
    first = supabase.auth.set_session(*server.copied_tokens()).session
    supabase.auth.refresh_session()
    assert supabase.auth.session.access_token != first.access_token
    assert supabase.auth.get_claims().headers["alg"] == "ES256"
    server.rotate_keys()
    assert supabase.auth.get_user().user.email == "ada@example.com"
    payload, signature = supabase.auth.session.access_token.rsplit(".", 1)
    forged = f"{payload}.{'A' * len(signature)}"
    assert error_of(AuthError, lambda: supabase.auth.get_claims(forged)).code == "bad_jwt"
    supabase.close()


async def test_an_algorithm_that_is_not_available() -> None:
    assert "RS256" in str(error_of(DemoServerError, lambda: ensure_server(signing_alg="RS256")))


async def test_realtime_says_why_it_does_not_work() -> None:
    server = ensure_server()
    assert "browser" in str(error_of(AuthError, lambda: connected(server).realtime))


async def test_the_magics() -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    cells = (
        "%load_ext supabase_nb",
        "%supabase_connect --demo",
        "from supabase_nb.demo import ensure_server\nat, rt = ensure_server().copied_tokens()",
        "%supabase_set_session at rt",
        "%supabase_refresh",
        "email = supabase.auth.session.user.email",
        "%supabase_sign_out",
    )
    with capture_output() as captured:
        for cell in cells:
            assert shell.run_cell(cell).success, captured.stdout
    assert shell.user_ns["email"] == "ada@example.com"
    assert shell.user_ns["supabase"].auth.status == "signed_out"
    assert shell.user_ns["rt"] not in captured.stdout
    # In memory unless it is asked for; then its risk is stated.
    assert type(shell.user_ns["supabase"].auth.storage).__name__ == "MemoryStorage"
    assert shell.user_ns["supabase"].auth.notices == ()
    with capture_output():
        assert shell.run_cell("%supabase_connect --demo --storage file --name stored").success
    with capture_output() as captured:
        shell.run_cell("%supabase_connect --demo --storage keyring")
    assert "has no keyring" in captured.stdout + captured.stderr
    assert "stored in this browser" in " ".join(shell.user_ns["stored"].auth.notices)
