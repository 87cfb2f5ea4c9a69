"""Costs of a row per machine class: times of different machines are never mixed."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from xmcbench.board.entries import age
from xmcbench.board.model import Costs
from xmcbench.records.busy import measured
from xmcbench.records.record import Record

MEDIANS = ("fit_seconds", "query_p50_ms", "query_p99_ms", "peak_rss_bytes", "model_bytes")  # fields as in a record


def costs_of(runs: Sequence[Record]) -> list[Costs]:
    """Medians over the runs of a row per (machine, threads given), the machine with the newest run first.

    Runs without a machine, such as external predictions, have no costs.
    """
    by_machine: dict[tuple[str, int | None], list[Record]] = defaultdict(list)
    for run in runs:
        machine = run.environment.machine_class.costs
        if machine is not None:
            by_machine[machine, run.environment.threads.given].append(run)
    newest = sorted(by_machine, key=lambda key: max(age(r) for r in by_machine[key]), reverse=True)
    return [_medians(machine, threads, by_machine[machine, threads]) for machine, threads in newest]


def _medians(machine: str, threads: int | None, runs: Sequence[Record]) -> Costs:
    counting, busy = measured(runs)
    costs = [run.costs for run in counting]

    def median(name: str) -> float | None:
        known = [value for cost in costs if (value := getattr(cost, name)) is not None]
        return float(statistics.median(known)) if known else None

    predict, rows = median("predict_seconds"), runs[0].dataset.n_test
    per_row = None if predict is None or not rows else 1000 * predict / rows
    medians = {name: median(name) for name in MEDIANS}
    return Costs(machine, threads, busy=busy, runs=len(costs), predict_ms_per_row=per_row, **medians)
