"""`supabase-nb scan`: finds Supabase tokens and keys in notebooks, histories and text files."""

from .command import add_parser
from .secret_kinds import Finding, find

__all__ = ["Finding", "add_parser", "find"]
