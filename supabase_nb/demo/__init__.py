"""A small, faithful auth server for demos and tests; importing this starts and loads nothing."""

from .process import DemoServer, DemoServerError, ensure_server, find_server, stop_server

__all__ = ["DemoServer", "DemoServerError", "ensure_server", "find_server", "stop_server"]
