"""The table of a data set's methods as HTML.

Scripts rely on the order of rows (`ordered`) and of machine classes (`cells.machines`).
"""

from __future__ import annotations

from collections.abc import Sequence

from xmcbench.board.cells import NONE, machines, on_machine, percent, rank
from xmcbench.board.html_text import COSTS, IN_TABLE, TIMES, costs, heading, machine_name, name, number, text
from xmcbench.board.model import FLAGS, Costs, Row, Table, Value

Classes = Sequence[tuple[str, int | None]]  # machine classes: (machine, threads)


def is_ranked(table: Table, row: Row) -> bool:
    """Whether a row has a rank for any metric; true for all rows of a table without tests."""
    return not table.tested or any(row.ranks.get(metric) is not None for metric in table.tested)


def ordered(table: Table) -> list[Row]:
    """The ranked rows, then the others."""
    return sorted(table.rows, key=lambda row: not is_ranked(table, row))


def main_table(table: Table) -> str:
    """Ranks by the first tested metric, all metrics of the table, and costs on every machine class.

    Scripts move the ranking metric next to the methods, so that it is visible without scrolling.
    """
    classes = machines(table)
    ranked = [row for row in table.rows if is_ranked(table, row)]
    others = ordered(table)[len(ranked) :]
    by = f"Rank by {table.tested[0]}" if table.tested else "Rank"
    heads = [("rank", by), ("label", "Method"), *(("value", metric) for metric in table.metrics), ("family", "Family")]
    heads += [("cost", f"{title}, {unit}") for title, unit, *_ in COSTS[:IN_TABLE]] * len(classes)
    ceilings = "".join(f"<td>{percent(table.ceilings.get(metric))}</td>" for metric in table.metrics)
    return f"""<table class="main"><caption>Methods on {text(heading(table))}</caption>
<thead><tr class="over"><td colspan="{3 + len(table.metrics)}"></td>{"".join(map(_machine, classes))}</tr>
<tr>{"".join(f'<th scope="col" data-sort="{kind}">{text(title)}</th>' for kind, title in heads)}</tr></thead>
{_body(table, ranked, classes)}{_body(table, others, classes, " class=unranked")}<tfoot><tr><td></td>
<th scope="row">Best reachable</th>{ceilings}{"<td></td>" * (1 + IN_TABLE * len(classes))}</tr></tfoot>
</table>"""


def _machine(of: tuple[str, int | None]) -> str:
    return f'<th scope="colgroup" colspan="{IN_TABLE}">Costs on {text(machine_name(*of))}</th>'


def _body(table: Table, rows: Sequence[Row], classes: Classes, attributes: str = "") -> str:
    lines = "\n".join(_row(table, row, classes) for row in rows)
    return f"<tbody{attributes}>\n{lines}\n</tbody>\n" if rows else ""


def _row(table: Table, row: Row, classes: Classes) -> str:
    why = "" if is_ranked(table, row) else f"<small>not ranked: {text(_reason(row))}</small>"
    return (
        f"<tr{' class=floor' if row.floor else ''}><td>{_rank(table, row)}</td>"
        f"<th scope=row><span>{_breakable(row.label)}</span>{why}{_flags(row)}</th>"
        + "".join(_value(row.values.get(metric)) for metric in table.metrics)
        + f"<td class=family>{text(row.family)}</td>"
        + "".join(_costs(on_machine(row, each)) for each in classes)
        + "</tr>"
    )


def _rank(table: Table, row: Row) -> str:
    by = table.tested[0] if table.tested else ""
    beaten = row.separated.get(by) if row.ranks.get(by) is not None else None
    return rank(row, by) + (f"<small>beats {beaten}</small>" if beaten else "")


def _breakable(label: str) -> str:
    """A label with permitted line breaks before its parameters."""
    return name(label).replace("[", "<wbr>[").replace(",", ",<wbr>")


def _reason(row: Row) -> str:
    """Why a row has no rank, from its flags."""
    reasons = [FLAGS[flag].removesuffix(": not ranked") for flag in row.flags if "not ranked" in FLAGS.get(flag, "")]
    return "; ".join(reasons) or "there was nothing to test it with"


def _flags(row: Row) -> str:
    seeds = max((value.seeds for value in row.values.values()), default=1)
    spans = [f"<span>{seeds} seeds</span>"] if seeds > 1 else []
    spans += [f'<span title="{text(FLAGS.get(flag, flag))}">{text(flag)}</span>' for flag in row.flags]
    return f'<small class="flags">{" ".join(spans)}</small>' if spans else ""


def _value(value: Value | None) -> str:
    if value is None or value.value is None:
        return f"<td>{NONE}</td>"
    interval = "" if value.low is None else f"<small>{percent(value.low)}–{percent(value.high)}</small>"
    spread = "" if value.sd is None else f"<small>sd {percent(value.sd)}</small>"
    return f"<td>{percent(value.value)}{interval}{spread}</td>"


def _costs(of: Costs | None) -> str:
    if of is None:
        return f"<td>{NONE}</td>" * IN_TABLE
    cells = ""
    for (_, unit, *_), cost in zip(COSTS[:IN_TABLE], costs(of), strict=False):
        high = of.busy and cost is not None and unit in TIMES
        cells += f"<td>{number(cost)}{'<small>busy</small>' if high else ''}</td>"
    return cells
