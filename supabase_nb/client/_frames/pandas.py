"""pandas columns and frames."""

from __future__ import annotations

from typing import Any

from .columns import decimals, missing_package_error, without_time_zone

_NULLABLE = {"bool": "boolean", "int": "Int64", "bigint": "Int64", "float": "Float64", "text": "string"}


class Pandas:
    """pandas, with its default types, or nullable types where nulls would lose precision.

    Args:
        nullable: Always use nullable types (``dtype_backend="numpy_nullable"``).

    Raises:
        ImportError: It isn't installed.
    """

    def __init__(self, *, nullable: bool = False) -> None:
        try:
            import numpy
            import pandas
        except ImportError:
            raise missing_package_error("pandas") from None
        self._np: Any = numpy
        self._pd: Any = pandas
        self._nullable = nullable
        # pandas 3 has a text type. Before, text was stored as objects.
        text = pandas.Series(["text"]).dtype
        self._text = None if text == object else text  # noqa: E721

    def pack(self, kind: str, values: list[Any]) -> Any:
        """Pack a page of values, which may include nulls."""
        np, pd = self._np, self._pd
        if kind == "null":
            return len(values)
        if kind == "bool":
            return pd.array(values, dtype="boolean")
        if kind in ("int", "bigint"):
            if None not in values:
                return np.array(values, dtype="int64")
            known = np.array([0 if value is None else value for value in values], dtype="int64")
            return pd.arrays.IntegerArray(known, np.array([value is None for value in values]))
        if kind == "float":
            return np.array([np.nan if value is None else float(value) for value in values], dtype="float64")
        if kind == "timestamptz":
            return np.array(without_time_zone(values), dtype="datetime64[us]")
        if kind in ("timestamp", "date"):
            return np.array(values, dtype="datetime64[us]")
        if kind in ("text", "special") and self._text is not None:
            return pd.array(values, dtype=self._text)
        if kind == "decimal":
            values = decimals(values)
        return np.fromiter(values, dtype=object, count=len(values))

    def unpack(self, kind: str, packed: Any) -> list[Any]:
        """Unpack the values."""
        if kind == "null":
            return [None] * packed
        if kind == "float":
            return [None if value != value else value for value in packed.tolist()]
        values = self._pd.Series(packed).astype(object)
        found = [None if self._is_null(value) else value for value in values]
        if kind == "date":
            return [value and value.date() for value in found]
        if kind == "timestamptz":
            return [value and value.tz_localize("UTC").to_pydatetime() for value in found]
        return [value and value.to_pydatetime() for value in found] if kind == "timestamp" else found

    def _is_null(self, value: Any) -> bool:
        return not isinstance(value, (list, dict)) and bool(self._pd.isna(value))

    def join(self, kind: str, packed: list[Any]) -> Any:
        """Join all pages of a column."""
        pd = self._pd
        if kind == "null":
            return pd.Series([None] * sum(packed), dtype=object)
        if not packed:
            packed = [self.pack(kind, [])]
        whole = pd.concat([pd.Series(part) for part in packed], ignore_index=True)
        if kind == "timestamptz":
            whole = whole.dt.tz_localize("UTC")
        if self._nullable:
            return whole.astype(_NULLABLE[kind]) if kind in _NULLABLE else whole
        if kind in ("bool", "int", "bigint") and not whole.hasnans:
            return whole.astype("bool" if kind == "bool" else "int64")
        return whole

    def frame(self, columns: dict[str, Any], rows: int) -> Any:
        """The frame."""
        return self._pd.DataFrame(columns, index=self._pd.RangeIndex(rows), copy=False)

    def set_attrs(self, frame: Any, attrs: dict[str, Any]) -> Any:
        """Store notes in `DataFrame.attrs`."""
        frame.attrs["supabase"] = attrs
        return frame
