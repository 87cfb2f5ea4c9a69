"""`xmcbench score`: metrics of predictions from any program, against a data set or label files."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli import completion
from xmcbench.cli.options import (
    LARGEST_ID,
    LARGEST_SEED,
    MOST_SAMPLES,
    PROPENSITY,
    RESULTS,
    Metrics,
    Results,
    propensity_of,
)
from xmcbench.cli.terminal import number, percent, print_table, say
from xmcbench.errors import DataError, UsageError, unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xmcbench.data.spec import Dataset
    from xmcbench.metrics import Evaluation, Name, Truth
    from xmcbench.topk import TopK

BASES = {"": (), "predictions": ("predictions",), "truth": ("truth",), "both": ("predictions", "truth")}
ONE_BASED = "Files whose ids start at 1: predictions, truth (with training labels and filter), or both."
EPILOG = """
Examples:

  xmcbench score predictions.npz --dataset eurlex-4.3k

  xmcbench score predictions.npz --dataset eurlex-4.3k --as "My method" --selection validation

  xmcbench score predictions.npz --truth Y.tst.npz --train-labels Y.trn.npz --propensity 0.6,2.6 --metrics P@1,PSP@5
"""


@dataclass(frozen=True)
class Against:
    """The truth, (m, 2) filter pairs, and the data set if there is one."""

    truth: Truth
    pairs: NDArray[np.int64]
    dataset: Dataset | None


@dataclass(frozen=True)
class Scored:
    """Predictions before the filter, their evaluation, metric values by name from the chosen engine, and notes."""

    topk: TopK
    evaluation: Evaluation
    values: dict[str, float | None]
    notes: list[str]


def score(
    predictions: Annotated[Path, typer.Argument(help="npz (CSR, or ids and scores), npy, text or JSON.")],
    dataset: Annotated[
        str | None, typer.Option(autocompletion=completion.datasets, help="Data set with these test rows.")
    ] = None,
    view: Annotated[str | None, typer.Option(autocompletion=completion.views, help="View of the data set.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Labels of the test rows: npz, npy or text.")] = None,
    train_labels: Annotated[Path | None, typer.Option(help="Labels of the training rows, required by PSP.")] = None,
    propensity: Annotated[str | None, typer.Option(help=f"A,B of Jain et al. 2016. Default: {PROPENSITY}.")] = None,
    filter_file: Annotated[Path | None, typer.Option("--filter", help="Lines 'row label': pairs to ignore.")] = None,
    one_based: Annotated[str, typer.Option(help=ONE_BASED)] = "",
    n_labels: Annotated[
        int, typer.Option(min=0, max=LARGEST_ID, help="Number of labels, if the truth has no header.")
    ] = 0,
    metrics: Metrics = None,
    engine: Annotated[str, typer.Option(help="xmcbench or pyxclib.")] = "xmcbench",
    samples: Annotated[
        int, typer.Option(min=0, max=MOST_SAMPLES, help="Bootstrap resamples for intervals; 0: none.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the resampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help='Print only {"P@1": fraction, …}.')] = False,
    as_name: Annotated[str | None, typer.Option("--as", help="Write a record under this name.")] = None,
    selection: Annotated[str, typer.Option(help="Rows of selection: validation, test, none, unknown.")] = "unknown",
    results: Results = RESULTS,
) -> None:
    """Score a file of predictions.

    With --as, also writes a record; --selection says on which rows you selected epochs and parameters.
    """
    _check_record_options(as_name, selection, dataset, engine)
    if one_based not in BASES:
        raise unknown("value of --one-based", one_based, BASES.keys() - {""})
    bases = BASES[one_based]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        files = dataset, view, truth, train_labels, propensity, filter_file
        against = load_truth(*files, one_based="truth" in bases, n_labels=n_labels)
    for warning in caught:
        say(f"note: {warning.message}", err=True)
    if against.dataset is not None:
        _check_owner(predictions, against.dataset)
    names = wanted_metrics(metrics, against.truth, engine)
    samples = 0 if as_json and not as_name else samples
    given = "predictions" in bases
    scored = score_predictions(predictions, against, names, engine, samples, seed, one_based=given)
    for note in scored.notes:
        say(f"note: {note}", err=True)
    if as_json:
        typer.echo(json.dumps(scored.values, allow_nan=False))
    else:
        _print(scored)
    if as_name is not None:
        _record(predictions, against, scored, as_name, selection, results)


def _check_owner(path: Path, dataset: Dataset) -> None:
    """Raise DataError for predictions of a results folder whose record is of another revision of the data set.

    They may have as many rows and labels, but these are others.
    """
    from xmcbench.records import record_file

    record_path = path.resolve().parent.parent / "records" / f"{path.stem}.json"
    if path.resolve().parent.name != "predictions" or not record_path.is_file():
        return
    facts = record_file.read(record_path).dataset
    same_revision = (facts.name, facts.revision) == (dataset.name, dataset.revision)
    if facts.content_hash != dataset.content_hash and not same_revision:
        raise DataError(
            f"{path}: predictions of run {record_path.stem} on {facts.name}, revision {facts.revision}; "
            f"{dataset.name} here has revision {dataset.revision}",
            "Run the method again. If rows and labels are the same, copy the file out of the results folder.",
        )


def _check_record_options(as_name: str | None, selection: str, dataset: str | None, engine: str) -> None:
    """Check the options of a record before anything is read or computed; UsageError if one of them is wrong."""
    from xmcbench.records.external import check_claims

    check_claims("a name" if as_name is None else as_name, selection)
    if as_name is not None and (dataset is None or engine != "xmcbench"):
        raise UsageError("--as needs --dataset and the engine xmcbench", "A record identifies its data set by content.")
    if as_name is None and selection != "unknown":
        raise UsageError("--selection needs --as", "It is a statement in the record that --as writes.")


def load_truth(
    dataset: str | None,
    view: str | None,
    truth: Path | None,
    train_labels: Path | None,
    propensity: str | None,
    filter_file: Path | None,
    *,
    one_based: bool = False,
    n_labels: int = 0,
) -> Against:
    """Load the truth by the name of a data set or from files.

    `one_based`: ids in the files count from 1. `n_labels`: number of labels, or 0 for what the files say; a truth in
    svmlight text without a header has as many as its largest id tells, or as the training labels have.

    Raises
    ------
    UsageError : neither or both are given, or the propensity isn't a pair of numbers.
    DataError : a file is missing or damaged.
    """
    import numpy as np

    from xmcbench.data import load
    from xmcbench.data.formats import SVMLIGHT, form_of, read_filter, read_labels, with_one_width
    from xmcbench.data.reading import DataWarning
    from xmcbench.metrics import Truth

    bare = {"--truth": truth, "--train-labels": train_labels, "--propensity": propensity, "--filter": filter_file}
    if dataset is not None:
        if conflicting := [option for option, value in bare.items() if value is not None]:
            raise UsageError(f"--dataset brings its own labels: leave out {', '.join(conflicting)}")
        if n_labels:
            raise UsageError("--n-labels is for --truth FILE", "The data set has its number of labels.")
        if one_based:
            raise UsageError("--one-based truth is for --truth FILE", "With --dataset: --one-based predictions.")
        data = load(dataset, view)
        return Against(Truth.of(data), data.test_filter, data)
    if truth is None:
        hint = "Give --dataset NAME, or --truth FILE (and --train-labels FILE for PSP)."
        raise UsageError("no data set and no truth given", hint)
    if view is not None:
        raise UsageError("--view needs --dataset")
    constants = propensity_of(propensity or PROPENSITY)
    test = read_labels(truth, one_based=one_based)
    train = None if train_labels is None else read_labels(train_labels, one_based=one_based)
    with_one_width([(truth, test), *([] if train is None else [(train_labels, train)])], "truth", n_labels)
    if n_labels and test.shape[1] != n_labels:
        raise UsageError(f"--n-labels {n_labels}: {truth} has {test.shape[1]} labels", "Leave the option out.")
    if not n_labels and form_of(truth) == SVMLIGHT:
        note = f"{truth} has no header: {test.shape[1]} labels, by the largest id; --n-labels tells of more"
        warnings.warn(note, DataWarning, stacklevel=2)
    built = Truth.build(test, train, constants)
    pairs = np.zeros((0, 2), np.int64)
    if filter_file is not None:
        pairs = read_filter(filter_file, built.n_rows, built.n_labels, one_based=one_based)
    return Against(built, pairs, None)


def wanted_metrics(metrics: str | None, truth: Truth, engine: str) -> list[Name]:
    """The requested metrics; by default the standard set, without propensity metrics if there are no training labels.

    Raises
    ------
    UsageError : unknown engine or metrics; the message names all of them.
    """
    from xmcbench.metrics import parse_all
    from xmcbench.metrics.engines import DEFAULT_PYXCLIB, ENGINES
    from xmcbench.metrics.evaluation import default_metrics
    from xmcbench.metrics.names import split

    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if metrics is not None:
        if names := parse_all(split(metrics)):
            return names
        raise UsageError("--metrics names no metric", "Such as --metrics P@1,PSP@5.")
    names = parse_all(DEFAULT_PYXCLIB if engine == "pyxclib" else default_metrics(truth))
    if truth.n_train == 0:
        typer.echo("note: no propensity metrics: they need --train-labels", err=True)
        names = [name for name in names if not name.definition.weighted]
    return names


def score_predictions(
    path: Path,
    against: Against,
    names: list[Name],
    engine: str = "xmcbench",
    samples: int = 1000,
    seed: int = 0,
    *,
    one_based: bool = False,
) -> Scored:
    """Read predictions, remove filter pairs, keep the first k, and score. `one_based`: ids in the file count from 1.

    Raises
    ------
    DataError : predictions are damaged or have other rows or labels. UsageError : see `evaluate` and `with_pyxclib`.
    """
    import numpy as np

    from xmcbench.metrics import evaluate
    from xmcbench.metrics.engines import disagreements, with_pyxclib
    from xmcbench.metrics.evaluation import depth
    from xmcbench.metrics.predictions import base_note, read_given

    truth, pairs = against.truth, against.pairs
    longest_filter = int(np.bincount(pairs[:, 0]).max(initial=0)) if len(pairs) else 0
    cutoff = depth(names, truth)
    limit = None if cutoff is None else cutoff + longest_filter
    given = read_given(path, truth.n_rows, truth.n_labels, one_based=one_based)
    topk = given.topk(truth.n_labels, None if limit is None else limit + 1)  # one more shows ties for the last rank
    base = base_note(given, topk, truth, one_based=one_based, truth_is_file=against.dataset is None)
    filtered = topk.without(pairs, topk.k)
    near_groups = None if against.dataset is None else against.dataset.near_groups
    evaluation = evaluate(filtered, truth, names, samples=samples, seed=seed, groups=near_groups)
    values, notes = evaluation.fractions(), [*base, *filtered_truth(pairs, truth), *evaluation.notes]
    if engine == "pyxclib":
        pyxclib_values = with_pyxclib(given.csr(truth.n_labels, pairs), truth, names)
        agreement = [f"pyxclib and xmcbench agree on all {len(pyxclib_values)} metrics"]
        notes += disagreements(pyxclib_values, values) or agreement
        values = pyxclib_values
    return Scored(topk if limit is None else topk.cut(limit), evaluation, values, notes)


def filtered_truth(pairs: NDArray[np.int64], truth: Truth) -> list[str]:
    """A note if filter pairs are true labels: predictions never have them, so they count as misses."""
    import numpy as np

    true = np.repeat(np.arange(truth.n_rows), np.diff(truth.indptr)) * truth.n_labels + truth.indices
    n_true = int(np.isin(pairs[:, 0] * truth.n_labels + pairs[:, 1], true).sum())
    if n_true == 0:
        return []
    return [
        f"{n_true:,} of {len(pairs):,} filter pairs are true labels: removed from predictions, they count as misses"
    ]


def _record(path: Path, against: Against, scored: Scored, name: str, selection: str, results: Path) -> None:
    from xmcbench.files import sha256_of
    from xmcbench.records.external import record_external
    from xmcbench.records.store import Store

    assert against.dataset is not None
    store = Store(results)
    made = {"file_sha256": sha256_of(path), "selection": selection}
    record = record_external(store, against.dataset, name, scored.topk, scored.evaluation, **made)
    say(f"record: {store.folder / 'records' / record.run_id}.json", err=True)


def _print(scored: Scored) -> None:
    titles = ("metric", "%", "95 % interval", "best reachable", "rows")
    rows = []
    for value in scored.evaluation.values:
        interval = "" if value.low is None else f"{percent(value.low)} … {percent(value.high)}"
        rows.append((value.name, percent(scored.values[value.name]), interval, percent(value.best), number(value.rows)))
    print_table([titles, *rows], right=titles[1:])
    if unlabelled := scored.evaluation.values[0].rows_without_labels:
        have = "row has" if unlabelled == 1 else "rows have"
        typer.echo(f"{unlabelled:,} {have} no true label; `xmcbench info METRIC` says how a metric treats them")
