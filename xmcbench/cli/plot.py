"""`xmcbench plot RUNS --to FILE`: figures of runs on one data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xmcbench.cli import completion
from xmcbench.cli.options import RESULTS, Results, readable_records
from xmcbench.cli.terminal import make_console, say, styled
from xmcbench.errors import counted

EPILOG = """
Kinds:

  quality   a metric against fit time, time per row and memory

  recall    recall at each cut-off

  groups    P@1 and R@100 of head, torso and tail labels

  deciles   recall by the training rows of labels, from kept predictions

  learning  loss and validation score of each epoch, where methods note them

  curve     a metric against time per row, for runs of --curve

Examples:

  xmcbench plot leaderboards --dataset icd10cm --to icd10cm.svg

  xmcbench plot elias tree --dataset icd10cm --kind deciles --to a.png
"""
RUNS = (
    "A results folder; or runs of --results: ids, record files, labels, method names. Default: all runs of --results."
)


def plot(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="File to write, .svg or .png.")],
    runs: Annotated[list[str] | None, typer.Argument(autocompletion=completion.runs, metavar="RUNS", help=RUNS)] = None,
    kind: Annotated[
        str, typer.Option(autocompletion=completion.figures, help="What the figure shows, see below.")
    ] = "quality",
    metric: Annotated[
        str | None,
        typer.Option(autocompletion=completion.metrics, help="Metric of quality and curve. Default: nDCG@5."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(autocompletion=completion.datasets, help="Only runs on this data set; a figure shows one."),
    ] = None,
    view: Annotated[
        str | None,
        typer.Option("--view", autocompletion=completion.views, help="Only runs on this view: bow, text, …"),
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Draw a figure of runs on one data set.

    Rows are those of a leaderboard: a method with its parameters, the mean over its seeds. Values and intervals equal
    the leaderboard's. What is left out, and why, is written below the figure and on standard error.
    """
    from xmcbench.files import sweep
    from xmcbench.plots.kinds import check_kind, write
    from xmcbench.plots.selection import select, store_of
    from xmcbench.plots.sheet import check_file

    check_file(to)
    check_kind(kind, metric)
    store, names = store_of(runs or [], results)
    selection = select(store, readable_records(store), names, dataset, view)
    sweep(to.parent)
    console = make_console(stderr=True)
    for note in write(selection, kind, metric, to):
        console.print(styled(f"note: {note}", ""))
    say(f"{to}: {kind} of {counted(len(selection.drawn), 'row')} on {selection.title}")
