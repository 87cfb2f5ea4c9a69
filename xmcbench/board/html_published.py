"""Published values as HTML: a table, and below it a list of data versions and sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xmcbench.board.cells import NONE, percent, printed_costs
from xmcbench.board.html_text import address, heading, identity, scrolling, text
from xmcbench.board.model import PublishedRow, Table

PRINTED = (
    "Percent, as printed by others; below it ours minus theirs. No ranks: data, splits and definitions may differ. "
    "Data versions and sources are listed below the table."
)
PLACE = "&note="  # follows the table's address in the address and id of a note


def published_values(table: Table) -> str:
    """The section, or "" if there are no published values. Sources are long and shared, so each is listed once."""
    if not table.published:
        return ""
    named = {metric for row in table.published for metric in row.values}
    metrics = [metric for metric in table.metrics if metric in named] + sorted(named - set(table.metrics))
    notes = list(dict.fromkeys(note for row in table.published for note in (row.data_version, row.source) if note))
    titles = ("Method", *metrics, "Verdict", "Why", "Our method", "Data version", "Source", "Costs, as printed")
    heads = "".join(f"<th scope=col>{text(title)}</th>" for title in titles)
    rows = "\n".join(_row(table, row, metrics, notes) for row in table.published)
    html = f"""<table class="published"><caption>Published values beside ours</caption>
<thead><tr>{heads}</tr></thead>
<tbody>{rows}</tbody></table>"""
    box = scrolling(f"{heading(table)}: published values", html)
    place = text(f"table={identity(table)}{PLACE}")
    items = "\n".join(f'<li id="{place}{n}">{text(note)}</li>' for n, note in enumerate(notes, 1))
    note_list = f'<h4>Data versions and sources</h4>\n<ol class="notes">\n{items}\n</ol>\n' if notes else ""
    return f'<h3>Published values</h3>\n<p class="facts">{PRINTED}</p>\n{box}\n{note_list}'


def _row(table: Table, row: PublishedRow, metrics: Iterable[str], notes: Sequence[str]) -> str:
    gaps, values = row.gaps or {}, ""
    for metric in metrics:
        gap = f"<small>ours {100 * gaps[metric]:+.2f}</small>".replace("-", "−") if metric in gaps else ""
        values += f"<td>{percent(row.values.get(metric))}{gap}</td>"
    why = f"<td>{text(row.verdict)}</td><td class=why>{text(row.why)}</td><td>{text(row.ours or NONE)}</td>"
    links = "".join(f"<td>{_link(table, note, notes)}</td>" for note in (row.data_version, row.source))
    return f"<tr><th scope=row>{text(row.method)}</th>{values}{why}{links}<td>{text(printed_costs(row))}</td></tr>"


def _link(table: Table, note: str, notes: Sequence[str]) -> str:
    if not note:
        return NONE
    n = 1 + notes.index(note)
    return f'<a href="{text(address(table, f"{PLACE}{n}"))}">[{n}]</a>'
