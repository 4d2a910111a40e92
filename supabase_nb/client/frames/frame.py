"""`Client.frame`: reads all rows of a query into a DataFrame, and warns if it may be incomplete."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from postgrest.exceptions import APIError

from ...errors import AuthError
from ...tokens import read_claims, text_claim
from . import position, schema
from .pages import Source
from .position import Term
from .progress import Progress
from .query import Query, read
from .reading import NotOrdered, Order, Reading, now
from .truncation_warning import DataWarning, outside

if TYPE_CHECKING:
    from .columns import Library
    from .schema import Tables

_BACKENDS = (None, "numpy_nullable", "pyarrow")
#: Postgres error codes: for a column that is missing, forbidden or can't be sorted; for a missing privilege;
#: for a type that can't be sorted, such as `json`.
_CANNOT_BE_ASKED, _NOT_ALLOWED, _HAS_NO_ORDER = "42", "42501", "42883"
_KINDS_WITHOUT_ORDER = {"json", "mixed", "null"}
_NOBODY, _SECRET = "a signed-out user", "the secret key"


def frame(
    tables: Tables,
    asked: Any,
    as_: str,
    dtype_backend: str | None,
    key: str | Sequence[str] | None,
    progress: bool,
) -> Any:
    """Implements `Client.frame`."""
    library = _library(as_, dtype_backend)
    return _Frame(tables, read(tables.client, asked), library, key, progress=progress).make()


def _library(as_: str, dtype_backend: str | None) -> Library:
    if dtype_backend not in _BACKENDS or (dtype_backend and as_ != "pandas"):
        raise ValueError('dtype_backend is for pandas: "numpy_nullable" or "pyarrow".')
    if as_ == "pyarrow" or dtype_backend == "pyarrow":
        from .arrow import Arrow

        return Arrow(for_pandas=as_ == "pandas")
    if as_ == "pandas":
        from .pandas import Pandas

        return Pandas(nullable=dtype_backend is not None)
    if as_ == "polars":
        from .polars import Polars

        return Polars()
    raise ValueError('as_ is "pandas", "polars" or "pyarrow".')


def _names(key: Any) -> tuple[str, ...]:
    names = (key,) if isinstance(key, str) or not isinstance(key, Sequence) else key
    if not all(isinstance(name, str) and name for name in names):
        raise TypeError('key is the name of a column, or a list of names, such as ["day", "station"].')
    return tuple(names)


class _Frame:
    """One call of `frame`."""

    def __init__(
        self,
        tables: Tables,
        query: Query,
        library: Library,
        key: str | Sequence[str] | None,
        *,
        progress: bool,
    ) -> None:
        if query.rows and query.limit is None and query.method == "GET":
            query = replace(query, limit=2)  # a second row is enough to know that there are too many
        self._tables, self._query, self._library = tables, query, library
        self._stop = threading.Event()
        self._source = Source(tables.client, query.url, query.headers, self._stop)
        self._progress = Progress(query.name, shown=progress)
        self._who: tuple[str | None, str] | None = None
        known = None if query.is_function else tables.known(query.headers).get(query.name)
        self._known = known
        self._hints = _hints(query, known)
        self._key: tuple[str, ...] = ()
        self._guessed = False
        self._key_is_primary = not key and known is not None
        self._kinds: dict[str, str] = {}
        self._unordered: list[str] = []  # columns that the server can't sort by
        if key:
            self._key = _names(key)
        elif known is not None:
            self._key = known.key
        elif not query.aggregates:
            self._key, self._guessed = ("id",), True

    def make(self) -> Any:
        """Read the rows, and build the frame."""
        at = now()
        try:
            reading, order, note = self._read()
            known: Sequence[str] = list(self._hints) or list(self._query.columns() or ())
            if not reading.rows:
                note, columns = self._why_empty(reading)
                known = known or columns
        finally:
            self._stop.set()
            self._progress.end()
        made, rows, limit = reading.frame(known), reading.rows, self._query.limit
        if limit is not None and rows > limit:
            made, rows = made[:limit], limit
        attrs = {
            "table": self._query.name,
            "user": self._who[0] if self._who is not None else None,
            "at": at,
            "rows": rows,
            "order": order.text,
            "note": note,
        }
        return self._library.note(made, attrs)

    # -- reading -------------------------------------------------------------------------------------------

    def _read(self) -> tuple[Reading, Order, str]:
        query = self._query
        if query.method == "POST":
            return self._call()
        order, reading = self._by_key()
        if reading is None:
            order, reading = self._by_all()
        self._check_number_of_rows(reading)
        skipped = reading.by_position and self._has_skipped(reading, order)
        # If pages start after a row, changes don't cost rows unnoticed: all counted rows have arrived.
        if not reading.several or (reading.by_position and reading.rows == reading.total and not skipped):
            return reading, order, ""
        after = self._count()
        if skipped and reading.counted == after:
            # Nothing changed, but rows are missing, so several rows have the same key.
            self._kinds = reading.kinds
            self._progress.restart()
            order, reading = self._by_all()
        return reading, order, self._about_changes(reading, after) or self._about_order()

    def _has_skipped(self, reading: Reading, order: Order) -> bool:
        """Whether rows were skipped. With a limit, others take their place: count the rows up to the last."""
        if self._query.limit is None or self._key_is_primary:
            return reading.rows < reading.total
        up_to_the_last = position.up_to(order.terms or (), reading.end)
        return self._count(("and", f"({up_to_the_last})")) != self._query.offset + reading.rows

    def _by_key(self) -> tuple[Order, Reading | None]:
        order = self._order(self._key)
        try:
            return order, self._attempt(order)
        except APIError as error:
            if not (self._guessed and str(error.code).startswith(_CANNOT_BE_ASKED)):
                raise self._explained(error) from None
        self._key, self._guessed = (), False  # the key doesn't exist
        return self._by_key()

    def _attempt(self, order: Order) -> Reading | None:
        """Read the rows. Returns ``None`` if there are several pages, but no order for them yet."""
        reading = Reading(
            self._source,
            self._query,
            order,
            self._library,
            self._hints,
            self._progress,
            self._stop,
            self._check,
        )
        try:
            reading.read()
        except NotOrdered:
            self._kinds = reading.kinds
            self._progress.restart()
            return None
        if reading.max_rows is not None:
            self._tables.row_limit.maximum = reading.max_rows
        return reading

    def _explained(self, error: APIError) -> APIError:
        """An error, with the next step if no user is signed in."""
        if error.code == _NOT_ALLOWED and self._identity()[1] == _NOBODY:
            said = {name: getattr(error, name) for name in ("message", "code", "details")}
            return APIError({**said, "hint": "You aren't signed in. Sign in or restore a session first."})
        return error

    def _order(self, key: Sequence[str]) -> Order:
        """The query's order, then the key, so that the order is unique."""
        terms = position.parse(self._query.order)
        added = [name for name in key if terms is None or name not in [term.column for term in terms]]
        # A primary key has no nulls. If a guessed key has some, rows are missing, so another order is used.
        of_key = [Term(name, nullable=False) for name in added]
        text = ",".join([*([self._query.order] if self._query.order else []), *map(str, of_key)])
        return Order(None if terms is None else [*terms, *of_key], text, unique=bool(key))

    def _by_all(self) -> tuple[Order, Reading]:
        """Read in the order of all columns. Rows that are equal in these are identical."""
        order = self._order_by_all(self._kinds)
        try:
            reading = self._attempt(order)
        except APIError as error:
            plain = [name for name, kind in self._kinds.items() if kind not in _KINDS_WITHOUT_ORDER]
            if error.code != _HAS_NO_ORDER or len(plain) == len(self._kinds):
                raise
            self._unordered = [name for name in self._kinds if name not in plain]
            order = self._order_by_all(plain)
            reading = self._attempt(order)
        assert reading is not None
        return order, reading

    def _order_by_all(self, names: Iterable[str]) -> Order:
        """The user's order, then these columns, as far as the server can order by them."""
        ordered = [term.column for term in position.parse(self._query.order) or ()]
        terms = [Term(name) for name in names if name not in ordered and self._query.may_order_by(name)]
        text = ",".join([*([self._query.order] if self._query.order else []), *map(str, terms)])
        return Order(None, text, unique=False, complete=True)

    def _count(self, *conditions: tuple[str, str]) -> int:
        """How many rows there are now."""
        parameters = [("select", self._query.select), *self._query.filters, *conditions]
        return self._source.page(parameters, count=True, method="HEAD").total or 0

    def _call(self) -> tuple[Reading, Order, str]:
        """Call a function with POST. It may change data, so it is called only once."""
        query = self._query
        parameters = [("select", query.select)] if query.select != "*" else []
        parameters += [*query.filters]
        for name, value in (("order", query.order), ("limit", query.limit), ("offset", query.offset)):
            if value:
                parameters.append((name, str(value)))
        page = self._source.page(parameters, count=True, method="POST", body=query.body)
        self._check()
        wanted = max(0, (page.total or 0) - query.offset)
        wanted = wanted if query.limit is None else min(wanted, query.limit)
        sent = len(page.rows())
        if wanted > sent:
            raise ValueError(
                f"{query.name} returns {wanted:,} rows, but the server sends at most {sent:,}. "
                f'If the function only reads, load it page by page: supabase.rpc("{query.name}", {{…}}, '
                "get=True)."
            )
        order = Order(None, query.order, unique=False)
        reading = Reading(
            self._source, query, order, self._library, self._hints, self._progress, self._stop, self._check
        )
        reading.take(page)
        self._check_number_of_rows(reading)
        return reading, order, ""

    def _check_number_of_rows(self, reading: Reading) -> None:
        fewest, most = self._query.rows or (0, reading.rows)
        if not fewest <= reading.rows <= most:
            wanted = "exactly one row" if fewest else "at most one row"
            call = "single()" if fewest else "maybe_single()"
            number = max(0, reading.counted - self._query.offset)
            raise ValueError(f"The query has {number:,} rows, but {call} needs {wanted}.")

    # -- user ----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Check that the user hasn't changed since the first page."""
        who = self._identity()
        if self._who is None:
            self._who = who
        elif who != self._who:
            raise AuthError(
                f"The user changed while {self._query.name} was loading: {self._who[1]} before, {who[1]} "
                "now. "
                "Run it again.",
                code="user_changed",
            )

    def _identity(self) -> tuple[str | None, str]:
        tokens, auth = self._tables.tokens, self._tables.client.auth
        if tokens.overridden:
            subject = text_claim(read_claims(tokens.newest()), "sub")
            return subject, f"the user of set_auth ({subject})"
        user = auth.user
        if user is None:
            return None, _SECRET if auth.uses_secret_key else _NOBODY
        name = user.email or user.id
        return name, name

    # -- messages ------------------------------------------------------------------------------------------

    def _about_changes(self, reading: Reading, after: int) -> str:
        # With a limit, rows that are equal to the last one are read too, and cut off later.
        as_many = reading.rows == reading.total or (self._query.limit is not None and reading.by_position)
        if reading.counted == after and as_many:
            return ""
        text = (
            f"{self._query.name} changed while it was loading: {reading.counted:,} rows before, "
            f"{after:,} after, {reading.rows:,} read. "
        )
        if reading.by_position:
            text += "Rows that existed the whole time are in the frame exactly once."
        else:
            text += (
                "Rows may be missing or repeated, because the server doesn't reveal the primary key. Run "
                "it again, "
                'or pass columns that are unique together: frame(…, key=["day", "id"]).'
            )
        warnings.warn(text, DataWarning, stacklevel=outside())
        return text

    def _about_order(self) -> str:
        if not self._unordered:
            return ""
        text = (
            f"{self._query.name} can't be ordered by {', '.join(self._unordered)}, and the server doesn't "
            "reveal its primary key: rows that differ only there may be missing or repeated. Pass columns "
            'that are unique together, frame(…, key=["day", "id"]).'
        )
        warnings.warn(text, DataWarning, stacklevel=outside())
        return text

    def _why_empty(self, reading: Reading) -> tuple[str, list[str]]:
        """Why there are no rows, as far as known, and the columns if a row is visible."""
        query, name = self._query, self._query.name
        who = self._who[1] if self._who is not None else _NOBODY
        if query.is_function:
            return "", []
        columns: list[str] = []
        if query.filters or reading.counted:
            page = self._source.page([("select", query.select), ("limit", "1")], count=True)
            for row in page.rows():
                columns = list(row)
                text = f"Of the {page.total or 1:,} rows that {who} may read, none match the filters."
                return "" if reading.counted else text, columns
        if who == _SECRET:
            return f"{name} has no such rows (a secret key can read all rows).", []
        if who == _NOBODY:
            text = (
                f"{name} has no rows for this request, and you aren't signed in: most policies show rows to "
                "signed-in users only. Sign in or restore a session, then run it again."
            )
        else:
            text = (
                f"{name} has no rows that {who} may read: it is empty, or no Row Level Security policy "
                "matches. The server's response is the same in both cases."
            )
        warnings.warn(text, DataWarning, stacklevel=outside())
        return text, []


def _hints(query: Query, known: schema.Known | None) -> dict[str, str]:
    """Column of the response -> the kind of its values according to the server."""
    if known is None:
        return {}
    if query.select.strip() == "*":
        return dict(known.kinds)
    named = query.columns()
    if named is None:
        return {}
    return {name: known.kinds[column] for name, column in named.items() if column in known.kinds}
