"""`xmcbench merge FROM… --into RESULTS`: check records of other machines and copy them into one results folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from xmcbench.errors import DataError, UsageError


def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="FROM", help="Results folders.")],
    into: Annotated[Path, typer.Option(help="Results folder to merge into; created if missing.")],
    slim: Annotated[
        bool, typer.Option("--slim", help="Leave out predictions and full rows, which leaderboards don't need.")
    ] = False,
) -> None:
    """Copy records and their files into one results folder; nothing is ever overwritten.

    A record is refused if it was tampered with, if a file it names is missing or changed, or if its run id exists with
    another content. The other records are merged, and the exit code is 4. Records of failed runs are merged too.

    Example: `xmcbench merge results --into leaderboards --slim`
    """
    from xmcbench.escaping import clean_lines
    from xmcbench.results.merging import ADDED, REFUSED, THERE
    from xmcbench.results.merging import merge as merged
    from xmcbench.results.store import Store

    if not_results := [str(folder) for folder in sources if not (folder / "records").is_dir()]:
        raise UsageError(
            f"not a results folder: {', '.join(not_results)}", "A results folder has its records in records/."
        )
    counts: Counter[str] = Counter()
    for folder in sources:
        for outcome in merged(Store(folder), Store(into), slim=slim):
            counts[outcome.what] += 1
            if outcome.what == REFUSED:
                typer.echo(f"refused: {clean_lines(outcome.why)}", err=True)
    typer.echo(f"{into}: " + ", ".join(f"{counts[what]:,} {what}" for what in (ADDED, THERE, REFUSED)))
    if counts[REFUSED]:
        raise DataError(f"{counts[REFUSED]:,} of {counts.total():,} records refused", "The others are merged.")
