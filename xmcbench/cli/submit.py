"""`xmcbench submit` writes records for the leaderboards; `xmcbench check submission` checks what somebody sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli.options import AS_FOLDER, AsJson, Offline, forbid_network
from xmcbench.cli.terminal import make_console, print_check, print_text, say
from xmcbench.errors import DataError, RegressionError, counted
from xmcbench.escaping import one_line

if TYPE_CHECKING:
    from xmcbench.contributions.changed_rows import Change
    from xmcbench.contributions.checking import Report

Leaderboards = Annotated[
    Path, typer.Option(**AS_FOLDER, help="The leaderboards that the records are for, of a checkout.")
]
LEADERBOARDS = Path("leaderboards")
SUBMISSION = Path("submission")


def submit(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Results folder.")],
    to: Annotated[Path, typer.Option(**AS_FOLDER, help="Folder to write; it must be new.")] = SUBMISSION,
    leaderboards: Leaderboards = LEADERBOARDS,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="With predictions, so that others can score them again.")
    ] = False,
) -> None:
    """Write records for a pull request to the leaderboards.

    Copies the records that the leaderboards don't have, with their per-row numbers, checks them, and writes the text of
    the pull request, PULL_REQUEST.md. Left out, with the reason: failed and superseded runs, runs on data of your own,
    and runs that are there already. Exit code 4 if a record is damaged; the others are written.

    Example: `xmcbench submit results --to submission`
    """
    from xmcbench.contributions.folder import TEXT
    from xmcbench.contributions.submitting import submit as write
    from xmcbench.contributions.text import news

    done = write(results, to, leaderboards, predictions=predictions)
    for line in done.left_out:
        say(f"left out: {line}", err=True)
    for text in done.damaged:
        say(f"refused: {one_line(text)}", err=True)
    _print_rows(done.changes, done.notes)
    print_text(f"{to}: {news(done.report, done.changes)}")
    print_text(f"Commit this folder on a branch, and open a pull request with the text of {to / TEXT}.")
    if done.damaged:
        raise DataError(f"{counted(len(done.damaged), 'record')} refused", "The others are written.")


def submission(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that `xmcbench submit` wrote.")],
    leaderboards: Leaderboards = LEADERBOARDS,
    text: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write rows and checks as Markdown to this file.")
    ] = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Check records that were sent for the leaderboards.

    Checks names, kinds and sizes of files, seals, identities, hashes, that values are those of the per-row numbers and
    agree with the data set, that no run is there under another id, and, where predictions are given and the data can be
    had, the scores. Exit code 3 if predictions give another score; 4 if anything else is refused.

    Example: `xmcbench check submission submission --text comment.md`
    """
    from xmcbench.contributions.changed_rows import changed_rows
    from xmcbench.contributions.checking import check_submission
    from xmcbench.contributions.text import text_of
    from xmcbench.files import atomic
    from xmcbench.running.progress import loading

    forbid_network(offline)
    with loading(make_console(stderr=True), "data sets") as progress:
        report = check_submission(folder, leaderboards, offline=offline, progress=progress)
    changes, notes = changed_rows(report.new, folder, leaderboards)
    if text is not None:
        with atomic(text) as file:
            file.write(text_of(report, changes, notes).encode())
    if as_json:
        rows = [{"dataset": c.dataset, "view": c.view, "row": c.row.label, "what": c.what} for c in changes]
        print(json.dumps({**_plain(report), "rows": rows}, allow_nan=False))
    else:
        _print(report, changes)
        _print_rows(changes, notes)
    _settle(report)


def _print_rows(changes: Sequence[Change], notes: Sequence[str]) -> None:
    for change in changes:
        print_text(f"{change.what}: {change.row.label} on {change.dataset} ({change.view})")
    for note in notes:
        say(f"note: {note}", err=True)


def _plain(report: Report) -> dict[str, object]:
    records = [{"run_id": c.name, "checks": [vars(check) for check in c.checks]} for c in report.records]
    return {"accepted": report.accepted, "fault": report.fault, "records": records, "known": report.known}


def _print(report: Report, changes: Sequence[Change]) -> None:
    from xmcbench.contributions.text import findings, news

    for checked in report.records:
        for check in checked.failed:
            print_check(False, f"{checked.name}: {check.what}: {one_line(check.why)}")
    if report.accepted:
        print_check(True, news(report, changes))
        for line in findings(report):
            print_text(line)


def _settle(report: Report) -> None:
    if report.fault:
        raise DataError(f"refused: {report.fault}")
    if not report.failed:
        return
    only_scores = all(check.score for checked in report.failed for check in checked.failed)
    problem = f"refused: {len(report.failed)} of {counted(len(report.records), 'record')}"
    raise (RegressionError if only_scores else DataError)(problem)
