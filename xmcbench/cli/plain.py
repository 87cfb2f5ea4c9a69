"""Plain text for the terminal: columns that line up and fit its width."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from xmcbench.escaping import clean

PROSE = 100  # characters a line of running text has at most
LEAST = 12  # characters a cut cell keeps
WRAPPED = 24  # characters the last column has at least before others are cut; it is wrapped within them


def room() -> int | None:
    """Characters a line of the terminal holds; None where standard output is no terminal, and lines may be long."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def columns(rows: Iterable[Sequence[object]], indent: str = "") -> str:
    """Rows of cells as aligned text, two spaces between columns; a last column too long for a terminal is wrapped."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    start = len(indent) + sum(width + 2 for width in widths[:-1])
    lines = []
    for row in cells:
        head = indent + "".join(cell.ljust(width) + "  " for cell, width in zip(row[:-1], widths, strict=False))
        lines.append((head + hanging(row[-1], start)).rstrip())
    return "\n".join(lines)


def table(
    rows: Sequence[Sequence[object]],
    *,
    short: Mapping[str, Callable[[str], str]] = MappingProxyType({}),
    drop: Sequence[str] = (),
) -> str:
    """Rows, the first of them titles, as aligned text that no terminal has to wrap.

    Parameters
    ----------
    short : by title, how a column's cells are shortened where the terminal is too narrow; tried in this order.
    drop : titles of columns to leave out where that isn't enough. After that the last column is wrapped, and cells
        between the first and the last are cut.
    """
    titles, *cells = [[clean(cell) for cell in row] for row in rows]
    by_title = {title: [row[i] for row in cells] for i, title in enumerate(titles)}
    width, less = room(), list[str]()
    for title, shorten in short.items():
        if not _fits(by_title, width):
            by_title[title] = [shorten(cell) for cell in by_title[title]]
    for title in drop:
        if not _fits(by_title, width):
            del by_title[title]
            less.append(title)
    _cut(by_title, width)
    note = f"\n(no room for: {', '.join(less)}; --json has all)" if less else ""
    return columns([list(by_title), *zip(*by_title.values(), strict=True)]) + note


def _cut(by_title: dict[str, list[str]], width: int | None) -> None:
    """Cut the widest columns between the first and the last until there is room for the last."""
    sizes = [_width(*column) for column in by_title.items()]
    between = range(1, len(sizes) - 1)
    while width is not None and between and _total([*sizes[:-1], min(sizes[-1], WRAPPED)]) > width:
        widest = max(between, key=lambda i: sizes[i])
        if sizes[widest] <= LEAST:
            break
        sizes[widest] -= 1
    for title, size in zip(by_title, sizes, strict=True):
        by_title[title] = [cell if len(cell) <= size else cell[: size - 1] + "…" for cell in by_title[title]]


def _fits(by_title: Mapping[str, Sequence[str]], width: int | None) -> bool:
    return width is None or _total([_width(*column) for column in by_title.items()]) <= width


def _total(sizes: Sequence[int]) -> int:
    return sum(sizes) + 2 * (len(sizes) - 1)


def _width(title: str, cells: Sequence[str]) -> int:
    return max(map(len, (title, *cells)))


def hanging(text: object, start: int) -> str:
    """Text that begins at column `start`; on a terminal its further lines begin there too, and no word is cut."""
    width = room()
    if width is None or start + len(str(text)) <= width:
        return clean(text)
    lines = textwrap.wrap(clean(text), max(width - start, WRAPPED), break_on_hyphens=False, break_long_words=False)
    return ("\n" + " " * start).join(lines)


def paragraph(text: object, indent: str = "  ") -> str:
    """Text wrapped at 100 columns, or as many as the terminal has."""
    return textwrap.fill(
        clean(text),
        min(PROSE, room() or PROSE),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
