"""Draws how things grow: one small chart each, as one SVG."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "supabase-nb"

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
        for name, points in lines.items():
            place.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
        place.set_xscale("log")
        if min(values) > 0 and max(values) > 20 * min(values):
            place.set_yscale("log")
        else:
            place.set_ylim(bottom=0)
        place.set_title(title, fontsize=10)
        place.grid(alpha=0.3)
        place.legend(fontsize=8, frameon=False)
    for place in axes.flat[len(curves) :]:
        place.set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
