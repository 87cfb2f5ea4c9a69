"""A table as CSV (RFC 4180), one line per row, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io

from xmcbench.board import cells
from xmcbench.board.model import Table
from xmcbench.escaping import csv_cell

COSTS = ("fit_seconds", "predict_ms_per_row", "query_p50_ms", "query_p99_ms", "peak_rss_bytes", "model_bytes")


def table(table: Table) -> str:
    """All rows: by each tested metric the best and the worst place; value, interval and spread of each metric as
    fractions; costs on the most
    frequent machine class; flags, selection and command. Unknown cells are empty."""
    machines = cells.machines(table)
    head = ["method", "family", "version", *(f"{what} {name}" for name in table.tested for what in ("rank", "rank to"))]
    names = [*table.metrics, *(name for part in table.slices.values() for name in part)]
    head += [title for name in names for title in (name, f"{name} low", f"{name} high", f"{name} sd")]
    head += ["seeds", "machine", "threads", "busy", *COSTS, "flags", "selection", "command"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(map(csv_cell, head))
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
        writer.writerow([*line, csv_cell("; ".join(row.flags)), csv_cell(row.selection), csv_cell(row.command)])
    return out.getvalue()
