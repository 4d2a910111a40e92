"""A user's session with an auth server.

- `client`: `AuthClient`, its traits and methods. `aio`: the same methods, awaited.
- `sign_in`, `providers`, `mails`: the sign-in methods. `mfa`: second factors.
- `browser_sign_in`: a sign-in that a browser completes; its verifier stays here. `pkce`: the proof that a
  code needs. `_callback_url`: reads the address that a browser was sent back to.
- `_arguments`: reads what methods are given.
- `session_token`: the access token, for requests that carry it.
- `_session`: the session itself: what is in force, stored, refreshed, signed out.
- `_api`: the auth server's endpoints, its clock, its public keys.
- `_loop`: the thread and event loop that own every session.
"""

from ._loop import owner_loop
from .client import AuthClient as AuthClient

__all__ = ["AuthClient", "stop_owner_loop"]


def stop_owner_loop() -> None:
    """End the thread that owns every session, when no client is used any more. The next call starts it."""
    owner_loop.stop()
