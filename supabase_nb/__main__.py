"""Runs the command line: ``python -m supabase_nb``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
