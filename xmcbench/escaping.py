"""Make text from data, plugins and records safe to display."""

from __future__ import annotations


def clean(text: object) -> str:
    """`text` as one line without control characters, so that it can't control the terminal.

    Bytes of a file's name that are not UTF-8, which Python reads as surrogates, become escapes.
    """
    unicode = str(text).encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else " " for c in unicode)


def one_line(text: object) -> str:
    """A message and its hint as one line, with a full stop between lines that have no punctuation."""
    *lines, last = [" ".join(line.split()) for line in str(text).splitlines() if line.strip()] or [""]
    return " ".join([*(line if line[-1] in ".:;,!?" else f"{line}." for line in lines), last])


def clean_lines(text: object) -> str:
    """Apply `clean` to each line of `text`."""
    return "\n".join(clean(line) for line in str(text).splitlines())
