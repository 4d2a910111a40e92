"""Connections to servers.

- `httpx`: the HTTP library. Only this module imports it.
- `connection_pool`: a host's connections, with the proxies and certificates from the environment.
- `urls`: validates and normalizes the URLs of projects.
"""
