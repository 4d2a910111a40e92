"""What single calls cost: a warm `set_session`, a token on a request."""

from __future__ import annotations

import statistics

import httpx
import project
from measure import Row, cpu_of, in_turn
from supabase_auth import SyncGoTrueClient

from supabase_nb import AuthClient, MemoryStorage, SessionAuth


def rows(quick: bool) -> list[Row]:
    rounds, times = (3, 20) if quick else (60, 200)
    return [_set_session(rounds, times), _token_on_request(rounds * 2, times)]


def _client(**options: object) -> AuthClient:
    return AuthClient(
        project.URL,
        headers={"apikey": project.KEY},
        storage=MemoryStorage(),
        transport=project.AsyncTransport(),
        **options,
    )


def _set_session(rounds: int, times: int) -> Row:
    """`set_session` of ours, supabase_auth's, and the bare request that both make."""
    token = project.access_token()
    http = httpx.Client(transport=project.transport())
    headers = {"apikey": project.KEY, "Authorization": f"Bearer {token}"}
    ours = _client()
    theirs = SyncGoTrueClient(url=project.URL, headers={"apikey": project.KEY}, http_client=http)
    found = in_turn(
        rounds,
        cpu_of(lambda: ours.set_session(token, project.REFRESH_TOKEN), times),
        cpu_of(lambda: theirs.set_session(token, project.REFRESH_TOKEN), times),
        cpu_of(lambda: http.get(f"{project.URL}/user", headers=headers).json(), times),
    )
    ours.close()
    theirs.sign_out({"scope": "local"})
    mine = statistics.median((ours - bare) / bare for ours, _, bare in found)
    its = statistics.median((theirs - bare) / bare for _, theirs, bare in found)
    return Row.of_ratios(
        "`set_session` with valid tokens, repeated: time without the request",
        "the same with supabase_auth",
        [(ours - bare) / (theirs - bare) for ours, theirs, bare in found],
        1.0,
        "for the current session, as when a cell is run again, with a response from memory. The rest costs as much "
        f"as {mine:.2f} requests of a bare `httpx` client, and in supabase_auth {its:.2f}",
    )


def _token_on_request(rounds: int, times: int) -> Row:
    """A request as the user, and one without a token."""
    auth = _client(auto_refresh=False)
    auth.set_session(project.access_token(), project.REFRESH_TOKEN)
    bare = httpx.Client(transport=project.transport())
    signed = httpx.Client(transport=project.transport(), auth=SessionAuth(auth))
    url = f"{project.URL}/anything"
    found = in_turn(rounds, cpu_of(lambda: signed.get(url), times), cpu_of(lambda: bare.get(url), times))
    auth.close()
    return Row.of_ratios(
        "a request with `SessionAuth`, no refresh due",
        "the same request without it",
        [signed / bare for signed, bare in found],
        1.10,
        "the response comes from memory",
    )
