"""Labels cover nothing: worked by hand, and over random points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xmcbench.plots.placing import around_points, covered, place, segment

AREA, NO_LINES = np.array([0.0, 0.0, 200.0, 100.0]), np.zeros((0, 4))
Point = tuple[float, float]


def marks(*points: Point) -> np.ndarray:
    return around_points(points, 3)


def test_a_lonely_point_has_its_label_at_its_right() -> None:
    (placed,) = place([(50, 50)], [(20, 10)], marks((50, 50)), NO_LINES, AREA)
    assert placed is not None
    assert placed.box == pytest.approx((55, 45, 75, 55))
    assert placed.leader is None


def test_at_the_right_edge_it_is_at_the_left() -> None:
    (placed,) = place([(190, 50)], [(20, 10)], marks((190, 50)), NO_LINES, AREA)
    assert placed is not None
    assert placed.box[2] <= 187


def test_without_room_there_is_no_label() -> None:
    assert place([(50, 50)], [(300, 10)], marks((50, 50)), NO_LINES, AREA) == [None]
    assert place([], [], marks(), NO_LINES, AREA) == []


def test_a_wide_first_label_gives_way_if_more_labels_then_have_places() -> None:
    points, sizes = [(30.0, 50.0), (100.0, 50.0)], [(130.0, 90.0), (60.0, 12.0)]
    places = place(points, sizes, marks(*points), NO_LINES, AREA)
    assert places[1] is not None


def test_a_point_in_a_ring_has_no_label_and_one_behind_a_line_has() -> None:
    around = [(50 + 12 * math.cos(a), 50 + 12 * math.sin(a)) for a in np.arange(20) * math.pi / 10]
    assert place([(50, 50)], [(20, 10)], marks((50, 50), *around), NO_LINES, AREA) == [None]
    (placed,) = place([(50, 50)], [(80, 10)], marks((50, 50)), segment((60, 0), (60, 100)), AREA)
    assert placed is not None
    assert placed.leader is not None
    assert placed.box[0] >= 60


@pytest.mark.parametrize("seed", range(5))
def test_random_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [(float(x), float(y)) for x, y in rng.uniform(0, 300, (40, 2))]
    sizes = [(float(width), 10.0) for width in rng.uniform(10, 70, 40)]
    lines = np.vstack([segment((x, y - 8), (x, y + 8)) for x, y in points])
    places = place(points, sizes, marks(*points), lines, np.array([0, 0, 300, 300]))
    boxes = np.array([placed.box for placed in places if placed is not None])
    assert len(boxes) > 20
    assert not covered(boxes, marks(*points)).any()
    assert not covered(boxes, lines).any()
    assert covered(boxes, boxes).sum() == len(boxes)  # each itself
    leaders = [
        (i, placed.leader) for i, placed in enumerate(places) if placed is not None and placed.leader is not None
    ]
    assert leaders
    for i, end in leaders:
        others = marks(*(p for p in points if p != points[i]))
        foreign = others[~covered(marks(points[i]), others)[0]]  # a line begins within marks that its own touches
        assert not covered(segment(points[i], tuple(end)), foreign).any()
