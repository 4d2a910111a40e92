"""Complete tables as DataFrames.

`frame` is the call. `query` reads what Supabase's query builder has built. `reading` fetches all of it:
`pages` sends one request, `position` says where the next page begins, `schema` what the server says about
keys and types. `columns` packs each page, and `pandas`, `polars` and `arrow` make the frame. `row_limit`
warns where an answer was cut off.
"""

from __future__ import annotations
