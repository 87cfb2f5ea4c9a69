"""Recall by label frequency: labels sorted by training rows, in ten parts of equally many occurrences in test rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xmcbench.errors import UsageError
from xmcbench.metrics.deciles import PARTS, of_test, recall, titles
from xmcbench.plots.lines import Missing, data_here, from_predictions, legend_of_lines, looks
from xmcbench.plots.selection import Selection
from xmcbench.plots.sheet import finish, panels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from xmcbench.plots.lines import Look

CUTS = (10, 100)


def draw(selection: Selection) -> Figure:
    """The figure; UsageError if the data set is not here, or no run has its predictions."""
    dataset = data_here(selection)
    if isinstance(dataset, Missing):
        hint = "Deciles are computed from the data set: `xmcbench data fetch NAME`."
        raise UsageError(f"{selection.title} can't be read: {dataset.why}", hint)
    parts = of_test(dataset)
    styles = looks(selection.shown)
    found, missing = {}, []
    for one in selection.shown:
        values = from_predictions(
            selection, one, dataset, lambda topk: np.array([recall(topk, dataset, parts, k) for k in CUTS])
        )
        if isinstance(values, Missing):
            missing.append(one.name)
        else:
            found[one.name] = values
    if not found:
        hint = "Slim copies, such as leaderboards, have no predictions: use the results folder of `xmcbench run`."
        raise UsageError("no run has its predictions, from which deciles are computed", hint)
    selection.note("No predictions are kept", missing)
    figure, axes = panels(len(CUTS), width=6.0, height=4.2)
    order = sorted(found, key=lambda name: -found[name][-1].mean())
    for at, (panel, k) in enumerate(zip(axes, CUTS, strict=True)):
        draw_deciles(panel, parts.ranges(), {name: found[name][at] for name in order}, styles)
        panel.set_title(f"R@{k}")
    selection.drawn = order
    axes[0].set_ylabel("percent of a part's occurrences")
    selection.about.append(
        f"{selection.facts} Labels by training rows, the most frequent at the left; each part has a tenth of the label "
        f"occurrences in test rows. Share of them among the first k predictions of their row, {selection.seeds}."
    )
    legend = legend_of_lines(order, styles)
    finish(figure, f"Recall by label frequency: {selection.title}", legend, [*selection.about, *selection.notes])
    return figure


def draw_deciles(
    axes: Axes,
    ranges: Sequence[tuple[int, int]],
    lines: Mapping[str, NDArray[np.float64]],
    styles: Mapping[str, Look],
) -> None:
    """Lines of ten fractions each over the deciles of these ranges of training rows."""
    x = np.arange(1, PARTS + 1)
    for name, values in lines.items():
        axes.plot(x, 100 * values, **styles[name])
    axes.set_xticks(x, titles(ranges), rotation=40, ha="right", rotation_mode="anchor", fontsize=7.5)
    axes.set_xlabel("training rows of a label")
