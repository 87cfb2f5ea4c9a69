"""Plain text for the terminal: columns that line up, and no control characters from data or plugins."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def clean(text: object) -> str:
    """One line of `text` without control characters, so that nobody's metadata can steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def clean_lines(text: object) -> str:
    """The same for text of several lines."""
    return "\n".join(clean(line) for line in str(text).splitlines())


def columns(rows: Iterable[Sequence[object]], indent: str = "") -> str:
    """Rows of cells as aligned text, two spaces between columns; the last column may be of any length."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(indent + line.rstrip() for line in lines)


def paragraph(text: object, indent: str = "  ") -> str:
    """Text wrapped at 100 columns."""
    return textwrap.fill(
        clean(text),
        100,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
