"""`xmcbench compare A B`: two runs side by side, with paired intervals and the comparison rule's verdict."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmcbench.errors import DataError, RegressionError, UsageError

if TYPE_CHECKING:
    from xmcbench.results.compare import Verdict
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store

Rows = dict[str, Any]


@dataclass(frozen=True)
class Gap:
    """B − A as a fraction and the ends of its 95 % interval, low ≤ difference ≤ high; None where there is none."""

    difference: float | None
    low: float | None = None
    high: float | None = None


def compare(
    a: Annotated[str, typer.Argument(help="Run id or its part, record file, label, or a method's name (newest run).")],
    b: Annotated[str, typer.Argument(help="The run to compare with it; of a name, one on A's data if there is one.")],
    dataset: Annotated[str | None, typer.Option(help="Only runs on this data set.")] = None,
    results: Annotated[Path | None, typer.Option(help="Results folder. Default: XMCBENCH_RESULTS or results.")] = None,
    samples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of the test rows.")] = 1000,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 3 when B is worse than A by the rule, or nothing can be judged.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two runs: B − A for each metric, with a 95 % interval over the same test rows.

    Examples: `xmcbench compare popularity elias` · `xmcbench compare 20261123T2 20261124T0 --check`
    """
    from xmcbench.cli.plain import clean_lines
    from xmcbench.cli.run import results_folder
    from xmcbench.results.compare import compare
    from xmcbench.results.store import Store

    store = Store(results or results_folder())
    broken: list[str] = []
    everything = store.records(broken)
    for text in broken:
        typer.echo(f"warning: left out: {clean_lines(text)}", err=True)
    first, second = store.find_pair(a, b, None if dataset is None else _canonical(dataset), everything)
    _say_picked(a, first, b, second)
    verdicts = compare(first, second, everything)
    gaps = _gaps(_paired_rows(store, (a, first), (b, second)), verdicts, samples)
    if as_json:
        rows = [{**vars(verdict), **vars(gap)} for verdict, gap in zip(verdicts, gaps, strict=True)]
        print(json.dumps({"a": first["run_id"], "b": second["run_id"], "metrics": rows}, allow_nan=False))
    else:
        _print(first, second, verdicts, gaps)
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
    from xmcbench.cli.plain import clean

    for letter, text, record in (("A", a, first), ("B", b, second)):
        if text != record["run_id"]:
            typer.echo(f"{letter} is {clean(record['run_id'])}", err=True)
    if first["run_id"] == second["run_id"]:
        typer.echo("note: A and B are the same run", err=True)


def _paired_rows(store: Store, a: tuple[str, Record], b: tuple[str, Record]) -> tuple[Rows, Rows] | None:
    """Per-row values of both runs, or None where there are none to pair; they lie in a record's own results folder."""
    from xmcbench.results.store import Store, is_record_file

    if a[1]["dataset"]["content_hash"] != b[1]["dataset"]["content_hash"]:
        return None
    homes = [Store(Path(text).resolve().parents[1]) if is_record_file(text) else store for text, _ in (a, b)]
    try:
        return homes[0].rows(a[1]), homes[1].rows(b[1])
    except DataError as error:
        typer.echo(f"no paired intervals: {error}", err=True)
        return None


def _gaps(rows: tuple[Rows, Rows] | None, verdicts: list[Verdict], samples: int) -> list[Gap]:
    """B − A of each verdict; no interval where rows can't be paired or the metric is no function of rows."""
    from xmcbench.metrics import difference

    gaps = []
    for v in verdicts:
        plain = None if v.expected is None or v.got is None else v.got - v.expected
        found = None
        if rows is not None and plain is not None:
            try:
                found = difference(rows[1], rows[0], v.metric, samples=samples, seed=0)
            except UsageError as error:  # a record file from elsewhere that claims the same data
                typer.echo(f"no paired intervals: {error}", err=True)
                rows = None
        if plain is None or found is None or found.low is None or found.high is None:
            gaps.append(Gap(plain))
        else:  # kept rows are float32: a gap that is the same in every resample may lie a rounding outside
            gaps.append(Gap(plain, min(found.low, plain), max(found.high, plain)))
    return gaps


def _check(first: Record, second: Record, verdicts: list[Verdict]) -> None:
    """Raise RegressionError where B is worse, or nothing was judged: a check that compares nothing must not pass."""
    from xmcbench.results.compare import FAIL, UNKNOWN

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


def _print(first: Record, second: Record, verdicts: list[Verdict], gaps: list[Gap]) -> None:
    from rich.table import Table

    from xmcbench.cli.show import make_console, safe
    from xmcbench.cli.tuned import chosen

    console = make_console()
    for name, record in (("A", first), ("B", second)):
        data = record["dataset"]
        seed = "no seed" if record["seed"] is None else f"seed {record['seed']}"
        status = "" if record["status"] == "ok" else f", status {record['status']}"
        console.print(
            f"{name}: {safe(record['method']['label'])} on {safe(data['name'])} ({safe(data['view'])}), "
            f"{safe(seed + status)}, {safe(record['run_id'])}",
            soft_wrap=True,
        )
        if text := chosen(record):
            console.print(f"   tuned: {safe(text)}", soft_wrap=True)
    table = Table(title="percent; interval: 95 % over the same test rows", title_justify="left", box=None)
    for column in ("metric", "A", "B", "B − A", "interval", "verdict"):
        table.add_column(column, justify="left" if column in ("metric", "verdict") else "right", no_wrap=True)
    for v, gap in zip(verdicts, gaps, strict=True):
        interval = ""
        if gap.low is not None and gap.high is not None:
            interval = safe(f"[{100 * gap.low:+.2f}, {100 * gap.high:+.2f}]")
        values = ["–" if x is None else f"{100 * x:.2f}" for x in (v.expected, v.got)]
        shown = "–" if gap.difference is None else f"{100 * gap.difference:+.2f}"
        table.add_row(safe(v.metric), *values, shown, interval, v.verdict + (f" ({v.why})" if v.why else ""))
    console.print(table)
