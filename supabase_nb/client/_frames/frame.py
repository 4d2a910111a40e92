"""`Client.frame`: reads all rows of a query into a DataFrame, and warns if it may be incomplete."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from postgrest.exceptions import APIError

from ..._secrets.tokens import read_claims, text_claim
from ...errors import AuthError
from .._truncation_warning import DataWarning, caller_stacklevel
from . import keyset, schema
from .keyset import Term
from .page_request import PageSource
from .progress import Progress
from .query_parser import Query, parse_query
from .row_fetcher import NotOrdered, Order, Reading, utc_now

if TYPE_CHECKING:
    from .columns import Library
    from .schema import Tables

_BACKENDS = (None, "numpy_nullable", "pyarrow")
#: Postgres error codes: for a column that is missing, forbidden or can't be sorted; for a missing privilege;
#: for a type that can't be sorted, such as `json`.
_SYNTAX_OR_ACCESS_ERROR, _INSUFFICIENT_PRIVILEGE, _UNDEFINED_FUNCTION = "42", "42501", "42883"
_KINDS_WITHOUT_ORDER = {"json", "mixed", "null"}
_SIGNED_OUT, _SECRET_KEY = "a signed-out user", "the secret key"


def frame(
    tables: Tables,
    query: Any,
    as_: str,
    dtype_backend: str | None,
    key: str | Sequence[str] | None,
    progress: bool,
) -> Any:
    """Implements `Client.frame`."""
    library = _library(as_, dtype_backend)
    return _FrameBuilder(tables, parse_query(tables.client, query), library, key, progress=progress).build()


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


class _FrameBuilder:
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
        self._source = PageSource(tables.client, query.url, query.headers, self._stop)
        self._progress = Progress(query.name, shown=progress)
        self._who: tuple[str | None, str] | None = None
        known = None if query.is_function else tables.schemas(query.headers).get(query.name)
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

    def build(self) -> Any:
        """Read the rows, and build the frame."""
        at = utc_now()
        try:
            reading, order, note = self._read()
            known: Sequence[str] = list(self._hints) or list(self._query.columns() or ())
            if not reading.rows:
                note, columns = self._explain_empty(reading)
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
        return self._library.set_attrs(made, attrs)

    # -- reading -------------------------------------------------------------------------------------------

    def _read(self) -> tuple[Reading, Order, str]:
        query = self._query
        if query.method == "POST":
            return self._call()
        order, reading = self._read_by_key()
        if reading is None:
            order, reading = self._read_by_all_columns()
        self._check_row_count(reading)
        skipped = reading.by_keyset and self._has_skipped_rows(reading, order)
        # If pages start after a row, changes don't cost rows unnoticed: all counted rows have arrived.
        if not reading.several or (reading.by_keyset and reading.rows == reading.total and not skipped):
            return reading, order, ""
        after = self._count()
        if skipped and reading.counted == after:
            # Nothing changed, but rows are missing, so several rows have the same key.
            self._kinds = reading.kinds
            self._progress.restart()
            order, reading = self._read_by_all_columns()
        return reading, order, self._warn_of_changes(reading, after) or self._warn_of_order()

    def _has_skipped_rows(self, reading: Reading, order: Order) -> bool:
        """Whether rows were skipped. With a limit, others take their place: count the rows up to the last."""
        if self._query.limit is None or self._key_is_primary:
            return reading.rows < reading.total
        up_to_the_last = keyset.up_to(order.terms or (), reading.end)
        return self._count(("and", f"({up_to_the_last})")) != self._query.offset + reading.rows

    def _read_by_key(self) -> tuple[Order, Reading | None]:
        order = self._order(self._key)
        try:
            return order, self._read_in_order(order)
        except APIError as error:
            if not (self._guessed and str(error.code).startswith(_SYNTAX_OR_ACCESS_ERROR)):
                raise self._with_hint(error) from None
        self._key, self._guessed = (), False  # the key doesn't exist
        return self._read_by_key()

    def _read_in_order(self, order: Order) -> Reading | None:
        """Read the rows. Returns ``None`` if there are several pages, but no order for them yet."""
        reading = Reading(
            self._source,
            self._query,
            order,
            self._library,
            self._hints,
            self._progress,
            self._stop,
            self._check_same_user,
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

    def _with_hint(self, error: APIError) -> APIError:
        """An error, with the next step if no user is signed in."""
        if error.code == _INSUFFICIENT_PRIVILEGE and self._identity()[1] == _SIGNED_OUT:
            said = {name: getattr(error, name) for name in ("message", "code", "details")}
            return APIError({**said, "hint": "You aren't signed in. Sign in or restore a session first."})
        return error

    def _order(self, key: Sequence[str]) -> Order:
        """The query's order, then the key, so that the order is unique."""
        terms = keyset.parse(self._query.order)
        added = [name for name in key if terms is None or name not in [term.column for term in terms]]
        # A primary key has no nulls. If a guessed key has some, rows are missing, so another order is used.
        of_key = [Term(name, nullable=False) for name in added]
        text = ",".join([*([self._query.order] if self._query.order else []), *map(str, of_key)])
        return Order(None if terms is None else [*terms, *of_key], text, unique=bool(key))

    def _read_by_all_columns(self) -> tuple[Order, Reading]:
        """Read in the order of all columns. Rows that are equal in these are identical."""
        order = self._all_columns_order(self._kinds)
        try:
            reading = self._read_in_order(order)
        except APIError as error:
            plain = [name for name, kind in self._kinds.items() if kind not in _KINDS_WITHOUT_ORDER]
            if error.code != _UNDEFINED_FUNCTION or len(plain) == len(self._kinds):
                raise
            self._unordered = [name for name in self._kinds if name not in plain]
            order = self._all_columns_order(plain)
            reading = self._read_in_order(order)
        assert reading is not None
        return order, reading

    def _all_columns_order(self, names: Iterable[str]) -> Order:
        """The user's order, then those of these columns that the server can order by."""
        ordered = [term.column for term in keyset.parse(self._query.order) or ()]
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
        self._check_same_user()
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
            self._source,
            query,
            order,
            self._library,
            self._hints,
            self._progress,
            self._stop,
            self._check_same_user,
        )
        reading.add_page(page)
        self._check_row_count(reading)
        return reading, order, ""

    def _check_row_count(self, reading: Reading) -> None:
        fewest, most = self._query.rows or (0, reading.rows)
        if not fewest <= reading.rows <= most:
            wanted = "exactly one row" if fewest else "at most one row"
            call = "single()" if fewest else "maybe_single()"
            number = max(0, reading.counted - self._query.offset)
            raise ValueError(f"The query has {number:,} rows, but {call} needs {wanted}.")

    # -- user ----------------------------------------------------------------------------------------------

    def _check_same_user(self) -> None:
        """Check that the user hasn't changed since the first page."""
        who = self._identity()
        if self._who is None:
            self._who = who
        elif who != self._who:
            raise AuthError(
                f"The user changed while {self._query.name} was loading: {self._who[1]} before, {who[1]} "
                "now. Run it again.",
                code="user_changed",
            )

    def _identity(self) -> tuple[str | None, str]:
        tokens, auth = self._tables.tokens, self._tables.client.auth
        if tokens.is_overridden:
            subject = text_claim(read_claims(tokens.last_token()), "sub")
            return subject, f"the user of set_auth ({subject})"
        user = auth.user
        if user is None:
            return None, _SECRET_KEY if auth.uses_secret_key else _SIGNED_OUT
        name = user.email or user.id
        return name, name

    # -- messages ------------------------------------------------------------------------------------------

    def _warn_of_changes(self, reading: Reading, after: int) -> str:
        # With a limit, rows that are equal to the last one are read too, and cut off later.
        as_many = reading.rows == reading.total or (self._query.limit is not None and reading.by_keyset)
        if reading.counted == after and as_many:
            return ""
        text = (
            f"{self._query.name} changed while it was loading: {reading.counted:,} rows before, "
            f"{after:,} after, {reading.rows:,} read. "
        )
        if reading.by_keyset:
            text += "Rows that existed the whole time are in the frame exactly once."
        else:
            text += (
                "Rows may be missing or repeated, because the server doesn't reveal the primary key. Run it "
                'again, or pass columns that are unique together: frame(…, key=["day", "id"]).'
            )
        warnings.warn(text, DataWarning, stacklevel=caller_stacklevel())
        return text

    def _warn_of_order(self) -> str:
        if not self._unordered:
            return ""
        text = (
            f"{self._query.name} can't be ordered by {', '.join(self._unordered)}, and the server doesn't "
            "reveal its primary key: rows that differ only there may be missing or repeated. Pass columns "
            'that are unique together, frame(…, key=["day", "id"]).'
        )
        warnings.warn(text, DataWarning, stacklevel=caller_stacklevel())
        return text

    def _explain_empty(self, reading: Reading) -> tuple[str, list[str]]:
        """Why there may be no rows, and the columns if a row is visible."""
        query, name = self._query, self._query.name
        who = self._who[1] if self._who is not None else _SIGNED_OUT
        if query.is_function:
            return "", []
        columns: list[str] = []
        if query.filters or reading.counted:
            page = self._source.page([("select", query.select), ("limit", "1")], count=True)
            for row in page.rows():
                columns = list(row)
                text = f"Of the {page.total or 1:,} rows that {who} may read, none match the filters."
                return "" if reading.counted else text, columns
        if who == _SECRET_KEY:
            return f"{name} has no such rows (a secret key can read all rows).", []
        if who == _SIGNED_OUT:
            text = (
                f"{name} has no rows for this request, and you aren't signed in: most policies show rows to "
                "signed-in users only. Sign in or restore a session, then run it again."
            )
        else:
            text = (
                f"{name} has no rows that {who} may read: it is empty, or no Row Level Security policy "
                "matches. The server's response is the same in both cases."
            )
        warnings.warn(text, DataWarning, stacklevel=caller_stacklevel())
        return text, []


def _hints(query: Query, known: schema.TableSchema | None) -> dict[str, str]:
    """Column of the response -> the kind of its values according to the server."""
    if known is None:
        return {}
    if query.select.strip() == "*":
        return dict(known.kinds)
    named = query.columns()
    if named is None:
        return {}
    return {name: known.kinds[column] for name, column in named.items() if column in known.kinds}
