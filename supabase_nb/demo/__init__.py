"""A small, faithful auth server for demos and tests. Importing this doesn't start or load it.

- `server_process`: starts, finds and stops it. `server_handle`: `DemoServer`, a running server.
- `testing`: a server for one test.
- `_server`: the application. `_endpoints`: its endpoints. `_project`: its state and rules.
"""

from .server_handle import DemoServer, DemoServerError
from .server_process import ensure_server, find_server, stop_server

__all__ = ["DemoServer", "DemoServerError", "ensure_server", "find_server", "stop_server"]
