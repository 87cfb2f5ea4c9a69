"""Which rows of a table can be told apart, and how sure each value is; remembered by the records looked at.

Ranks come from a paired randomisation test of each two rows (`xmcbench.metrics.randomisation`), near-duplicate
documents taken together, with Holm's correction over all pairs of a table and metric. A row's rank is one more than the
number of rows significantly better than it, so that rows which the test can't separate share one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xmcbench.board.evidence import Evidence
from xmcbench.errors import DataError
from xmcbench.results.board import TESTED

VERSION = 1  # of what is remembered: raise it when the test or the intervals change
LEVEL = 0.05  # of the family of tests of one table and metric, as usual in the field
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
            ends = {key: [(low, high) for low, high in value] for key, value in found["intervals"].items()}
            return cls(
                {key: [None if x is None else float(x) for x in value] for key, value in found["p"].items()}, ends
            )
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
    """Of one metric: rank of each row, 1 for the best, and how many rows each is significantly better than."""

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
    beaten = [0] * len(rows)
    separated = [0] * len(rows)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        if p < LEVEL and values[i] != values[j]:
            better, worse = (i, j) if values[i] > values[j] else (j, i)
            beaten[worse] += 1
            separated[better] += 1
    return Standing([1 + times for times in beaten], separated)


def _p(a: Evidence, b: Evidence, metric: str, memory: Memory) -> float:
    """The p-value of one pair; all tested metrics of a pair are tested at once, while their rows are at hand."""
    key = " ".join(sorted((a.key, b.key)))
    if key not in memory.p:
        memory.p[key] = _tested(a, b)
    kept = memory.asked_p[key] = memory.p[key]
    found = kept[TESTED.index(metric)]
    return 1.0 if found is None else found


def _tested(a: Evidence, b: Evidence) -> list[float | None]:
    from xmcbench.metrics.randomisation import paired_test

    if a.key > b.key:  # the same resamples whichever comes first
        a, b = b, a
    found = [paired_test(a.arrays, b.arrays, name, a.groups) for name in TESTED]
    return [None if test is None or test.p is None else float(f"{test.p:.6g}") for test in found]
