"""What figures with one line for each row share: looks of lines, their legend, and the predictions of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xmcbench.board.colours import colours
from xmcbench.comparison.rescoring import dataset_of, final
from xmcbench.errors import DataError, UsageError, counted
from xmcbench.escaping import one_line
from xmcbench.records.store import NotKept

if TYPE_CHECKING:
    from matplotlib.artist import Artist

    from xmcbench.data.spec import Dataset
    from xmcbench.plots.selection import Selection, Shown
    from xmcbench.topk import TopK

MOST = 24  # lines that a reader can tell apart
DASHES = ("-", (0, (5, 2)), (0, (1.2, 1.5)), (0, (6, 2, 1.2, 2)))
MARKS = ("o", "s", "^", "D", "v", "P", "X")

Look = dict[str, Any]  # arguments of a line


class Missing(NamedTuple):
    """Why the predictions of a row can't be read."""

    why: str


def looks(shown: Sequence[Shown]) -> dict[str, Look]:
    """How the line of each row is drawn, by name: the colour of its family; within a family its own dashes and mark.

    Raises UsageError: there are too many rows.
    """
    if len(shown) > MOST:
        hint = "Name the runs to show, or use --kind quality."
        raise UsageError(f"{counted(len(shown), 'line')} in one figure can't be told apart: at most {MOST}", hint)
    palette = colours(one.row.family for one in shown)
    count: dict[str, int] = {}
    styles: dict[str, Look] = {}
    for one in shown:
        number = count[one.row.family] = count.get(one.row.family, -1) + 1
        dashes, mark = DASHES[number % len(DASHES)], MARKS[number % len(MARKS)]
        styles[one.name] = {"color": palette[one.row.family], "linestyle": dashes, "marker": mark, "label": one.name}
    return styles


def legend_of_lines(names: Iterable[str], styles: Mapping[str, Look]) -> list[Artist]:
    """A line for each name."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], **styles[name]) for name in names]


def data_here(selection: Selection) -> Dataset | Missing:
    """The data set of a selection, if it is on this machine; nothing is downloaded."""
    try:
        return dataset_of(selection.shown[0].runs[0], offline=True)
    except (DataError, UsageError) as error:
        return Missing(one_line(error.message))


def from_predictions(
    selection: Selection, one: Shown, dataset: Dataset, compute: Callable[[TopK], NDArray[np.float64]]
) -> NDArray[np.float64] | Missing:
    """The mean over the runs of a row of what is computed from their predictions as they were scored.

    Raises DataError: a file of predictions isn't that of its record.
    """
    try:
        topks = [selection.store.predictions(run) for run in one.runs]
    except NotKept:
        return Missing("predictions are not kept")
    values = [compute(final(run, topk, dataset)) for run, topk in zip(one.runs, topks, strict=True)]
    return np.asarray(np.mean(values, axis=0), dtype=np.float64)
