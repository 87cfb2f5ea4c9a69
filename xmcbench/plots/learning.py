"""Learning curves: loss and validation score of each epoch, as methods note them in their records.

A method that trains in epochs may note "epochs": a list of objects with "loss", perhaps "stage", and a validation score
under a name that begins with "validation". `ance` and `elias` do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from xmcbench.board.colours import colours
from xmcbench.errors import UsageError, counted
from xmcbench.escaping import clean
from xmcbench.plots.selection import Selection
from xmcbench.plots.sheet import finish, log_axis, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 12  # rows
SCORE = "validation "  # how names of scores begin


class Epoch(NamedTuple):
    """`score`: of validation rows, a fraction; `metric`: its name."""

    stage: str
    loss: float | None
    score: float | None
    metric: str


def history(notes: Mapping[str, object]) -> list[Epoch]:
    """The epochs in the notes of a record, in order; empty if there are none."""
    noted = notes.get("epochs")
    epochs = []
    for one in noted if isinstance(noted, list) else []:
        if isinstance(one, dict):
            names = [name for name in one if isinstance(name, str) and name.startswith(SCORE)]
            metric = names[0] if names else ""
            epoch = Epoch(clean(one.get("stage", "")), _number(one.get("loss")), _number(one.get(metric)), metric)
            epochs.append(epoch)
    return epochs


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]


def draw(selection: Selection) -> Figure:
    """The figure; UsageError if no run has noted epochs, or there are too many rows."""
    found = {one.name: [epochs for run in one.runs if (epochs := history(run.notes))] for one in selection.shown}
    shown = [one for one in selection.shown if found[one.name]]
    without = [one.name for one in selection.shown if not found[one.name]]
    if not shown:
        names = ", ".join(without[:8])
        raise UsageError(f"no learning curve in the records of {names}", "ance and elias note one; see docs/plots.md.")
    if len(shown) > MOST:
        raise UsageError(
            f"{counted(len(shown), 'learning curve')} are too many: at most {MOST}", "Name the runs to show."
        )
    selection.note("No learning curve, since the method notes none", without)
    selection.drawn = [one.name for one in shown]
    palette = colours(one.row.family for one in shown)
    figure, axes = panels(2, len(shown), width=5.2, height=2.5)
    for at, one in enumerate(shown):
        loss, score = axes[2 * at : 2 * at + 2]
        draw_history(loss, score, found[one.name], palette[one.row.family])
        loss.set_title(f"{one.name}: training loss")
        score.set_title(f"{one.name}: {_metric(found[one.name]) or 'validation score'}")
    selection.about.append(
        f"{selection.facts} One line per seed; dashed: stages of the longest run. Losses of two methods "
        "are different quantities. Validation rows are no test rows."
    )
    finish(figure, f"Learning curves: {selection.title}", [], [*selection.about, *selection.notes])
    return figure


def draw_history(loss: Axes, score: Axes, histories: Sequence[Sequence[Epoch]], color: str) -> None:
    """Losses on one panel, validation scores in percent on another; one line per history, stages marked."""
    from matplotlib.ticker import MaxNLocator

    for epochs in histories:
        at = range(1, len(epochs) + 1)
        losses = [math.nan if epoch.loss is None else epoch.loss for epoch in epochs]
        scores = [math.nan if epoch.score is None else 100 * epoch.score for epoch in epochs]
        for axes, values in ((loss, losses), (score, scores)):
            place = 0
            for _, stage in groupby(epochs, key=lambda epoch: epoch.stage):
                end = place + len(list(stage))  # a stage has its own loss, so no line leads to the next stage
                axes.plot(at[place:end], values[place:end], marker="o", markersize=3, color=color, linewidth=1)
                place = end
    losses = [epoch.loss for epochs in histories for epoch in epochs if epoch.loss is not None]
    if losses and min(losses) > 0:
        loss.set_yscale("log")
        log_axis(loss.yaxis, min(losses), max(losses))
    else:
        _say(loss, "" if losses else "no loss is noted")
    has_score = any(epoch.score is not None for epochs in histories for epoch in epochs)
    _say(score, "" if has_score else "no validation score is noted")
    score.set_ylabel("percent" if has_score else "")
    longest = max(histories, key=len)
    for axes in (loss, score):
        axes.margins(y=0.18)
        axes.set_xlim(0.5, len(longest) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        _mark_stages(axes, longest)


def _say(axes: Axes, text: str) -> None:
    """Write into an empty panel what is missing."""
    if text:
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color="#777777")
        axes.set_yticks([])


def _mark_stages(axes: Axes, epochs: Sequence[Epoch]) -> None:
    """The name of each stage at its first epoch, of a last short one at its end; a line where the next one begins."""
    place = 0
    for name, stage in groupby(epochs, key=lambda epoch: epoch.stage):
        if place > 0:
            axes.axvline(place + 0.5, color="#999999", linewidth=0.8, linestyle=(0, (3, 3)))
        at_end = place > 0.75 * len(epochs)
        x, side = (len(epochs) + 0.4, "right") if at_end else (place + 0.7, "left")
        axes.text(x, 0.99, name[:20], transform=axes.get_xaxis_transform(), ha=side, va="top", size=7, color="#777777")
        place += len(list(stage))


def _metric(histories: Sequence[Sequence[Epoch]]) -> str:
    return next((clean(epoch.metric)[:40] for epochs in histories for epoch in epochs if epoch.metric), "")
