"""The board as JSON for the page's scripts: small, with the same rounded numbers as the tables.

Values are percent with two decimals, costs have three digits in the units of `html_text.COSTS`; hashes are shortened.
Texts from records (metrics, machine classes, parameters) are list elements, never keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from xmcbench.board.cells import machines
from xmcbench.board.html_table import Classes, ordered
from xmcbench.board.html_text import COSTS, TIMES, costs, heading, identity, machine_name, rounded
from xmcbench.board.model import FLAGS, Board, Row, Run, Table, Value
from xmcbench.escaping import clean

HASH = 12  # characters of commits and hashes


def compact(board: Board) -> dict[str, Any]:
    """JSON-serialisable; texts have no control characters."""
    return {
        "costs": [[title, unit, unit in TIMES] for title, unit, *_ in COSTS],
        "flags": FLAGS,
        "tables": [_table(table) for table in board.tables],
    }


def _table(table: Table) -> dict[str, Any]:
    parts = [name for names in table.slices.values() for name in names]
    metrics = [*table.metrics, *(name for name in dict.fromkeys(parts) if name not in table.metrics)]
    at = {name: i for i, name in enumerate(metrics)}
    classes = machines(table)
    return {
        "id": identity(table),
        "title": heading(table),
        "shown": len(table.metrics),  # number of metrics with a column
        "metrics": [clean(name) for name in metrics],
        "tested": [at[name] for name in table.tested if name in at],
        "parts": [[clean(part), [at[name] for name in names]] for part, names in table.slices.items()],
        "machines": [clean(machine_name(*each)) for each in classes],
        "rows": [_row(table, row, metrics, classes) for row in ordered(table)],
    }


def _row(table: Table, row: Row, metrics: Iterable[str], classes: Classes) -> dict[str, Any]:
    tested = [name for name in table.tested if name in metrics]
    return {
        "label": clean(row.label),
        "name": clean(row.name),
        "family": clean(row.family),
        "version": clean(row.version),
        "origin": clean(row.origin),
        "selection": clean(row.selection),
        "command": clean(row.command),
        "parameters": [[clean(name), _parameter(value)] for name, value in row.parameters.items()],
        "values": [_value(row.values.get(name)) for name in metrics],
        "ranks": [row.ranks.get(name) for name in tested],
        "beats": [row.separated.get(name) for name in tested],
        "costs": [[classes.index((c.machine, c.threads)), int(c.busy), c.runs, *costs(c)] for c in row.costs],
        "floor": row.floor,
        "flags": [clean(flag) for flag in row.flags],
        "runs": [_run(run, table.metrics) for run in row.runs],
    }


def _parameter(value: Any) -> str:
    return clean(json.dumps(value, ensure_ascii=False))


def _value(value: Value | None) -> list[Any] | None:
    if value is None or value.value is None:
        return None
    return [_percent(value.value), _percent(value.low), _percent(value.high), _percent(value.sd), value.seeds]


def _run(run: Run, metrics: Iterable[str]) -> list[Any]:
    """Run id, seed, start, commit, machine, hash of the predictions, CPU of others, then the values of `metrics`."""
    texts = [run.started_utc, (run.commit or "")[:HASH], run.machine or "", (run.predictions_sha256 or "")[:HASH]]
    values = [_percent(run.values.get(metric)) for metric in metrics]
    return [clean(run.run_id), run.seed, *map(clean, texts), rounded(run.others_cpu), *values]


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else float(f"{100 * fraction:.2f}")
