"""`xmcbench board build`: the leaderboards' files from their records, or a check that they are what those make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xmcbench.errors import RegressionError

board_app = typer.Typer(help="Leaderboards, rebuilt from committed records.", no_args_is_help=True)


@board_app.callback()
def group() -> None:
    """Leaderboards, rebuilt from committed records."""
    # Typer makes a group of one command that command, unless the group has a function: `board build` stays two words.


@board_app.command()
def build(
    folder: Annotated[Path, typer.Option(help="Folder with records/ and board/; the files are written beside.")] = Path(
        "leaderboards"
    ),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 3 where a file differs.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Test all pairs anew instead of trusting what tests.json remembers.")
    ] = False,
) -> None:
    """Build README.md, tables/ (Markdown, CSV, LaTeX) and the page index.html from the records in a folder.

    Records come there by `xmcbench merge RESULTS --into leaderboards --slim`. Those files are the command's own: what
    lies there is overwritten, and a table of no data set is removed.
    """
    from xmcbench.board.build import differing, make, write

    files = make(folder, fresh=fresh)
    if not check:
        changed = write(folder, files)
        typer.echo(f"{folder}: {len(files)} files from its records, {len(changed)} of them changed")
        return
    if wrong := differing(folder, files):
        raise RegressionError(
            f"{folder}: not what its records make: {', '.join(wrong)}",
            f"Write them: xmcbench board build --folder {folder}",
        )
    typer.echo(f"{folder}: all {len(files)} files are what its records make")
