"""`xmcbench compare A B`: two runs side by side, with paired intervals and tests, the comparison rule's verdict, and
where the two differ most."""

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

DIFFER = 5  # labels and documents each way: with both ways and kinds, twenty lines, and a table of metrics still fits


def compare(
    a: Annotated[str, typer.Argument(help="Run id or its part, record file, label, or a method's name (newest run).")],
    b: Annotated[str, typer.Argument(help="The run to compare with it; of a name, one on A's data if there is one.")],
    dataset: Annotated[str | None, typer.Option(help="Only runs on this data set.")] = None,
    results: Annotated[Path | None, typer.Option(help="Results folder. Default: XMCBENCH_RESULTS or results.")] = None,
    samples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of the test rows.")] = 1000,
    differ: Annotated[
        int, typer.Option(min=0, help="Labels and documents to show where they differ most; 0: don't load the data.")
    ] = DIFFER,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 3 when B is worse than A by the rule, or nothing can be judged.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two runs: B − A for each metric, with a 95 % interval and a paired test over the same test rows.

    Below it: the labels and the test rows in which one is furthest ahead of the other, where the data set is on this
    machine.

    Examples: `xmcbench compare popularity elias` · `xmcbench compare 20261123T2 20261124T0 --check`
    """
    from xmcbench.cli.comparison import print_differences, print_gaps, print_runs
    from xmcbench.cli.run import results_folder
    from xmcbench.comparison.compare import compare
    from xmcbench.escaping import clean_lines
    from xmcbench.results.store import Store

    store = Store(results or results_folder())
    broken: list[str] = []
    everything = store.records(broken)
    for text in broken:
        typer.echo(f"warning: left out: {clean_lines(text)}", err=True)
    first, second = store.find_pair(a, b, None if dataset is None else _canonical(dataset), everything)
    _say_picked(a, first, b, second)
    homes = _home(store, a), _home(store, b)
    verdicts = compare(first, second, everything)
    gaps, together = _gaps(homes, first, second, verdicts, samples)
    if not as_json:
        print_runs(first, second)
        print_gaps(verdicts, gaps, together)
    found, why = _differences(homes, first, second, differ)
    if as_json:
        rows = [{**vars(verdict), **vars(gap)} for verdict, gap in zip(verdicts, gaps, strict=True)]
        said = {"a": first["run_id"], "b": second["run_id"], "metrics": rows, "near_duplicates_together": together}
        said |= {"differences": None if found is None else asdict(found), "no_differences": why}
        print(json.dumps(said, allow_nan=False))
    elif found is not None:
        print_differences(found)
    elif why:
        typer.echo(f"\nwhere they differ: {clean_lines(why)}")
    if check:
        _check(first, second, verdicts)


def _canonical(name: str) -> str:
    """A data set's name as records have it: no alias, a synthetic's parameters in their one order."""
    from xmcbench.data.catalogue import entry
    from xmcbench.data.synthetic import parameters

    if name.partition("[")[0].strip().casefold() == "synthetic":
        return parameters(name).name
    try:
        return entry(name).name
    except UsageError:  # imported, or known to the records alone
        return name


def _say_picked(a: str, first: Record, b: str, second: Record) -> None:
    """On standard error, which runs were meant by what is not a whole run id."""
    from xmcbench.escaping import clean

    for letter, text, record in (("A", a, first), ("B", b, second)):
        if text != record["run_id"]:
            typer.echo(f"{letter} is {clean(record['run_id'])}", err=True)
    if first["run_id"] == second["run_id"]:
        typer.echo("note: A and B are the same run", err=True)


def _home(store: Store, text: str) -> Store:
    """Where a run's files lie: a record file's in its own results folder."""
    from xmcbench.results.store import Store, is_record_file

    return Store(Path(text).resolve().parents[1]) if is_record_file(text) else store


def _gaps(
    homes: tuple[Store, Store], first: Record, second: Record, verdicts: list[Verdict], samples: int
) -> tuple[list[Gap], bool]:
    """B − A of each verdict, and whether near-duplicates were taken together; why rows can't be paired is said.

    Raises
    ------
    DataError : a file that is there was changed, or doesn't give the values on record.
    """
    from xmcbench.comparison.paired import Paired, gaps, per_row
    from xmcbench.escaping import clean_lines
    from xmcbench.results.store import NotKept

    paired: Paired | None = None
    if first["dataset"]["content_hash"] == second["dataset"]["content_hash"]:
        try:
            paired = Paired.of(per_row(homes[0], first), per_row(homes[1], second))
            return gaps(paired, verdicts, samples), paired.groups is not None
        except (NotKept, UsageError) as error:  # files gone; a record that claims to be of the same data
            typer.echo(f"no paired intervals: {clean_lines(error)}", err=True)
    return gaps(None, verdicts, samples), False


def _differences(
    homes: tuple[Store, Store], first: Record, second: Record, each: int
) -> tuple[Differences | None, str | None]:
    """Where the two differ most, or why nobody can say; neither where nobody asked.

    Raises
    ------
    DataError : a file that is there was changed, or is of other rows and labels.
    """
    from xmcbench.comparison.differences import differences
    from xmcbench.comparison.rescoring import dataset_of, final
    from xmcbench.results.store import NotKept

    if each == 0:
        return None, None
    if first["dataset"]["content_hash"] != second["dataset"]["content_hash"]:
        return None, "the two runs are on other data"
    try:
        kept = [home.predictions(record) for home, record in zip(homes, (first, second), strict=True)]
    except NotKept as error:
        return None, str(error)
    try:
        dataset = dataset_of(first, offline=True)
    except (DataError, UsageError) as error:
        return None, str(error)
    a, b = (final(record, topk, dataset) for record, topk in zip((first, second), kept, strict=True))
    return differences(a, b, dataset, each), None


def _check(first: Record, second: Record, verdicts: list[Verdict]) -> None:
    """Raise RegressionError where B is worse, or nothing was judged: a check that compares nothing must not pass."""
    from xmcbench.comparison.compare import FAIL, UNKNOWN

    worse = [v.metric for v in verdicts if v.verdict == FAIL]
    if worse:
        raise RegressionError(f"{second['run_id']} is worse than {first['run_id']} in {', '.join(worse)}")
    if all(v.verdict == UNKNOWN for v in verdicts):
        failed = [f"{r['run_id']} has status {r['status']}" for r in (first, second) if r["status"] != "ok"]
        why = failed or sorted({v.why for v in verdicts}) or [f"{first['run_id']} has no metrics"]
        raise RegressionError(
            f"nothing could be compared: {', '.join(why)}",
            "Both runs need the same metrics, on the same data and the same kind of device.",
        )
