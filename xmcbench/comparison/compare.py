"""THE comparison rule: one function for tests, command line and tables.

Within tolerance OK; within 1.5 × tolerance OKISH; better than expected by more IMPROVED; worse FAIL; another kind of
device, data set content or metric definition UNKNOWN.

A record that names no device, as those of family external do, is comparable with any: its author computed the
predictions nobody knows where, but the metrics were computed here, and those predictions will never change.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

OK, OKISH, IMPROVED, FAIL, UNKNOWN = "OK", "OKISH", "IMPROVED", "FAIL", "UNKNOWN"
EXACT = 1e-9  # a deterministic CPU method repeats itself to rounding
LEAST = 0.001  # a tenth of a point: below what any paper prints
SEEDS = 3  # from so many seeds on, their spread says more than a constant


@dataclass(frozen=True)
class Verdict:
    """One metric of two records: values as fractions, the tolerance used, the verdict, and why it is UNKNOWN."""

    metric: str
    expected: float | None
    got: float | None
    tolerance: float
    verdict: str
    why: str = ""


def judge(expected: float, got: float, tolerance: float) -> str:
    """The rule for one value where larger is better; every metric here is of that kind."""
    gap = got - expected
    if abs(gap) <= tolerance:
        return OK
    if abs(gap) <= 1.5 * tolerance:
        return OKISH
    return IMPROVED if gap > 0 else FAIL


def compare(
    expected: Mapping[str, Any], got: Mapping[str, Any], like: Iterable[Mapping[str, Any]] = ()
) -> list[Verdict]:
    """Judge each metric of `expected` against the same one of `got`.

    Parameters
    ----------
    like : further records; those that differ from `expected` in nothing but the seed give the seeds' spread.
    """
    family = [r for r in like if same_but_seed(r) == same_but_seed(expected)]
    names = [entry["name"] for entry in expected["metrics"]]
    return judged(expected, got, {name: tolerance_of(expected, name, family) for name in names})


def judged(expected: Mapping[str, Any], got: Mapping[str, Any], tolerances: Mapping[str, float]) -> list[Verdict]:
    """The same where the tolerances, by metric, are known."""
    why = ""
    if expected["dataset"]["content_hash"] != got["dataset"]["content_hash"]:
        why = "other data"
    elif None not in (_device(expected), _device(got)) and _device(expected) != _device(got):
        why = "other kind of device"
    theirs = {entry["name"]: entry for entry in got["metrics"]}
    verdicts = []
    for entry in expected["metrics"]:
        name, other = entry["name"], theirs.get(entry["name"])
        tolerance = tolerances[name]
        reason = why
        value: float | None = None if other is None else other["value"]
        if value is None or entry["value"] is None:
            reason = reason or "no value"
        elif other is not None and other["version"] != entry["version"]:
            reason = reason or "other metric definition"
        verdict = UNKNOWN if reason or value is None else judge(entry["value"], value, tolerance)
        verdicts.append(Verdict(name, entry["value"], value, tolerance, verdict, reason))
    return verdicts


def tolerance_of(expected: Mapping[str, Any], name: str, family: Iterable[Mapping[str, Any]]) -> float:
    """1e-9 for a deterministic method on a CPU (or fixed predictions, which have no device), else max(0.001, twice the
    standard deviation over seeds)."""
    if expected["method"]["deterministic"] and _device(expected) in ("cpu", None):
        return EXACT
    by_seed: dict[int | None, float] = {
        record["seed"]: entry["value"]
        for record in [*family, expected]
        if record["status"] == "ok"
        for entry in record["metrics"]
        if entry["name"] == name and entry["value"] is not None
    }
    if len(by_seed) < SEEDS:
        return LEAST
    return max(LEAST, 2 * statistics.stdev(by_seed.values()))


def _device(record: Mapping[str, Any]) -> str | None:
    """ "cpu", "cuda", or None where the record doesn't say."""
    device: str | None = record["environment"].get("device")
    return device


def same_but_seed(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two runs share that differ in nothing but the seed: method, version, parameters, grid, content, device."""
    method, tuning = record["method"], record.get("selection", {}).get("tuning")
    grid = {} if tuning is None else tuning["grid"]  # what is chosen may hang on the seed
    fixed = {name: value for name, value in method["parameters"].items() if name not in grid}
    return (method["name"], method["version"], fixed, grid, record["dataset"]["content_hash"], _device(record))
