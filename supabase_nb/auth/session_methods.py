"""The current session's methods: set_session, get_session, refresh_session, sign_out.

They are methods of `AuthClient`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, overload

from .._runtime.thread_executor import in_thread
from .._secrets import credential_checks, masking
from .._secrets.tokens import Secret
from ..models import Session, SessionResponse
from . import _arguments
from ._arguments import MISSING, Arguments, Scope, SessionLike, SignOutOptions
from ._session.session_record import TokenPair

if TYPE_CHECKING:
    from .client import AuthClient


@overload
def set_session(
    auth: AuthClient, access_token: str | Secret, refresh_token: str | Secret
) -> SessionResponse: ...


@overload
def set_session(auth: AuthClient, session: SessionLike, /) -> SessionResponse: ...


def set_session(
    auth: AuthClient, access_token: str | Secret | SessionLike, refresh_token: str | Secret = MISSING
) -> SessionResponse:
    """Restore a session from its tokens.

    If the access token has expired, the refresh token is exchanged; otherwise the server verifies the
    access token. If storage has newer tokens of the same session, these are used instead.

    Args:
        access_token: The JWT. If it can't be decoded, it counts as expired. As the only argument, this
            can be a whole session: this package's or supabase-py's, a response with one, or a dictionary.
        refresh_token: The refresh token. If it is ``""``, the session ends when the access token expires.

    Returns:
        The current user, and the session with your tokens or newer ones.

    Raises:
        AuthError: You passed a key instead of a token, swapped the tokens, or passed another project's
            (``key_for_token``, ``swapped_tokens``, ``wrong_project``). Nothing was sent.
        AuthSessionMissing: The access token has expired and there is no refresh token; or the session was
            signed out (``session_not_found``); or the only argument contains no session.
        UserDoesntExist: The access token matches no user.
        AuthSessionMismatch: The tokens belong to different users.
        AuthApiError: The server rejected the request; ``code`` says why.
        AuthRetryableError: The server can't be reached (raised within 15 s).
        AuthStorageError: The session is active, but could not be saved.
        AuthError: ``superseded``: another sign-out, sign-in or `set_session` finished during this call.
            Tokens that the server issued for this call are revoked.
        TypeError: The only argument is not a session with both tokens, or you passed a session and a
            token.

    Example:
        ``supabase.auth.set_session(other.auth.get_session())`` continues the session of ``other``, a
        supabase-py client. Only one of them should refresh it.

    If the call fails, you keep your previous session. Source: Supabase's reference, "Set the session
    data".
    """
    in_force = auth._manager.snapshot.record
    pair = _arguments.token_pair(access_token, refresh_token, in_force.session if in_force else None)
    access_token = refresh_token = ""  # this frame can appear in a traceback with local variables
    if pair is None:
        raise TypeError(_arguments.PASS_BOTH_TOKENS)
    if in_force is None or pair != in_force.pair:  # otherwise it was checked when it was received
        credential_checks.refuse_mixed_up_tokens(pair.access_token, pair.refresh_token, auth.url)
    return auth._run(lambda: _set_session(auth, pair))


async def _set_session(auth: AuthClient, pair: TokenPair) -> SessionResponse:
    response = await session_response(auth._manager.session_setter.set_session(pair))
    if not masking.was_given(pair.refresh_token):
        # The server accepted it as a refresh token, so mask it even if it looks like a word.
        await in_thread(lambda: masking.remember(pair.refresh_token, given=True))
    return response


def get_session(auth: AuthClient) -> Session | None:
    """The session, refreshed if it is about to expire; ``None`` when not signed in.

    Raises:
        AuthRetryableError: The session has expired and can't be refreshed now. It is kept.
        AuthStorageError: The storage can't be read.

    Source: supabase_auth's ``get_session``.

    Example:
        ``session = supabase.auth.get_session()``
    """
    fresh = None if auth.closed else auth._manager.session_if_fresh()
    return auth._return(fresh) if fresh else auth._run(auth._manager.get_fresh)


def refresh_session(auth: AuthClient, refresh_token: str | Secret | None = None) -> SessionResponse:
    """Exchange the refresh token now.

    Threads, tasks and kernels that refresh at the same moment share one request.

    Args:
        refresh_token: Another session's refresh token, to restore that session; by default, the
            current session's.

    Raises:
        AuthSessionMissing: Not signed in.
        AuthApiError: The server has ended the session.
        AuthRetryableError: The server can't be reached. The refresh is retried in the background.
        AuthStorageError: The session was refreshed, but not saved.
        TypeError: The refresh token is not a string.

    Source: supabase_auth's ``refresh_session``.

    Example:
        ``supabase.auth.refresh_session().session.expires_at``
    """
    arguments = Arguments("refresh_session", refresh_token=refresh_token)
    refresh_token = None  # this frame can appear in a traceback with local variables
    fields = arguments.fields()
    if fields:
        return auth.set_session("", fields["refresh_token"])
    return auth._run(lambda: session_response(auth._manager.refresh()))


def sign_out(
    auth: AuthClient,
    scope: Scope | SignOutOptions | None = "global",
    *,
    options: SignOutOptions | None = None,
) -> None:
    """Sign out. This takes effect here at once, even during an outage.

    The call waits up to a second for the server's response. After that, it is retried in the background.

    Args:
        scope: Which sessions of the user to end. ``"global"``: all; ``"local"``: this one; ``"others"``:
            all except this one. Or a dictionary: ``{"scope": "local"}``.
        options: The same dictionary under its name in supabase-py.

    Raises:
        AuthError: An unknown scope.
        TypeError: Not a string or a dictionary, or the dictionary has another key than ``scope``.
        AuthSessionMissing: The scope is ``"others"``, and you aren't signed in.
        AuthStorageError: Signed out, but the stored session could not be removed.

    Source: supabase_auth's ``sign_out``.

    Example:
        ``supabase.auth.sign_out({"scope": "local"})``
    """
    known = _arguments.parse_scope(scope, options)
    scope = options = None  # this frame can appear in a traceback with local variables
    if isinstance(known, Exception):
        raise known
    return auth._run(lambda: _sign_out(auth, known))


async def _sign_out(auth: AuthClient, scope: Scope) -> None:
    if scope == "others":
        session = await auth._manager.get_fresh_or_raise()
        await auth._manager.api.logout(session.access_secret, scope)
    else:
        await auth._manager.sign_out(scope)


async def session_response(session: Coroutine[Any, Any, Session]) -> SessionResponse:
    """A response with the session and its user."""
    found = await session
    return SessionResponse(found.user, found)
