"""Measures everything, or the groups that are named: `python bench/run.py [--quick] [group ...]`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import import_module, metadata

from measure import HERE, Row

GROUPS = ("start", "calls", "counts", "frames", "messages")
_PEERS = ("supabase", "supabase-auth", "httpx", "pandas", "ipywidgets", "ipykernel", "jupyterlab")


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| what | compared with | goal | result | quartiles | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        met = "yes" if row.met else "**no**"
        cells = (row.what, row.against, row.goal, f"**{row.found}**", row.spread, met)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(rows: list[Row]) -> str:
    """The text of ``results.md``."""
    notes = "\n".join(f"- {row.what}: {row.note}." for row in rows if row.note)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PEERS)
    return f"""# Performance

Ratios compare CPU time (user and system). Both sides take turns in the same run, and the median of all rounds is shown.
Absolute times are left out, because they depend on the machine. To measure again, run `make bench`.

{table(rows)}

{notes}

Measured with Python {platform.python_version()} on {platform.system()}, {os.cpu_count()} cores; {versions}.
"""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Ratios against what one would use instead.")
    parser.add_argument("groups", nargs="*", metavar="group", help=f"some of: {', '.join(GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it works")
    options = parser.parse_args()
    unknown = set(options.groups) - set(GROUPS)
    if unknown:
        parser.error(f"there is no group {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    for group in options.groups or GROUPS:
        print(f"{group} …", file=sys.stderr, flush=True)
        rows += import_module(group).rows(options.quick)
    print(table(rows))
    if not options.groups and not options.quick:
        (HERE / "results.md").write_text(report(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
