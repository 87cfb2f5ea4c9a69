"""`xmcbench score`: metrics of anybody's predictions, against a data set of the catalogue or bare files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xmcbench.data.spec import Dataset
    from xmcbench.metrics import Evaluation, Name, Truth
    from xmcbench.topk import TopK

DEFAULT_PROPENSITY = (
    "0.55,1.5"  # Jain et al. 2016, section 5, for all data but Wikipedia (0.5,0.4) and Amazon (0.6,2.6)
)
EPILOG = """
Examples:

  xmcbench score predictions.npz --dataset eurlex-4.3k

  xmcbench score predictions.npz --dataset eurlex-4.3k --as "My method" --selection validation

  xmcbench score predictions.npz --truth Y.tst.npz --train-labels Y.trn.npz --propensity 0.6,2.6 --metrics P@1,PSP@5
"""


@dataclass(frozen=True)
class Against:
    """What to score against: the truth, (m, 2) pairs that must not count, and the data set where there is one."""

    truth: Truth
    pairs: NDArray[np.int64]
    dataset: Dataset | None


@dataclass(frozen=True)
class Scored:
    """`topk` as brought, with room for the filter; `values` by name from the engine asked for; `notes` for the user."""

    topk: TopK
    evaluation: Evaluation
    values: dict[str, float | None]
    notes: list[str]


def score(
    predictions: Annotated[Path, typer.Argument(help="npz (CSR, or ids and scores) or XMC text.")],
    dataset: Annotated[str | None, typer.Option(help="Data set of the catalogue whose test rows these are.")] = None,
    view: Annotated[str | None, typer.Option(help="View of the data set.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Labels of the test rows: npz CSR or XMC text.")] = None,
    train_labels: Annotated[Path | None, typer.Option(help="Labels of the training rows; PSP needs them.")] = None,
    propensity: Annotated[
        str | None, typer.Option(help=f"A,B of Jain et al. 2016. Default: {DEFAULT_PROPENSITY}.")
    ] = None,
    filter_file: Annotated[
        Path | None, typer.Option("--filter", help="Lines 'row label' of pairs that must not count.")
    ] = None,
    metrics: Annotated[str | None, typer.Option(help="Comma-separated; default: the standard set.")] = None,
    engine: Annotated[str, typer.Option(help="xmcbench or pyxclib.")] = "xmcbench",
    samples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples for intervals; 0: none.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help='Only {"P@1": fraction, …} on standard output.')] = False,
    as_name: Annotated[str | None, typer.Option("--as", help="Keep a record of method family external.")] = None,
    selection: Annotated[
        str, typer.Option(help="With --as: split the author chose epochs on: validation, test, none, unknown.")
    ] = "unknown",
    results: Annotated[Path | None, typer.Option(help="With --as: results folder.")] = None,
) -> None:
    """Score a file of predictions."""
    against = load_truth(dataset, view, truth, train_labels, propensity, filter_file)
    if as_name is not None and (against.dataset is None or engine != "xmcbench"):
        raise UsageError("--as needs --dataset and our own engine", "A record names its data set by content.")
    names = wanted_metrics(metrics, against.truth, engine)
    result = score_predictions(predictions, against, names, engine, 0 if as_json and not as_name else samples, seed)
    for note in result.notes:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        typer.echo(json.dumps(result.values, allow_nan=False))
    else:
        _print(result)
    if as_name is not None:
        _record(predictions, against, result, as_name, selection, results)


def load_truth(
    dataset: str | None,
    view: str | None,
    truth: Path | None,
    train_labels: Path | None,
    propensity: str | None,
    filter_file: Path | None,
) -> Against:
    """The truth from a data set's name or from files.

    Raises
    ------
    UsageError : neither or both are given, or the propensity is no pair of numbers.
    DataError : a file is missing or damaged.
    """
    from xmcbench.metrics import Truth

    bare = {"--truth": truth, "--train-labels": train_labels, "--propensity": propensity, "--filter": filter_file}
    if dataset is not None:
        if given := [option for option, value in bare.items() if value is not None]:
            raise UsageError(f"--dataset brings its own labels: leave out {', '.join(given)}")
        from xmcbench.data import load

        data = load(dataset, view)
        return Against(Truth.of(data), data.test_filter, data)
    if truth is None:
        raise UsageError(
            "score against what?", "Give --dataset NAME, or --truth FILE (and --train-labels FILE for PSP)."
        )
    if view is not None:
        raise UsageError("--view belongs to --dataset")
    import numpy as np

    from xmcbench.data.formats import read_filter, read_labels

    constants = _pair(propensity or DEFAULT_PROPENSITY)
    labels = read_labels(truth)
    known = Truth.build(labels, None if train_labels is None else read_labels(train_labels), constants)
    pairs = np.zeros((0, 2), np.int64)
    if filter_file is not None:
        pairs = read_filter(filter_file, known.n_rows, known.n_labels)
    return Against(known, pairs, None)


def wanted_metrics(metrics: str | None, truth: Truth, engine: str) -> list[Name]:
    """The names asked for; by default the standard set, less propensity metrics where there are no training labels.

    Raises
    ------
    UsageError : unknown engine or metrics, all of them named.
    """
    from xmcbench.errors import unknown
    from xmcbench.metrics import parse_all
    from xmcbench.metrics.defaults import default_metrics
    from xmcbench.metrics.engines import DEFAULT_PYXCLIB, ENGINES
    from xmcbench.metrics.names import split

    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if metrics is not None:
        names = parse_all(split(metrics))
        if not names:
            raise UsageError("--metrics names no metric", "Such as --metrics P@1,PSP@5.")
        return names
    names = parse_all(DEFAULT_PYXCLIB if engine == "pyxclib" else default_metrics(truth))
    if truth.n_train == 0:
        typer.echo("note: no propensity metrics: they need --train-labels", err=True)
        names = [name for name in names if not name.definition.weighted]
    return names


def score_predictions(
    path: Path, against: Against, names: list[Name], engine: str = "xmcbench", samples: int = 1000, seed: int = 0
) -> Scored:
    """Read predictions, remove the filter's pairs, cut, and score.

    Raises
    ------
    DataError : predictions are damaged or of other rows or labels. UsageError : see `evaluate` and `with_pyxclib`.
    """
    import numpy as np

    from xmcbench.metrics import evaluate
    from xmcbench.metrics.engines import disagreements, with_pyxclib
    from xmcbench.metrics.evaluation import depth
    from xmcbench.metrics.predictions import read_predictions
    from xmcbench.results import board_files as board

    truth, pairs = against.truth, against.pairs
    longest = int(np.bincount(pairs[:, 0]).max(initial=0)) if len(pairs) else 0
    deepest = depth(names, truth)
    topk = read_predictions(path, truth.n_rows, truth.n_labels, None if deepest is None else deepest + longest)
    kept = topk.without(pairs, topk.k)
    near = None if against.dataset is None else board.beside(against.dataset)[board.NEAR]
    evaluation = evaluate(kept, truth, names, samples=samples, seed=seed, groups=near)
    values, notes = evaluation.fractions(), list(evaluation.notes)
    if engine == "pyxclib":
        theirs = with_pyxclib(kept, truth, names)
        differ = disagreements(theirs, values)
        notes += differ or [f"pyxclib and xmcbench agree on all {len(theirs)} metrics"]
        values = theirs
    return Scored(topk, evaluation, values, notes)


def _record(path: Path, against: Against, result: Scored, name: str, selection: str, results: Path | None) -> None:
    from xmcbench.cli.run import results_folder
    from xmcbench.files import sha256_of
    from xmcbench.results.external import record_external
    from xmcbench.results.store import Store

    assert against.dataset is not None
    store = Store(results or results_folder())
    record = record_external(
        store,
        against.dataset,
        name,
        result.topk,
        result.evaluation,
        file_sha256=sha256_of(path),
        selection=selection,
    )
    typer.echo(f"record: {store.folder / 'records' / record['run_id']}.json", err=True)


def _pair(text: str) -> tuple[float, float]:
    import math

    try:
        a, b = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--propensity {text!r} is not A,B", f"Two numbers, such as {DEFAULT_PROPENSITY}.") from error
    if not (math.isfinite(a) and math.isfinite(b) and a >= 0 and b > 0):
        raise UsageError(f"--propensity {text!r}: A must be at least 0, B above 0", f"Such as {DEFAULT_PROPENSITY}.")
    return a, b


def _print(result: Scored) -> None:
    from rich.console import Console
    from rich.table import Table

    def percent(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.2f}"

    table = Table("metric", box=None)
    for title in ("%", "95 % interval", "best reachable", "rows"):
        table.add_column(title, justify="right")
    for value in result.evaluation.values:
        interval = "" if value.low is None else f"{percent(value.low)} … {percent(value.high)}"
        shown = percent(result.values[value.name])
        table.add_row(value.name, shown, interval, percent(value.best), f"{value.rows:,}")
    Console(highlight=False).print(table)
    empty = result.evaluation.values[0].rows_without_labels
    if empty:
        typer.echo(f"{empty:,} rows have no true label; `xmcbench ls metrics` says what each metric does with them")
