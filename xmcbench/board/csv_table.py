"""A table and its published values as CSV (RFC 4180), one line per row, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io

from xmcbench.board import cells
from xmcbench.board.model import Table
from xmcbench.board.protocol import FIELDS
from xmcbench.escaping import csv_cell

COSTS = ("fit_seconds", "predict_ms_per_row", "query_p50_ms", "query_p99_ms", "peak_rss_bytes", "model_bytes")


def table(table: Table) -> str:
    """All rows: by each tested metric the best and the worst place; value, interval and spread of each metric as
    fractions; costs on the most frequent machine class; flags, selection and command. Unknown cells are empty."""
    machines = cells.machines(table.rows)
    head = ["method", "family", "version", *(f"{what} {name}" for name in table.tested for what in ("rank", "rank to"))]
    names = [*table.metrics, *(name for part in table.slices.values() for name in part)]
    head += [title for name in names for title in (name, f"{name} low", f"{name} high", f"{name} sd")]
    head += ["seeds", "machine", "threads", "busy", *COSTS, "flags", "selection", "command"]
    lines: list[list[object]] = []
    for row in table.rows:
        costs = cells.on_machine(row, machines[0]) if machines else None
        line: list[object] = [csv_cell(row.label), csv_cell(row.family), csv_cell(row.version)]
        for name in table.tested:
            line += row.ranks.get(name) or (None, None)
        for name in names:
            value = row.values[name]
            line += [value.value, value.low, value.high, value.sd]
        line.append(row.seeds)
        if costs is None:
            line += [None] * (3 + len(COSTS))
        else:
            line += [csv_cell(costs.machine), costs.threads, int(costs.busy), *(getattr(costs, cost) for cost in COSTS)]
        lines.append([*line, csv_cell("; ".join(row.flags)), csv_cell(row.selection), csv_cell(row.command)])
    return _text(head, lines)


def published(table: Table) -> str:
    """The published values, as fractions, with their protocol (`xmcbench.board.protocol`) and our value minus each.

    Unknown cells are empty.
    """
    names = table.published_metrics
    head = ["method", *FIELDS, "data", "source", "verdict", "why", "our method"]
    head += [title for name in names for title in (name, f"{name} ours minus published")]
    lines: list[list[object]] = []
    for row in table.published:
        protocol = [getattr(row.protocol, name) for name in FIELDS]
        words = (row.method, *protocol, row.data_version, row.source, row.verdict, row.why, row.ours)
        line = [csv_cell(word) if isinstance(word, str) else word for word in words]
        line += [cell for name in names for cell in (row.values.get(name), (row.gaps or {}).get(name))]
        lines.append([*line, csv_cell(row.costs)])
    return _text([*head, "costs, as published"], lines)


def _text(head: list[str], lines: list[list[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(map(csv_cell, head))
    writer.writerows(lines)
    return out.getvalue()
