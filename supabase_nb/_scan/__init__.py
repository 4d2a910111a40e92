"""`supabase-nb scan`: finds Supabase tokens and keys in notebooks, histories and text files.

- `command`: the command. `scanner`: files of all kinds. `notebooks`; `sqlite`: IPython's histories.
- `detection`: recognizes tokens and keys. `decoded_text`: where they are in encoded text.
- `removal_check`: whether a removed secret is still in the file.
"""

from .command import add_parser
from .detection import Finding, find

__all__ = ["Finding", "add_parser", "find"]
