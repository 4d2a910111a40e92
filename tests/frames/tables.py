"""A project with a test's own tables, served by the embedded data API."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpx

from supabase_nb.demo._project.filters import Column, Table
from supabase_nb.demo._project.postgrest import Database

URL, KEY = "https://supabase.example.com", "sb_publishable_tests"
NUMBERS = Table("numbers", (Column("id", "bigint", nullable=False), Column("name", "text")), key=("id",))


class Api(httpx.BaseTransport):
    """Answers for the project.

    Attributes:
        before: Called with each request for rows, and its number from 0; may return an answer, or raise.
        before_schema: Called with each request for the schema.
        tells_schema: Whether the root tells of the tables.
        asked: The requests for rows, in order.
    """

    def __init__(self, max_rows: int = 1000) -> None:
        self.database = Database(max_rows)
        self.asked: list[httpx.Request] = []
        self.tells_schema = False
        self.before: Callable[[httpx.Request, int], httpx.Response | None] = lambda request, number: None
        self.before_schema: Callable[[httpx.Request], object] = lambda request: None
        self._lock = threading.Lock()

    def create(self, table: Table, rows: Iterable[Sequence[Any]] = ()) -> None:
        self.database.create(table, rows)

    def numbers(self, count: int) -> None:
        """A table of so many rows; the ids are even, so that there is room between them."""
        self.create(NUMBERS, ((2 * number, f"number {number}") for number in range(count)))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/rest/v1/":
            self.before_schema(request)
            if self.tells_schema:
                return httpx.Response(200, json=self.database.openapi())
            return httpx.Response(403, json={"message": "Access to schema is forbidden"})
        with self._lock:
            number = len(self.asked)
            self.asked.append(request)
        early = self.before(request, number)
        if early is not None:
            return early
        name = request.url.path.removeprefix("/rest/v1/")
        found = self.database.answer(
            request.method, name, request.url.params.multi_items(), dict(request.headers), None
        )
        return httpx.Response(found.status, headers=found.headers, content=found.body)


def refused(status: int, code: str, message: str = "refused") -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": message, "details": None, "hint": None})
