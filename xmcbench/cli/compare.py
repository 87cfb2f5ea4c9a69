"""`xmcbench compare A B`: compare two runs with paired intervals, paired tests and the comparison rule, and show the
labels and documents in which they differ most."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.errors import DataError, RegressionError, UsageError

if TYPE_CHECKING:
    from xmcbench.comparison.compare import Verdict
    from xmcbench.comparison.differences import Differences
    from xmcbench.comparison.paired import Gap, Paired
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store

DIFFER = 5  # labels and documents per direction: twenty lines in total, which leaves room for the metrics


def compare(
    a: Annotated[str, typer.Argument(help="Run id or a part of it, record file, label, or method name (newest run).")],
    b: Annotated[str, typer.Argument(help="The run to compare with A; for a name, preferably a run on the same data.")],
    dataset: Annotated[str | None, typer.Option(help="Only runs on this data set.")] = None,
    results: Annotated[Path | None, typer.Option(help="Results folder. Default: XMCBENCH_RESULTS or results.")] = None,
    samples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of the test rows.")] = 1000,
    differ: Annotated[
        int,
        typer.Option(min=0, help="Number of labels and documents to show that differ most; 0: don't load the data."),
    ] = DIFFER,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Exit with 3 if B is worse than A by the comparison rule, or if nothing can be judged."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two runs: B − A per metric, with a 95 % interval and a paired test over the same test rows.

    If the data set is on this machine, also shows the labels and the test rows with the largest differences.

    Examples: `xmcbench compare popularity elias` · `xmcbench compare 20261123T2 20261124T0 --check`
    """
    from xmcbench.cli.comparison import print_differences, print_gaps, print_runs
    from xmcbench.cli.run import results_folder
    from xmcbench.comparison.compare import compare
    from xmcbench.escaping import clean_lines
    from xmcbench.results.store import Store

    store = Store(results or results_folder())
    damaged: list[str] = []
    records = store.records(damaged)
    for text in damaged:
        typer.echo(f"warning: left out: {clean_lines(text)}", err=True)
    first, second = store.find_pair(a, b, None if dataset is None else _canonical(dataset), records)
    _report_selected(a, first, b, second)
    stores = _store_of(store, a), _store_of(store, b)
    verdicts = compare(first, second, records)
    gaps, grouped = _gaps(stores, first, second, verdicts, samples)
    if not as_json:
        print_runs(first, second)
        print_gaps(verdicts, gaps, grouped)
    most_different, reason = _differences(stores, first, second, differ)
    if as_json:
        rows = [{**vars(verdict), **vars(gap)} for verdict, gap in zip(verdicts, gaps, strict=True)]
        report = {"a": first.run_id, "b": second.run_id, "metrics": rows, "near_duplicates_together": grouped}
        report |= {"differences": None if most_different is None else asdict(most_different), "no_differences": reason}
        print(json.dumps(report, allow_nan=False))
    elif most_different is not None:
        print_differences(most_different)
    elif reason:
        typer.echo(f"\nno differences shown: {clean_lines(reason)}")
    if check:
        _check(first, second, verdicts)


def _canonical(name: str) -> str:
    """A data set's name as in records: aliases resolved, parameters of synthetic data in fixed order."""
    from xmcbench.data.catalogue import entry
    from xmcbench.data.synthetic import parameters

    if name.partition("[")[0].strip().casefold() == "synthetic":
        return parameters(name).name
    try:
        return entry(name).name
    except UsageError:  # imported, or only known from records
        return name


def _report_selected(a: str, first: Record, b: str, second: Record) -> None:
    """Report on standard error which runs were selected by anything but a full run id."""
    from xmcbench.escaping import clean

    for letter, text, record in (("A", a, first), ("B", b, second)):
        if text != record.run_id:
            typer.echo(f"{letter} is {clean(record.run_id)}", err=True)
    if first.run_id == second.run_id:
        typer.echo("note: A and B are the same run", err=True)


def _store_of(store: Store, text: str) -> Store:
    """The results folder of a run: for a record file, the folder that contains it."""
    from xmcbench.results.store import Store, is_record_file

    return Store(Path(text).resolve().parents[1]) if is_record_file(text) else store


def _gaps(
    stores: tuple[Store, Store], first: Record, second: Record, verdicts: list[Verdict], samples: int
) -> tuple[list[Gap], bool]:
    """B − A per verdict, and whether near-duplicates were grouped; prints the reason if rows can't be paired.

    Raises
    ------
    DataError : a file was changed, or does not reproduce the recorded values.
    """
    from xmcbench.comparison.paired import Paired, gaps, per_row
    from xmcbench.escaping import clean_lines
    from xmcbench.results.store import NotKept

    paired: Paired | None = None
    if first.dataset.content_hash == second.dataset.content_hash:
        try:
            paired = Paired.of(per_row(stores[0], first), per_row(stores[1], second))
            return gaps(paired, verdicts, samples), paired.groups is not None
        except (NotKept, UsageError) as error:  # files are missing, or the record names the wrong data
            typer.echo(f"no paired intervals: {clean_lines(error)}", err=True)
    return gaps(None, verdicts, samples), False


def _differences(
    stores: tuple[Store, Store], first: Record, second: Record, count: int
) -> tuple[Differences | None, str | None]:
    """The largest differences, or the reason why they are unknown; (None, None) if not requested.

    Raises
    ------
    DataError : a file was changed, or has other rows and labels.
    """
    from xmcbench.comparison.differences import differences
    from xmcbench.comparison.rescoring import dataset_of, final
    from xmcbench.results.store import NotKept

    if count == 0:
        return None, None
    if first.dataset.content_hash != second.dataset.content_hash:
        return None, "the two runs are on different data"
    try:
        predictions = [home.predictions(record) for home, record in zip(stores, (first, second), strict=True)]
    except NotKept as error:
        return None, str(error)
    try:
        dataset = dataset_of(first, offline=True)
    except (DataError, UsageError) as error:
        return None, str(error)
    a, b = (final(record, topk, dataset) for record, topk in zip((first, second), predictions, strict=True))
    return differences(a, b, dataset, count), None


def _check(first: Record, second: Record, verdicts: list[Verdict]) -> None:
    """Raise RegressionError if B is worse, or if nothing was judged: a check without comparison must not pass."""
    from xmcbench.comparison.compare import FAIL, UNKNOWN

    worse = [v.metric for v in verdicts if v.verdict == FAIL]
    if worse:
        raise RegressionError(f"{second.run_id} is worse than {first.run_id} in {', '.join(worse)}")
    if all(v.verdict == UNKNOWN for v in verdicts):
        failed = [f"{r.run_id} has status {r.status}" for r in (first, second) if r.status != "ok"]
        reasons = failed or sorted({v.why for v in verdicts}) or [f"{first.run_id} has no metrics"]
        raise RegressionError(
            f"nothing could be compared: {', '.join(reasons)}",
            "Both runs need the same metrics, on the same data and the same kind of device.",
        )
