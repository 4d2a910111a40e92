"""`await supabase.auth.aio.…`: the same methods for a notebook's top-level await, without a second client."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from .auth import AuthClient
from .tasks import in_thread

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _awaitable(
    method: Callable[Concatenate[AuthClient, _P], _T],
) -> Callable[Concatenate[AuthAio, _P], Coroutine[Any, Any, _T]]:
    @functools.wraps(method)
    def call(self: AuthAio, *args: _P.args, **kwargs: _P.kwargs) -> Coroutine[Any, Any, _T]:
        # Not `async`: this frame, with the tokens in it, is gone before anything can fail.
        return _wait(_Call(method, self._auth, *args, **kwargs))

    return cast("Callable[Concatenate[AuthAio, _P], Coroutine[Any, Any, _T]]", call)


class _Call(functools.partial[_T]):
    """A call that does not show its arguments: its frames may stand in a traceback with locals."""

    def __repr__(self) -> str:
        return "_Call()"


async def _wait(call: _Call[_T]) -> _T:
    return await in_thread(call)


class AuthAio:
    """The methods of an `AuthClient` that ask the server, to be awaited.

    It is the same client: same session, same exchange for threads and tasks, same events. A task that is
    cancelled stops waiting; what it began goes on to its end, so no rotated token is lost, and whatever is
    said next (another `set_session`, `sign_out`) holds, as always.

    Args:
        auth: The client.
    """

    def __init__(self, auth: AuthClient) -> None:
        self._auth = auth

    # One line for each method that waits for something; its signature and its docstring come with it.
    set_session = _awaitable(AuthClient.set_session)
    get_session = _awaitable(AuthClient.get_session)
    refresh_session = _awaitable(AuthClient.refresh_session)
    get_user = _awaitable(AuthClient.get_user)
    update_user = _awaitable(AuthClient.update_user)
    get_claims = _awaitable(AuthClient.get_claims)
    sign_out = _awaitable(AuthClient.sign_out)
    sign_up = _awaitable(AuthClient.sign_up)
    sign_in_with_password = _awaitable(AuthClient.sign_in_with_password)
    sign_in_anonymously = _awaitable(AuthClient.sign_in_anonymously)
    sign_in_with_otp = _awaitable(AuthClient.sign_in_with_otp)
    verify_otp = _awaitable(AuthClient.verify_otp)
    sign_in_with_url = _awaitable(AuthClient.sign_in_with_url)
    exchange_code_for_session = _awaitable(AuthClient.exchange_code_for_session)
