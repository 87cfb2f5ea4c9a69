"""`xmcbench compare A B`: paired intervals and tests, the comparison rule, and where two runs differ most."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli.options import RESULTS, RUN, AsJson, Results, readable_records
from xmcbench.cli.show import chosen
from xmcbench.cli.terminal import number, percent, print_table, print_text
from xmcbench.errors import DataError, RegressionError, UsageError
from xmcbench.escaping import clean, clean_lines

if TYPE_CHECKING:
    from xmcbench.comparison.compare import Verdict
    from xmcbench.comparison.differences import Differences
    from xmcbench.comparison.paired import Gap
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store


def compare(
    a: Annotated[str, typer.Argument(help=RUN)],
    b: Annotated[str, typer.Argument(help="The run to compare with A; for a name, preferably a run on the same data.")],
    dataset: Annotated[str | None, typer.Option(help="Only runs on this data set.")] = None,
    results: Results = RESULTS,
    samples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of the test rows.")] = 1000,
    differ: Annotated[int, typer.Option(min=0, help="Labels and documents to show; 0: don't load the data.")] = 5,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 3 if B is worse, or nothing can be judged.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two runs, metric by metric.

    Shows B − A with a 95 % interval and a paired test over the same test rows. If the data set is on this machine,
    also shows the labels and the test rows with the largest differences.

    Examples: `xmcbench compare popularity elias` · `xmcbench compare 20261123T2 20261124T0 --check`
    """
    from xmcbench.comparison.compare import compare
    from xmcbench.data.imported import replaced_by
    from xmcbench.data.inventory import data_set
    from xmcbench.results.store import Store

    store = Store(results)
    records = readable_records(store)
    if dataset is not None:
        with suppress(UsageError):  # a data set that is only known from records keeps its name
            known = data_set(dataset)
            dataset = known if isinstance(known, str) else known.name
    first, second = store.find_pair(a, b, dataset, records)
    if as_json:  # otherwise the first lines of the output have the run ids
        for letter, text, record in (("A", a, first), ("B", b, second)):
            if text != record.run_id:
                typer.echo(f"{letter} is {clean(record.run_id)}", err=True)
    if first.run_id == second.run_id:
        typer.echo("note: A and B are the same run", err=True)
    for letter, record in {first.run_id: ("A", first), second.run_id: ("B", second)}.values():
        if now := replaced_by(record.dataset.name, record.dataset.revision):
            was = f"{letter} is on revision {record.dataset.revision} of {clean(record.dataset.name)}"
            typer.echo(f"note: {was}, which was imported again since: now {now}", err=True)
    stores = _store_of(store, a), _store_of(store, b)
    verdicts = compare(first, second, records)
    gaps, grouped = _gaps(stores, first, second, verdicts, samples)
    if not as_json:
        _print_runs(first, second)
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
    from xmcbench.results.store import NotKept

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
        topk_a, topk_b = (home.predictions(record) for home, record in zip(stores, (first, second), strict=True))
    except NotKept as error:
        return None, str(error)
    try:
        dataset = dataset_of(first, offline=True)
    except (DataError, UsageError) as error:
        return None, str(error)
    return differences(final(first, topk_a, dataset), final(second, topk_b, dataset), dataset, count), None


def _check(first: Record, second: Record, verdicts: list[Verdict]) -> None:
    """Raise RegressionError if B is worse, or if nothing was judged: a check without comparison must not pass."""
    from xmcbench.comparison.compare import FAIL, UNKNOWN

    worse = [v.metric for v in verdicts if v.verdict == FAIL]
    if worse:
        raise RegressionError(f"{second.run_id} is worse than {first.run_id} in {', '.join(worse)}")
    if all(v.verdict == UNKNOWN for v in verdicts):
        failed = [f"{r.run_id} has status {r.status}" for r in (first, second) if r.status != "ok"]
        reasons = failed or sorted({v.why for v in verdicts}) or [f"{first.run_id} has no metrics"]
        hint = "Both runs need the same metrics, on the same data and the same kind of device."
        raise RegressionError(f"nothing could be compared: {', '.join(reasons)}", hint)


def _print_runs(first: Record, second: Record) -> None:
    """Print which runs A and B are."""
    for name, record in (("A", first), ("B", second)):
        data = record.dataset
        seed = "no seed" if record.seed is None else f"seed {record.seed}"
        status = "" if record.status == "ok" else f", status {record.status}"
        print_text(f"{name}: {record.method.label} on {data.name} ({data.view}), {seed}{status}, {record.run_id}")
        if text := chosen(record):
            print_text(f"   tuned: {text}")


def print_gaps(verdicts: Sequence[Verdict], gaps: Sequence[Gap], grouped: bool) -> None:
    """Print a table of metrics in percent. `grouped`: near-duplicate rows were resampled and swapped together."""
    grouping = ", near-duplicates together" if grouped else ""
    adjustment = ", not adjusted for the number of metrics" if len(verdicts) > 1 else ""
    print_text(
        f"percent; interval: 95 % over the same test rows{grouping}; p: paired randomisation test{adjustment}; "
        "won, lost: rows in which B is better or worse; verdict: B − A against the tolerance between seeds"
    )
    titles = ("metric", "A", "B", "B − A", "interval", "p", "won", "lost", "verdict")
    rows = []
    for v, gap in zip(verdicts, gaps, strict=True):
        difference, low, high = (percent(x, sign=True) for x in (gap.difference, gap.low, gap.high))
        paired = ["", "", "", ""]
        if gap.p is not None:
            p = f"{gap.p:.4f}" if gap.p >= 0.0001 else f"{gap.p:.0e}" if gap.p > 0 else "<1e-308"  # less than a float
            paired = [f"[{low}, {high}]", p, number(gap.won), number(gap.lost)]
        verdict = v.verdict + (f" ({v.why})" if v.why else "")
        rows.append((v.metric, percent(v.expected), percent(v.got), difference, *paired, verdict))
    print_table([titles, *rows], right=titles[1:-1], drop=("won", "lost"))


def print_differences(differences: Differences) -> None:
    """Print the labels and documents with the largest gains of B, then of A."""
    labels = [
        (x.label, *map(number, (x.train_rows, x.test_rows, x.a_hits, x.b_hits)), x.text or "")
        for x in differences.labels
    ]
    documents = [
        (x.row, *map(number, (x.true_labels, x.a_hits, x.b_hits)), x.text or "") for x in differences.documents
    ]
    first = f"within the first {differences.k}"
    for kind, titles, rows, meaning in (
        ("labels", ("label", "train rows", "test rows", "A", "B", "text"), labels, f"test rows with a hit {first}"),
        ("documents", ("test row", "labels", "A", "B", "text"), documents, f"hits {first}"),
    ):
        if rows:
            typer.echo(f"\n{kind} that differ most: {meaning}")
            print_table([titles, *rows], right=titles[:-1])
        else:
            typer.echo(f"\n{kind}: both runs have the same hits {first}")
