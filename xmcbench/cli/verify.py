"""`xmcbench verify RECORD`: whether a record can be believed, as far as what it keeps allows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.errors import DataError, RegressionError, UsageError, XmcError

if TYPE_CHECKING:
    from xmcbench.comparison.compare import Verdict
    from xmcbench.comparison.verifying import Check
    from xmcbench.data.spec import Dataset
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store


def verify(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RECORD", help="Run id or its part, record file, label, or a method's name (newest run)."
        ),
    ],
    results: Annotated[Path | None, typer.Option(help="Results folder. Default: XMCBENCH_RESULTS or results.")] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Also run it again, and judge the new run by the comparison rule.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option(help="With --rerun: results folder that keeps the new run. Default: none does.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify a record: its seal, the files it names, and its scores, computed again from stored predictions.

    One line a check. Exit code 3 when a score doesn't hold: its predictions or rows, which are those the record
    names, give another. 4 when a file is missing or was changed. Of a slim copy, which keeps no predictions, only what
    leaderboards need is checked, and --rerun.

    Examples: `xmcbench verify elias` · `xmcbench verify 20261126T0426 --results leaderboards --rerun`
    """
    from xmcbench.cli.run import results_folder
    from xmcbench.comparison.rejudging import check_scores
    from xmcbench.comparison.verifying import FAILED, Check, check_files, check_record
    from xmcbench.results.store import Store

    if into is not None and not rerun:
        raise UsageError("--into belongs to --rerun")
    store = Store(results or results_folder())
    verdicts: list[Verdict] = []
    run_id: str | None = None
    try:
        record, home = _found(name, store)
        run_id = record["run_id"]
        checks = [check_record(record)]
    except DataError as error:
        checks = [Check("record", FAILED, str(error))]
    else:
        files, kept = check_files(record, home)
        checks += files
        dataset = None
        if "predictions" in kept or rerun:
            found, dataset = _data(record, offline)
            checks.append(found)
        checks.append(check_scores(record, kept, dataset))
        again, verdicts = _again(record, dataset, home, into) if rerun else (_not_asked(), [])
        checks.append(again)
    if as_json:
        said = {"run_id": run_id, "checks": [vars(check) for check in checks]}
        print(json.dumps({**said, "rerun": [vars(verdict) for verdict in verdicts]}, allow_nan=False))
    else:
        _print(run_id, checks, verdicts)
    _judge(run_id or name, checks)


def _found(text: str, store: Store) -> tuple[Record, Store]:
    """The record that is meant, and where its files lie.

    Raises
    ------
    DataError : it is damaged: of a run id, that one is said to be, rather than unknown. UsageError : nothing fits.
    """
    from xmcbench.results import record as records
    from xmcbench.results.store import Store, is_record_file

    if is_record_file(text):
        return records.read(Path(text)), Store(Path(text).resolve().parents[1])
    for path in store.paths():
        if path.stem == text:
            return store.read(path), store
    try:
        return store.find(text), store
    except UsageError:
        for path in store.paths():
            if text and text in path.stem:
                store.read(path)
        raise


def _data(record: Record, offline: bool) -> tuple[Check, Dataset | None]:
    from xmcbench.cli.show import StatusReporter, make_console
    from xmcbench.comparison.rejudging import find_data

    with make_console(stderr=True).status("data set") as status:
        return find_data(record, offline=offline, progress=StatusReporter(status, "data set"))


def _not_asked() -> Check:
    from xmcbench.comparison.verifying import UNCHECKED, Check

    return Check("re-run", UNCHECKED, "only with --rerun")


def _again(record: Record, dataset: Dataset | None, store: Store, into: Path | None) -> tuple[Check, list[Verdict]]:
    import tempfile

    from xmcbench.cli.show import make_console, reporter
    from xmcbench.comparison.rejudging import check_rerun
    from xmcbench.comparison.rerun import rerun
    from xmcbench.comparison.verifying import UNCHECKED, Check
    from xmcbench.results.store import Store

    if dataset is None or record["status"] != "ok":
        why = "no data set" if dataset is None else f"status {record['status']}: there are no scores"
        return Check("re-run", UNCHECKED, why), []
    with tempfile.TemporaryDirectory() as folder:
        try:
            label = f"{record['method']['label']} on {dataset.name}"
            with reporter(make_console(stderr=True), label) as shown:
                new = rerun(record, dataset, Store(into or Path(folder)), shown)
        except XmcError as error:
            return Check("re-run", UNCHECKED, str(error)), []
    if new["status"] == "interrupted":
        raise KeyboardInterrupt
    return check_rerun(record, new, store.records())


def _print(run_id: str | None, checks: list[Check], verdicts: list[Verdict]) -> None:
    from xmcbench.cli.plain import columns, hanging
    from xmcbench.comparison.verifying import FAILED, HOLDS
    from xmcbench.escaping import clean

    marks = {HOLDS: typer.style("ok    ", fg="green"), FAILED: typer.style("FAILED", fg="red", bold=True)}
    for check in checks:
        why = " ".join(check.why.split())
        text = f"{check.what}: {why}" if check.state in marks else f"{check.what} not checked: {why}"
        typer.echo(f"{marks.get(check.state, '–     ')} {hanging(text, 7)}")
    if verdicts:

        def percent(x: float | None) -> str:
            return "–" if x is None else f"{100 * x:.2f}"

        rows = [(v.metric, percent(v.expected), percent(v.got), f"{v.verdict} {v.why}".strip()) for v in verdicts]
        typer.echo("\n" + columns([("metric", "on record", "re-run", "verdict"), *rows]))
    hold, failed = (sum(check.state == state for check in checks) for state in (HOLDS, FAILED))
    rest = f", {len(checks) - hold - failed} not made" if hold + failed < len(checks) else ""
    typer.echo(f"{clean(run_id or 'record')}: {hold} of {len(checks)} checks hold{rest}")


def _judge(name: str, checks: list[Check]) -> None:
    """Raise the error whose exit code tells the worst of what failed."""
    from xmcbench.comparison.verifying import FAILED

    failed = [check for check in checks if check.state == FAILED]
    if files := [check.what for check in failed if not check.score]:
        raise DataError(f"{name}: not what was written, or not all of it: {', '.join(files)}")
    if failed:
        raise RegressionError(f"{name}: scores don't hold: {', '.join(check.what for check in failed)}")
