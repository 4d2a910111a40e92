"""The package in Pyodide: no threads, no sockets, and requests by XMLHttpRequest and fetch."""

from __future__ import annotations

import ast
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

import lite
from supabase_nb.demo._project.options import PASSWORD
from supabase_nb.demo.testing import running_server

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "in_pyodide"


def functions_of(module: str) -> list[str]:
    tree = ast.parse((HERE / f"{module}.py").read_text("utf-8"))
    return [each.name for each in tree.body if getattr(each, "name", "").startswith("test_")]


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Sends every request to another place."""

    target = ""

    def redirect(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(307)
        self.send_header("location", self.target + self.path)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = redirect

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def contract(in_pyodide: Callable[..., dict[str, Any]]) -> Iterator[dict[str, Any]]:
    with running_server(access_token_lifetime=10) as server:
        Elsewhere.target = server.url
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as redirects:
            threading.Thread(target=redirects.serve_forever, daemon=True).start()
            try:
                yield in_pyodide(
                    "contract",
                    url=server.url,
                    key=server.anon_key,
                    password=PASSWORD,
                    redirects=f"http://127.0.0.1:{redirects.server_port}/auth/v1",
                    nowhere="http://127.0.0.1:9",
                )
            finally:
                redirects.shutdown()


@pytest.mark.parametrize("name", functions_of("contract"))
def test_contract(contract: dict[str, Any], name: str) -> None:
    assert contract[name] == "passed", contract[name]


@pytest.fixture(scope="module")
def demo_in_page(in_pyodide: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return in_pyodide("demo_in_page")


@pytest.mark.parametrize("name", functions_of("demo_in_page"))
def test_demo_in_page(demo_in_page: dict[str, Any], name: str) -> None:
    assert demo_in_page[name] == "passed", demo_in_page[name]


@pytest.mark.parametrize("path", list(filter(Path.exists, lite.NOTEBOOKS)), ids=lambda path: path.stem)
def test_further_notebooks_of_the_site(in_pyodide: Callable[..., dict[str, Any]], path: Path) -> None:
    cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    outcomes = in_pyodide("notebook", cells=cells)
    assert [outcomes[cell] for cell in cells] == ["passed"] * len(cells)
