"""Frequent and rare labels: bars of P@1 and R@100 for head, torso and tail labels, one line for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmcbench.board.colours import colours
from xmcbench.errors import UsageError, counted
from xmcbench.metrics.evaluation import IN_SLICES
from xmcbench.plots.selection import Selection, Shown, checked_metric, interval
from xmcbench.plots.sheet import finish, legend_of, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUPS = ("head", "torso", "tail")
ORDERED_BY = ("nDCG@5", "P@1")
MOST = 100  # rows
BAR = 0.21  # inches: height of a row


def draw(selection: Selection) -> Figure:
    """The figure; UsageError if no row has a metric of these groups, or there are too many rows."""
    metrics = [m for m in IN_SLICES if any(f"{m}:{group}" in selection.metrics for group in GROUPS)]
    if not metrics:
        raise UsageError(
            "no run has metrics of head, torso and tail labels", f"Run with --metrics {IN_SLICES[0]}:tail."
        )
    order = checked_metric(selection, None, ORDERED_BY)
    shown = sorted(selection.shown, key=lambda one: (-(one.row.values[order].value or 0.0), one.name))
    if len(shown) > MOST:
        raise UsageError(f"{counted(len(shown), 'row')} of bars are too many: at most {MOST}", "Name the runs to show.")
    palette = colours(one.row.family for one in shown)
    names = [f"{metric}:{group}" for metric in metrics for group in GROUPS]
    figure, axes = panels(len(GROUPS), len(metrics), width=3.8, height=BAR * len(shown) + 0.75)
    for panel, name in zip(axes, names, strict=True):
        _draw_bars(panel, shown, name, palette)
        panel.set_title(name.replace(":", ", ") + " labels, percent")
    for at, panel in enumerate(axes):
        first = at % len(GROUPS) == 0
        panel.set_yticks(range(len(shown)), [one.name for one in shown] if first else [""] * len(shown))
    selection.drawn = [one.name for one in shown]
    seeds = selection.seeds
    selection.about.append(
        f"{selection.facts} Head, torso and tail labels: by training rows, each group has a third of all label "
        f"occurrences in training rows. Rows by {order}, best first; {seeds}; lines: 95 % interval over test rows."
    )
    unknown = [
        one.name
        for one in shown
        if all(name not in one.row.values or interval(one.row.values[name]) is None for name in names)
    ]
    selection.note("No interval, since that of a mean over seeds is known for some metrics only", unknown)
    legend = legend_of((one.row.family for one in shown), palette)
    finish(figure, f"Frequent and rare labels: {selection.title}", legend, [*selection.about, *selection.notes])
    return figure


def _draw_bars(panel: Axes, shown: list[Shown], name: str, palette: dict[str, str]) -> None:
    """One bar per row with its interval and value; the best row is at the top."""
    for at, one in enumerate(shown):
        value = one.row.values.get(name)
        if value is None or value.value is None:
            panel.text(0, at, " unknown", va="center", size=7.5, color="#777777")
            continue
        y = 100 * value.value
        panel.barh(at, y, height=0.72, color=palette[one.row.family], alpha=0.75)
        end = y
        if (ends := interval(value)) is not None:
            panel.hlines(at, *ends, color="#222222", linewidth=1)
            end = max(y, ends[1])
        panel.text(end, at, f" {y:.1f}", va="center", size=7.5, color="#333333")
    panel.set_ylim(len(shown) - 0.4, -0.6)
    panel.set_xlim(0, max(1.0, panel.get_xlim()[1]) * 1.12)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
