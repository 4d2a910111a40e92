"""Complete tables as DataFrames.

- `frame`: `Client.frame`. `query_parser`: reads a query of Supabase's query builder.
- `row_fetcher`: fetches all of its rows. `page_request`: sends one request.
- `keyset`: where the next page starts.
- `schema`: gets keys and types from the server.
- `columns`: packs each page. `pandas`, `polars`, `arrow`: build the frame.
- `progress`: a progress bar.
"""

from __future__ import annotations
