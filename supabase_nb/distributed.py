"""The session on a Dask cluster: `share` (see `client/_dask.py`)."""

from .client._dask import share

__all__ = ["share"]
