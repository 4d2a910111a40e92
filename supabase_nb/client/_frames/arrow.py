"""pyarrow columns and tables, and pandas frames built on them."""

from __future__ import annotations

import json
from typing import Any

from .columns import are_flat_lists, as_json, decimals, digits, missing_package_error, without_time_zone


class Arrow:
    """pyarrow. JSON objects become text, because structs don't distinguish a missing key from a null.

    Args:
        for_pandas: Build pandas frames with these types (``dtype_backend="pyarrow"``).

    Raises:
        ImportError: A library isn't installed.
    """

    def __init__(self, *, for_pandas: bool = False) -> None:
        try:
            import pyarrow
        except ImportError:
            raise missing_package_error("pyarrow") from None
        pa: Any = pyarrow
        self._pa = pa
        self._pd: Any = None
        if for_pandas:
            try:
                import pandas
            except ImportError:
                raise missing_package_error("pandas") from None
            self._pd = pandas
        self._types = {
            "null": pa.null(),
            "bool": pa.bool_(),
            "int": pa.int64(),
            "bigint": pa.int64(),
            "float": pa.float64(),
            "text": pa.string(),
            "special": pa.string(),
            "date": pa.date32(),
            "timestamp": pa.timestamp("us"),
            "timestamptz": pa.timestamp("us", "UTC"),
        }

    def pack(self, kind: str, values: list[Any]) -> Any:
        """Pack a page of values, which may include nulls."""
        pa = self._pa
        if kind not in self._types:
            return values
        if kind in ("date", "timestamp", "timestamptz"):
            texts = without_time_zone(values) if kind == "timestamptz" else values
            day_or_time = pa.date32() if kind == "date" else pa.timestamp("us")
            return pa.array(texts, pa.string()).cast(day_or_time).cast(self._types[kind])
        if kind == "float":
            values = [None if value is None else float(value) for value in values]
        return pa.array(values, self._types[kind])

    def unpack(self, kind: str, packed: Any) -> list[Any]:
        """Unpack the values."""
        values: list[Any] = packed.to_pylist() if kind in self._types else packed
        return values

    def join(self, kind: str, packed: list[Any]) -> Any:
        """Join all pages of a column."""
        pa = self._pa
        if kind in self._types:
            return pa.chunked_array(packed, self._types[kind])
        values = [value for part in packed for value in part]
        if kind == "decimal":
            exact = decimals(values)
            needed = digits(exact)
            if needed is not None and needed[0] <= 76:
                make = pa.decimal128 if needed[0] <= 38 else pa.decimal256
                return pa.array(exact, make(38 if needed[0] <= 38 else 76, needed[1]))
            return pa.array([value if value is None else str(value) for value in exact], pa.string())
        if are_flat_lists(values):
            return pa.array(values)
        return pa.array(as_json(values), pa.string())

    def frame(self, columns: dict[str, Any], rows: int) -> Any:
        """The table, or a pandas frame of it."""
        table = self._pa.table(columns)
        if self._pd is None:
            return table
        if not columns:
            return self._pd.DataFrame(index=self._pd.RangeIndex(rows))
        return table.to_pandas(types_mapper=self._pd.ArrowDtype)

    def set_attrs(self, frame: Any, attrs: dict[str, Any]) -> Any:
        """Store notes in the schema's metadata, as JSON; for pandas, in `DataFrame.attrs`."""
        if self._pd is None:
            return frame.replace_schema_metadata({"supabase": json.dumps(attrs)})
        frame.attrs["supabase"] = attrs
        return frame
