"""The auth server.

- `endpoints`: its endpoints, one method each. `responses`: what a response means.
- `async_transport`: connections from the owner loop. `limits`: how long a request may take.
- `server_clock`: its time, learnt from its responses.
- `verified_claims`: access tokens checked with its public keys.
"""
