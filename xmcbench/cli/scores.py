"""`xmcbench check scores`: run what is expected, and say what fell."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmcbench.errors import DataError, RegressionError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from xmcbench.comparison.expected import Expected
    from xmcbench.comparison.regression import Outcome
    from xmcbench.data.spec import Dataset
    from xmcbench.results.store import Store

FAST = "fast"  # the set of every CI run: minutes, on data that comes with xmcbench
EXPECTED = Path("leaderboards/expected")  # in a clone of the repository


def scores(
    which: Annotated[str, typer.Option("--set", help="The set: fast, or full.")] = FAST,
    only: Annotated[
        list[str] | None, typer.Option(metavar="METHOD/DATASET", help="Those alone; either part may be missing.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Keep records there; what this very code has done is not done again. Default: nowhere."),
    ] = None,
    expected: Annotated[Path, typer.Option(help="Folder of expected scores, a file a set.")] = EXPECTED,
    offline: Annotated[bool, typer.Option(help="Never use the network.")] = False,
    update: Annotated[
        Path | None, typer.Option(metavar="RESULTS", help="Run nothing: write the set anew from the records in there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run methods and hold their scores against expected ones; exit with 3 where one fell or can't be judged.

    Examples: `xmcbench check scores` · `xmcbench check scores --set full --only tree/eurlex-4.3k --results kept`
    """
    from xmcbench.cli.show import make_console
    from xmcbench.cli.verdicts import print_outcomes, settle
    from xmcbench.comparison.expected import read
    from xmcbench.results.store import Store

    path = expected / f"{which}.toml"
    if update is not None:
        _update(path, update, only or [])
        return
    entries = _chosen(read(path), only or [])
    console = make_console(stderr=as_json)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is done so far is told
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when a method first imports Hugging Face's libraries
    folder: AbstractContextManager[Any] = tempfile.TemporaryDirectory() if results is None else nullcontext(results)
    with folder as kept:
        outcomes = _check(entries, Store(Path(kept)), offline, console)
    if as_json:
        print(json.dumps([_plain(outcome) for outcome in outcomes], allow_nan=False))
    elif outcomes:
        print_outcomes(console, outcomes)
    if len(outcomes) < len(entries):
        again = "the same command goes on from here" if results else "--results would have kept what is done"
        console.print(f"stopped after {len(outcomes)} of {len(entries)}; {again}", soft_wrap=True)
        raise typer.Exit(1)
    if problem := settle(outcomes, data_may_be_missing=which != FAST):
        raise RegressionError(*problem)


def _chosen(entries: list[Expected], only: Sequence[str]) -> list[Expected]:
    """The entries that some METHOD/DATASET means; each is a name, with or without what stands in its brackets."""
    from xmcbench.errors import unknown

    for text in only:
        if not any(_means(text, entry) for entry in entries):
            raise unknown("expected score", text, {f"{entry.method}/{entry.dataset}" for entry in entries})
    return [entry for entry in entries if not only or any(_means(text, entry) for text in only)]


def _means(text: str, entry: Expected) -> bool:
    methods, datasets = (("", whole, whole.partition("[")[0]) for whole in (entry.method, entry.dataset))
    method, _, dataset = text.rpartition("/")
    return text in methods[1:] or (method in methods and dataset in datasets)


def _check(entries: Sequence[Expected], store: Store, offline: bool, console: Console) -> list[Outcome]:
    """The outcome of each entry, up to where the user stopped it."""
    from xmcbench.cli.show import BarReporter
    from xmcbench.cli.verdicts import line
    from xmcbench.comparison.regression import check
    from xmcbench.context import Reporter
    from xmcbench.runs.work import remove

    data = _load(entries, offline, console)
    outcomes: list[Outcome] = []
    for entry in entries:
        bar = BarReporter(console, str(entry)) if console.is_terminal else nullcontext(Reporter())
        with bar as reporter:
            outcome = check(entry, data[entry.dataset, entry.view], store, reporter)
        if outcome.record.get("status") == "interrupted":
            return outcomes
        outcomes.append(outcome)
        console.print(line(outcome), soft_wrap=True)
    for outcome in outcomes:  # not before: entries that differ in query parameters share a fit
        if outcome.work is not None:
            remove(outcome.work)
    return outcomes


def _load(entries: Sequence[Expected], offline: bool, console: Console) -> dict[tuple[str, str], Dataset | str]:
    """Each data set, or why it isn't here."""
    from xmcbench.cli.show import StatusReporter, safe
    from xmcbench.data import load

    found: dict[tuple[str, str], Dataset | str] = {}
    for name, view in dict.fromkeys((entry.dataset, entry.view) for entry in entries):
        with console.status(f"data set {safe(name)}") as status:
            try:
                reporter = StatusReporter(status, f"data set {name}")
                found[name, view] = load(name, view, offline=offline, progress=reporter)
            except (DataError, UsageError) as error:  # the latter for an import that this machine has not
                found[name, view] = f"its data is not here ({error.message})"
    return found


def _update(path: Path, results: Path, only: Sequence[str]) -> None:
    """Write entries from the records of a results folder into a set; entries they say nothing of stay."""
    from xmcbench.comparison.expected import read, write
    from xmcbench.comparison.regression import expected_of, merged
    from xmcbench.escaping import clean
    from xmcbench.results.store import Store

    broken: list[str] = []
    found, left_out = expected_of(Store(results).records(broken))
    if broken:
        raise DataError("\n".join(broken), "Nothing was written.")
    if not found:
        raise UsageError(f"{results}: no records to expect anything of", "\n".join(left_out))
    found = _chosen(found, only)
    write(path, merged(read(path) if path.is_file() else [], found))
    for entry in found:
        seeds = f"{entry.seeds} seed{'s' if entry.seeds > 1 else ''}"
        typer.echo(f"{clean(entry)}: {len(entry.metrics)} metrics, tolerances from {seeds}")
    for text in left_out:
        typer.echo(f"left out: {clean(text)}", err=True)
    typer.echo(f"{path}: {len(found)} entries written")


def _plain(outcome: Outcome) -> dict[str, Any]:
    entry = outcome.expected
    return {
        **{name: getattr(entry, name) for name in ("method", "dataset", "view", "k", "seed")},
        "expected_record": entry.record,
        "record": outcome.record.get("run_id"),
        "verdict": outcome.verdict,
        "why": outcome.why,
        "metrics": [vars(verdict) for verdict in outcome.verdicts],
    }
