"""The auth server.

- `endpoints`: one method per endpoint. `responses`: interprets responses.
- `async_transport`: connections from the owner loop. `limits`: timeouts and sizes.
- `server_clock`: the server's time, derived from its responses.
- `verified_claims`: verifies access tokens with its public keys.
"""
