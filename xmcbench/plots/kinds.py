"""The kinds of figures by name, and how one is written to a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from xmcbench.errors import UsageError, unknown
from xmcbench.plots import curve, deciles, groups, learning, quality, recall
from xmcbench.plots.selection import Selection
from xmcbench.plots.sheet import missing_glyphs, save, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WITH_METRIC: Mapping[str, Callable[[Selection, str | None], Figure]] = {"quality": quality.draw, "curve": curve.draw}
OTHERS: Mapping[str, Callable[[Selection], Figure]] = {
    "recall": recall.draw,
    "groups": groups.draw,
    "deciles": deciles.draw,
    "learning": learning.draw,
}
KINDS = (*WITH_METRIC, *OTHERS)


def check_kind(kind: str, metric: str | None) -> None:
    """UsageError if there is no such kind, or if it takes no metric."""
    if kind not in KINDS:
        raise unknown("kind of figure", kind, KINDS)
    if metric is not None and kind in OTHERS:
        raise UsageError(f"--metric: figures of {kind} show the same metrics always", "Leave it out.")


def write(selection: Selection, kind: str, metric: str | None, path: Path) -> list[str]:
    """Draw the rows of a selection into a file; returns messages for the user.

    Raises
    ------
    UsageError : as `check_kind`; the runs lack what the figure shows; matplotlib is missing.
    DataError : a file of a run is damaged, or the figure can't be written.
    """
    check_kind(kind, metric)
    with style(), missing_glyphs() as missing:
        figure = OTHERS[kind](selection) if kind in OTHERS else WITH_METRIC[kind](selection, metric)
        save(figure, path, [*selection.about, *selection.notes])
    return [*selection.notes, *missing]
