"""Listens on 127.0.0.1 for the browser's return from a sign-in, and finishes the sign-in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ..._secrets.tokens import Secret
from ...auth._browser_sign_in import LIFETIME
from ...errors import AuthError, copy_error
from ..text import name_of_user, word

if TYPE_CHECKING:
    from ...models import SessionResponse

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ margin: 20vh auto; max-width: 26rem; padding: 0 1rem; text-align: center }}
h1 {{ font-size: 1.25rem }}
p {{ opacity: .75 }}
</style>
<h1>{title}</h1>
<p>{text}</p>
</html>
"""
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "Connection": "close",
}


class LoopbackListener:
    """Waits for one sign-in: the loopback redirect of RFC 8252.

    Only this machine can reach it. It stops when the sign-in has succeeded or failed, or when it is closed.
    A URL from another sign-in, such as an old tab's, is refused, and it keeps waiting.

    Example:
        with LoopbackListener() as listener:
            sign_in = begin_with_provider(auth, "github", listener.address)
            listener.finish = sign_in.finish
            webbrowser.open(sign_in.url)
            response = listener.wait()
    """

    def __init__(self) -> None:
        #: Signs in with the URL that the browser returned to.
        self.finish: Callable[[Secret], SessionResponse] | None = None
        self._outcome: SessionResponse | AuthError | None = None
        self._ended = threading.Event()
        self._finishing = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._handle_return))
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="supabase-nb-sign-in", daemon=True
        ).start()

    def __enter__(self) -> LoopbackListener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The URL for the browser to return to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    @property
    def ended(self) -> bool:
        """Whether the browser has returned."""
        return self._outcome is not None

    def wait(self, seconds: float = LIFETIME) -> SessionResponse:
        """Wait for the browser. Can be interrupted with Ctrl-C.

        Raises:
            AuthError: The sign-in failed, or ``sign_in_timeout``: the browser did not return.
        """
        deadline = time.monotonic() + seconds
        # In short waits, so that Ctrl-C works on every system.
        while not self._ended.wait(0.2) and time.monotonic() < deadline:
            pass
        if self._outcome is None:
            raise AuthError(word("browser.timeout"), code="sign_in_timeout")
        if isinstance(self._outcome, AuthError):
            raise copy_error(self._outcome)  # without the frames that contain the URL
        return self._outcome

    def close(self) -> None:
        """Stop listening. Can be called repeatedly."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _handle_return(self, path: str) -> tuple[int, str, str]:
        """Finish the sign-in. Returns the status, title and text of the page to show."""
        if urlsplit(path).path != "/":
            return 404, word("browser.other"), ""
        address, path = Secret(urljoin(self.address, path)), ""
        with self._finishing:
            if self._ended.is_set() or self.finish is None:
                return 410, word("browser.over"), word("browser.back")
            try:
                response = self.finish(address)
            except AuthError as error:
                if error.code in ("state_mismatch", "no_credentials"):
                    return 400, word("browser.other"), error.message
                self._outcome = error
            else:
                self._outcome = response
            self._ended.set()
        if isinstance(self._outcome, AuthError):
            return 400, word("browser.failed"), self._outcome.message
        return 200, word("browser.done", who=name_of_user(self._outcome.user)), word("browser.back")


def _handler(handle_return: Callable[[str], tuple[int, str, str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds; browsers open connections without using them
        server_version, sys_version = "supabase-nb", ""

        def do_GET(self) -> None:
            status, title, text = handle_return(self.path)
            body = _PAGE.format(title=escape(title), text=escape(text)).encode()
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing, because the path contains the code."""

    return Handler
