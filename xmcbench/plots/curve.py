"""What more search buys: a metric against milliseconds per row for each value of a method's query parameters.

Runs that differ in query parameters alone share one fit (`xmcbench run METHOD --curve`). The line of a fit leads
through its Pareto points: none of its other settings is as fast and better.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from xmcbench.board import fits
from xmcbench.board.cells import Machine, machine_name
from xmcbench.board.cells import on_machine as costs_on
from xmcbench.errors import UsageError
from xmcbench.plots.labels import Label, label_points, unlabelled
from xmcbench.plots.lines import Look, legend_of_lines, looks
from xmcbench.plots.selection import Selection, Shown, checked_metric, interval, on_machine
from xmcbench.plots.sheet import finish, log_axis, panels, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREFERRED = ("nDCG@5", "P@1")


class Point(NamedTuple):
    """One setting: milliseconds per row, a metric in percent with its interval, and the values of parameters."""

    x: float
    y: float
    ends: tuple[float, float] | None
    setting: str


def draw(selection: Selection, metric: str | None = None) -> Figure:
    """The figure; UsageError if no fit has runs with several settings."""
    name = checked_metric(selection, metric, PREFERRED)
    machine, shown = on_machine(selection, selection.best_first(name))
    of_row = {id(one.row): one for one in shown}
    members_of = [[of_row[id(row)] for row in rows] for rows in fits.by_fit(one.row for one in shown)]
    curves = [members for members in members_of if len(members) > 1]
    selection.note("One setting, so no line", [members[0].name for members in members_of if len(members) == 1])
    if machine is None or not curves:
        raise UsageError(
            "no method has runs with several values of its query parameters",
            "Add them with `xmcbench run METHOD --curve`; `xmcbench info METHOD` shows the parameters.",
        )
    heads = short_names([fits.label_of(members[0].row) for members in curves])
    selection.drawn = [one.name for members in curves for one in members]
    styles = looks([replace(members[0], name=head) for head, members in zip(heads, curves, strict=True)])
    points, varied = {}, []
    for head, members in zip(heads, curves, strict=True):
        parameters = fits.varying([one.row for one in members])
        points[head] = _points(members, machine, name, parameters)
        varied.append(f"{head}: {', '.join(parameters)}")
    figure, (axes,) = panels(1, width=7.5, height=4.8)
    for head, of_fit in points.items():
        _draw_line(axes, of_fit, styles[head])
    axes.set_xscale("log")
    axes.margins(0.1)
    axes.set_title(" ", size=7.5)  # room for what can't be labelled
    everything = [point for of_fit in points.values() for point in of_fit]
    log_axis(axes.xaxis, min(p.x for p in everything), max(p.x for p in everything))
    axes.set_xlabel("prediction in batch, milliseconds per row")
    axes.set_ylabel(f"{name}, percent")
    selection.about.append(
        f"{selection.facts} Lines lead through the settings than which no other of the method is as fast and better; "
        f"pale points are the others; upright lines: 95 % interval over test rows. Times on {machine_name(machine)}."
    )
    selection.about.append(f"Values next to points: {'; '.join(varied)}.")
    title = f"{name} by query parameters: {selection.title}"
    finish(figure, title, legend_of_lines(heads, styles), [*selection.about, *selection.notes])
    best = [point for of_fit in points.values() for point in pareto(of_fit)]
    labels = [Label(p.x, p.y, p.setting) for p in [*best, *(p for p in everything if p not in best)]]
    bars = [((p.x, p.ends[0]), (p.x, p.ends[1])) for p in everything if p.ends is not None]
    lines = [((a.x, a.y), (b.x, b.y)) for f in points.values() for a, b in zip(pareto(f), pareto(f)[1:], strict=False)]
    if left := label_points(axes, labels, [(p.x, p.y) for p in everything], [*bars, *lines]):
        axes.set_title(unlabelled(left, len(labels)), size=7.5, color="#555555")
    return figure


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points than which no other is as fast and better, the fastest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if not best or point.y > best[-1].y:
            best.append(point)
    return best


def _draw_line(axes: Axes, points: Sequence[Point], look: Look) -> None:
    efficient = pareto(points)
    others = [point for point in points if point not in efficient]
    axes.plot([p.x for p in efficient], [p.y for p in efficient], **look, gid="point")
    axes.plot([p.x for p in others], [p.y for p in others], **{**look, "linestyle": "", "alpha": 0.35}, gid="point")
    if bars := [(p.x, *p.ends) for p in points if p.ends is not None]:
        axes.vlines(*zip(*bars, strict=True), color=look["color"], linewidth=0.8, alpha=0.35)


def _points(members: Sequence[Shown], machine: Machine, metric: str, parameters: Collection[str]) -> list[Point]:
    points = []
    for one in members:
        costs, value = costs_on(one.row, machine), one.row.values[metric]
        if costs is None or value.value is None or not costs.predict_ms_per_row:
            continue
        setting = fits.setting(one.row, parameters)
        points.append(Point(costs.predict_ms_per_row, 100 * value.value, interval(value), setting))
    return points
