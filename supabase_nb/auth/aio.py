"""`supabase.auth.aio`: the methods of `AuthClient` as coroutines."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from . import email_methods, providers, session_methods, sign_in, user_methods
from .mfa import MFA

if TYPE_CHECKING:
    from .client import AuthClient

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _as_coroutine(
    method: Callable[Concatenate[Any, _P], _T],
) -> Callable[Concatenate[Any, _P], Coroutine[Any, Any, _T]]:
    @functools.wraps(method)
    def call(self: AuthAio | MFAAio, *args: _P.args, **kwargs: _P.kwargs) -> Coroutine[Any, Any, _T]:
        # Not `async`, so that this frame, which holds the tokens, has ended before a request can fail.
        try:
            return cast("Coroutine[Any, Any, _T]", method(self._client, *args, **kwargs))
        except Exception as error:  # noqa: BLE001  (what the arguments are refused with)
            refused = error.with_traceback(None)
        del args, kwargs  # a traceback with local variables would show them
        raise refused

    return cast("Callable[Concatenate[Any, _P], Coroutine[Any, Any, _T]]", call)


class _AsyncClient:
    """In place of the client in its methods: returns their coroutines instead of waiting for them."""

    def __init__(self, auth: AuthClient) -> None:
        self._auth = auth

    def __getattr__(self, name: str) -> Any:
        return getattr(self._auth, name)

    def set_session(self, *tokens: Any) -> Any:
        return session_methods.set_session(cast("AuthClient", self), *tokens)

    def _run(self, async_fn: Callable[[], Coroutine[Any, Any, _T]]) -> Coroutine[Any, Any, _T]:
        return self._auth._await(async_fn)

    async def _return(self, value: _T) -> _T:
        return value


class AuthAio:
    """The methods of an `AuthClient` that send requests, as coroutines.

    It uses the client's session: threads and tasks share refreshes and events. If a task is cancelled, it
    stops waiting. If a refresh token has already been sent, the response is still saved.

    Args:
        auth: The client.

    Example:
        ``await supabase.auth.aio.set_session(access_token, refresh_token)``
    """

    def __init__(self, auth: AuthClient) -> None:
        self._client = _AsyncClient(auth)

    # One line per method that waits. It takes over the method's signature and docstring.
    set_session = _as_coroutine(session_methods.set_session)
    get_session = _as_coroutine(session_methods.get_session)
    refresh_session = _as_coroutine(session_methods.refresh_session)
    get_user = _as_coroutine(user_methods.get_user)
    update_user = _as_coroutine(user_methods.update_user)
    get_claims = _as_coroutine(user_methods.get_claims)
    sign_out = _as_coroutine(session_methods.sign_out)
    sign_up = _as_coroutine(sign_in.sign_up)
    sign_in_with_password = _as_coroutine(sign_in.sign_in_with_password)
    sign_in_anonymously = _as_coroutine(sign_in.sign_in_anonymously)
    sign_in_with_otp = _as_coroutine(sign_in.sign_in_with_otp)
    verify_otp = _as_coroutine(sign_in.verify_otp)
    sign_in_with_id_token = _as_coroutine(sign_in.sign_in_with_id_token)
    sign_in_with_oauth = _as_coroutine(providers.sign_in_with_oauth)
    sign_in_with_sso = _as_coroutine(providers.sign_in_with_sso)
    sign_in_with_url = _as_coroutine(providers.sign_in_with_url)
    exchange_code_for_session = _as_coroutine(providers.exchange_code_for_session)
    get_user_identities = _as_coroutine(providers.get_user_identities)
    link_identity = _as_coroutine(providers.link_identity)
    unlink_identity = _as_coroutine(providers.unlink_identity)
    reset_password_for_email = _as_coroutine(email_methods.reset_password_for_email)
    reset_password_email = _as_coroutine(email_methods.reset_password_for_email)
    resend = _as_coroutine(email_methods.resend)
    reauthenticate = _as_coroutine(email_methods.reauthenticate)

    @property
    def mfa(self) -> MFAAio:
        """Second factors: ``await supabase.auth.aio.mfa.list_factors()``."""
        return MFAAio(cast("AuthClient", self._client))


class MFAAio:
    """The methods of `MFA` as coroutines.

    Args:
        auth: The client.

    Example:
        ``await supabase.auth.aio.mfa.challenge_and_verify(factor_id=factor_id, code=code)``
    """

    def __init__(self, auth: AuthClient) -> None:
        self._client = MFA(auth)

    enroll = _as_coroutine(MFA.enroll)
    challenge = _as_coroutine(MFA.challenge)
    verify = _as_coroutine(MFA.verify)
    challenge_and_verify = _as_coroutine(MFA.challenge_and_verify)
    unenroll = _as_coroutine(MFA.unenroll)
    list_factors = _as_coroutine(MFA.list_factors)
    get_authenticator_assurance_level = _as_coroutine(MFA.get_authenticator_assurance_level)
