"""`supabase-nb scan`: Supabase tokens and keys in notebooks, histories and texts, named but not shown."""

from .command import add_parser
from .secret_kinds import Finding, find

__all__ = ["Finding", "add_parser", "find"]
