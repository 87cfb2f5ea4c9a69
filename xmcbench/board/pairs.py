"""Ranks and intervals of the rows of a table; test results are cached by the records that were tested.

Ranks come from a paired randomisation test of every pair of rows (`xmcbench.metrics.randomisation`) over near-duplicate
groups, with Holm's correction over all pairs of a table and metric. Rows that the test can't separate share a rank.
Inseparability is not transitive, so rows connected by a chain of inseparable rows share a rank too: every row of a
better rank is significantly better than every row of a worse rank. Within a rank, the number of rows that a row is
significantly better than shows differences.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from xmcbench import limits
from xmcbench.board.evidence import Evidence
from xmcbench.errors import DataError
from xmcbench.inputs import read_json, typed
from xmcbench.metrics.uncertainty import DENOMINATOR, NEAR
from xmcbench.records.row_values import TESTED

VERSION = 2  # of the cache: increase it when the test or the intervals change
LEVEL = 0.05  # family-wise error of the tests of one table and metric, as usual in the field
SMALL = 0.01  # largest p for which a test is repeated with MANY resamples: with 200 pairs Holm needs 0.00025
MANY = 200_000  # gives p = 0.00025 to ± 15 %; with 10,000 (± 63 %) ranks would depend on the random seed
SAMPLES = 1000  # bootstrap resamples of an interval, as in a run

Ends = tuple[float | None, float | None]
OfTested = Meta(min_length=len(TESTED), max_length=len(TESTED))  # one value for each metric of `TESTED`
PValues = Annotated[list[Annotated[float, Meta(ge=0, le=1)] | None], OfTested]
Intervals = Annotated[list[Ends], OfTested]


class Results(Struct):
    """p-values by the key of a pair of entries, and intervals by the key of an entry."""

    p: dict[str, PValues]
    intervals: dict[str, Intervals]


class _Version(Struct):
    version: int


class Cache:
    """Results of tests: `known` has those of earlier builds and of this one, `used` those that this build used."""

    def __init__(self, known: Results | None = None) -> None:
        self.known, self.used = known or Results({}, {}), Results({}, {})

    @classmethod
    def read(cls, path: Path) -> Cache:
        """Read what `text` returned; empty if there is no such file, or if it has another version.

        Raises
        ------
        DataError : the file is damaged.
        """
        if not path.is_file():
            return cls()
        try:
            content = read_json(path, most=limits.WHOLE_TEXT)
            if typed(content, _Version, str(path)).version != VERSION:
                return cls()
            return cls(typed(content, Results, str(path)))
        except DataError as error:
            problem = f"invalid test cache ({error.message})"
            raise DataError(f"{path}: {problem}", "Delete it: the next build makes it.") from error

    def text(self) -> str:
        """The used results as JSON for the next build, with a line for each pair and for each entry."""
        cache = {"version": VERSION, "tested": TESTED, **msgspec.structs.asdict(self.used)}
        return json.dumps(cache, sort_keys=True, separators=(",", ":")).replace('],"', '],\n"') + "\n"


def intervals(evidence: Evidence, cache: Cache) -> dict[str, Ends]:
    """Metric → 95 % interval over documents, for the metrics of the evidence."""
    from xmcbench.metrics.uncertainty import intervals as bootstrap

    if evidence.key not in cache.known.intervals:
        arrays, names = evidence.arrays, evidence.metrics
        pairs = [(arrays[name], arrays.get(name + DENOMINATOR)) for name in names]
        by_name = dict(zip(names, bootstrap(pairs, SAMPLES, 0, groups=arrays.get(NEAR)), strict=True))
        cache.known.intervals[evidence.key] = [by_name.get(name, (None, None)) for name in TESTED]
    cached = cache.used.intervals[evidence.key] = cache.known.intervals[evidence.key]
    return {name: ends for name, ends in zip(TESTED, cached, strict=True) if name in evidence.metrics}


def rank_rows(rows: Sequence[Evidence], metric: str, values: Sequence[float], cache: Cache) -> list[tuple[int, int]]:
    """For each row: its rank by one metric, 1 + number of rows with a better rank; and the number of rows that it is
    significantly better than.

    Parameters
    ----------
    rows : rows of one table, all with per-row numbers of the metric for the same documents.
    values : value of the metric for each of `rows`, mean over seeds.
    """
    from xmcbench.metrics.randomisation import holm

    pairs = list(itertools.combinations(range(len(rows)), 2))
    adjusted = holm([_p(rows[i], rows[j], metric, cache) for i, j in pairs])
    order = sorted(range(len(rows)), key=lambda i: -values[i])
    place = {row: at for at, row in enumerate(order)}
    separated = [0] * len(rows)
    reach = list(range(len(rows)))  # place in the order → last place that the test can't separate from it
    for (i, j), p in zip(pairs, adjusted, strict=True):
        better, worse = (i, j) if place[i] < place[j] else (j, i)
        if p < LEVEL and values[i] != values[j]:
            separated[better] += 1
        else:
            reach[place[better]] = max(reach[place[better]], place[worse])
    ranks, first, last = [1] * len(rows), 0, -1
    for at, row in enumerate(order):
        if at > last:  # separated from all better rows
            first = at
        last = max(last, reach[at])
        ranks[row] = 1 + first
    return list(zip(ranks, separated, strict=True))


def _p(a: Evidence, b: Evidence, metric: str, cache: Cache) -> float:
    """The p-value of one pair; all metrics of the pair are tested together, while their rows are in memory."""
    if a.key > b.key:  # p must not depend on the order
        a, b = b, a
    key = f"{a.key} {b.key}"
    if key not in cache.known.p:
        cache.known.p[key] = [_tested(a, b, name) for name in TESTED]
    cached = cache.used.p[key] = cache.known.p[key]
    p = cached[TESTED.index(metric)]
    return 1.0 if p is None else p


def _tested(a: Evidence, b: Evidence, name: str) -> float | None:
    """p to six digits. A small p, which may decide a rank after the correction, is estimated again with more resamples;
    the first resamples are not reused, since selecting by them would bias p."""
    from xmcbench.metrics.randomisation import RESAMPLES, paired_test

    groups = a.arrays.get(NEAR)
    test = paired_test(a.arrays, b.arrays, name, groups)
    if test is None or test.p is None:
        return None
    p = test.p
    if 1 / (1 + RESAMPLES) <= p <= SMALL:  # a smaller p is Hoeffding's bound, not an estimate
        again = paired_test(a.arrays, b.arrays, name, groups, resamples=MANY, seed=1)
        assert again is not None
        assert again.p is not None
        p = again.p
    return float(f"{p:.6g}")
