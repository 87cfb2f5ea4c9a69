"""`xmcbench merge` collects records in one results folder; `xmcbench board build` makes the leaderboards from them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from xmcbench.cli.options import AS_FOLDER
from xmcbench.cli.terminal import say
from xmcbench.errors import DataError, RegressionError, UsageError

board_app = typer.Typer(help="Leaderboards, rebuilt from committed records.", no_args_is_help=True)


@board_app.callback()  # without it, typer would merge the group with its only command: no `board build`
def group() -> None:
    """Leaderboards, rebuilt from committed records."""


@board_app.command()
def build(
    folder: Annotated[
        Path,
        typer.Option(**AS_FOLDER, help="Folder with records/ and board/; gets the files."),
    ] = Path("leaderboards"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 3 if a file differs.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Repeat tests and comparisons with data.")] = False,
) -> None:
    """Build the leaderboards of a folder from its records.

    Writes README.md, tables/ (Markdown, CSV, LaTeX) and the page index.html over existing files, and removes tables
    without a data set. Records that are damaged, or contradict their data set, are named and left out. Add records with
    `xmcbench merge RESULTS --into leaderboards --slim`.
    """
    from xmcbench.board.build import differing, make, write
    from xmcbench.files import sweep
    from xmcbench.records import leftovers

    built = make(folder, fresh=fresh, look=not check)
    files = built.files
    for note in built.notes:
        say(note, err=True)
    if not check:
        leftovers.sweep(folder)
        for part in (folder, folder / "tables"):
            sweep(part)
        changed = write(folder, files)
        say(f"{folder}: {len(files)} files from its records, {len(changed)} of them changed")
        return
    if outdated := differing(folder, files):
        hint = f"Write them with `xmcbench board build --folder {folder}`."
        raise RegressionError(f"{folder}: files differ from what its records give: {', '.join(outdated)}", hint)
    say(f"{folder}: all {len(files)} files match its records")


def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="FROM", help="Results folders.")],
    into: Annotated[
        Path,
        typer.Option(**AS_FOLDER, help="Results folder to merge into; created if missing."),
    ],
    slim: Annotated[bool, typer.Option("--slim", help="Leave out what leaderboards don't need: predictions.")] = False,
) -> None:
    """Merge results folders. Records and their files are copied, and nothing is ever overwritten.

    A record is refused if it was tampered with, if a file it names is missing or changed, or if its run id exists with
    another content. The other records are merged, and the exit code is 4. Records of failed runs are merged too.

    Example: `xmcbench merge results --into leaderboards --slim`
    """
    from xmcbench.records.merging import ADDED, REFUSED, THERE
    from xmcbench.records.merging import merge as merged
    from xmcbench.records.store import Store

    if others := [str(folder) for folder in sources if not (folder / "records").is_dir()]:
        raise UsageError(f"not a results folder: {', '.join(others)}", "A results folder has its records in records/.")
    counts: Counter[str] = Counter()
    for folder in sources:
        for outcome in merged(Store(folder), Store(into), slim=slim):
            counts[outcome.what] += 1
            if outcome.what == REFUSED:
                say(f"refused: {outcome.why}", err=True)
    say(f"{into}: " + ", ".join(f"{counts[what]:,} {what}" for what in (ADDED, THERE, REFUSED)))
    if counts[REFUSED]:
        raise DataError(f"{counts[REFUSED]:,} of {counts.total():,} records refused", "The others are merged.")
