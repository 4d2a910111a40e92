"""A small, faithful auth server for demos and tests. Importing this doesn't start or load it."""

from .process import ensure_server, find_server, stop_server
from .server_handle import DemoServer, DemoServerError

__all__ = ["DemoServer", "DemoServerError", "ensure_server", "find_server", "stop_server"]
