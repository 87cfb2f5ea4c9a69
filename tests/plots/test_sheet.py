"""Parts of figures that several kinds share."""

from __future__ import annotations

import pytest

from xmcbench.plots import sheet

pytest.importorskip("matplotlib", reason="matplotlib is missing: pip install -e '.[plots]'")


@pytest.mark.parametrize(
    ("high", "shown"),
    [(5_000, [50, 100, 200, 500, 1_000, 2_000, 5_000]), (100_000, [1_000, 10_000, 100_000])],
)
def test_long_numbers_of_a_horizontal_axis_stand_clear(high: int, shown: list[int]) -> None:
    """Below 10,000 there is room for 2 and 5 times a power of ten; a vertical axis always has it."""
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    low = shown[0]
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    for axis in (axes.xaxis, axes.yaxis):
        sheet.log_axis(axis, low, high)
    ticks = [value for value in axes.xaxis.get_major_locator()() if low <= value <= high]
    assert ticks == pytest.approx(shown)
    vertical = [value for value in axes.yaxis.get_major_locator()() if low <= value <= high]
    assert len(vertical) >= len(ticks)
    assert (len(vertical) > len(ticks)) == (high >= 10_000)
