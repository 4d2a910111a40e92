"""A user's session with an auth server.

- `client`: `AuthClient`, its traits and its methods, which the next four modules define.
- `session_methods`, `user_methods`: methods for the current session and its user.
- `sign_in`, `providers`: sign-up, and signing in with a password, a code, an ID token or a provider.
- `email_methods`: have the server send an email or text message: password reset, resend, reauthentication.
- `aio`: the same methods as coroutines. `mfa`: second factors.
- `_browser_sign_in`: a sign-in in the user's browser. `_pkce`: the verifier of such a sign-in.
  `_callback_url`: parses the URL that the browser returns to. `_auth_server_settings`: which
  providers and other ways to sign in are enabled.
- `_arguments`: parses the methods' arguments.
- `_session_token`: the session's access token, for requests.
- `_session`: the session: its state, storage, refreshes and sign-out.
- `_api`: the auth server's endpoints, its clock, its public keys.
- `_owner_loop`: the event loop that runs all sessions, in a thread (`_thread_loop`) or in a browser
  (`_pyodide_loop`). `_blocking_call`: a call that waits for it.
"""

from ._owner_loop import owner_loop
from ._session.scheduler import scheduler
from .client import AuthClient as AuthClient

__all__ = ["AuthClient", "stop_owner_loop"]


def stop_owner_loop() -> None:
    """Stop the thread that runs all sessions, unless a client is refreshed automatically."""
    owner_loop.stop(lambda: scheduler.has_sessions)
