"""The comparison rule for a repeated run of the same method: `check scores`, `verify --rerun`, expected scores.

Two methods, or two runs in general, are compared row by row instead: see `paired.py`.

OK: within the tolerance. OKISH: within 1.5 × the tolerance. IMPROVED: better by more. FAIL: worse by more. UNKNOWN:
another kind of device, data set content or metric definition.

A record without a device (family external) is comparable with a record of any device: it is unknown where its
predictions were computed, but they never change, and their metrics were computed by this program.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xmcbench.records.record import Metric, Record

OK, OKISH, IMPROVED, FAIL, UNKNOWN = "OK", "OKISH", "IMPROVED", "FAIL", "UNKNOWN"
EXACT = 1e-9  # tolerance of a deterministic CPU method, whose runs differ only by rounding
SMALLEST = 0.005  # smallest tolerance of all others: another processor's rounding moved `elias` by 0.46 points
SEEDS = 3  # number of seeds from which on their spread gives the tolerance


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
    """The rule for one value; larger is better for every metric."""
    gap = got - expected
    if abs(gap) <= tolerance:
        return OK
    if abs(gap) <= 1.5 * tolerance:
        return OKISH
    return IMPROVED if gap > 0 else FAIL


@dataclass(frozen=True)
class Scores:
    """The input of the rule: content hash of the data, kind of device, metrics by name."""

    content: str
    device: str | None
    metrics: Mapping[str, Metric]

    @classmethod
    def of(cls, record: Record) -> Scores:
        metrics = {one.name: one for one in record.metrics}
        return cls(record.dataset.content_hash, record.environment.device, metrics)


def compare(expected: Record, got: Record, like: Iterable[Record] = ()) -> list[Verdict]:
    """Judge each metric of `expected` against the same metric of `got`.

    `like`: further records; the ones that differ from `expected` only in the seed give the spread over seeds.
    """
    family = [r for r in like if same_but_seed(r) == same_but_seed(expected)]
    tolerances = {one.name: tolerance_of(expected, one.name, family) for one in expected.metrics}
    return judged(Scores.of(expected), Scores.of(got), tolerances)


def judged(expected: Scores, got: Scores, tolerances: Mapping[str, float]) -> list[Verdict]:
    """Like `compare`, with given tolerances by metric."""
    why = mismatch(expected, got)
    verdicts = []
    for name, entry in expected.metrics.items():
        other = got.metrics.get(name)
        tolerance, reason = tolerances[name], why
        value = None if other is None else other.value
        if value is None or entry.value is None:
            reason = reason or "no value"
        elif other is not None and other.version != entry.version:
            reason = reason or "other metric definition"
        verdict = UNKNOWN if reason or value is None or entry.value is None else judge(entry.value, value, tolerance)
        verdicts.append(Verdict(name, entry.value, value, tolerance, verdict, reason))
    return verdicts


def mismatch(expected: Scores, got: Scores) -> str:
    """Why no metric of the two can be compared, or ""."""
    if expected.content != got.content:
        return "other data"
    other_device = None not in (expected.device, got.device) and expected.device != got.device
    return "other kind of device" if other_device else ""


def tolerance_of(expected: Record, name: str, family: Iterable[Record]) -> float:
    """1e-9 for a deterministic method on a CPU (or for fixed predictions, which have no device), else max(0.005, twice
    the standard deviation over seeds)."""
    if expected.method.deterministic and expected.environment.device in ("cpu", None):
        return EXACT
    by_seed: dict[int | None, float] = {}
    for record in [*family, expected]:
        value = record.metric(name)
        if record.status == "ok" and value is not None:
            by_seed[record.seed] = value
    if len(by_seed) < SEEDS:
        return SMALLEST
    return max(SMALLEST, 2 * statistics.stdev(by_seed.values()))


def same_but_seed(record: Record) -> tuple[Any, ...]:
    """A key that is equal for runs that differ only in the seed: method, version, parameters, grid, content, device."""
    method, tuning = record.method, record.selection.tuning
    grid = {} if tuning is None else tuning.grid  # not the chosen values, which may depend on the seed
    fixed = {name: value for name, value in method.parameters.items() if name not in grid}
    return (method.name, method.version, fixed, grid, record.dataset.content_hash, record.environment.device)
