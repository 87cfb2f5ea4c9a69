"""Figure 5 of the paper: recall by label frequency, from the saved predictions of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xmcbench.board.cells import percent
from xmcbench.comparison.rescoring import dataset_of, final
from xmcbench.data.spec import Dataset
from xmcbench.errors import DataError, UsageError
from xmcbench.metrics.deciles import Deciles, of_test, recall
from xmcbench.plots import sheet
from xmcbench.plots.deciles import draw_deciles
from xmcbench.plots.lines import Look, legend_of_lines
from xmcbench.records.store import NotKept
from xmcbench_elias.results.plan import Board
from xmcbench_elias.results.runs import NOT_KEPT, NOT_RUN, Measured, Results

CUTS = (10, 100)  # labels per row: R@10 and R@100
STYLES = (*((f"C{n}", "-", "o") for n in range(4)), *((f"C{n}", "--", "s") for n in range(4, 8)))  # outputs, others


@dataclass(frozen=True)
class Panel:
    """The lines of one board.

    Attributes
    ----------
    ranges : fewest and most training rows of a label, for each decile. lines : title → cut → (10,) recall, mean over
        seeds. absent : title → reason why there is no line.
    """

    board: Board
    ranges: Sequence[tuple[int, int]]
    lines: Mapping[str, Mapping[int, NDArray[np.float64]]]
    absent: Mapping[str, str]


def panel(results: Results, board: Board, rows: Sequence[Measured]) -> Panel:
    """The lines of a board; predictions that were changed after the run are left out and reported."""
    lines: dict[str, Mapping[int, NDArray[np.float64]]] = {}
    absent: dict[str, str] = {}
    dataset: Dataset | None = None
    deciles: Deciles | None = None
    for row in rows:
        if not row.runs:
            absent[row.title] = NOT_RUN
            continue
        if dataset is not None and dataset.content_hash != row.content:
            absent[row.title] = "other data"
            continue
        try:
            predictions = [(run, results.store.predictions(run)) for run in row.runs]
            dataset = dataset or dataset_of(row.runs[0], offline=True)
            deciles = deciles or of_test(dataset)
            tops = [final(run, top, dataset) for run, top in predictions]
            lines[row.title] = {k: np.mean([recall(top, dataset, deciles, k) for top in tops], axis=0) for k in CUTS}
        except NotKept:
            absent[row.title] = NOT_KEPT
        except (DataError, UsageError) as error:
            results.leave_out(f"{row.title} on {board.dataset} in the figure: {error.message}")
            absent[row.title] = "left out"
    return Panel(board, deciles.ranges() if deciles else [], lines, absent)


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Draw R@10 and R@100 of each board as an SVG; equal numbers give an identical file.

    DataError if the file cannot be written.
    """
    with sheet.style():
        titles = list(dict.fromkeys(title for panel in panels for title in panel.lines))
        looks: dict[str, Look] = {}
        for place, title in enumerate(titles):
            color, dashes, marker = STYLES[place % len(STYLES)]
            looks[title] = {"color": color, "linestyle": dashes, "marker": marker, "markersize": 4, "label": title}
        figure, axes = sheet.panels(len(CUTS), len(panels), width=5.2, height=3.6)
        for panel, row in zip(
            panels, (axes[at : at + len(CUTS)] for at in range(0, len(axes), len(CUTS))), strict=True
        ):
            for k, of_cut in zip(CUTS, row, strict=True):
                lines = {title: values[k] for title, values in panel.lines.items()}
                draw_deciles(of_cut, panel.ranges, lines, looks)
                of_cut.set_title(f"{panel.board.dataset} ({panel.board.view}), R@{k}, percent")
        sheet.finish(figure, "Recall by label frequency", legend_of_lines(titles, looks), [])
        sheet.save(figure, path)


def alt(panels: Sequence[Panel]) -> str:
    """Alternative text of the figure."""
    sentences = []
    for panel in panels:
        ends = {title: values[CUTS[-1]] for title, values in panel.lines.items()}
        best = [max(ends, key=lambda title: ends[title][at]) for at in (0, -1)]
        high = [percent(float(ends[title][at])) for title, at in zip(best, (0, -1), strict=True)]
        sentences.append(
            f"{panel.board.dataset}: R@{CUTS[-1]} is highest for {best[0]} in the decile of the most frequent labels "
            f"({high[0]} percent), and for {best[1]} in that of the rarest ({high[1]} percent)"
        )
    cuts = " and ".join(f"R@{k}" for k in CUTS)
    return f"Lines of {cuts} by decile of label frequency, one for each method. {'; '.join(sentences)}."
