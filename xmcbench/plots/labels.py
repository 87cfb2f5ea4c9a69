"""Names next to the points of a panel, at the places that `placing` finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xmcbench.errors import counted
from xmcbench.plots.placing import Point, around_points, place, segment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RADIUS = 3.5  # points: of the mark of a point
SIZE = 8  # points: of the text


class Label(NamedTuple):
    """A text and its point."""

    x: float
    y: float
    text: str


def label_points(
    axes: Axes, labels: Sequence[Label], marks: Sequence[Point], lines: Sequence[tuple[Point, Point]] = ()
) -> list[str]:
    """Write labels into a panel of a finished figure, the most important first; returns those without a place.

    Parameters
    ----------
    marks : all points. lines : intervals and other lines; no label covers a mark or a line. Both in data units.
    """

    def pixels(points: Sequence[Point]) -> list[Point]:
        at = axes.transData.transform(np.array(points, dtype=np.float64).reshape(-1, 2))
        return [(float(x), float(y)) for x, y in at]

    crossed = [segment(*pixels([start, end])) for start, end in lines]
    texts = [
        axes.text(0, 0, one.text, size=SIZE, gid="label", va="bottom", ha="left", transform=None) for one in labels
    ]
    sizes = [(box.width + 2, box.height + 1) for box in (text.get_window_extent() for text in texts)]
    points = pixels([one[:2] for one in labels])
    obstacles = around_points(pixels(marks), RADIUS), np.vstack([np.zeros((0, 4)), *crossed])
    places = place(points, sizes, *obstacles, np.array(axes.bbox.extents))
    to_axes = axes.transAxes.inverted()
    without = []
    for point, text, placed in zip(points, texts, places, strict=True):
        if placed is None:
            without.append(text.get_text())
            text.remove()
            continue
        x, y = to_axes.transform((placed.box[0] + 1, placed.box[1] + 0.5))
        text.set(transform=axes.transAxes, position=(x, y))
        if placed.leader is not None:
            ends = to_axes.transform(np.array([point, placed.leader]))
            axes.plot(*ends.T, color="#999999", linewidth=0.6, transform=axes.transAxes, zorder=1, gid="leader")
    return without


def unlabelled(names: Sequence[str], count: int) -> str:
    """A title of a panel in which `names`, of `count` points, found no place."""
    few = f": {', '.join(names)}" if len(names) <= 2 else ""
    return f"no room for the names of {len(names)} of {counted(count, 'point')}{few}"
