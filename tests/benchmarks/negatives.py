"""Do mined hard negatives beat in-batch ones on the same budget? `ance` with each kind, several seeds, one data set.

    python tests/benchmarks/negatives.py [--dataset icd10cm] [--seeds 3] [--set encoder=bow ...] [--json]

Budgets are epochs and seconds: `in-batch` is trained for as many epochs as `ance`, and again for as many as take its
seconds, refreshes included (`in-batch, longer`); `cluster` for as many epochs. Differences are ance − other in
percent, of means over seeds, with 95 % bootstrap intervals over test rows and the standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

METRICS = ("P@1", "R@10", "R@100", "PSP@1")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", default="icd10cm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="further parameters of all runs")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    result = measure(asked.dataset, range(asked.seeds), asked.set)
    print(json.dumps(result) if asked.json else table(result))


def measure(dataset: str, seeds: range, settings: list[str]) -> dict[str, Any]:
    """Every kind of negatives with every seed, then the differences."""
    from xmcbench.runs.plan import make_plan

    common = dict(word.split("=", 1) for word in settings)
    with tempfile.TemporaryDirectory() as folder:

        def runs(**own: Any) -> list[dict[str, Any]]:
            words = ",".join(f"{name}={value}" for name, value in (common | own).items())
            plan = make_plan([f"ance[{words}]"], [dataset], seeds=list(seeds))
            return [one(spec, dataset, Path(folder)) for spec in plan if spec.info.name == "ance"]

        mined, plain, near = (runs(negatives=kind) for kind in ("ance", "in-batch", "cluster"))
        ratio = seconds(mined) / seconds(plain)
        longer = runs(negatives="in-batch", epochs=max(1, round(mined[0]["epochs"] * ratio)))
    sides = {"ance": mined, "in-batch": plain, "in-batch, longer": longer, "cluster": near}
    return {
        "dataset": dataset,
        "seeds": len(seeds),
        "settings": settings,
        "sides": {name: summary(runs) for name, runs in sides.items()},
        "ance minus": {name: gaps(mined, runs) for name, runs in sides.items() if name != "ance"},
    }


def one(spec: Any, dataset: str, folder: Path) -> dict[str, Any]:
    """Run, and keep values, per-row values and costs."""
    from xmcbench.context import Reporter
    from xmcbench.data import load
    from xmcbench.records.execution import execute
    from xmcbench.records.store import Store
    from xmcbench.runs.job import Options

    store = Store(folder)
    record, _ = execute(spec, load(dataset), store, Options(metrics=METRICS, samples=0), Reporter())
    if record.status != "ok":
        raise SystemExit(f"{spec.label}: {record.reason}")
    values = {one.name: one.value for one in record.metrics}
    phases, refresh = record.costs.phases, record.notes["refresh"]
    return {
        "values": values,
        "rows": store.rows(record),
        "seconds": phases["train"],
        "refresh": refresh["seconds"],
        "epochs": len(record.notes["epochs"]),
    }


def seconds(runs: list[dict[str, Any]]) -> float:
    """Median training time."""
    return statistics.median(run["seconds"] for run in runs)


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means and standard deviations over seeds, percent; seconds of training and of refreshing."""
    result: dict[str, Any] = {"seconds": seconds(runs), "refresh": statistics.median(run["refresh"] for run in runs)}
    for metric in METRICS:
        values = [100 * run["values"][metric] for run in runs]
        result[metric] = {"mean": statistics.mean(values), "sd": statistics.stdev(values) if len(values) > 1 else None}
    return result


def gaps(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> dict[str, Any]:
    """Differences of seed means with their intervals over rows, percent."""
    from xmcbench.metrics import difference

    result = {}
    for metric in METRICS:
        gap = difference(mean_rows(a), mean_rows(b), metric, samples=2000, seed=0)
        plain = statistics.mean(r["values"][metric] for r in a) - statistics.mean(r["values"][metric] for r in b)
        result[metric] = [100 * x for x in (plain, gap.low, gap.high)]
    return result


def mean_rows(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Per-row values, averaged over seeds."""
    names = runs[0]["rows"]
    return {name: np.mean([run["rows"][name] for run in runs], axis=0) for name in names}


def table(result: dict[str, Any]) -> str:
    """For a terminal."""
    head = f"{result['dataset']}, {result['seeds']} seeds, percent {' '.join(result['settings'])}"
    lines = [head, f"{'negatives':18}{'seconds':>9}{'refresh':>9}" + "".join(f"{m:>16}" for m in METRICS)]
    for name, side in result["sides"].items():
        cells = (f"{side[m]['mean']:.2f} ± {side[m]['sd'] or 0:.2f}" for m in METRICS)
        lines.append(f"{name:18}{side['seconds']:9.0f}{side['refresh']:9.0f}" + "".join(f"{c:>16}" for c in cells))
    lines.append("ance minus")
    for name, gaps_of_metrics in result["ance minus"].items():
        cells = ("{:+.2f} ({:+.2f} to {:+.2f})".format(*gaps_of_metrics[m]) for m in METRICS)
        lines.append(f"  {name:18}" + "  ".join(f"{m} {c}" for m, c in zip(METRICS, cells, strict=True)))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
