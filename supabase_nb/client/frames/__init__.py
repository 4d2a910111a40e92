"""Complete tables as DataFrames.

`frame` is the entry point. `query` reads a query of Supabase's query builder. `reading` fetches all of its
rows: `pages` sends a request, `keyset` defines where the next page starts, `schema` gets keys and types
from the server. `columns` packs each page, and `pandas`, `polars` and `arrow` build the frame.
`truncation_warning` warns if a response was cut off.
"""

from __future__ import annotations
