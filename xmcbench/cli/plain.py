"""Plain text for the terminal: aligned columns that fit its width."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from xmcbench.escaping import clean

PROSE = 100  # maximum width of running text in characters
MIN_CELL = 12  # minimum width of a truncated cell
MIN_WRAPPED = 24  # minimum width of the wrapped last column; for more room, other columns are truncated


def room() -> int | None:
    """Width of the terminal in characters; None if standard output is not a terminal, so that width is unlimited."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def columns(rows: Iterable[Sequence[object]], indent: str = "") -> str:
    """Rows of cells as aligned text, with two spaces between columns; the last column wraps on a narrow terminal."""
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
    """Rows, the first of them titles, as aligned text that fits the terminal.

    Parameters
    ----------
    short : title → function that shortens the cells of a column; applied in this order while the table is too wide.
    drop : titles of columns to remove if that isn't enough. After that the last column is wrapped, and cells between
        the first and the last column are truncated.
    """
    titles, *cells = [[clean(cell) for cell in row] for row in rows]
    by_title = {title: [row[i] for row in cells] for i, title in enumerate(titles)}
    width, dropped = room(), list[str]()
    for title, shorten in short.items():
        if not _fits(by_title, width):
            by_title[title] = [shorten(cell) for cell in by_title[title]]
    for title in drop:
        if not _fits(by_title, width):
            del by_title[title]
            dropped.append(title)
    _truncate(by_title, width)
    note = f"\n(no room for: {', '.join(dropped)}; --json has all)" if dropped else ""
    return columns([list(by_title), *zip(*by_title.values(), strict=True)]) + note


def _truncate(by_title: dict[str, list[str]], width: int | None) -> None:
    """Truncate the widest columns between the first and the last until there is room for the last."""
    sizes = [_width(*column) for column in by_title.items()]
    between = range(1, len(sizes) - 1)
    while width is not None and between and _total([*sizes[:-1], min(sizes[-1], MIN_WRAPPED)]) > width:
        widest = max(between, key=lambda i: sizes[i])
        if sizes[widest] <= MIN_CELL:
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
    """Text with a hanging indent of `start` characters; on a terminal it is wrapped between words."""
    width = room()
    if width is None or start + len(str(text)) <= width:
        return clean(text)
    lines = textwrap.wrap(clean(text), max(width - start, MIN_WRAPPED), break_on_hyphens=False, break_long_words=False)
    return ("\n" + " " * start).join(lines)


def paragraph(text: object, indent: str = "  ") -> str:
    """Text wrapped at `PROSE` characters or at the width of the terminal."""
    return textwrap.fill(
        clean(text),
        min(PROSE, room() or PROSE),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
