"""Text from data, records, plugins and users, made safe for where it is shown: one function for each place.

Terminal: `clean`, `clean_lines`, `one_line`; `safe` for markup of rich. Leaderboards: `markdown`, `code`, `latex`,
`csv_cell`; `comment` for comments on GitHub; on the page, `html` for templates, which escape what it returns, and
`script_json`. Names of files: `file_name`. All of them remove control characters, which include line breaks, and
characters without width or that change the direction of text.
"""

from __future__ import annotations

import json
import re
import unicodedata

FORMULA = "=+-@"  # first characters of a spreadsheet formula (OWASP, "CSV injection"); `clean` removes tabs
LONGEST = 10_000  # characters of a text from a plugin that a message or a record keeps
UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}  # characters that could end a script, or a line of it
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "–": "--",
    "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


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


def plain_text(value: object, most: int = LONGEST) -> str:
    """The text of `value` in valid Unicode, cut to `most` characters; whatever `value` does, only Ctrl-C is raised."""
    try:
        text = str.__str__(value if issubclass(type(value), str) else str(value))  # exactly a str, not a subclass
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


def safe(text: object) -> str:
    """Text for rich markup, with its own markup escaped."""
    from rich.markup import escape  # rich is slow to import

    return escape(clean(text))


class Markdown(str):
    """Text that is Markdown already; `markdown` returns it as it is."""

    __slots__ = ()


def markdown(text: object) -> Markdown:
    """Markdown that shows the text: no markup, HTML or link, no new cell, one line."""
    if isinstance(text, Markdown):
        return text
    escaped = re.sub(r"([\\`*_{}\[\]<>&|#!~$])", r"\\\1", clean(text)).replace("\\<", "&lt;").replace("\\>", "&gt;")
    # GitHub makes links of bare addresses
    return Markdown(re.sub(r"(?i)\bwww\.", lambda www: www[0][:-1] + "&#46;", escaped.replace("://", "&#58;//")))


def comment(text: object) -> Markdown:
    """As `markdown`, for a comment on GitHub: the text mentions nobody (@) and no issue (#)."""
    return Markdown(re.sub(r"(?<!\w)@|#", r"\g<0><!-- -->", markdown(text)))


def code(text: object) -> Markdown:
    """A code span of Markdown: the fence is longer than any run of backticks in the text."""
    plain = clean(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", plain)), default=0))
    space = " " if "`" in plain else ""
    return Markdown(f"{fence}{space}{plain}{space}{fence}")


def latex(text: object) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(LATEX.get(c, c) for c in clean(text))


def csv_cell(value: object) -> str:
    """Text that no spreadsheet reads as a formula: a quote is put before a text that begins like one."""
    plain = clean(value)
    first = unicodedata.normalize("NFKC", plain).lstrip()[:1]  # full-width signs count too
    return "'" + plain if first and first in FORMULA else plain


def html(value: object) -> object:
    """What a template of the page writes and escapes: text without control characters; markup is returned as it is."""
    return value if hasattr(value, "__html__") else clean(value)


def script_json(data: object) -> str:
    """JSON of lists, dicts, texts and numbers that can stand in a script element; its texts are cleaned."""
    plain = json.dumps(_cleaned(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return plain.translate(UNSAFE)


def _cleaned(data: object) -> object:
    if isinstance(data, dict):
        return {key: _cleaned(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_cleaned(value) for value in data]
    return clean(data) if isinstance(data, str) else data


def file_name(text: str, kept: str = ".") -> str:
    """Text as part of a file name that is valid on every system: small letters, digits, `kept`, and dashes between."""
    return re.sub(rf"[^a-z0-9{re.escape(kept)}]+", "-", text.lower()).strip("-.")
