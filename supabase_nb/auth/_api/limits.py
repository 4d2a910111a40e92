"""How long a request to the auth server may take, and how long its response may be."""

from __future__ import annotations

#: Seconds to connect, to wait for data, and for the request as a whole.
CONNECT_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT = 5.0, 10.0, 15.0
#: Bytes.
LARGEST_RESPONSE = 4 * 1024 * 1024
