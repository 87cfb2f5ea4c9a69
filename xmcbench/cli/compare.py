"""`xmcbench compare A B`: two runs side by side, with paired intervals and the comparison rule's verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmcbench.errors import DataError, RegressionError

if TYPE_CHECKING:
    from xmcbench.results.compare import Verdict
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store


def compare(
    a: Annotated[str, typer.Argument(help="Run id, record file, or a method's name (its newest run).")],
    b: Annotated[str, typer.Argument(help="The run to compare with it.")],
    results: Annotated[Path | None, typer.Option(help="Results folder. Default: XMCBENCH_RESULTS or results.")] = None,
    samples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of the test rows.")] = 1000,
    check: Annotated[bool, typer.Option("--check", help="Exit with 3 when B is worse than A by the rule.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two runs: B − A for each metric, with a 95 % interval over the same test rows.

    Examples: `xmcbench compare popularity elias` · `xmcbench compare 20261123T2 20261124T0 --check`
    """
    from xmcbench.cli.run import results_folder
    from xmcbench.results.compare import FAIL, compare
    from xmcbench.results.store import Store

    store = Store(results or results_folder())
    first, second = store.find(a), store.find(b)
    verdicts = compare(first, second, store.records())
    gaps = _gaps(store, first, second, verdicts, samples)
    if as_json:
        rows = [{**vars(v), **dict(zip(("difference", "low", "high"), gaps[v.metric], strict=True))} for v in verdicts]
        print(json.dumps({"a": first["run_id"], "b": second["run_id"], "metrics": rows}))
    else:
        _print(first, second, verdicts, gaps)
    worse = [v.metric for v in verdicts if v.verdict == FAIL]
    if check and worse:
        raise RegressionError(f"{second['run_id']} is worse than {first['run_id']} in {', '.join(worse)}")


def _gaps(
    store: Store, first: Record, second: Record, verdicts: list[Verdict], samples: int
) -> dict[str, tuple[float | None, float | None, float | None]]:
    """B − A with its paired interval; None where rows can't be paired or the metric is no function of rows."""
    from xmcbench.metrics import difference

    gaps: dict[str, tuple[float | None, float | None, float | None]] = {}
    paired: tuple[dict[str, Any], dict[str, Any]] | None = None
    if first["dataset"]["content_hash"] == second["dataset"]["content_hash"]:
        try:
            paired = store.rows(first), store.rows(second)
        except DataError as error:
            typer.echo(f"no paired intervals: {error}", err=True)
    for v in verdicts:
        plain = None if v.expected is None or v.got is None else v.got - v.expected
        gaps[v.metric] = (plain, None, None)
        if paired is not None and all(v.metric in rows for rows in paired):
            found = difference(paired[0], paired[1], v.metric, samples=samples, seed=0)
            if found is not None:
                gaps[v.metric] = (plain, found.low, found.high)
    return gaps


def _print(first: Record, second: Record, verdicts: list[Verdict], gaps: dict[str, Any]) -> None:
    from rich.table import Table

    from xmcbench.cli.show import make_console, safe

    console = make_console()
    for name, record in (("A", first), ("B", second)):
        data = record["dataset"]
        console.print(
            f"{name}: {safe(record['method']['label'])} on {safe(data['name'])} ({safe(data['view'])}), "
            f"seed {record['seed']}, {safe(record['run_id'])}",
            soft_wrap=True,
        )
    table = Table(title="percent; interval: 95 % over the same test rows", title_justify="left", box=None)
    for column in ("metric", "A", "B", "B − A", "interval", "verdict"):
        table.add_column(column, justify="left" if column in ("metric", "verdict") else "right", no_wrap=True)
    for v in verdicts:
        gap, low, high = gaps[v.metric]
        interval = "" if low is None else f"[{100 * low:+.2f}, {100 * high:+.2f}]".replace("[", "\\[")
        values = ["–" if x is None else f"{100 * x:.2f}" for x in (v.expected, v.got)]
        verdict = v.verdict + (f" ({v.why})" if v.why else "")
        table.add_row(v.metric, *values, "–" if gap is None else f"{100 * gap:+.2f}", interval, verdict)
    console.print(table)
