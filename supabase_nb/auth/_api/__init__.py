"""The auth server.

- `auth_api`: sends requests. `responses`: interprets responses.
- `threaded_transport`: runs requests in threads. `timeouts`: how long requests may take, and their sizes.
- `server_clock`: the server's time, derived from its responses.
- `token_verifier`: verifies access tokens with its public keys.
"""
