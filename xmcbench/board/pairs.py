"""Tests of all pairs of rows of a table, and the ranks that follow; results are cached by the records that were tested.

Each pair has a paired randomisation test (`xmcbench.metrics.randomisation`) over near-duplicate groups, with Holm's
correction over all pairs of a table and metric, and an interval of the difference by the bootstrap that also gives the
intervals of values. A row's rank is an interval: from 1 + the number of rows that are significantly better to the
number of rows minus those that are significantly worse. So a row that no test separates from three others has a rank
of four places, whatever the tests say of those three among themselves.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from xmcbench import limits
from xmcbench.board.evidence import Evidence
from xmcbench.board.model import Difference, Place
from xmcbench.errors import DataError
from xmcbench.inputs import read_json, typed
from xmcbench.records.row_values import TESTED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 4  # of the cache: increase it when the test or the intervals change

Ends = tuple[float | None, float | None]
OfTested = Meta(min_length=len(TESTED), max_length=len(TESTED))  # one value for each metric of `TESTED`
PValues = Annotated[list[Annotated[float, Meta(ge=0, le=1)] | None], OfTested]
Intervals = Annotated[list[Ends], OfTested]


class Results(Struct):
    """p-values and intervals of differences by the keys of two entries, and intervals by the key of an entry."""

    p: dict[str, PValues]
    differences: dict[str, Intervals]
    intervals: dict[str, Intervals]


class _Version(Struct):
    version: int


class Cache:
    """Results of tests: `known` has those of earlier builds and of this one, `used` those that this build used."""

    def __init__(self, known: Results | None = None) -> None:
        self.known, self.used = known or Results({}, {}, {}), Results({}, {}, {})

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
    if evidence.key not in cache.known.intervals:
        cache.known.intervals[evidence.key] = _of_tested(evidence.resampled)
    cached = cache.used.intervals[evidence.key] = cache.known.intervals[evidence.key]
    return {name: ends for name, ends in zip(TESTED, cached, strict=True) if name in evidence.metrics}


def differences(
    rows: Sequence[Evidence], metric: str, values: Sequence[float], cache: Cache
) -> dict[tuple[int, int], Difference]:
    """The difference of each pair of rows (i, j), i < j, by one metric.

    Parameters
    ----------
    rows : rows of one table, all with per-row numbers of the metric for the same documents.
    values : value of the metric for each of `rows`, mean over seeds.
    """
    from xmcbench.metrics.randomisation import holm

    pairs = list(itertools.combinations(range(len(rows)), 2))
    found = [_compared(rows[i], rows[j], metric, cache) for i, j in pairs]
    result = {}
    for (i, j), (_, low, high), p in zip(pairs, found, holm([p for p, _, _ in found]), strict=True):
        value = values[i] - values[j]
        # stored rows are float32: a difference that all resamples have may be outside of its interval by rounding
        if low is not None and high is not None:
            low, high = min(low, value), max(high, value)
        result[i, j] = Difference(value, low, high, p)
    return result


def places(n: int, found: Mapping[tuple[int, int], Difference]) -> list[Place]:
    """The ranks of n rows by the differences of their pairs."""
    better, worse = [0] * n, [0] * n
    for (i, j), difference in found.items():
        if difference.significant:
            first, second = (i, j) if difference.value > 0 else (j, i)
            worse[first] += 1
            better[second] += 1
    return [Place(1 + better[i], n - worse[i]) for i in range(n)]


def _compared(a: Evidence, b: Evidence, metric: str, cache: Cache) -> tuple[float, float | None, float | None]:
    """p, and the ends of the interval of a − b; all metrics of a pair are tested while their rows are in memory."""
    if swapped := a.key > b.key:  # results must not depend on the order
        a, b = b, a
    key, at = f"{a.key} {b.key}", TESTED.index(metric)
    if key not in cache.known.p or key not in cache.known.differences:
        cache.known.p[key] = [_tested(a, b, name) for name in TESTED]
        both = a.resampled.keys() & b.resampled.keys()
        cache.known.differences[key] = _of_tested({name: a.resampled[name] - b.resampled[name] for name in both})
    p = cache.used.p[key] = cache.known.p[key]
    ends = cache.used.differences[key] = cache.known.differences[key]
    low, high = ends[at]
    if swapped and low is not None and high is not None:
        low, high = -high, -low
    return 1.0 if p[at] is None else p[at] or 0.0, low, high


def _of_tested(values: Mapping[str, NDArray[np.float64]]) -> Intervals:
    """The interval of each metric of `TESTED`, to six digits."""
    import numpy as np

    from xmcbench.metrics.uncertainty import ends

    if not values:
        return [(None, None)] * len(TESTED)
    found = dict(zip(values, ends(np.stack(list(values.values()))), strict=True))
    of_each = [found.get(name, (None, None)) for name in TESTED]
    return [tuple(None if end is None else float(f"{end:.6g}") for end in of_one) for of_one in of_each]  # type: ignore[misc]


def _tested(a: Evidence, b: Evidence, name: str) -> float | None:
    """p to six digits."""
    from xmcbench.metrics.randomisation import p_of

    if name not in a.sums or name not in b.sums:
        return None
    return float(f"{p_of(a.sums[name], b.sums[name]):.6g}")
