"""Make text from data, plugins and records safe to display."""

from __future__ import annotations


def clean(text: object) -> str:
    """`text` as one line without control characters, so that it can't control the terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def clean_lines(text: object) -> str:
    """Apply `clean` to each line of `text`."""
    return "\n".join(clean(line) for line in str(text).splitlines())
