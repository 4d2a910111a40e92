"""Signing in from the panel and the magics.

- `panel_requests`: handles the panel's buttons and form. `provider_requests`: those for signing in with a
  provider.
- `one_time_codes`: signs in with a code.
- `loopback_listener`: receives the browser's return from a sign-in.
"""
