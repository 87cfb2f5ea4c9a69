"""`xmcbench merge FROM… --into RESULTS`: records of other machines, checked, in one results folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from xmcbench.errors import DataError, UsageError


def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="FROM", help="Results folders.")],
    into: Annotated[Path, typer.Option(help="The results folder they go into; made where there is none.")],
    slim: Annotated[
        bool, typer.Option("--slim", help="Leave predictions and full rows behind: what a leaderboard needs.")
    ] = False,
) -> None:
    """Bring records, with what they name, into one results folder; nothing is ever overwritten.

    A record that was tampered with, names a file that is missing or changed, or is another one of the same run id is
    refused; the rest is merged, and the exit code is 4. Records that did not end ok come too.

    Example: `xmcbench merge results --into leaderboards --slim`
    """
    from xmcbench.escaping import clean_lines
    from xmcbench.results.merging import ADDED, REFUSED, THERE
    from xmcbench.results.merging import merge as merged
    from xmcbench.results.store import Store

    if none := [str(folder) for folder in sources if not (folder / "records").is_dir()]:
        raise UsageError(f"no results folder: {', '.join(none)}", "A results folder has records in records/.")
    counts: Counter[str] = Counter()
    for folder in sources:
        for outcome in merged(Store(folder), Store(into), slim=slim):
            counts[outcome.what] += 1
            if outcome.what == REFUSED:
                typer.echo(f"refused: {clean_lines(outcome.why)}", err=True)
    typer.echo(f"{into}: " + ", ".join(f"{counts[what]:,} {what}" for what in (ADDED, THERE, REFUSED)))
    if counts[REFUSED]:
        raise DataError(f"{counts[REFUSED]:,} of {counts.total():,} records refused", "The others are merged.")
