"""Reads all rows of a query: the first page with the count, then the others, several at a time."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..._runtime.environment import HAS_THREADS
from . import columns, keyset
from .keyset import Term
from .page_request import Page, PageSource, Stopped

if TYPE_CHECKING:
    from .columns import Library, Part
    from .progress import Progress
    from .query_parser import Query

#: Rows per request. The server sends fewer if its maximum is lower (at Supabase, 1,000).
PAGE_SIZE = 5_000
#: Concurrent requests, as many as a browser sends. They hide latency without overloading the database.
MAX_CONCURRENT = 6
_MAX_URL_VALUE = 1_000
_ALIAS = "supabase_nb_{}"

Parameters = list[tuple[str, str]]
# A page's number of rows, and the last row's values in the order's columns.
_PackedPage = tuple[int, Sequence[Any]]
# A page that a job has received: its part, the page, and where to put the result of packing it.
_ReceivedPage = tuple[int, Page, "queue.SimpleQueue[_PackedPage]"]
# A received page, the exception that ended a job, or ``None``: a job is done.
_Event = _ReceivedPage | BaseException | None


class NotOrdered(Exception):
    """There are several pages, but no order in which a page can start after a row."""


class Order:
    """The order of the rows.

    Args:
        terms: Its columns; ``None`` if some aren't plain columns.
        text: The order in PostgREST's syntax.
        unique: Whether it is assumed that no two rows have the same values in its columns.
        complete: Whether there is no better order.
    """

    def __init__(
        self, terms: Sequence[Term] | None, text: str, *, unique: bool, complete: bool = False
    ) -> None:
        self.terms, self.text, self.unique, self.complete = terms, text, unique, unique or complete

    @property
    def by_keyset(self) -> bool:
        """Whether pages can start after a row (keyset pagination) instead of at an offset."""
        return self.unique and bool(self.terms)


class Reading:
    """Reads a query once.

    Args:
        source: Sends the requests.
        query: The query.
        order: The order of the rows.
        library: Packs the rows.
        hints: Column -> the kind of its values according to the server.
        progress: Counts the rows.
        stop: Set when reading is stopped.
        check: Called after each page. Raises an error if the user has changed.
    """

    def __init__(
        self,
        source: PageSource,
        query: Query,
        order: Order,
        library: Library,
        hints: dict[str, str],
        progress: Progress,
        stop: threading.Event,
        check: Callable[[], None],
    ) -> None:
        self._source, self._query, self._order, self._library = source, query, order, library
        self._hints, self._progress, self._stop, self._check = hints, progress, stop, check
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        #: The kind of value in each column, from the first page.
        self.kinds: dict[str, str] = {}
        self._ends: dict[int, Sequence[Any]] = {}
        self._keyset_columns: list[str] = []
        self._select = query.select
        if order.by_keyset:
            self._select_keyset_columns(order.terms or ())
        self.names: list[str] | None = None
        self.counted = self.total = 0
        self.several = self.by_keyset = False
        self.max_rows: int | None = None
        self._pages: dict[int, list[tuple[int, list[Part]]]] = {}

    def _select_keyset_columns(self, terms: Sequence[Term]) -> None:
        """Add the order's columns that aren't selected, under other names."""
        named = self._query.columns()
        for number, term in enumerate(terms):
            if (named or {}).get(term.column) == term.column or self._query.select.strip() == "*":
                self._keyset_columns.append(term.column)
            else:
                alias = _ALIAS.format(number)
                self._select += f",{alias}:{keyset.quoted(term.column)}"
                self._keyset_columns.append(alias)

    # -- parts ---------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read all rows.

        Raises:
            postgrest.APIError: The server rejected the request.
        """
        query = self._query
        size = PAGE_SIZE if query.limit is None else min(PAGE_SIZE, query.limit)
        offset = [("offset", str(query.offset))] if query.offset else []
        first = self._source.page([*self._parameters(size), *offset], count=True)
        self._check()
        if first.total is None:
            raise RuntimeError("The server did not count the rows, so they may be incomplete.")
        self.counted = first.total
        self.total = max(0, first.total - query.offset)
        if query.limit is not None:
            self.total = min(self.total, query.limit)
        self._progress.begin(self.total)
        taken, last_key = self._pack(0, first)
        left = self.total - taken
        if left <= 0 or not taken:
            return
        self.several = True
        del first
        if not self._order.complete:
            raise NotOrdered
        if taken < size:
            self.max_rows = taken
        self.by_keyset = self._order.by_keyset
        self._check_keyset(last_key)
        rest = self._read_by_keyset if self.by_keyset else self._read_by_offset
        self._run_concurrently(rest(taken, left, last_key))

    def _parameters(self, size: int) -> Parameters:
        found = [("select", self._select), *self._query.filters]
        if self._order.text:
            found.append(("order", self._order.text))
        return [*found, ("limit", str(size))]

    def _read_by_offset(self, size: int, left: int, last_key: Sequence[Any]) -> list[Callable[[], None]]:
        """Read pages by offset. Rows that are inserted in the meantime shift the others."""
        start = self._query.offset + size

        def job(part: int) -> None:
            for begun in range(start + (part - 1) * size, start + left, MAX_CONCURRENT * size):
                parameters = self._parameters(min(size, start + left - begun))
                self._pack_in_caller(begun, self._source.page([*parameters, ("offset", str(begun))]))

        return [lambda part=part: job(part) for part in range(1, MAX_CONCURRENT + 1)]  # type: ignore[misc]

    def _read_by_keyset(self, size: int, left: int, last_key: Sequence[Any]) -> list[Callable[[], None]]:
        """Read pages that start after the last row of the previous page.

        The rows are divided into parts at some boundary rows, so that each row is in exactly one part. Rows
        that were added after the last boundary are a part too.
        """
        terms, first = self._order.terms or (), last_key
        limited = self._query.limit is not None
        parts = min(MAX_CONCURRENT, -(-left // size))
        last: dict[int, Sequence[Any]] = {}

        def find_boundary(part: int) -> None:
            number = left * (part + 1) // parts - 1
            behind = [("and", f"({keyset.after(terms, first)})"), ("offset", str(number))]
            for row in self._source.page([*self._parameters(1), *behind]).rows():
                last[part] = self._keyset_of(row)
                self._check_keyset(last[part])

        if parts > 1:
            self._run_concurrently([lambda part=part: find_boundary(part) for part in range(parts)])  # type: ignore[misc]
        # Ignore a boundary row that has been deleted.
        ends: list[Sequence[Any] | None] = [last[part] for part in sorted(last)]
        if not limited or parts - 1 not in last:
            ends.append(None)
        starts = [first, *ends]

        def job(part: int) -> None:
            at, end = starts[part] or (), ends[part]
            up_to = [] if end is None else [keyset.up_to(terms, end)]
            asked = min(size, left) if limited else size
            while True:
                behind = ("and", f"({','.join([keyset.after(terms, at), *up_to])})")
                taken, at = self._pack_in_caller(
                    part + 1, self._source.page([*self._parameters(asked), behind])
                )
                done = taken < asked or at == end or (limited and parts == 1)
                if limited or not done:  # with a limit, the rows up to the last one are counted
                    self._check_keyset(at)
                if done:
                    return

        return [lambda part=part: job(part) for part in range(len(ends))]  # type: ignore[misc]

    # -- pages ---------------------------------------------------------------------------------------------

    def _pack(self, part: int, page: Page) -> _PackedPage:
        """Pack a page. Returns its number of rows, and the last row's values in the order's columns."""
        self._check()
        rows = page.rows()
        if not rows:
            return 0, ()
        if not all(type(row) is dict for row in rows):
            rows = [{self._query.name: value} for value in rows]
        # All rows of a table have the same columns, but a function can return any objects.
        names = list(
            dict.fromkeys(name for row in rows for name in row) if self._query.is_function else rows[0]
        )
        if self.names is None:
            self.names = [
                name for name in names if name not in self._keyset_columns or self._is_selected(name)
            ]
        elif self._query.is_function and not set(names) <= {*self.names, *self._keyset_columns}:
            raise ValueError(
                f"The rows of {self._query.name} have different columns, so they don't form a table."
            )
        packed = [
            columns.pack(self._library, [row.get(name) for row in rows], self._hints.get(name))
            for name in self.names
        ]
        self.kinds = self.kinds or {name: kind for name, (kind, _) in zip(self.names, packed, strict=True)}
        self._ends[part] = self._keyset_of(rows[-1])
        self._pages.setdefault(part, []).append((len(rows), packed))
        self._progress.add(len(rows))
        return len(rows), self._ends[part]

    def _is_selected(self, name: str) -> bool:
        return not name.startswith(_ALIAS.format(""))

    @property
    def end(self) -> Sequence[Any]:
        """The last row's values in the order's columns."""
        return self._ends[max(self._ends)]

    def _check_keyset(self, last_key: Sequence[Any]) -> None:
        """Raise `NotOrdered` if these values don't fit into a URL, so no page can start after their row."""
        if self.by_keyset and not all(map(_can_be_sent, last_key)):
            raise NotOrdered

    def _keyset_of(self, row: dict[str, Any]) -> Sequence[Any]:
        return [row[name] for name in self._keyset_columns]

    def add_page(self, page: Page) -> None:
        """Add the only page of a function's result."""
        taken, _ = self._pack(0, page)
        self.counted = self.total = taken

    @property
    def rows(self) -> int:
        """How many rows have been read."""
        return sum(count for pages in list(self._pages.values()) for count, _ in list(pages))

    def frame(self, known: Sequence[str]) -> Any:
        """The frame. `known` are its columns if there are no rows."""
        pages = [page for part in sorted(self._pages) for page in self._pages[part]]
        names = self.names if self.names is not None else list(known)
        made = {}
        for number, name in enumerate(names):
            parts = [packed[number] for _, packed in pages]
            for _, packed in pages:
                packed[number] = ("null", 0)  # free the memory of joined pages
            made[name] = columns.join(self._library, parts, self._hints.get(name))
        return self._library.frame(made, self.rows)

    # -- concurrency --------------------------------------------------------------------------------------

    def _run_concurrently(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Run jobs in threads that wait for the server, and pack their pages in this thread.

        The first failure or Ctrl-C ends this. The jobs then stop after their current request.
        """
        if not HAS_THREADS:
            for job in jobs:
                job()
            return

        def run(job: Callable[[], None]) -> None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
                self._events.put(error)
            else:
                self._events.put(None)

        for job in jobs:
            threading.Thread(target=run, args=[job], name="supabase-nb-frame", daemon=True).start()
        left = len(jobs)
        while left:
            try:
                event = self._events.get(timeout=self._progress.pause)
            except queue.Empty:
                self._progress.show()
                continue
            if isinstance(event, BaseException):
                raise event
            if event is None:
                left -= 1
            else:
                part, page, answer = event
                answer.put(self._pack(part, page))
                del event, page
            self._progress.show()

    def _pack_in_caller(self, part: int, page: Page) -> _PackedPage:
        """Let the thread that called `read` pack a page, and wait for it. Called in a job."""
        if not HAS_THREADS:
            return self._pack(part, page)
        answer: queue.SimpleQueue[_PackedPage] = queue.SimpleQueue()
        self._events.put((part, page, answer))
        del page
        while not self._stop.is_set():
            with contextlib.suppress(queue.Empty):
                return answer.get(timeout=1)
        raise Stopped


def _can_be_sent(value: Any) -> bool:
    """Whether a value can be used in a URL: not if it is JSON, or long."""
    return not isinstance(value, (dict, list)) and len(quote(str(value))) < _MAX_URL_VALUE


def utc_now() -> str:
    """The current time in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
