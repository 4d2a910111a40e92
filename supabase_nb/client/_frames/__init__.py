"""Complete tables as DataFrames.

- `frame`: `Client.frame`. `query_parser`: reads a query of Supabase's query builder.
- `row_fetcher`: fetches all of its rows. `pages`: sends a request. `keyset`: where the next page starts.
- `schema`: gets keys and types from the server.
- `columns`: packs each page. `pandas`, `polars`, `arrow`: build the frame.
- `progress`: a progress bar. `truncation_warning`: warns if a response was cut off.
"""

from __future__ import annotations
