"""Which rows of a table can be told apart, and how sure each value is; remembered by the records looked at.

Ranks come from a paired randomisation test of each two rows (`xmcbench.metrics.randomisation`), near-duplicate
documents taken together, with Holm's correction over all pairs of a table and metric. Rows that the test can't separate
share a rank. That is no equivalence (a row may be told from neither of two that can be told apart), so rows which a
chain of inseparable ones joins share it too: every row of a better rank is significantly better than every row of a
worse one. How many rows each one is significantly better than is told beside.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xmcbench.board.evidence import Evidence
from xmcbench.errors import DataError
from xmcbench.results.board_files import TESTED

VERSION = 2  # of what is remembered: raise it when the test or the intervals change
LEVEL = 0.05  # of the family of tests of one table and metric, as usual in the field
SMALL = 0.01  # p up to which a test is made again with MANY resamples: with 200 pairs Holm asks for 0.00025
MANY = 200_000  # a p of 0.00025 is then known to ± 15 %; with 10,000 it was to ± 63 %, and ranks hung on the draw
SAMPLES = 1000  # bootstrap resamples of an interval, as many as a run has

Ends = tuple[float | None, float | None]


@dataclass
class Memory:
    """Results of earlier builds.

    Attributes
    ----------
    p : pair of evidence → p-value of each of `TESTED`. ends : evidence → ends of each one's interval.
    asked_p, asked_ends : those this build asked for: all that is worth keeping.
    """

    p: dict[str, list[float | None]] = field(default_factory=dict)
    ends: dict[str, list[Ends]] = field(default_factory=dict)
    asked_p: dict[str, list[float | None]] = field(default_factory=dict)
    asked_ends: dict[str, list[Ends]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Memory:
        """What `kept` once was; nothing where there is no such file, or one of another version.

        Raises
        ------
        DataError : the file is damaged.
        """
        if not path.is_file():
            return cls()
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["version"] != VERSION:
                return cls()
            p = {key: [_number(x, 0, 1) for x in _row(value)] for key, value in found["p"].items()}
            ends = {key: [_ends(x) for x in _row(value)] for key, value in found["intervals"].items()}
            return cls(p, ends)
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path}: no remembered tests ({error})", "Remove it: it will be made again.") from error

    def kept(self) -> dict[str, Any]:
        """What to write for the next build: what this one asked for."""
        return {"version": VERSION, "tested": list(TESTED), "p": self.asked_p, "intervals": self.asked_ends}


def intervals(evidence: Evidence, memory: Memory) -> dict[str, Ends]:
    """Metric → ends of its 95 % interval over documents, for the metrics of the evidence."""
    from xmcbench.metrics.uncertainty import DENOMINATOR
    from xmcbench.metrics.uncertainty import intervals as bootstrap

    if evidence.key not in memory.ends:
        arrays, names = evidence.arrays, evidence.metrics
        pairs = [(arrays[name], arrays.get(name + DENOMINATOR)) for name in names]
        found = dict(zip(names, bootstrap(pairs, SAMPLES, 0, groups=evidence.groups), strict=True))
        memory.ends[evidence.key] = [found.get(name, (None, None)) for name in TESTED]
    kept = memory.asked_ends[evidence.key] = memory.ends[evidence.key]
    return {name: ends for name, ends in zip(TESTED, kept, strict=True) if name in evidence.metrics}


@dataclass(frozen=True)
class Standing:
    """Of one metric: rank of each row, 1 + the rows of better ranks, and how many rows each is significantly better
    than."""

    ranks: list[int]
    separated: list[int]


def stand(rows: Sequence[Evidence], metric: str, values: Sequence[float], memory: Memory) -> Standing:
    """Rank rows in one metric.

    Parameters
    ----------
    rows : of one table, all with per-row numbers of the metric for the same documents.
    values : of the metric, mean over seeds, in the same order.
    """
    from xmcbench.metrics.randomisation import holm

    pairs = list(itertools.combinations(range(len(rows)), 2))
    adjusted = holm([_p(rows[i], rows[j], metric, memory) for i, j in pairs])
    order = sorted(range(len(rows)), key=lambda i: -values[i])
    place = {row: at for at, row in enumerate(order)}
    separated = [0] * len(rows)
    joined = list(range(len(rows)))  # place in the order → the last place that can't be told from it
    for (i, j), p in zip(pairs, adjusted, strict=True):
        better, worse = (i, j) if place[i] < place[j] else (j, i)
        if p < LEVEL and values[i] != values[j]:
            separated[better] += 1
        else:
            joined[place[better]] = max(joined[place[better]], place[worse])
    ranks, first, last = [1] * len(rows), 0, -1
    for at, row in enumerate(order):
        if at > last:  # nothing before reaches here
            first = at
        last = max(last, joined[at])
        ranks[row] = 1 + first
    return Standing(ranks, separated)


def _p(a: Evidence, b: Evidence, metric: str, memory: Memory) -> float:
    """The p-value of one pair; all tested metrics of a pair are tested at once, while their rows are at hand."""
    key = " ".join(sorted((a.key, b.key)))
    if key not in memory.p:
        memory.p[key] = _tested(a, b)
    kept = memory.asked_p[key] = memory.p[key]
    found = kept[TESTED.index(metric)]
    return 1.0 if found is None else found


def _tested(a: Evidence, b: Evidence) -> list[float | None]:
    if a.key > b.key:  # the same resamples whichever comes first
        a, b = b, a
    return [_tested_metric(a, b, name) for name in TESTED]


def _tested_metric(a: Evidence, b: Evidence, name: str) -> float | None:
    """p to six digits. A small one, which may decide a rank after the correction, is found again with more resamples:
    those of the first look are left out, so that looking twice makes nothing significant."""
    from xmcbench.metrics.randomisation import RESAMPLES, paired_test

    test = paired_test(a.arrays, b.arrays, name, a.groups)
    if test is None or test.p is None:
        return None
    p = test.p
    if 1 / (1 + RESAMPLES) <= p <= SMALL:  # below is a bound, not a count
        again = paired_test(a.arrays, b.arrays, name, a.groups, resamples=MANY, seed=1)
        assert again is not None
        assert again.p is not None
        p = again.p
    return float(f"{p:.6g}")


def _row(value: list[Any]) -> list[Any]:
    if len(value) != len(TESTED):
        raise ValueError(f"{len(value)} values for {len(TESTED)} metrics")
    return value


def _ends(value: Any) -> Ends:
    low, high = value
    return _number(low, -math.inf, math.inf), _number(high, -math.inf, math.inf)


def _number(value: Any, low: float, high: float) -> float | None:
    if value is None:
        return None
    number = float(value)
    if isinstance(value, str | bool) or not math.isfinite(number) or not low <= number <= high:
        raise ValueError(f"{value!r} is no number from {low} to {high}")
    return number
