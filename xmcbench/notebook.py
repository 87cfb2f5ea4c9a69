"""HTML of objects in notebooks: escaped text, the notebook's own colours, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from xmcbench.escaping import clean


def text(value: object) -> str:
    """A value as text of HTML, on one line, without markup or control characters."""
    return escape(clean(value))


def short(value: str, most: int) -> str:
    """The beginning of a text on one line, at most that many characters, with … where it was cut."""
    plain = " ".join(value[: 4 * most].split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def table(titles: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "", note: str = "") -> str:
    """A table; every cell is escaped. `note`: a line below the table."""
    head = "".join(f"<th>{text(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    above = f'<caption style="text-align: left">{text(caption)}</caption>' if caption else ""
    below = f"<p>{text(note)}</p>" if note else ""
    return f"<table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"
