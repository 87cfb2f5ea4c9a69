"""`evaluate`: scores predictions against the truth, with intervals and best reachable values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, UsageError, counted, unknown
from xmcbench.metrics.labels import LabelStats
from xmcbench.metrics.names import DEFAULT, Name, parse_all
from xmcbench.metrics.partition import everywhere
from xmcbench.metrics.stats import Stats
from xmcbench.metrics.truth import BY_FREQUENCY, Truth
from xmcbench.metrics.uncertainty import DENOMINATOR, Pair, intervals
from xmcbench.topk import TopK, reject_repeats


@dataclass(frozen=True)
class Value:
    """One metric of one set of predictions; None where undefined (0/0) or, for low and high, not computed.

    Attributes
    ----------
    name : canonical metric name.
    value : a fraction.
    best : best value any ranking could reach on this truth (an upper bound where the definition says so).
    low, high : 95 % bootstrap interval over rows.
    rows : rows that count. rows_without_labels : rows in the slice without a true label; the definition's `empty` says
        how they count, and a slice of labels leaves them out.
    version : version of the definition.
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
    """Values in the requested order.

    `rows` has (n,) float32 numerators under each name and, unless every row counts once, denominators under
    name + "/den". `notes` are messages for the user.
    """

    values: list[Value]
    rows: dict[str, NDArray[np.float32]]
    notes: list[str] = field(default_factory=list)

    def fractions(self) -> dict[str, float | None]:
        """Value by name."""
        return {v.name: v.value for v in self.values}


IN_SLICES = ("P@1", "R@100")  # the first label shown, and the recall of a shortlist
ValuesAndPairs = dict[Name, tuple[Value, Pair | None]]  # values without intervals, and the per-row numbers behind them


def default_metrics(truth: Truth) -> list[str]:
    """The metrics where a user names none: `DEFAULT`, then `IN_SLICES` for every slice that `truth` has."""
    slices = [*truth.label_groups, *truth.row_groups]
    return [*DEFAULT, *(f"{name}:{part}" for part in slices for name in IN_SLICES)]


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

    A slice of rows (P@1:novel) counts only those rows. A slice of labels (P@5:tail) restricts the truth to its labels;
    ranks stay those of the full list, and rows without a true label in the slice are left out.

    Parameters
    ----------
    topk : (n, k) predictions sorted as `TopK` sorts them, filter pairs already removed.
    names : metric names. samples : bootstrap resamples, 0 for no intervals. seed : of the resampling.
    groups : (n,) smallest row number of each row's near-duplicate group; resamples draw whole groups. None: every row
        is its own group.

    Raises
    ------
    UsageError : unknown metric or slice, or one that needs training labels the truth doesn't have.
    DataError : predictions of other rows or labels, or a label twice in a row.

    Examples
    --------
    Two rows of three labels; the first predicted label is true in the first row alone:

    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from xmcbench import TopK, evaluate
    >>> from xmcbench.metrics import Truth
    >>> truth = Truth.build(sp.csr_matrix([[1, 0, 1], [0, 1, 0]]))
    >>> topk = TopK.from_arrays(np.array([[0, 1], [2, 1]]), np.array([[0.9, 0.1], [0.8, 0.7]]))
    >>> evaluate(topk, truth, ["P@1", "R@2"], samples=0).fractions()
    {'P@1': 0.5, 'R@2': 0.75}
    """
    metrics = parse_all(names)
    check_needs(metrics, truth)
    ranks, top_ids = find_ranks(topk, truth, metrics)
    values_and_pairs: ValuesAndPairs = {}
    for part in dict.fromkeys(name.slice for name in metrics):
        members = [name for name in metrics if name.slice == part]
        scope = _Scope.of(truth, part)
        values_and_pairs |= _of_rows(members, scope, truth, ranks) | _of_labels(members, scope, truth, ranks, top_ids)
    pairs = {name: pair for name in metrics if (pair := values_and_pairs[name][1]) is not None}
    ends = dict(zip(pairs, intervals(list(pairs.values()), samples, seed, groups), strict=True))
    values = []
    rows: dict[str, NDArray[np.float32]] = {}
    for name in metrics:
        low, high = ends.get(name, (None, None))
        values.append(replace(values_and_pairs[name][0], low=low, high=high))
        if name in pairs:
            rows[str(name)] = pairs[name][0]
            if (denominators := pairs[name][1]) is not None:
                rows[str(name) + DENOMINATOR] = denominators
    return Evaluation(values, rows, _notes(metrics, topk, truth))


def depth(names: Iterable[Name], truth: Truth) -> int | None:
    """How many ranks the metrics read; None for all of them (RR without a cut-off)."""
    names = list(names)
    whole = [name.definition.cut for name in names if name.k is None]
    if "optional" in whole:
        return None
    most_labels = [int(np.diff(truth.indptr).max(initial=0))] if whole else []  # R-Precision
    return max([*most_labels, *(name.k for name in names if name.k is not None)], default=0)


def find_ranks(topk: TopK, truth: Truth, metrics: list[Name]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(nnz,) rank of each true label, 0 if it is not in the columns that the metrics read; and the (n, s) first columns
    of the predictions, which the metrics over labels read.

    Raises DataError: with the first offending row.
    """
    from xmcbench.metrics import kernels

    if topk.ids.ndim != 2 or topk.n_rows != truth.n_rows:
        raise DataError(
            f"predictions are {topk.ids.shape}, the truth has {truth.n_rows} rows",
            "One row of predictions for each test row, in the same order.",
        )
    ids = np.ascontiguousarray(topk.ids, np.int32)
    deepest = depth(metrics, truth)
    width = topk.k if deepest is None else min(topk.k, deepest)
    ranks, faults = np.zeros(truth.labels.nnz, np.int32), np.zeros(truth.n_rows, np.uint8)
    over_labels = [name.k or 1 for name in metrics if name.definition.kind == "over labels"]
    top_ids = np.empty((truth.n_rows, min(width, max(over_labels, default=0))), np.int32)
    pattern, found = kernels.Pattern(truth.indptr, truth.indices), kernels.Ranks(ranks, faults, top_ids)
    entries = ids, width, pattern, truth.n_labels, found
    everywhere(truth.n_rows, lambda begin, end: kernels.find_ranks(begin, end, *entries))
    if faults.any():
        row = int((faults > 0).argmax())
        reject_repeats(ids[row : row + 1, :width], range(row, row + 1))
        raise DataError(f"predictions: row {row} names a label outside 0 to {truth.n_labels - 1} (−1 is padding)")
    return ranks, top_ids


@dataclass(frozen=True)
class _Scope:
    """The labels and rows of one slice.

    Attributes
    ----------
    label_mask : (L,) labels of the slice, None for all. row_mask : (n,) rows of the slice, None for all.
    has_labels : (n,) whether the row has a true label in `label_mask`.
    """

    label_mask: NDArray[np.bool_] | None
    row_mask: NDArray[np.bool_] | None
    has_labels: NDArray[np.bool_]

    @classmethod
    def of(cls, truth: Truth, part: str | None) -> _Scope:
        label_mask, row_mask = truth.label_groups.get(part or ""), truth.row_groups.get(part or "")
        indptr = truth.indptr
        if label_mask is None:
            return cls(label_mask, row_mask, indptr[1:] > indptr[:-1])
        has_labels, mask = np.empty(truth.n_rows, np.bool_), label_mask

        def count(begin: int, end: int) -> None:
            inside = mask[truth.indices[indptr[begin] : indptr[end]]]
            counts = np.concatenate(([0], np.cumsum(inside)))[indptr[begin : end + 1] - indptr[begin]]
            has_labels[begin:end] = counts[1:] > counts[:-1]

        everywhere(truth.n_rows, count)
        return cls(label_mask, row_mask, has_labels)

    @cached_property
    def members(self) -> NDArray[np.bool_]:
        """(n,) whether the row is in the slice."""
        return np.ones(len(self.has_labels), np.bool_) if self.row_mask is None else self.row_mask

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """Number of rows in the slice, and number of these with a true label."""
        return int(self.members.sum()), int((self.members & self.has_labels).sum())

    @cached_property
    def _columns(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n,) 1 for the rows that `sizes` counts."""
        return self.members.astype(np.float32), (self.members & self.has_labels).astype(np.float32)

    def skips_empty(self, name: Name) -> bool:
        """Whether the mean leaves out rows without a true label: on request, or because the slice is one of labels."""
        return self.label_mask is not None or name.skips_empty

    def row_count(self, name: Name) -> int:
        """Number of rows in the mean."""
        return self.sizes[self.skips_empty(name)]

    def denominators(self, name: Name) -> NDArray[np.float32] | None:
        """(n,) 1 for rows in the mean, the same array for all metrics; None if the mean is over all rows."""
        skips = self.skips_empty(name)
        return self._columns[skips] if skips or self.row_mask is not None else None

    def value(self, name: Name, value: float | None, best: float | None) -> Value:
        """A `Value` without its interval."""
        rows, with_labels = self.sizes
        version = name.definition.version
        return Value(str(name), value, best, None, None, self.row_count(name), rows - with_labels, version)


def _of_rows(names: list[Name], scope: _Scope, truth: Truth, ranks: NDArray[np.int32]) -> ValuesAndPairs:
    """Values of those of one slice's metrics that are over rows, with their per-row numbers."""
    if not (names := [name for name in names if name.definition.kind != "over labels"]):
        return {}
    indptr, indices = truth.indptr, truth.indices
    cuts = {name: _cut(name, ranks) for name in names}
    weighted = [k for name, k in cuts.items() if name.definition.weighted]
    plain = [k for name, k in cuts.items() if not name.definition.weighted]
    ratios = [name for name in names if name.definition.kind == "ratio of sums"]
    block = np.empty((len(names) + len(ratios), truth.n_rows), np.float32)  # one large array costs fewer page faults
    numerators, denominators = block[: len(names)], dict(zip(ratios, block[len(names) :], strict=True))

    def count(begin: int, end: int) -> NDArray[np.float64]:
        """Fill columns begin to end of `block` and return their (names, 2) sums, in float64."""
        pairs = slice(indptr[begin], indptr[end])
        entries = (ranks[pairs], indptr[begin : end + 1], indices[pairs])
        stats = Stats(*entries, scope.label_mask, plain, truth.inv_propensity, weighted)
        sums = np.zeros((len(names), 2))
        for i, (name, k) in enumerate(cuts.items()):
            rules = ((0, name.definition.row, numerators[i]), (1, name.definition.best, denominators.get(name)))
            for side, rule, out in rules:
                assert rule is not None
                column = rule(stats, k)
                if scope.row_mask is not None:
                    column = column * scope.row_mask[begin:end]
                if out is not None:
                    out[begin:end] = column
                sums[i, side] = column.sum()
        return sums

    sums = sum(everywhere(truth.n_rows, count), np.zeros((len(names), 2)))
    values_and_pairs: ValuesAndPairs = {}
    for i, name in enumerate(names):
        total, best = float(sums[i, 0]), float(sums[i, 1])
        divisor = best if name in denominators else float(scope.row_count(name))
        value = scope.value(name, total / divisor, best / divisor) if divisor else scope.value(name, None, None)
        pair = numerators[i], denominators[name] if name in denominators else scope.denominators(name)
        values_and_pairs[name] = value, pair
    return values_and_pairs


def _of_labels(
    names: list[Name], scope: _Scope, truth: Truth, ranks: NDArray[np.int32], top_ids: NDArray[np.int32]
) -> ValuesAndPairs:
    """Values of those of one slice's metrics that are over labels."""
    if not (names := [name for name in names if name.definition.kind == "over labels"]):
        return {}
    label_mask = np.ones(truth.n_labels, np.bool_) if scope.label_mask is None else scope.label_mask
    stats = LabelStats(top_ids, ranks, truth.indptr, truth.indices, label_mask, scope.members)
    values_and_pairs: ValuesAndPairs = {}
    for name in names:
        rule, k = name.definition, name.k or 1
        assert rule.label is not None
        value = best = None
        if stats.true(k).any():
            value = rule.label(stats, k)
            best = rule.label_best(stats, k) if rule.label_best else None
        values_and_pairs[name] = scope.value(name, value, best), None
    return values_and_pairs


def _cut(name: Name, ranks: NDArray[np.int32]) -> int:
    """The cut-off; without one, the largest rank of any true label."""
    return name.k if name.k is not None else max(1, int(ranks.max(initial=0)))


def check_needs(metrics: list[Name], truth: Truth) -> None:
    """Raise if this truth lacks something a metric needs; all faults are reported together."""
    faults: list[str] = []
    for name in metrics:
        if name.definition.weighted and truth.n_train == 0:
            faults.append(f"{name} needs the training labels\n  Propensities come from them: give --train-labels.")
        elif name.definition.weighted and truth.n_train < 3:
            raise DataError(
                f"{name}: with {counted(truth.n_train, 'training row')} Jain et al.'s propensities exceed 1",
                "They need at least 3 training rows.",
            )
        elif name.definition.weighted and not np.isfinite(truth.inv_propensity).all():
            label = int((~np.isfinite(truth.inv_propensity)).argmax())
            raise DataError(
                f"{name}: with these A and B, label {label} has no propensity above 0",
                "A label's training rows plus B must be above 0: choose B above 0 if a label may have no training row.",
            )
        elif name.slice in BY_FREQUENCY and truth.n_train == 0:
            faults.append(f"{name} needs the training labels\n  Frequencies come from them: give --train-labels.")
        elif name.slice and name.slice not in truth.slices():
            faults.append(str(unknown(f"slice in {str(name)!r}:", name.slice, truth.slices())))
    if faults:
        raise UsageError("\n".join(faults))


def _notes(metrics: list[Name], topk: TopK, truth: Truth) -> list[str]:
    notes = []
    short = [str(n) for n in metrics if n.k is not None and min(n.k, truth.n_labels) > topk.k]
    if short:
        missing = f"the missing ones count as misses in {', '.join(short)}"
        notes.append(f"predictions have {counted(topk.k, 'label')} per row: {missing}")
    deepest = min(topk.k, depth(metrics, truth) or topk.k)

    def tied(begin: int, end: int) -> int:
        given = None if topk.given is None else topk.given[begin:end]
        return int(TopK(topk.ids[begin:end], topk.scores[begin:end], given).tied(deepest).sum())

    if n_tied := sum(everywhere(topk.n_rows, tied)):
        notes.append(
            f"{n_tied:,} of {topk.n_rows:,} rows have equal scores within the first {deepest} labels or across that "
            "limit: the lower label id comes first, and other programs may choose otherwise"
        )
    return notes
