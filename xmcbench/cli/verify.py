"""`xmcbench verify RECORD`: check a record against its seal, its files, and recomputed scores."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli.options import AS_FOLDER, RESULTS, RUN, AsJson, Offline, Results
from xmcbench.cli.terminal import checks_hold, make_console, percent, print_check, print_table, print_text
from xmcbench.errors import DataError, RegressionError, UsageError, XmcError
from xmcbench.escaping import one_line

if TYPE_CHECKING:
    from xmcbench.comparison.compare import Verdict
    from xmcbench.comparison.verifying import Check
    from xmcbench.data.spec import Dataset
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store


def verify(
    name: Annotated[str, typer.Argument(**RUN, metavar="RECORD")],
    results: Results = RESULTS,
    rerun: Annotated[bool, typer.Option("--rerun", help="Also repeat the run and judge the new scores.")] = False,
    into: Annotated[
        Path | None,
        typer.Option(**AS_FOLDER, help="With --rerun: results folder to keep the new run in."),
    ] = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Check a record, its files and its scores.

    Checks the seal, the files that the record names, and the scores, recomputed from stored predictions; the cached
    files of the data set are hashed for that, and parsed again with a warning if they are damaged. Exit code 3
    if the predictions or rows of the record give another score; 4 if a file is missing or was changed. A slim copy has
    no predictions, so only the values for leaderboards and --rerun are checked.

    Examples: `xmcbench verify elias` · `xmcbench verify 20261126T0426 --results leaderboards --rerun`
    """
    from xmcbench.comparison import verifying
    from xmcbench.records.store import Store
    from xmcbench.running.progress import loading

    if into is not None and not rerun:
        raise UsageError("--into needs --rerun")
    verdicts: list[Verdict] = []
    run_id: str | None = None
    try:
        record, home = _find_record(name, Store(results))
        run_id = record.run_id
        checks = [verifying.check_record(record)]
    except DataError as error:
        checks = [verifying.Check("record", verifying.FAILED, str(error))]
    else:
        files, arrays = verifying.check_files(record, home)
        checks += files
        dataset = None
        if "predictions" in arrays or rerun:
            with loading(make_console(stderr=True), record.dataset.name) as progress:
                data_check, dataset = verifying.find_data(record, offline=offline, progress=progress)
            checks.append(data_check)
        checks.append(verifying.check_scores(record, arrays, dataset))
        rerun_check = verifying.Check("re-run", verifying.UNCHECKED, "only with --rerun")
        if rerun:
            rerun_check, verdicts = _check_rerun(record, dataset, home, into)
        checks.append(rerun_check)
    if as_json:
        report = {"run_id": run_id, "checks": [vars(check) for check in checks]}
        print(json.dumps({**report, "rerun": [vars(verdict) for verdict in verdicts]}, allow_nan=False))
    else:
        _print(run_id, checks, verdicts)
    failed = [check for check in checks if check.failed]
    if changed := [check.what for check in failed if not check.score]:  # changed files take precedence over scores
        raise DataError(f"{run_id or name}: changed or missing: {', '.join(changed)}")
    if failed:
        raise RegressionError(f"{run_id or name}: scores don't hold: {', '.join(check.what for check in failed)}")


def _find_record(text: str, store: Store) -> tuple[Record, Store]:
    """Find a record and its results folder.

    Raises
    ------
    DataError : the record is damaged. A damaged record is reported by its run id. UsageError : no record matches.
    """
    from xmcbench.records import record_file
    from xmcbench.records.store import Store, is_record_file

    if is_record_file(text):
        return record_file.read(Path(text)), Store(Path(text).resolve().parents[1])
    paths = {path.stem: path for path in store.paths()}
    if text in paths:
        return store.read(paths[text]), store
    try:
        return store.find(text), store
    except UsageError:
        for stem, path in paths.items():
            if text and text in stem:
                store.read(path)
        raise


def _check_rerun(
    record: Record, dataset: Dataset | None, store: Store, into: Path | None
) -> tuple[Check, list[Verdict]]:
    from xmcbench.comparison.rescoring import rerun
    from xmcbench.comparison.verifying import UNCHECKED, Check, check_rerun
    from xmcbench.records.store import Store
    from xmcbench.running.progress import reporter

    if dataset is None or record.status != "ok":
        reason = "no data set" if dataset is None else f"status {record.status}: there are no scores"
        return Check("re-run", UNCHECKED, reason), []
    with tempfile.TemporaryDirectory() as folder:
        try:
            with reporter(make_console(stderr=True), f"{record.method.label} on {dataset.name}") as progress:
                rerun_record = rerun(record, dataset, Store(into or Path(folder)), progress)
        except XmcError as error:
            return Check("re-run", UNCHECKED, str(error)), []
    if rerun_record.status == "interrupted":
        raise KeyboardInterrupt
    return check_rerun(record, rerun_record, store.records())


def _print(run_id: str | None, checks: list[Check], verdicts: list[Verdict]) -> None:
    from xmcbench.comparison.verifying import FAILED, HOLDS

    results = [{HOLDS: True, FAILED: False}.get(check.state) for check in checks]
    for check, ok in zip(checks, results, strict=True):
        print_check(ok, f"{check.what}{' not checked' if ok is None else ''}: {one_line(check.why)}")
    if verdicts:
        rows = [(v.metric, percent(v.expected), percent(v.got), f"{v.verdict} {v.why}".strip()) for v in verdicts]
        typer.echo()
        print_table([("metric", "on record", "re-run", "verdict"), *rows], right=("on record", "re-run"))
    print_text(f"{run_id or 'record'}: {checks_hold(results)}")
