"""Growth curves: fit time, memory, size of the model and time per query against the numbers of labels and rows.

    python tests/benchmarks/scale.py [--results FOLDER] [--methods NAMES] [--points LABELS:ROWS,…] [--to FILE]
    python tests/benchmarks/scale.py --methods parabel,xrlinear --points 16384:12000,65536:48000,65536:12000

Each point is one `xmcbench run` in a process of its own, on synthetic rows of amazon-670k's shape with other numbers of
labels and rows. Of the default points, some have amazon-670k's rows per label, others more or fewer, so that both
exponents can be fitted; one epoch of every stage stands for dense methods, whose defaults depend on the numbers, and
ELIAS is without its linear classifiers, which are trees of their own (`parabel` from 250,000 labels on).
Finished runs are in the results folder and are not repeated, so that an interrupted call goes on. Where a run ends
without a score, larger points of its method are left out, and its reason is printed.

For each method and cost y, least squares fit log y = c + α log L + β log N over its points: the exponents. They are
those of the measured range, where costs that don't grow still count, so that they say too little of larger sizes. The
bill at the sizes of real data sets therefore has the fit's seconds as a sum of terms above 0 in L, N and N √L (rows
times clusters), fitted to relative errors, and memory and disk as the method's own estimate. Seconds are an
extrapolation where no run was as large.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from xmcbench.method import Facts, Machine
from xmcbench.runs.footprint import of_run
from xmcbench.runs.machine import available_cores
from xmcbench.runs.plan import make_plan

ONE = "dual_epochs=1,stage1_epochs=1,stage2_epochs=1,finish_epochs=1"
METHODS = f"elias[{ONE},ranker=none],elias[{ONE},ranker=none,index=none],parabel,xrlinear,ance[epochs=1]"
POINTS = "16384:12000,16384:48000,65536:12000,65536:48000,262144:48000,670091:48000,670091:490449,2812281:48000"
PRESET = "amazon-670k"
TEST = 1000  # rows that are predicted at points that are no preset

# rows, test rows, features, labels, shares of labels with rows, per row: features, those that carry it, labels.
# The last has amazon-670k's rows per label.
BILL = {
    "amazon-670k": (490_449, 153_025, 135_909, 670_091, 0.90, 81, 39.7, 5.4),
    "amazon-3m": (1_717_899, 742_507, 337_067, 2_812_281, 1.0, 55, 46.8, 36.0),
    "100 M labels": (73_000_000, 1_000_000, 1_000_000, 100_000_000, 0.90, 81, 39.7, 5.4),
}
COSTS = {"fit, h": 3600.0, "memory, GiB": 2.0**30, "model, GiB": 2.0**30, "query p50, ms": 1.0}  # divisors of the units


class Point(NamedTuple):
    """One run: its sizes, and its costs in the order of `COSTS` and in seconds, bytes and milliseconds."""

    labels: int
    rows: int
    costs: tuple[float, ...]


def exponents(points: Sequence[Point], cost: int) -> tuple[float, float]:
    """α and β, by least squares over the points whose cost is above 0; nan where no two points show one."""
    found = [(point.labels, point.rows, point.costs[cost]) for point in points if point.costs[cost] > 0]
    if not found:
        return math.nan, math.nan
    labels, rows, y = np.log(np.asarray(found, dtype=np.float64)).T
    columns = {1: labels, 2: rows}
    known = [i for i, column in columns.items() if np.ptp(column) > 0]
    design = np.stack([np.ones_like(y), *(columns[i] for i in known)], axis=1)
    solution = np.full(3, math.nan)
    solution[[0, *known]] = np.linalg.lstsq(design, y, rcond=None)[0]
    return float(solution[1]), float(solution[2])


def seconds(points: Sequence[Point], labels: int, rows: int) -> float:
    """Seconds of a fit at another size; nan if labels or rows are the same at all points."""
    if len({p.labels for p in points}) < 2 or len({p.rows for p in points}) < 2:
        return math.nan
    terms = np.array([(p.labels, p.rows, p.rows * math.sqrt(p.labels)) for p in points], dtype=np.float64)
    relative = terms / np.array([p.costs[0] for p in points])[:, None]
    scale = relative.max(axis=0)
    weights = nnls(relative / scale, np.ones(len(points)))[0] / scale
    return float(weights @ [labels, rows, rows * math.sqrt(labels)])


def bill(points: dict[str, list[Point]]) -> list[tuple[str, ...]]:
    """For each size and method: hours of the fit, GiB of memory, GiB of disk."""
    machine, found = Machine(available_cores(), "cpu"), []
    for size, (rows, test, features, labels, seen, per_row, spread, labels_per_row) in BILL.items():
        entries = {"entries": rows * per_row, "test_entries": test * per_row, "pairs": int(rows * labels_per_row)}
        shape = {**entries, "seen": int(labels * seen), "spread": spread}
        facts = Facts(size, "bow", rows, test, features, labels, frozenset({"features"}), **shape)
        for method, measured in points.items():
            (spec,) = make_plan([method], ["synthetic"], baseline=False)
            need = of_run(spec, facts, machine)
            sizes = (math.nan, math.nan) if need is None else (need.memory / 2**30, need.disk / 2**30)
            found.append((size, method, *map(short, (seconds(measured, labels, rows) / 3600, *sizes))))
    return found


def counts(points: str) -> list[tuple[int, int]]:
    """(labels, rows) of points, the fewest products first."""
    found = [tuple(int(count) for count in one.split(":")) for one in points.split(",")]
    return sorted(((labels, rows) for labels, rows in found), key=math.prod)


def dataset(labels: int, rows: int) -> str:
    if (rows, labels) == (BILL[PRESET][0], BILL[PRESET][3]):
        return f"synthetic[preset={PRESET}]"
    return f"synthetic[preset={PRESET},labels={labels},rows={rows},test={TEST}]"


def point(method: str, labels: int, rows: int, options: Sequence[str]) -> Point | str:
    """Run one point, or read it if it was run; a reason if it has no costs."""
    command = [sys.executable, "-m", "xmcbench", "run", method, "--dataset", dataset(labels, rows), "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    records: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    record = next((one for one in records if one["method"]["name"] == method.partition("[")[0]), None)
    if record is None:  # the plan also has popularity, the floor
        return f"exit code {done.returncode} without a record"
    if record["status"] != "ok":
        return f"{record['status']}: {record.get('reason') or record.get('error') or 'no reason on record'}"
    costs = record["costs"]
    names = ("fit_seconds", "peak_rss_bytes", "model_bytes", "query_p50_ms")
    return Point(labels, rows, tuple(float(costs[name] or 0) for name in names))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def short(number: float) -> str:
    return "–" if math.isnan(number) else f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


def report(points: dict[str, list[Point]]) -> str:
    """Three Markdown tables: the points, the exponents, the bill."""
    units = list(COSTS.values())
    measured = [
        (method, f"{p.labels:,}", f"{p.rows:,}", *map(short, np.divide(p.costs, units)))
        for method, found in points.items()
        for p in found
    ]
    fitted = [
        (method, *(short(one) for i in range(len(COSTS)) for one in exponents(found, i)))
        for method, found in points.items()
    ]
    return "\n\n".join(
        [
            table(["method", "labels", "rows", *COSTS], measured),
            table(["method", *(f"{name.split(',')[0]}: {by}" for name in COSTS for by in ("α", "β"))], fitted),
            table(["data set", "method", "fit, h", "memory, GiB", "disk, GiB"], bill(points)),
        ]
    )


def draw(points: dict[str, list[Point]], file: Path) -> None:
    """Costs by the number of labels, one panel per cost; of points with the same labels, the one that costs most."""
    from xmcbench.plots import sheet

    sheet.check_file(file)
    with sheet.style():
        figure, axes = sheet.panels(len(COSTS), width=3.2)
        lines: list[Any] = []
        for i, (panel, (title, unit)) in enumerate(zip(axes, COSTS.items(), strict=True)):
            every: list[tuple[float, float]] = []
            for method, found in points.items():
                costs = [(p.labels, p.costs[i] / unit) for p in found if p.costs[i] > 0]
                largest = [max(group) for _, group in itertools.groupby(sorted(costs), key=lambda pair: pair[0])]
                lines.append(*panel.plot(*np.reshape(largest, (-1, 2)).T, marker="o", label=method))
                every += costs
            panel.set(xscale="log", yscale="log", xlabel="labels", title=title)
            if every:
                for axis, values in zip((panel.xaxis, panel.yaxis), np.transpose(every), strict=True):
                    sheet.log_axis(axis, values.min(), values.max())
        sheet.finish(figure, "Growth with the number of labels", lines[: len(points)], [f"the shape of {PRESET}"])
        sheet.save(figure, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default="results-scale", help="the folder of the runs")
    parser.add_argument("--methods", default=METHODS, help="separated by commas outside brackets")
    parser.add_argument("--points", default=POINTS, help="LABELS:ROWS, separated by commas")
    parser.add_argument("--to", type=Path, help="also draw the curves of labels")
    args, options = parser.parse_known_args()  # the others are options of `xmcbench run`
    points: dict[str, list[Point]] = {}
    for method in split(args.methods):
        found: list[Point] = []
        ended = (math.inf, math.inf)
        for labels, rows in counts(args.points):
            if labels >= ended[0] and rows >= ended[1]:
                continue  # larger than what could not be run
            one = point(method, labels, rows, ["--results", args.results, *options])
            if isinstance(one, str):
                print(f"{method} with {labels:,} labels and {rows:,} rows: {one}", file=sys.stderr)
                ended = labels, rows
            else:
                found.append(one)
        if found:
            points[method] = found
    print(report(points))
    if args.to:
        draw(points, args.to)


def split(names: str) -> list[str]:
    """Names separated by the commas that are in no brackets."""
    parts, depth = [""], 0
    for character in names:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


if __name__ == "__main__":
    main()
