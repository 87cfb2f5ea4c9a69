"""The figures of a fit's report: the learning curve, and the cost of wider beams in final scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from xmcbench.board.colours import FAMILIES
from xmcbench.plots.labels import Label, label_points
from xmcbench.plots.learning import draw_history, history
from xmcbench.plots.sheet import finish, log_axis, panels, save, style

COLOR = FAMILIES["graph-index"]
SHOWN = ("P@1", "R@100")


def draw_beams(beams: Sequence[Mapping[str, Any]], subject: str, path: Path) -> None:
    """P@1 and R@100 of each beam against milliseconds per row; `beams` as in `report.json`."""
    with style():
        figure, axes = panels(len(SHOWN), width=4.6, height=3.2)
        points = [[(one["ms a row"], 100 * (one[metric] or 0.0)) for one in beams] for metric in SHOWN]
        for panel, metric, of_metric in zip(axes, SHOWN, points, strict=True):
            times = [x for x, _ in of_metric]
            panel.plot(times, [y for _, y in of_metric], "o-", color=COLOR, gid="point")
            panel.set_xscale("log")
            panel.margins(0.14)
            log_axis(panel.xaxis, min(times), max(times))
            panel.set_title(f"{metric}, percent")
            panel.set_xlabel("prediction in batch, milliseconds per row")
        finish(figure, f"Beams: {subject}", [], ["Numbers: clusters that are searched for a row. On test rows."])
        for panel, of_metric in zip(axes, points, strict=True):
            labels = [Label(x, y, one["name"]) for (x, y), one in zip(of_metric, beams, strict=True)]
            lines = list(pairwise(of_metric))
            label_points(panel, labels, of_metric, lines)
        save(figure, path)


def draw_learning(notes: Mapping[str, object], subject: str, path: Path) -> bool:
    """Loss and validation score of each epoch of the network; False, and no file, if no epoch is noted."""
    epochs = history(notes)
    if not epochs:
        return False
    with style():
        figure, (loss, score) = panels(2, width=4.6, height=3.0)
        draw_history(loss, score, [epochs], COLOR)
        loss.set_title("training loss of the network")
        score.set_title("validation nDCG@5 of the network")
        finish(figure, f"Learning curve: {subject}", [], ["Dashed: a stage begins. Validation rows are no test rows."])
        save(figure, path)
    return True
