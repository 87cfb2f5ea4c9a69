"""A metric against fit time, time per row and memory: three panels, one point per row, with its interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from xmcbench.board.cells import machine_name
from xmcbench.board.cells import on_machine as costs_on
from xmcbench.board.colours import colours
from xmcbench.board.model import Costs
from xmcbench.errors import UsageError
from xmcbench.plots.labels import Label, label_points, unlabelled
from xmcbench.plots.selection import Selection, checked_metric, interval, on_machine, without_floor
from xmcbench.plots.sheet import finish, legend_of, log_axis, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREFERRED = ("nDCG@5", "P@1")
MEMORY = "peak memory, GiB"
AXES: tuple[tuple[str, Callable[[Costs], float | None]], ...] = (
    ("fit time, seconds", lambda costs: costs.fit_seconds),
    ("prediction in batch, milliseconds per row", lambda costs: costs.predict_ms_per_row),
    (MEMORY, lambda costs: None if costs.peak_rss_bytes is None else costs.peak_rss_bytes / 2**30),
)


class Point(NamedTuple):
    """A row in one panel: cost, metric in percent, and the ends of its interval."""

    name: str
    family: str
    x: float
    y: float
    ends: tuple[float, float] | None
    busy: bool


def draw(selection: Selection, metric: str | None = None) -> Figure:
    """The figure; UsageError if no run has the metric, or none that has it has costs."""
    name = checked_metric(selection, metric, PREFERRED)
    machine, shown = on_machine(selection, without_floor(selection, selection.best_first(name), name))
    if machine is None:
        raise UsageError(f"no run has costs, so {name} can't be shown against them", " ".join(selection.notes))
    palette = colours(one.row.family for one in shown)
    figure, axes = panels(len(AXES))
    drawn = []
    for panel, (title, cost_of) in zip(axes, AXES, strict=True):
        points = []
        for one in shown:
            costs, value = costs_on(one.row, machine), one.row.values[name]
            x = None if costs is None else cost_of(costs)
            if costs is not None and value.value is not None and x is not None and x > 0:  # no zero on a log axis
                busy = costs.busy and title != MEMORY
                points.append(Point(one.name, one.row.family, x, 100 * value.value, interval(value), busy))
        _draw_points(panel, points, palette)
        panel.set_xlabel(title)
        with_cost = {point.name for point in points}
        selection.note(f"No {title.partition(',')[0]}", [one.name for one in shown if one.name not in with_cost])
        drawn.append((panel, points))
    axes[0].set_ylabel(f"{name}, percent")
    selection.drawn = [one.name for one in shown if any(one.name == point.name for _, of in drawn for point in of)]
    seeds = selection.seeds
    selection.about.append(
        f"{selection.facts} {name}: {seeds}; lines: 95 % interval over test rows. "
        f"Costs: medians on {machine_name(machine)}."
    )
    if any(point.busy for _, points in drawn for point in points):
        selection.about.append("* times are too high: other processes or compiling took over a tenth of them.")
    selection.note("No interval", [one.name for one in shown if interval(one.row.values[name]) is None])
    legend = legend_of((one.row.family for one in shown), palette)
    finish(figure, f"{name} against costs: {selection.title}", legend, [*selection.about, *selection.notes])
    for panel, points in drawn:
        labels = [Label(point.x, point.y, point.name + ("*" if point.busy else "")) for point in points]
        bars = [((point.x, point.ends[0]), (point.x, point.ends[1])) for point in points if point.ends is not None]
        if left := label_points(panel, labels, [(point.x, point.y) for point in points], bars):
            panel.set_title(unlabelled(left, len(labels)), size=7.5, color="#555555")
    return figure


def _draw_points(panel: Axes, points: list[Point], palette: dict[str, str]) -> None:
    for family in dict.fromkeys(point.family for point in points):
        of_it = [point for point in points if point.family == family]
        panel.plot([p.x for p in of_it], [p.y for p in of_it], "o", color=palette[family], gid="point")
        if bars := [(p.x, *p.ends) for p in of_it if p.ends is not None]:
            panel.vlines(*zip(*bars, strict=True), color=palette[family], linewidth=1, alpha=0.6)
    panel.set_xscale("log")
    panel.margins(0.12)
    panel.set_title(" ", size=7.5)  # room for what can't be labelled
    if points:
        log_axis(panel.xaxis, min(p.x for p in points), max(p.x for p in points))
