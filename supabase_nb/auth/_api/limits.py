"""Limits of requests to the auth server: timeouts, and the size of a response."""

from __future__ import annotations

#: Timeouts in seconds: to connect, to wait for data, and for the whole request.
CONNECT_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT = 5.0, 10.0, 15.0
#: Maximum size in bytes.
LARGEST_RESPONSE = 4 * 1024 * 1024
