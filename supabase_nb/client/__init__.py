"""A Supabase project, used as one user.

- `client`: `Client`, with tables, storage, functions and realtime. `_project_lookup`: finds its URL and key.
- `client_options`: the options of supabase-py's `create_client`.
- `httpx_auth`: `SessionAuth`, for other HTTP clients. `_token_provider`: chooses the token for a
  request. `_request_authorization`: adds it.
- `_frames`: all rows of a query as a DataFrame. `_truncation_warning`: warns if a response was cut off.
- `_dask_session`: the session on a Dask cluster.
- `_redirect_guard`: keeps the token away from other origins. `_realtime`: pushes it to channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client, create_client

__all__ = ["Client", "create_client"]


def __getattr__(name: str) -> object:
    # Imported on first use, because `%load_ext` doesn't need the HTTP library.
    if name in __all__:
        from . import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
