"""What a row costs, apart for each machine class: times of two machines are never in one column."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from xmcbench.board.entries import age
from xmcbench.board.model import Costs

BUSY = 0.1  # share of the machine, or of the time; on two cores, more than a shell and its editor take


def costs_of(runs: Sequence[Mapping[str, Any]]) -> list[Costs]:
    """Medians over the runs of a row by (machine, threads given), the machine with the newest run first; runs that
    name no machine, as those of predictions from outside, have no costs."""
    by_machine: dict[tuple[str, int | None], list[Mapping[str, Any]]] = defaultdict(list)
    for run in runs:
        machine = run["environment"].get("machine_class", {}).get("costs")
        if machine is not None:
            by_machine[machine, run["environment"].get("threads", {}).get("given")].append(run)
    newest = sorted(by_machine, key=lambda key: max(age(r) for r in by_machine[key]), reverse=True)
    return [_medians(machine, threads, by_machine[machine, threads]) for machine, threads in newest]


def is_busy(run: Mapping[str, Any]) -> bool:
    """Whether others, or compiling kernels for the first time, took much of the run; unknown counts as no."""
    costs = run["costs"]
    seconds = sum(costs.get(name) or 0.0 for name in ("fit_seconds", "predict_seconds", "warm_up_seconds"))
    return (costs.get("others_cpu") or 0.0) > BUSY or (costs.get("compile_seconds") or 0.0) > BUSY * seconds > 0


def _medians(machine: str, threads: int | None, runs: Sequence[Mapping[str, Any]]) -> Costs:
    quiet = [run for run in runs if not is_busy(run)]  # where there are some, the others say nothing new
    costs = [run["costs"] for run in quiet or runs]
    rows = runs[0]["dataset"]["n_test"]
    predict = _median([cost.get("predict_seconds") for cost in costs])
    return Costs(
        machine=machine,
        threads=threads,
        busy=not quiet,
        runs=len(costs),
        fit_seconds=_median([cost.get("fit_seconds") for cost in costs]),
        predict_ms_per_row=None if predict is None or not rows else 1000 * predict / rows,
        query_p50_ms=_median([cost.get("query_p50_ms") for cost in costs]),
        query_p99_ms=_median([cost.get("query_p99_ms") for cost in costs]),
        peak_rss_bytes=_median([cost.get("peak_rss_bytes") for cost in costs]),
        model_bytes=_median([cost.get("model_bytes") for cost in costs]),
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None
