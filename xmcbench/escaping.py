"""Text from data, plugins and records made safe to show: the one place for it, whatever shows the text."""

from __future__ import annotations


def clean(text: object) -> str:
    """One line of `text` without control characters, so that nobody's metadata can steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def clean_lines(text: object) -> str:
    """The same for text of several lines."""
    return "\n".join(clean(line) for line in str(text).splitlines())
