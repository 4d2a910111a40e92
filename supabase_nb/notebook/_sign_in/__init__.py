"""Steps of signing in that the panel and the magics share.

- `code_sign_in`: signs in with a one-time code.
- `loopback_listener`: receives the browser's return from a sign-in.
"""
