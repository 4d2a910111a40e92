"""The session on a Dask cluster: `share` (see `client/_dask_session.py`)."""

from .client._dask_session import share

__all__ = ["share"]
