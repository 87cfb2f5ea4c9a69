"""Values that others printed, as HTML: a table, and below it the data versions and sources that rows name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xmcbench.board.cells import NONE, percent, printed_costs
from xmcbench.board.html_text import address, heading, identity, scrolling, text
from xmcbench.board.model import PublishedRow, Table

PRINTED = (
    "Percent, as printed by others; below it ours minus theirs. No ranks: data, splits and definitions may differ. "
    "Data versions and sources are listed below the table."
)
PLACE = "&note="  # in the address and id of a note, behind its table's


def published_values(table: Table) -> str:
    """Nothing where nobody printed any. Sources are long and shared by many rows, so each is written once."""
    if not table.published:
        return ""
    named = {metric for row in table.published for metric in row.values}
    metrics = [metric for metric in table.metrics if metric in named] + sorted(named - set(table.metrics))
    notes = list(dict.fromkeys(said for row in table.published for said in (row.data_version, row.source) if said))
    titles = ("Method", *metrics, "Verdict", "Why", "Our method", "Data version", "Source", "Costs, as printed")
    heads = "".join(f"<th scope=col>{text(title)}</th>" for title in titles)
    rows = "\n".join(_row(table, row, metrics, notes) for row in table.published)
    made = f"""<table class="published"><caption>Published values beside ours</caption>
<thead><tr>{heads}</tr></thead>
<tbody>{rows}</tbody></table>"""
    box = scrolling(f"{heading(table)}: published values", made)
    place = text(f"table={identity(table)}{PLACE}")
    items = "\n".join(f'<li id="{place}{n}">{text(said)}</li>' for n, said in enumerate(notes, 1))
    listed = f'<h4>Data versions and sources</h4>\n<ol class="notes">\n{items}\n</ol>\n' if notes else ""
    return f'<h3>Published values</h3>\n<p class="facts">{PRINTED}</p>\n{box}\n{listed}'


def _row(table: Table, row: PublishedRow, metrics: Iterable[str], notes: Sequence[str]) -> str:
    gaps, values = row.gaps or {}, ""
    for metric in metrics:
        gap = f"<small>ours {100 * gaps[metric]:+.2f}</small>".replace("-", "−") if metric in gaps else ""
        values += f"<td>{percent(row.values.get(metric))}{gap}</td>"
    why = f"<td>{text(row.verdict)}</td><td class=why>{text(row.why)}</td><td>{text(row.ours or NONE)}</td>"
    links = "".join(f"<td>{_link(table, said, notes)}</td>" for said in (row.data_version, row.source))
    return f"<tr><th scope=row>{text(row.method)}</th>{values}{why}{links}<td>{text(printed_costs(row))}</td></tr>"


def _link(table: Table, said: str, notes: Sequence[str]) -> str:
    if not said:
        return NONE
    n = 1 + notes.index(said)
    return f'<a href="{text(address(table, f"{PLACE}{n}"))}">[{n}]</a>'
