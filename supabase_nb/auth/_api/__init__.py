"""The auth server.

- `endpoints`: its endpoints, one method each. `responses`: what a response means.
- `threaded_transport`: how the owner loop uses a connection pool. `limits`: how long a request may take.
- `server_clock`: its time, learnt from its responses.
- `verified_claims`: access tokens checked with its public keys.
"""
