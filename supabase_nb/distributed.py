"""The session on a Dask cluster: `share` (see `client/dask.py`)."""

from .client.dask import share

__all__ = ["share"]
