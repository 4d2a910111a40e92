"""The embedded server in a browser: the application runs in the kernel, without a network."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ... import pyodide_transports
from ..._network import http_library as httpx
from .._project.options import Options
from ..server_handle import DemoServer, DemoServerError

# Requests never leave the page, so the port needn't be free.
_URL = "http://localhost:9999"
_HERE = httpx.URL(_URL)
_ORIGIN = _HERE.scheme, _HERE.host, _HERE.port

_server: InPageServer | None = None


@dataclass(frozen=True)
class InPageServer(DemoServer):
    """A server that runs in this kernel, and stops with it."""

    def _exchange(
        self, method: str, path: str, data: str | None, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes]:
        app = pyodide_transports.apps_in_page.get(_ORIGIN)
        if app is None:
            raise DemoServerError("the demo server was stopped; start another with %supabase_connect --demo")
        headers = {"host": urlsplit(self.url).netloc, **headers}
        request = httpx.Request(method, self.url + path, headers=headers, content=data)
        response = pyodide_transports.call_app(app, request)
        return response.status_code, response.content


def find() -> DemoServer | None:
    """The server of this kernel, if it is running."""
    return _server


def ensure(wanted: dict[str, Any]) -> DemoServer:
    """Find this kernel's server, or start it with these options. If it has other options, restart it.

    Raises:
        DemoServerError: Starlette is missing, or the signing algorithm isn't available.
    """
    global _server
    if importlib.util.find_spec("starlette") is None:
        raise DemoServerError("the embedded server needs starlette: %pip install starlette")
    if "signing_alg" not in wanted and importlib.util.find_spec("ecdsa") is None:
        wanted = {"signing_alg": "HS256", **wanted}
    options = Options(**wanted)
    if options.signing_alg == "RS256":
        raise DemoServerError("RS256 is not available in a browser: choose ES256 or HS256")
    if options.signing_alg == "ES256" and importlib.util.find_spec("ecdsa") is None:
        raise DemoServerError("ES256 needs a package: %pip install ecdsa")
    if _server is not None and "jwt_secret" not in wanted and wanted.items() <= _server.options.items():
        return _server
    folder = _server.state_dir if _server is not None else Path(tempfile.mkdtemp(prefix="supabase-nb-demo-"))
    stop()
    _server = _start(folder, options)
    return _server


def _start(folder: Path, options: Options) -> InPageServer:
    from .._project.project import Project
    from .app import build

    project = Project(options, folder)
    project.url = _URL
    project.keys.save(port=_HERE.port or 0)
    project.stop = partial(_stop, project)
    pyodide_transports.apps_in_page[_ORIGIN] = build(project)
    return InPageServer(
        url=_URL,
        auth_url=f"{_URL}/auth/v1",
        anon_key=project.keys.anon_key,
        service_key=project.keys.service_key,
        pid=os.getpid(),
        port=project.keys.port,
        state_dir=folder,
        instance=project.instance,
        options=options.public(),
    )


def stop() -> bool:
    """Stop the server of this kernel. Its state is kept. Returns whether it was running."""
    if _server is None:
        return False
    _server.request("POST", "/demo/stop", token=_server.service_key)
    return True


def _stop(project: Any) -> None:
    global _server
    _server = None
    pyodide_transports.apps_in_page.pop(_ORIGIN, None)
    project.close()
