"""Measures everything, or the groups that are named: `python bench/run.py [--quick] [group ...]`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import import_module, metadata
from pathlib import Path

from measure import HERE, Row

GROUPS = ("start", "calls", "crowds", "exchanges", "messages", "paint")
_PEERS = ("supabase", "supabase-auth", "httpx", "ipywidgets", "ipykernel", "jupyterlab")


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| what | against | goal | found | spread | clock | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        met = {True: "yes", False: "**no**", None: ""}[row.met]
        cells = (row.what, row.against, row.goal, f"**{row.found}**", row.spread, row.clock, met)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def report(rows: list[Row], groups: list[str], *, drawn: bool) -> str:
    """What stands in ``results.md``."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PEERS if _installed(name))
    notes = [f"- {row.what}: {row.note}." for row in rows if row.note]
    left_out = [f"- not run: `{group}`." for group in GROUPS if group not in groups]
    return "\n".join(
        [
            "# What it costs",
            "",
            "Ratios of two things measured in the same run, in turn: medians of the rounds, with quartiles.",
            "`make bench` measures anew. No time is given, since it would be this machine's.",
            "",
            table(rows),
            "",
            *notes,
            *left_out,
            "",
            *(["![Growth with observers, clients and displays](growth.svg)", ""] if drawn else []),
            f"Measured with Python {platform.python_version()} on {platform.system()}, "
            f"{os.cpu_count()} cores; {versions}.",
            "",
        ]
    )


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Ratios against what one would use instead.")
    parser.add_argument("groups", nargs="*", metavar="group", help=f"some of: {', '.join(GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it works")
    parser.add_argument("--out", type=Path, help="where the table goes; default: results.md when all is run")
    options = parser.parse_args()
    groups = options.groups or list(GROUPS)
    unknown = set(groups) - set(GROUPS)
    if unknown:
        parser.error(f"there is no group {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for group in groups:
        module = import_module(group)
        print(f"{group} …", file=sys.stderr, flush=True)
        rows += module.rows(options.quick)
        curves |= getattr(module, "curves", {})
    text = report(rows, groups, drawn=bool(curves) and not options.quick)
    print(table(rows))
    out = options.out or (HERE / "results.md" if groups == list(GROUPS) and not options.quick else None)
    if out is not None:
        out.write_text(text, encoding="utf-8")
        if curves and not options.quick:
            from plot import draw

            draw(curves, out.with_name("growth.svg"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
