"""Runs whose values are known, as the tests of leaderboards make them, and what a figure has where."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.board.conftest import folder, new_run  # noqa: F401
from xmcbench.plots.sheet import style


@pytest.fixture
def styled() -> Iterator[None]:
    with style():
        yield


def shown_texts(figure: Figure) -> list[str]:
    """All texts of a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip()]


def check_labels(figure: Figure) -> int:
    """Check that no label covers a point, another label or the edge of its panel; returns the number of labels."""
    figure.canvas.draw()
    count = 0
    for axes in figure.axes:
        labels = [text for text in axes.texts if text.get_gid() == "label"]
        boxes = [text.get_window_extent() for text in labels]
        marks = [line for line in axes.lines if line.get_gid() == "point"]
        points = [axes.transData.transform(np.column_stack(line.get_data())) for line in marks]
        radius = marks[0].get_markersize() / 2 * figure.dpi / 72 if marks else 0
        for text, box in zip(labels, boxes, strict=True):
            for x, y in np.concatenate(points):
                inside = box.x0 - radius < x < box.x1 + radius and box.y0 - radius < y < box.y1 + radius
                assert not inside, f"{text.get_text()} covers the point at {x}, {y}"
            assert axes.bbox.x0 <= box.x0
            assert box.x1 <= axes.bbox.x1
            assert axes.bbox.y0 <= box.y0
            assert box.y1 <= axes.bbox.y1
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)
        count += len(labels)
    texts = [text for text in figure.texts if text.get_gid() in ("title", "notes")]
    for text in texts:
        box = text.get_window_extent()
        assert box.x1 <= figure.bbox.x1, text.get_text()
        assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes), text.get_text()
        assert not any(box.overlaps(legend.get_window_extent()) for legend in figure.legends), text.get_text()
    return count
