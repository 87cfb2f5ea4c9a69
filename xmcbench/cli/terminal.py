"""What commands print: tables, columns, paragraphs, checks, percentages and durations.

On a terminal, output fits the width. A pipe or a file gets every cell in full, without colours. rich is imported
inside functions, since it would double the time of `--help`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import typer

from xmcbench.amounts import duration as duration
from xmcbench.amounts import number as number
from xmcbench.amounts import percent as percent
from xmcbench.escaping import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Columns = Mapping[str, Iterable[object]]  # title → cells
PROSE = 100  # maximum width of running text in characters
PIPE_WIDTH = 10_000  # characters; no table needs more
WORD = 20  # characters; longer words may be broken
LAST = 40  # characters that a text in the last column gets before other columns are left out


def make_console(*, stderr: bool = False) -> Console:
    """A console of the terminal's width, or one that neither wraps nor truncates if output is a file or a pipe."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, emoji=False)
    if not console.file.isatty():  # not `is_terminal`, which is True in a pipe with FORCE_COLOR
        console.width = PIPE_WIDTH
    return console


def say(text: object, *, err: bool = False) -> None:
    """Print lines that may have text from data, plugins or users; `err`: on standard error."""
    typer.echo("\n".join(map(clean, str(text).split("\n"))), err=err)


def styled(text: object, style: str) -> Text:
    """A table cell in a style of rich, such as "bold red"."""
    from rich.text import Text

    return Text(clean(text), style)


def print_text(text: object) -> None:
    """Print a line of text, on a terminal wrapped between words."""
    make_console().print(styled(text, ""))


def print_table(
    rows: Sequence[Sequence[object]],
    *,
    right: Collection[str] = (),
    short: Mapping[str, Callable[[str], str]] = MappingProxyType({}),
    drop: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print rows, the first of them titles, as a table that fits the terminal.

    Parameters
    ----------
    rows : cells are shown as text without control characters; cells made by `styled` keep their style.
    right : titles of the columns to align at the right, such as numbers; these columns never wrap.
    short : title → function that shortens the cells of a column; applied in this order while the table is too wide for
        `LAST` characters of a text in the last column.
    drop : titles of the columns to leave out if that isn't enough, in this order. After that, the widest texts wrap
        between words, and columns of `right` are left out, the last first, before a number is cut or a word broken.
    console : where to print; default: standard output.
    """
    console = console or make_console()
    titles, *cells = rows
    by_title = {str(title): [row[i] for row in cells] for i, title in enumerate(titles)}
    dropped = []
    for title, shorten in short.items():
        if _too_wide(by_title, right, console):
            by_title[title] = [shorten(str(cell)) for cell in by_title[title]]
    for title in drop:
        if title in by_title and _too_wide(by_title, right, console):
            del by_title[title]
            dropped.append(title)
    for title in [str(title) for title in titles[:0:-1] if title in right]:
        if title in by_title and _narrowest(by_title, right) > console.width:
            del by_title[title]
            dropped.append(title)
    lines = [_as_text(_table(by_title, right), console)]
    if dropped:
        lines.append(f"(no room for: {', '.join(dropped)}; --json has all)")
    typer.echo("\n".join(lines), file=console.file)


def columns(rows: Iterable[Sequence[object]], indent: str = "", gap: int = 2) -> str:
    """Rows as text in columns with `gap` spaces between them; on a narrow terminal, the widest column wraps."""
    console = make_console()
    console.width -= len(indent)
    by_number = {str(i): column for i, column in enumerate(zip(*rows, strict=True))}
    return textwrap.indent(_as_text(_table(by_number, header=False, gap=gap), console), indent)


def _table(
    by_title: Columns, right: Collection[str] = (), *, header: bool = True, gap: int = 2, last: int | None = None
) -> Table:
    """A table without lines; `last` is the maximum width of the last column if that is text."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, show_header=header)
    for i, title in enumerate(by_title, 1):
        if title in right:
            table.add_column(Text(clean(title)), justify="right", no_wrap=True)
        elif _one_word(title, by_title[title]):
            table.add_column(Text(clean(title)), no_wrap=True)
        else:
            table.add_column(Text(clean(title)), overflow="fold", max_width=last if i == len(by_title) else None)
    for row in zip(*by_title.values(), strict=True):
        table.add_row(*(cell if isinstance(cell, Text) else Text(clean(cell)) for cell in row))
    return table


def _one_word(title: str, cells: Iterable[object]) -> bool:
    """Whether all texts of a column are single words that must not be broken."""
    return all(len(text) <= WORD and " " not in text for text in (title, *map(str, cells)))


def _narrowest(by_title: Columns, right: Collection[str], gap: int = 2) -> int:
    """The width of a table whose texts wrap at every space, and words longer than `WORD` at half of it."""
    width = -gap
    for title, cells in by_title.items():
        texts = [title, *map(str, cells)]
        if title in right:
            width += gap + max(map(len, texts))
        else:
            lengths = [len(word) for text in texts for word in text.split()]
            width += gap + max((n if n <= WORD else WORD // 2 for n in lengths), default=0)
    return width


def _too_wide(by_title: Columns, right: Collection[str], console: Console) -> bool:
    table, unlimited = _table(by_title, right, last=LAST), console.options.update(width=PIPE_WIDTH)
    return console.measure(table, options=unlimited).maximum > console.width


def _as_text(table: Table, console: Console) -> str:
    """The table as `console` shows it, without spaces at the ends of lines."""
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def paragraph(text: object, indent: str = "  ") -> str:
    """Text wrapped between words at `PROSE` characters or at the width of the terminal."""
    width = min(PROSE, make_console().width)
    wrapper = textwrap.TextWrapper(width, indent, indent, break_on_hyphens=False, break_long_words=False)
    return wrapper.fill(clean(text))


def print_check(ok: bool | None, text: str) -> None:
    """Print the result of one check; None: it was not made, or is plain information."""
    style, mark = {True: ("green", "ok"), False: ("bold red", "FAILED"), None: ("", "–")}[ok]
    first, *more = text.splitlines()
    rows = [(styled(f"{mark:6}", style), first), *((" " * 6, line) for line in more)]
    typer.echo(columns(rows, gap=1))


def checks_hold(results: Sequence[bool | None]) -> str:
    """Count the results of checks: "5 of 7 checks hold, 1 not made"."""
    text = f"{results.count(True)} of {len(results)} checks hold"
    return text + (f", {results.count(None)} not made" if None in results else "")
