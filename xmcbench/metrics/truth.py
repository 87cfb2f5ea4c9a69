"""The truth that predictions are scored against: true labels of test rows, label frequencies, propensities, slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError
from xmcbench.metrics.propensity import inverse_propensity

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.data.spec import Dataset

BY_FREQUENCY = ("head", "torso", "tail", "seen-labels")


@dataclass(frozen=True)
class Truth:
    """True labels of n test rows over L labels.

    Attributes
    ----------
    labels : (n, L) CSR, sorted indices, no duplicates and no stored zeros; its values are not read.
    inv_propensity : (L,) float64, see `propensity.inverse_propensity`; of length 0 without training labels.
    n_train : rows of the official training set; 0 without training labels.
    label_groups : (L,) bool arrays for label slices. With training labels there are always `head`, `torso`, `tail`
        (labels by descending training count, then id: labels that begin in the first third of the training pairs, in
        the second third, and all others) and `seen-labels` (at least one training row).
    row_groups : (n,) bool arrays for row slices.
    """

    labels: sp.csr_matrix
    inv_propensity: NDArray[np.float64]
    n_train: int
    label_groups: Mapping[str, NDArray[np.bool_]]
    row_groups: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def build(
        cls,
        test_labels: Any,
        train_labels: Any = None,
        propensity: tuple[float, float] = (0.55, 1.5),
        label_groups: Mapping[str, NDArray[np.bool_]] | None = None,
        row_groups: Mapping[str, NDArray[np.bool_]] | None = None,
    ) -> Truth:
        """A `Truth` from sparse label matrices; any value above 0 makes a label true.

        Parameters
        ----------
        test_labels, train_labels : (n, L) and (N, L) scipy sparse. Without `train_labels` there are no propensity
            metrics and no slices by frequency.
        propensity : (A, B); the default is Jain et al.'s for all data except Wikipedia and Amazon.

        Raises DataError: shapes disagree, no training rows, a negative value, or two slices of one name.
        """
        labels = _clean(test_labels)
        n, width = labels.shape
        groups: dict[str, NDArray[np.bool_]] = {}
        weights, n_train = np.zeros(0), 0
        if train_labels is not None:
            train = _clean(train_labels)
            n_train = int(train.shape[0])
            if train.shape[1] != width:
                raise DataError(
                    f"the truth has {width} labels, the training labels {train.shape[1]}", "Use one label space."
                )
            if n_train == 0:
                raise DataError(
                    "the training labels have no rows", "Propensities come from the official training rows."
                )
            counts = np.bincount(train.indices, minlength=width).astype(np.int64)
            weights = inverse_propensity(counts, n_train, *propensity)
            groups = by_frequency(counts)
        rows = {name: _mask(name, mask, n, "rows") for name, mask in (row_groups or {}).items()}
        for name, mask in (label_groups or {}).items():
            if name in groups:
                raise DataError(f"the label slice {name!r} is defined twice", f"Reserved: {', '.join(BY_FREQUENCY)}.")
            groups[name] = _mask(name, mask, width, "labels")
        if both := sorted(groups.keys() & rows.keys()):
            raise DataError(f"{both[0]!r} is a slice of labels and a slice of rows", "Rename one of them.")
        return cls(labels, weights, n_train, groups, rows)

    @classmethod
    def of(cls, dataset: Dataset) -> Truth:
        """The truth of a data set's test rows; frequencies and propensities are from its official training rows."""
        return cls.build(
            dataset.test.labels, dataset.train.labels, dataset.propensity, dataset.label_groups, dataset.row_groups
        )

    def rows(self, which: NDArray[np.int64]) -> Truth:
        """The truth of some test rows, ascending; frequencies, propensities and slices of labels stay."""
        groups = {name: mask[which] for name, mask in self.row_groups.items()}
        return replace(self, labels=self.labels[which], row_groups=groups)

    @property
    def n_rows(self) -> int:
        return int(self.labels.shape[0])

    @property
    def n_labels(self) -> int:
        return int(self.labels.shape[1])

    @property
    def indptr(self) -> NDArray[np.int64]:
        """(n + 1,) start of each row in `indices`; always int64 and read-only, as in a mapped file, so that
        kernels compile once."""
        return _read_only(np.asarray(self.labels.indptr, np.int64))

    @property
    def indices(self) -> NDArray[np.int32]:
        """(nnz,) label ids, row after row."""
        return _read_only(np.asarray(self.labels.indices, np.int32))

    def slices(self) -> list[str]:
        """Names of all slices."""
        return sorted([*self.label_groups, *self.row_groups])


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def by_frequency(counts: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """The slices head, torso, tail and seen-labels from (L,) training counts."""
    order = np.lexsort((np.arange(len(counts)), -counts))
    before = np.zeros(len(counts), np.int64)
    before[order] = np.cumsum(counts[order]) - counts[order]  # training pairs of all earlier labels
    total = int(counts.sum())
    head, front = 3 * before < total, 3 * before < 2 * total
    return {"head": head, "torso": front & ~head, "tail": ~front, "seen-labels": counts > 0}


def _clean(matrix: Any) -> sp.csr_matrix:
    """A CSR matrix, sorted, without duplicates and stored zeros: the given one if it is that, else a copy."""
    import scipy.sparse as sp

    source = sp.csr_matrix(matrix)
    if source.nnz == len(source.data) > 0 and source.data.min() > 0 and source.has_canonical_format:
        return source
    if (source.data < 0).any():
        row = int(np.searchsorted(source.indptr, (source.data < 0).argmax(), side="right")) - 1
        raise DataError(f"the truth or the training labels: row {row} has a negative value", "1 marks a true label.")
    copy = sp.csr_matrix((source.data != 0, source.indices.copy(), source.indptr.copy()), shape=source.shape)
    copy.sum_duplicates()
    copy.eliminate_zeros()
    return copy


def _mask(name: str, mask: Any, length: int, of: str) -> NDArray[np.bool_]:
    array = np.ascontiguousarray(mask)
    if array.dtype != np.bool_ or array.shape != (length,):
        raise DataError(f"slice {name!r} is {array.dtype} {array.shape}, expected bool ({length},): one per {of[:-1]}")
    return array
