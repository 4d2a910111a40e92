"""Work in a notebook as a Supabase Auth user."""

from ._version import __version__

__all__ = ["__version__"]
