"""Recall at each cut-off: from predictions where they are kept, else at the cut-offs that records have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import UsageError
from xmcbench.metrics import Truth, evaluate
from xmcbench.metrics.names import Name, parse
from xmcbench.plots.lines import Missing, data_here, from_predictions, legend_of_lines, looks
from xmcbench.plots.selection import Selection, Shown, without_floor
from xmcbench.plots.sheet import finish, log_axis, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xmcbench.topk import TopK

CUTS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


def draw(selection: Selection) -> Figure:
    """The figure; UsageError if no row has recall at any cut-off."""
    recorded = [str(name) for name in map(parse, selection.metrics) if name == Name("R", k=name.k)]
    first = recorded[-1] if recorded else selection.metrics[0]
    shown = without_floor(selection, selection.best_first(first), first)
    styles, dataset = looks(shown), data_here(selection)
    truth = None if isinstance(dataset, Missing) else Truth.of(dataset)
    figure, (axes,) = panels(1, width=7.5, height=4.4)
    at_records, drawn = [], []
    for one in shown:
        cuts = [k for k in CUTS if k <= min(one.runs[0].k, selection.data.n_labels)]

        def recall(topk: TopK, cuts: list[int] = cuts) -> NDArray[np.float64]:
            values = evaluate(topk, truth, [f"R@{k}" for k in cuts], samples=0).values  # type: ignore[arg-type]
            return np.array([np.nan if value.value is None else value.value for value in values])

        values = dataset if isinstance(dataset, Missing) else from_predictions(selection, one, dataset, recall)
        if isinstance(values, Missing):
            cuts, values = _on_record(one, recorded)
            at_records.append(one.name)
        if len(cuts):
            axes.plot(cuts, 100 * values, **styles[one.name])
            drawn.append((one.name, cuts))
    if not drawn:
        raise UsageError("no run has recall at any cut-off", "Run with --metrics R@10,R@100, or keep predictions.")
    axes.set_xscale("log")
    ends = [k for _, cuts in drawn for k in cuts]
    axes.set_xlabel("k: labels predicted per row")
    axes.set_ylabel("R@k, percent")
    log_axis(axes.xaxis, min(ends), max(max(ends), 2 * min(ends)))
    selection.drawn = [name for name, _ in drawn]
    seeds = selection.seeds
    selection.about.append(f"{selection.facts} R@k: share of a row's labels among its first k predictions, {seeds}.")
    if at_records:
        why = dataset.why if isinstance(dataset, Missing) else "predictions are not kept"
        selection.note(f"Only at the cut-offs on record, since {why}", at_records)
    legend = legend_of_lines((name for name, _ in drawn), styles)
    finish(figure, f"Recall: {selection.title}", legend, [*selection.about, *selection.notes])
    return figure


def _on_record(one: Shown, recorded: list[str]) -> tuple[list[int], NDArray[np.float64]]:
    """The cut-offs at which all runs of a row have recall, and their values."""
    found = {parse(name).k or 0: value for name in recorded if (value := one.row.values[name].value) is not None}
    return sorted(found), np.array([found[k] for k in sorted(found)])
