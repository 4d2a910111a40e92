"""Signing in, as the panel and the magics have it in common.

- `one_time_codes`: signs in with a code.
- `loopback_listener`: receives the browser's return from a sign-in.
"""
