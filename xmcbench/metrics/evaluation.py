"""`evaluate`: predictions and truth in, values with intervals and best reachable values out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, UsageError, unknown
from xmcbench.metrics.labels import LabelStats
from xmcbench.metrics.names import DEFAULT, Name, parse_all
from xmcbench.metrics.partition import everywhere
from xmcbench.metrics.stats import Stats
from xmcbench.metrics.truth import BY_FREQUENCY, Truth
from xmcbench.metrics.uncertainty import DENOMINATOR, Pair, intervals
from xmcbench.topk import TopK


@dataclass(frozen=True)
class Value:
    """One metric of one set of predictions; None where undefined (0/0) or, for low and high, not computed.

    Attributes
    ----------
    name : canonical.
    value : a fraction.
    best : the most any ranking could reach on this truth (an upper bound where the definition says so).
    low, high : 95 % bootstrap interval over rows.
    rows : rows that count. rows_without_labels : rows in the slice without a true label; the definition's `empty` says
        what they do, and in a slice of labels they are left out.
    version : of the definition.
    """

    name: str
    value: float | None
    best: float | None
    low: float | None
    high: float | None
    rows: int
    rows_without_labels: int
    version: int


@dataclass(frozen=True)
class Evaluation:
    """Values in the order asked for; `rows` has (n,) float32 numerators under each name and, unless every row counts
    once, denominators under name + "/den"; `notes` are sentences a user should see."""

    values: list[Value]
    rows: dict[str, NDArray[np.float32]]
    notes: list[str] = field(default_factory=list)

    def fractions(self) -> dict[str, float | None]:
        """Value by name."""
        return {v.name: v.value for v in self.values}


Found = dict[Name, tuple[Value, Pair | None]]


def evaluate(
    topk: TopK,
    truth: Truth,
    names: Iterable[str | Name] = DEFAULT,
    *,
    samples: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int32] | None = None,
) -> Evaluation:
    """Score predictions.

    A slice of rows (P@1:novel) counts those rows alone. A slice of labels (P@5:tail) takes the truth restricted to its
    labels; ranks stay those of the full list, and rows without a true label in the slice are left out.

    Parameters
    ----------
    topk : (n, k) predictions in the one order, filter pairs already removed.
    names : metric names. samples : bootstrap resamples, 0 for no intervals. seed : of the resampling.
    groups : (n,) smallest row number of each row's group of near-duplicates, which resamples draw whole; None: no row
        is near another.

    Raises
    ------
    UsageError : unknown metric or slice, or one that needs training labels the truth doesn't have.
    DataError : predictions of other rows or labels, or a label twice in a row.
    """
    wanted = parse_all(names)
    _check_needs(wanted, truth)
    ranks, shown = find_ranks(topk, truth, wanted)
    found: Found = {}
    for part in dict.fromkeys(name.slice for name in wanted):
        members = [name for name in wanted if name.slice == part]
        scope = _Scope.of(truth, part)
        found |= _of_rows([n for n in members if n.definition.kind != "over labels"], scope, truth, ranks)
        found |= _of_labels([n for n in members if n.definition.kind == "over labels"], scope, truth, ranks, shown)
    pairs = {name: pair for name in wanted if (pair := found[name][1]) is not None}
    ends = dict(zip(pairs, intervals(list(pairs.values()), samples, seed, groups), strict=True))
    values = []
    rows: dict[str, NDArray[np.float32]] = {}
    for name in wanted:
        low, high = ends.get(name, (None, None))
        values.append(replace(found[name][0], low=low, high=high))
        if name in pairs:
            rows[str(name)] = pairs[name][0]
            if (bottom := pairs[name][1]) is not None:
                rows[str(name) + DENOMINATOR] = bottom
    return Evaluation(values, rows, _notes(wanted, topk, truth))


def depth(names: Iterable[Name], truth: Truth) -> int | None:
    """How many ranks the metrics look at; None for all there are (RR without a cut-off)."""
    deepest = 0
    for name in names:
        if name.k is not None:
            deepest = max(deepest, name.k)
        elif name.definition.cut == "optional":
            return None
        else:  # R-Precision
            deepest = max(deepest, int(np.diff(truth.indptr).max(initial=0)))
    return deepest


def find_ranks(topk: TopK, truth: Truth, wanted: list[Name]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(nnz,) rank of each true label, 0 where it is not among the columns the metrics look at; and the (n, s) columns
    of the predictions that the metrics over labels look at.

    Raises
    ------
    DataError : with the first offending row.
    """
    from xmcbench.metrics import kernels

    if topk.ids.ndim != 2 or topk.n_rows != truth.n_rows:
        raise DataError(
            f"predictions are {topk.ids.shape}, the truth has {truth.n_rows} rows",
            "One row of predictions for each test row, in the same order.",
        )
    ids = np.ascontiguousarray(topk.ids, np.int32)
    deepest = depth(wanted, truth)
    width = topk.k if deepest is None else min(topk.k, deepest)
    ranks, faults = np.zeros(truth.labels.nnz, np.int32), np.zeros(truth.n_rows, np.uint8)
    over_labels = [name.k or 1 for name in wanted if name.definition.kind == "over labels"]
    shown = np.empty((truth.n_rows, min(width, max(over_labels, default=0))), np.int32)
    entries = (ids, width, truth.indptr, truth.indices, truth.n_labels, ranks, faults, shown)
    everywhere(truth.n_rows, lambda begin, end: kernels.find_ranks(begin, end, *entries))
    if faults.any():
        row = int(np.flatnonzero(faults)[0])
        if faults[row] == kernels.OUTSIDE:
            raise DataError(f"predictions: row {row} names a label outside 0 to {truth.n_labels - 1} (−1 is padding)")
        raise DataError(f"predictions: row {row} names a label twice", "Build predictions with TopK.from_arrays.")
    return ranks, shown


@dataclass(frozen=True)
class _Scope:
    """What one slice lets count.

    Attributes
    ----------
    keep : (L,) labels, None for all. inside : (n,) rows, None for all.
    some : (n,) rows with a true label among those of `keep`.
    """

    keep: NDArray[np.bool_] | None
    inside: NDArray[np.bool_] | None
    some: NDArray[np.bool_]

    @classmethod
    def of(cls, truth: Truth, part: str | None) -> _Scope:
        keep, inside = truth.label_groups.get(part or ""), truth.row_groups.get(part or "")
        indptr = truth.indptr
        if keep is None:
            return cls(keep, inside, indptr[1:] > indptr[:-1])
        kept = np.concatenate(([0], np.cumsum(keep[truth.indices])))[indptr]
        return cls(keep, inside, kept[1:] > kept[:-1])

    @cached_property
    def members(self) -> NDArray[np.bool_]:
        """(n,) the rows of the slice."""
        return np.ones(len(self.some), np.bool_) if self.inside is None else self.inside

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """Rows of the slice, and those of them with a true label."""
        return int(self.members.sum()), int((self.members & self.some).sum())

    @cached_property
    def _each(self) -> NDArray[np.float32]:
        return self.members.astype(np.float32)

    @cached_property
    def _labelled(self) -> NDArray[np.float32]:
        return (self.members & self.some).astype(np.float32)

    def leaves_out(self, name: Name) -> bool:
        """Rows without a true label have no part: asked for, or because a slice of labels is."""
        return self.keep is not None or name.skips_empty

    def counted(self, name: Name) -> int:
        """How many rows a mean is over."""
        return self.sizes[self.leaves_out(name)]

    def once(self, name: Name) -> NDArray[np.float32] | None:
        """(n,) 1 for the rows a mean is over, the same array for all metrics; None if they are all rows."""
        if self.leaves_out(name):
            return self._labelled
        return None if self.inside is None else self._each

    def value(self, name: Name, value: float | None, best: float | None) -> Value:
        """The value without its interval."""
        rows, with_labels = self.sizes
        version = name.definition.version
        return Value(str(name), value, best, None, None, self.counted(name), rows - with_labels, version)


def _of_rows(names: list[Name], scope: _Scope, truth: Truth, ranks: NDArray[np.int32]) -> Found:
    """Values of the metrics of one slice that count rows, with their per-row numbers."""
    if not names:
        return {}
    indptr, indices = truth.indptr, truth.indices
    cuts = {name: _cut(name, ranks) for name in names}
    weighted = [k for name, k in cuts.items() if name.definition.weighted]
    plain = [k for name, k in cuts.items() if not name.definition.weighted]
    ratios = [name for name in names if name.definition.kind == "ratio of sums"]
    block = np.empty((len(names) + len(ratios), truth.n_rows), np.float32)  # in one: large ones cost fewer page faults
    numbers, most = block[: len(names)], dict(zip(ratios, block[len(names) :], strict=True))

    def count(begin: int, end: int) -> NDArray[np.float64]:
        """Fill the block's rows from begin to end and return its (names, 2) sums, in float64."""
        own = slice(indptr[begin], indptr[end])
        entries = (ranks[own], indptr[begin : end + 1], indices[own])
        stats = Stats(*entries, scope.keep, plain, truth.inv_propensity, weighted)
        sums = np.zeros((len(names), 2))
        for at, (name, k) in enumerate(cuts.items()):
            for side, rule, kept in ((0, name.definition.row, numbers[at]), (1, name.definition.best, most.get(name))):
                assert rule is not None
                column = rule(stats, k)
                if scope.inside is not None:
                    column = column * scope.inside[begin:end]
                if kept is not None:
                    kept[begin:end] = column
                sums[at, side] = column.sum()
        return sums

    sums = sum(everywhere(truth.n_rows, count), np.zeros((len(names), 2)))
    found: Found = {}
    for at, name in enumerate(names):
        top, best = float(sums[at, 0]), float(sums[at, 1])
        divisor = best if name in most else float(scope.counted(name))
        value = scope.value(name, top / divisor, best / divisor) if divisor else scope.value(name, None, None)
        found[name] = value, (numbers[at], most[name] if name in most else scope.once(name))
    return found


def _of_labels(
    names: list[Name], scope: _Scope, truth: Truth, ranks: NDArray[np.int32], shown: NDArray[np.int32]
) -> Found:
    """Values of the metrics of one slice that average over labels."""
    if not names:
        return {}
    every = np.ones(truth.n_labels, np.bool_) if scope.keep is None else scope.keep
    stats = LabelStats(shown, ranks, truth.indptr, truth.indices, every, scope.members)
    found: Found = {}
    for name in names:
        rule, k = name.definition, name.k or 1
        assert rule.label is not None
        value = best = None
        if stats.true(k).any():
            value = rule.label(stats, k)
            best = rule.label_best(stats, k) if rule.label_best else None
        found[name] = scope.value(name, value, best), None
    return found


def _cut(name: Name, ranks: NDArray[np.int32]) -> int:
    """The cut-off; without one, the last rank there is."""
    return name.k if name.k is not None else max(1, int(ranks.max(initial=0)))


def _check_needs(wanted: list[Name], truth: Truth) -> None:
    """Refuse what this truth can't answer; everything wrong is reported together."""
    wrong: list[str] = []
    for name in wanted:
        if name.definition.weighted and truth.n_train == 0:
            wrong.append(f"{name} needs the training labels\n  Propensities come from them: give --train-labels.")
        elif name.definition.weighted and (truth.inv_propensity < 1).any():
            raise DataError(
                f"{name}: with {truth.n_train} training rows Jain et al.'s propensities pass 1",
                "They need at least 3 training rows.",
            )
        elif name.slice in BY_FREQUENCY and truth.n_train == 0:
            wrong.append(f"{name} needs the training labels\n  Frequencies come from them: give --train-labels.")
        elif name.slice and name.slice not in truth.slices():
            wrong.append(str(unknown(f"slice in {str(name)!r}:", name.slice, truth.slices())))
    if wrong:
        raise UsageError("\n".join(wrong))


def _notes(wanted: list[Name], topk: TopK, truth: Truth) -> list[str]:
    short = [str(n) for n in wanted if n.k is not None and min(n.k, truth.n_labels) > topk.k]
    if not short:
        return []
    return [f"predictions hold {topk.k} labels a row: the missing ones count as misses in {', '.join(short)}"]
