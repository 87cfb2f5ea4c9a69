"""Make text from data, plugins and records safe to display and to write."""

from __future__ import annotations

LONGEST = 10_000  # characters of a text from a plugin that a message or a record keeps


def clean(text: object) -> str:
    """`text` as one line without control characters, so that it can't control the terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def one_line(text: object) -> str:
    """A message and its hint as one line, with a full stop between lines that have no punctuation."""
    *lines, last = [" ".join(line.split()) for line in str(text).splitlines() if line.strip()] or [""]
    return " ".join([*(line if line[-1] in ".:;,!?" else f"{line}." for line in lines), last])


def clean_lines(text: object) -> str:
    """Apply `clean` to each line of `text`."""
    return "\n".join(clean(line) for line in str(text).splitlines())


def plain_text(value: object, most: int = LONGEST) -> str:
    """The text of `value` in valid Unicode, cut to `most` characters; whatever `value` does, only Ctrl-C is raised."""
    try:
        text = str.__str__(value if isinstance(value, str) else str(value))  # exactly a str, not a subclass
    except KeyboardInterrupt:
        raise
    except BaseException:  # `__str__` of a plugin's object may raise anything
        text = "(a text that can't be made: its __str__ fails)"
    if len(text) > most:
        text = f"{text[:most]}… ({len(text) - most:,} more characters)"
    return text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair becomes its escape


def kind_of(value: object) -> str:
    """The name of the type of `value` for a message."""
    return plain_text(type.__dict__["__name__"].__get__(type(value)), 100)
