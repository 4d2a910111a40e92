"""``python -m supabase_nb``: the command line, also where ``supabase-nb`` is not on the ``PATH``."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
