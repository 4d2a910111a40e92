"""Connections to servers.

- `http_library`: httpx. Only this module imports it.
- `connection_pool`: a host's connections, with the proxies and certificates from the environment.
- `urls`: validates and normalizes the URLs of projects.
"""
