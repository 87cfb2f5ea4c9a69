"""Places for labels of points, such that no label covers a point, an interval, or another label.

Packages that move labels (adjustText, textalloc) reduce overlaps but don't rule them out, so this is our own: a label
takes the nearest free position around its point, and is left out if there is none. Boxes are rows (left, bottom, right,
top) of arrays; coordinates rise to the right and upwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]  # (n, 4)
Point = tuple[float, float]

GAPS = (5, 8, 12, 17, 23, 30, 38, 48, 60, 75, 92)  # distances of a label from its point
LEADER = 8  # distance from which a line leads to the point
# degrees: right, up to the right, …; all of them are tried at each distance
DIRECTIONS = np.array([0, 30, -30, 180, 150, -150, 90, -90, 60, -60, 120, -120, 15, -15, 165, -165, 75, -75, 105, -105])
STEPS = 16  # boxes that stand for a line
CROWD = 60  # labels, above which other orders aren't tried
THIN = 0.3  # half of their width


class Placed(NamedTuple):
    """(4,) the box of a label, and (2,) the end of the line to its point, None if the label is next to the point."""

    box: NDArray[np.float64]
    leader: NDArray[np.float64] | None


def place(
    points: Sequence[Point], sizes: Sequence[Point], marks: Boxes, lines: Boxes, area: Boxes
) -> list[Placed | None]:
    """The place of each label, None if no place is free. Earlier labels choose first, unless another order places more.

    Parameters
    ----------
    points : the point of each label. sizes : width and height of each label. area : (4,) what labels must stay in.
    marks, lines : what no label may cover; a line from a label to its point may cross `lines`, such as intervals.
    """
    widths = [width for width, _ in sizes]
    given = range(len(points))
    orders: list[Sequence[int]] = [
        given,
        sorted(given, key=lambda i: widths[i]),
        sorted(given, key=lambda i: -widths[i]),
    ]
    orders = orders if len(points) <= CROWD else [given]
    best: list[Placed | None] = []
    for order in orders:
        places = _placed(order, points, sizes, marks, lines, area)
        if not best or best.count(None) > places.count(None):
            best = places
        if None not in best:
            break
    return best


def _placed(
    order: Iterable[int], points: Sequence[Point], sizes: Sequence[Point], marks: Boxes, lines: Boxes, area: Boxes
) -> list[Placed | None]:
    """Each label at its nearest free position, in this order."""
    taken = marks
    places: list[Placed | None] = [None] * len(points)
    for i in order:
        boxes = _around(points[i], sizes[i])
        boxes = boxes[(boxes[:, :2] >= area[:2]).all(axis=1) & (boxes[:, 2:] <= area[2:]).all(axis=1)]
        if not len(boxes):
            continue
        reach = np.hstack([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])[None]
        near = taken[covered(reach, taken)[0]]
        free = ~covered(boxes, np.vstack([near, lines[covered(reach, lines)[0]]])).any(axis=1)
        foreign = near[~covered(around_points([points[i]], 1), near)[0]]
        for box in boxes[free]:
            end = np.clip(points[i], box[:2], box[2:])
            line = segment(points[i], (end[0], end[1]))
            is_far = np.hypot(*(end - points[i])) >= LEADER
            if is_far and covered(line, foreign).any():
                continue
            places[i] = Placed(box, end if is_far else None)
            taken = np.vstack([taken, box, *([line] if is_far else [])])
            break
    return places


def covered(boxes: Boxes, others: Boxes) -> NDArray[np.bool_]:
    """(n, m) whether each of (n, 4) boxes and each of (m, 4) others have a point in common, edges not counted."""
    left, bottom, right, top = others.T
    across = (boxes[:, :1] < right) & (left < boxes[:, 2:3])
    upright = (boxes[:, 1:2] < top) & (bottom < boxes[:, 3:])
    return np.asarray(across & upright)


def segment(start: Point, end: Point) -> Boxes:
    """(n, 4) boxes that stand for a line between two points: one if it is upright or flat."""
    straight = start[0] == end[0] or start[1] == end[1]
    at = np.linspace(start, end, 2 if straight else STEPS + 1)
    return np.hstack([np.minimum(at[:-1], at[1:]) - THIN, np.maximum(at[:-1], at[1:]) + THIN])


def around_points(points: Sequence[Point], radius: float) -> Boxes:
    """(n, 4) the marks of points."""
    return np.array(points, dtype=np.float64).reshape(-1, 2)[:, [0, 1, 0, 1]] + radius * np.array([-1, -1, 1, 1])


def _around(point: Point, size: Point) -> Boxes:
    """(n, 4) positions of a label around its point, nearest first."""
    angles = np.radians(DIRECTIONS)
    towards = np.column_stack([np.cos(angles), np.sin(angles)])
    # the box touches a circle around the point: beside it for flat directions, else above or below
    shift = np.sign(towards) * np.minimum(1.0, 2 * np.abs(towards)) * np.array(size) / 2
    centres = np.concatenate([np.array(point) + gap * towards + shift for gap in GAPS])
    return np.hstack([centres - np.array(size) / 2, centres + np.array(size) / 2])
