"""A table as CSV (RFC 4180), one line per row, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import unicodedata

from xmcbench.board import cells
from xmcbench.board.model import Table
from xmcbench.escaping import clean

FORMULA = "=+-@"  # first characters of a spreadsheet formula (OWASP, "CSV injection"); `clean` removes tabs
COSTS = ("fit_seconds", "predict_ms_per_row", "query_p50_ms", "query_p99_ms", "peak_rss_bytes", "model_bytes")


def table(table: Table) -> str:
    """All rows: rank by each tested metric; value, interval and spread of each metric as fractions; costs on the most
    frequent machine class; flags, selection and command. Unknown cells are empty."""
    machines = cells.machines(table)
    head = ["method", "family", "version", *(f"{what} {name}" for name in table.tested for what in ("rank", "beats"))]
    names = [*table.metrics, *(name for part in table.slices.values() for name in part)]
    head += [title for name in names for title in (name, f"{name} low", f"{name} high", f"{name} sd")]
    head += ["seeds", "machine", "threads", "busy", *COSTS, "flags", "selection", "command"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(head)
    for row in table.rows:
        costs = cells.on_machine(row, machines[0]) if machines else None
        line: list[object] = [text(row.label), text(row.family), text(row.version)]
        for name in table.tested:
            line += [row.ranks.get(name), row.separated.get(name)]
        for name in names:
            value = row.values[name]
            line += [value.value, value.low, value.high, value.sd]
        line.append(row.seeds)
        if costs is None:
            line += [None] * (3 + len(COSTS))
        else:
            line += [text(costs.machine), costs.threads, int(costs.busy), *(getattr(costs, cost) for cost in COSTS)]
        writer.writerow([*line, text("; ".join(row.flags)), text(row.selection), text(row.command)])
    return out.getvalue()


def text(value: object) -> str:
    """Text that no spreadsheet reads as a formula: a quote is put before a text that begins like one."""
    plain = clean(value)
    first = unicodedata.normalize("NFKC", plain).lstrip()[:1]  # full-width signs count too
    return "'" + plain if first and first in FORMULA else plain
