"""`xmcbench check`: `method` runs the contract battery on a method, `scores` compares scores with expected scores."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli import completion
from xmcbench.cli.options import AS_FOLDER, AsJson, Offline, forbid_network
from xmcbench.cli.terminal import checks_hold, make_console, print_check, say
from xmcbench.errors import DataError, RegressionError, UsageError, counted, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from xmcbench.comparison.expected import Expected
    from xmcbench.comparison.regression import Outcome
    from xmcbench.data.spec import Dataset
    from xmcbench.records.store import Store
    from xmcbench.running.progress import RunReporter

check_app = typer.Typer(help="Check a method, or scores of all methods.", no_args_is_help=True)
Only = Annotated[list[str] | None, typer.Option(metavar="METHOD/DATASET", help="Check these; a part may be omitted.")]
FAST = "fast"  # the set for CI: takes minutes, on data that is part of xmcbench


@check_app.command()
def method(
    name: Annotated[
        str, typer.Argument(autocompletion=completion.methods, help="A registered name, or path/to/file.py:Class.")
    ],
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda. Default: cpu if the method runs there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a method against the contract.

    Prints one line per check; exit code 1 if any fails. If the basic fit fails, the checks that need it are not made.
    """
    from xmcbench.runs import registry
    from xmcbench.runs.plan import build, parse_value
    from xmcbench.testing.contract import findings

    checked, values = registry.typed(name), {}
    for text in settings or []:
        parameter, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text!r} lacks '='", "Write --set NAME=VALUE.")
        if parameter.strip() in values:
            raise UsageError(f"--set {text!r}: {parameter.strip()} is given twice", "Give it once.")
        values[parameter.strip()] = parse_value(checked.info, parameter.strip(), value)
    results = []
    for finding in findings(name, params=build(checked, values) if values else None, device=device):
        results.append(finding)
        if not as_json:
            print_check(finding.ok, finding.check + (f": {finding.message}" if finding.message else ""))
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in results], indent=1))
    else:
        say(f"{name}: {checks_hold([finding.ok for finding in results])}")
    if any(finding.ok is False for finding in results):
        raise typer.Exit(1)


@check_app.command()
def scores(
    which: Annotated[str, typer.Option("--set", help="Set of expected scores: fast or full.")] = FAST,
    only: Only = None,
    results: Annotated[
        Path | None,
        typer.Option(**AS_FOLDER, help="Keep records here; reuse those of unchanged code."),
    ] = None,
    expected: Annotated[Path, typer.Option(help="Folder of expected scores.")] = Path("leaderboards/expected"),
    offline: Offline = False,
    update: Annotated[Path | None, typer.Option(metavar="RESULTS", help="Update the set from these records.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare scores of methods with expected scores.

    Runs the methods. Exit code 3 if a score fell or can't be judged.

    Examples: `xmcbench check scores` · `xmcbench check scores --set full --only tree/eurlex-4.3k --results kept`
    """
    from xmcbench.cli.verdicts import as_json as plain
    from xmcbench.cli.verdicts import print_outcomes, settle
    from xmcbench.comparison.expected import read
    from xmcbench.records.store import Store

    path = expected / f"{which}.toml"
    if update is not None:
        _update(path, update, only or [])
        return
    entries = _chosen(read(path), only or [])
    if not entries:
        raise DataError(f"{path}: no entries, so nothing can be checked", "`--update RESULTS` adds them from records.")
    console = make_console(stderr=as_json)
    forbid_network(offline)
    with tempfile.TemporaryDirectory() if results is None else nullcontext(results) as folder:
        outcomes = _check(entries, Store(Path(folder)), offline, console)
    if as_json:
        print(json.dumps([plain(outcome) for outcome in outcomes], allow_nan=False))
    elif outcomes:
        print_outcomes(console, outcomes)
    if len(outcomes) < len(entries):
        hint = "the same command resumes" if results else "use --results to keep finished runs"
        console.print(f"stopped after {len(outcomes)} of {len(entries)} entries; {hint}")
        raise typer.Exit(1)
    if problem := settle(outcomes, data_may_be_missing=which != FAST):
        raise RegressionError(*problem)


def _chosen(entries: list[Expected], only: Sequence[str]) -> list[Expected]:
    """The entries that match any METHOD/DATASET in `only`; parameters in brackets may be omitted."""
    for text in only:
        if not any(_means(text, entry) for entry in entries):
            raise unknown("expected score", text, {f"{entry.method}/{entry.dataset}" for entry in entries})
    return [entry for entry in entries if not only or any(_means(text, entry) for text in only)]


def _means(text: str, entry: Expected) -> bool:
    methods, datasets = (("", whole, whole.partition("[")[0]) for whole in (entry.method, entry.dataset))
    method, _, dataset = text.rpartition("/")
    return text in methods[1:] or (method in methods and dataset in datasets)


def _check(entries: Sequence[Expected], store: Store, offline: bool, console: Console) -> list[Outcome]:
    """The outcomes of the entries, until the user stops the check."""
    from xmcbench.cli.verdicts import line
    from xmcbench.comparison.regression import check
    from xmcbench.runs.work_folder import remove

    data = _load(entries, offline, console)
    outcomes: list[Outcome] = []
    for number, entry in enumerate(entries, 1):
        with _reporter(console, str(entry), f"{number} of {len(entries)}") as reporter:
            outcome = check(entry, data[entry.dataset, entry.view], store, reporter)
        if outcome.record is not None and outcome.record.status == "interrupted":
            return outcomes
        outcomes.append(outcome)
        console.print(line(outcome))
    for outcome in outcomes:  # only now, since entries that differ in query parameters share a fit
        if outcome.work is not None:
            remove(outcome.work)
    return outcomes


def _load(entries: Sequence[Expected], offline: bool, console: Console) -> dict[tuple[str, str], Dataset | str]:
    """(name, view) → data set, or the reason why it is missing."""
    from xmcbench.data import load

    datasets: dict[tuple[str, str], Dataset | str] = {}
    for name, view in dict.fromkeys((entry.dataset, entry.view) for entry in entries):
        with _reporter(console, f"data set {name}") as progress:
            try:
                datasets[name, view] = load(name, view, offline=offline, progress=progress)
            except (DataError, UsageError) as error:  # UsageError: an imported data set that this machine lacks
                datasets[name, view] = f"its data is not here ({error.message})"
    return datasets


def _reporter(console: Console, name: str, position: str = "") -> RunReporter:
    """A line in a terminal, else nothing: a pipe gets a line per entry, not per phase."""
    from xmcbench.running import progress

    return (progress.LiveReporter if progress.is_live(console) else progress.RunReporter)(console, name, position)


def _update(path: Path, results: Path, only: Sequence[str]) -> None:
    """Update the entries of a set from the records of a results folder; other entries stay."""
    from xmcbench.comparison.expected import read, write
    from xmcbench.comparison.regression import expected_of, merged
    from xmcbench.records.store import Store

    damaged: list[str] = []
    entries, left_out = expected_of(Store(results).records(damaged))
    if damaged:
        raise DataError("\n".join(damaged), "Nothing was written.")
    if not entries:
        raise UsageError(f"{results}: no records to make expected scores from", "\n".join(left_out))
    entries = _chosen(entries, only)
    write(path, merged(read(path) if path.is_file() else [], entries))
    for entry in entries:
        found = f"{counted(len(entry.metrics), 'metric')}, tolerances from {counted(entry.seeds, 'seed')}"
        say(f"{entry}: {found}")
    for text in left_out:
        say(f"left out: {text}", err=True)
    say(f"{path}: {len(entries)} {'entry' if len(entries) == 1 else 'entries'} written")
