"""Draws how things grow: one small chart each, as one SVG."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "supabase-nb"
matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text

from matplotlib import pyplot as plt  # noqa: E402  (the back end is chosen first)


def draw(curves: dict[str, dict[str, list[tuple[int, float]]]], file: Path) -> None:
    """Draw ``{title: {line: [(how many, value)]}}``.

    The axes are logarithmic where the values span decades.
    """
    columns = 2
    figure, axes = plt.subplots(
        (len(curves) + 1) // columns, columns, figsize=(9, 3 * ((len(curves) + 1) // columns)), squeeze=False
    )
    for place, (title, lines) in zip(axes.flat, curves.items(), strict=False):
        values = [value for points in lines.values() for _, value in points]
        for style, (name, points) in zip(("-", "--", ":"), lines.items(), strict=False):
            place.plot(*zip(*points, strict=True), style, marker="o", markersize=4, label=name)
        place.set_xscale("log")
        if max(values) > 20 * max(min(values), 1):
            place.set_yscale("symlog" if min(values) <= 0 else "log")
        if min(values) <= 0 or place.get_yscale() == "linear":
            place.set_ylim(bottom=min(0, *values))
        place.set_title(title, fontsize=10)
        place.grid(alpha=0.3)
        place.legend(fontsize=8, frameon=False)
    for place in axes.flat[len(curves) :]:
        place.set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
