"""`xmcbench board build`: build the leaderboard files from records, or check that they are up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xmcbench.errors import RegressionError

board_app = typer.Typer(help="Leaderboards, rebuilt from committed records.", no_args_is_help=True)


@board_app.callback()
def group() -> None:
    """Leaderboards, rebuilt from committed records."""
    # Without this callback, typer would merge the group with its only command, and `board build` would not exist.


@board_app.command()
def build(
    folder: Annotated[
        Path, typer.Option(help="Folder with records/ and board/; the files are written into it.")
    ] = Path("leaderboards"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 3 if a file differs.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Repeat all pairwise tests instead of using the results in tests.json.")
    ] = False,
) -> None:
    """Build README.md, tables/ (Markdown, CSV, LaTeX) and the page index.html from the records in a folder.

    Add records with `xmcbench merge RESULTS --into leaderboards --slim`. Existing files are overwritten, and a table
    without a data set is removed.
    """
    from xmcbench.board.build import differing, make, write

    files = make(folder, fresh=fresh)
    if not check:
        changed = write(folder, files)
        typer.echo(f"{folder}: {len(files)} files from its records, {len(changed)} of them changed")
        return
    if outdated := differing(folder, files):
        raise RegressionError(
            f"{folder}: files differ from what its records give: {', '.join(outdated)}",
            f"Write them with: xmcbench board build --folder {folder}",
        )
    typer.echo(f"{folder}: all {len(files)} files match its records")
