"""A proxy in front of an auth server that drops, delays, truncates or replaces responses, as a test requires."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from supabase_nb.demo import DemoServer


class Exchange:
    """One request that has arrived, and what may become of it."""

    def __init__(
        self, proxy: FaultProxy, handler: http.server.BaseHTTPRequestHandler, released: threading.Event
    ) -> None:
        self.proxy, self._handler, self._released = proxy, handler, released
        self._body = handler.rfile.read(int(handler.headers.get("content-length") or 0))

    def forward(self) -> bytes:
        """Let the server act. Returns its answer as it goes over the wire."""
        handler = self._handler
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        with contextlib.closing(upstream):
            headers = {
                name: value
                for name, value in handler.headers.items()
                if name.lower() not in ("host", "connection")
            }
            upstream.request(handler.command, handler.path, self._body or None, headers)
            response = upstream.getresponse()
            data = response.read()
        dropped = ("transfer-encoding", "connection", "content-length")
        head = [f"HTTP/1.1 {response.status} {response.reason}", f"Content-Length: {len(data)}"]
        head += [f"{name}: {value}" for name, value in response.getheaders() if name.lower() not in dropped]
        return "\r\n".join([*head, "", ""]).encode() + data

    def send(self, data: bytes) -> None:
        """Send bytes to the client, if it still listens."""
        with contextlib.suppress(OSError):
            self._handler.wfile.write(data)
            self._handler.wfile.flush()

    def close(self) -> None:
        """Close the connection without a response."""
        self._handler.close_connection = True

    def reset(self) -> None:
        """End the connection the hard way."""
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait, but not beyond the proxy's recovery. Returns whether that has come."""
        return self._released.wait(seconds)


Fault = Callable[[Exchange], None]


def passes(exchange: Exchange) -> None:
    exchange.send(exchange.forward())


def drop(exchange: Exchange) -> None:
    """The request never arrives."""
    exchange.reset()


def lose(exchange: Exchange) -> None:
    """The server handles the request, but its response is lost."""
    exchange.forward()
    exchange.reset()


def cut(exchange: Exchange) -> None:
    """The connection ends in the middle of the answer."""
    answer = exchange.forward()
    exchange.send(answer[: len(answer) - 100])
    exchange.close()


def hang(exchange: Exchange) -> None:
    """Nothing comes, until the proxy recovers."""
    exchange.wait()
    exchange.reset()


def hang_after(exchange: Exchange) -> None:
    """The server acts at once; its answer comes when the proxy recovers."""
    answer = exchange.forward()
    exchange.wait()
    exchange.send(answer)


def pause(exchange: Exchange) -> None:
    """The answer stops in its middle, until the proxy recovers."""
    answer = exchange.forward()
    exchange.send(answer[:-100])
    exchange.wait()
    exchange.send(answer[-100:])


def delay(seconds: float) -> Fault:
    def fault(exchange: Exchange) -> None:
        exchange.wait(seconds)
        passes(exchange)

    return fault


def drip(exchange: Exchange) -> None:
    """The answer comes byte by byte, half a second each."""
    for byte in exchange.forward():
        if exchange.wait(0.5):
            break
        exchange.send(bytes([byte]))
    exchange.close()


def says(status: int, body: Any = "", **headers: str) -> Fault:
    """Another response than the server's, which doesn't receive the request."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "text/html" if isinstance(body, str) else "application/json"
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(data)}", f"Content-Type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    answer = "\r\n".join([*lines, "", ""]).encode() + data
    return lambda exchange: exchange.send(answer)


LOGIN_PAGE = says(200, "<!doctype html><title>Log in to the network</title>")


class FaultProxy:
    """Listens on a free port of 127.0.0.1. Without faults everything passes.

    Attributes:
        asked: What has arrived: ``"POST /auth/v1/token?grant_type=refresh_token"``, in order.
        connections: The connections that are open.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.asked: list[str] = []
        self.connections: set[object] = set()
        self.arrived = threading.Condition()
        self._released = threading.Event()
        self._next: list[tuple[str, Fault]] = []
        self._always: list[tuple[str, Fault]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(handler) -> None:
                fault, released = self._fault_for(f"{handler.command} {handler.path}")
                fault(Exchange(self, handler, released))

            do_POST = do_PUT = do_GET

            def handle(handler) -> None:
                self.connections.add(handler)
                try:
                    super(Handler, handler).handle()
                finally:
                    self.connections.discard(handler)

            def log_message(handler, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # the client has gone

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.auth_url = self.url + "/auth/v1"

    def _fault_for(self, asked: str) -> tuple[Fault, threading.Event]:
        with self.arrived:
            self.asked.append(asked)
            self.arrived.notify_all()
            for entry in self._next:
                if entry[0] in asked:
                    self._next.remove(entry)
                    return entry[1], self._released
            always = (fault for part, fault in self._always if part in asked)
            return next(always, passes), self._released

    def next(self, *faults: Fault, path: str = "/token") -> None:
        """The next requests whose method and path contain `path` get these faults, one each."""
        with self.arrived:
            self._next += [(path, fault) for fault in faults]

    def always(self, fault: Fault, path: str = "") -> None:
        """Every request (whose method and path contain `path`) gets this fault, until `recover`."""
        with self.arrived:
            self._always.insert(0, (path, fault))

    def recover(self) -> None:
        """End all faults. Hanging connections continue."""
        with self.arrived:
            self._next.clear()
            self._always.clear()
            self._released.set()
            self._released = threading.Event()

    def count(self, path: str = "/token") -> int:
        return sum(path in asked for asked in self.asked)

    def wait_for(self, count: int, path: str = "/token", timeout: float = 20.0) -> None:
        """Wait until so many such requests have arrived."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.count(path) >= count, timeout), self.asked

    def __enter__(self) -> FaultProxy:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.recover()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@contextmanager
def faulty(server: DemoServer) -> Iterator[FaultProxy]:
    """A proxy before this server."""
    with FaultProxy(server.url) as proxy:
        yield proxy
