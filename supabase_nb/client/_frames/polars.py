"""polars columns and frames."""

from __future__ import annotations

from typing import Any

from .columns import are_flat_lists, as_json, decimals, digits, missing_package_error, without_time_zone

_TIME = "%Y-%m-%dT%H:%M:%S%.f"


class Polars:
    """polars. JSON objects become text, because structs don't distinguish a missing key from a null.

    Raises:
        ImportError: It isn't installed.
    """

    def __init__(self) -> None:
        try:
            import polars
        except ImportError:
            raise missing_package_error("polars") from None
        pl: Any = polars
        self._pl = pl
        self._types = {
            "null": pl.Null,
            "bool": pl.Boolean,
            "int": pl.Int64,
            "bigint": pl.Int64,
            "float": pl.Float64,
            "text": pl.String,
            "special": pl.String,
            "date": pl.Date,
            "timestamp": pl.Datetime("us"),
            "timestamptz": pl.Datetime("us", "UTC"),
        }

    def pack(self, kind: str, values: list[Any]) -> Any:
        """Pack a page of values, which may include nulls."""
        pl = self._pl
        if kind not in self._types:
            return values
        if kind in ("date", "timestamp", "timestamptz"):
            texts = without_time_zone(values) if kind == "timestamptz" else values
            series = pl.Series(texts, dtype=pl.String)
            try:
                if kind == "date":
                    return series.str.to_date("%Y-%m-%d")
                times = series.str.to_datetime(_TIME, time_unit="us")
            except pl.exceptions.PolarsError as error:
                raise ValueError(str(error)) from None
            return times.dt.replace_time_zone("UTC") if kind == "timestamptz" else times
        if kind == "float":
            values = [None if value is None else float(value) for value in values]
        return pl.Series(values, dtype=self._types[kind])

    def unpack(self, kind: str, packed: Any) -> list[Any]:
        """Unpack the values."""
        values: list[Any] = packed.to_list() if kind in self._types else packed
        return values

    def join(self, kind: str, packed: list[Any]) -> Any:
        """Join all pages of a column."""
        pl = self._pl
        if kind in self._types:
            return pl.concat(packed) if packed else pl.Series([], dtype=self._types[kind])
        values = [value for part in packed for value in part]
        if kind == "decimal":
            exact = decimals(values)
            needed = digits(exact)
            if needed is not None and needed[0] <= 38:
                return pl.Series(exact, dtype=pl.Decimal(38, needed[1]))
            return pl.Series([value if value is None else str(value) for value in exact], dtype=pl.String)
        if are_flat_lists(values):
            return pl.Series(values)
        return pl.Series(as_json(values), dtype=pl.String)

    def frame(self, columns: dict[str, Any], rows: int) -> Any:
        """The frame."""
        return self._pl.DataFrame(columns)

    def set_attrs(self, frame: Any, attrs: dict[str, Any]) -> Any:
        """Does nothing, because polars frames can't have notes."""
        return frame
