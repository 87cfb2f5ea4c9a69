"""A parsed data set: splits of rows, label texts, and the facts that metrics need."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.method import Facts, Inputs, TrainData

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.data.vectorizer import Vectorizer


@dataclass(frozen=True)
class Split:
    """Rows of a split: (n, d) CSR float32 features or None, n texts or None, (n, L) CSR float32 labels of ones.

    `ids` are the user's own ids of the n rows, as written in their file, or None. They are no part of the content.
    """

    features: sp.csr_matrix | None
    texts: Sequence[str] | None
    labels: sp.csr_matrix
    ids: Sequence[str] | None = None


def no_pairs() -> NDArray[np.int64]:
    """An empty filter."""
    return np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class Parsed:
    """What a recipe reads from the files of a data set.

    Attributes
    ----------
    train, test : the official splits.
    validation : the official development split, or None.
    label_texts : L strings, or None.
    train_filter, test_filter : (m, 2) int64 pairs (row, label) to exclude from evaluation; may be empty.
    label_groups : named boolean (L,) arrays for label slices in addition to head, torso, tail and seen-labels.
    row_groups : named boolean (n_test,) arrays for row slices, such as "novel".
    extra : JSON-serialisable, for records.
    vectorizer : makes the features of new texts; None where features are not made from texts. No part of the content.
    """

    train: Split
    test: Split
    validation: Split | None = None
    label_texts: Sequence[str] | None = None
    train_filter: NDArray[np.int64] = field(default_factory=no_pairs)
    test_filter: NDArray[np.int64] = field(default_factory=no_pairs)
    label_groups: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    row_groups: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    vectorizer: Vectorizer | None = None

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that exist: "train", "test" and perhaps "validation"."""
        official = {} if self.validation is None else {"validation": self.validation}
        return {"train": self.train, "test": self.test} | official


@dataclass(frozen=True, kw_only=True)
class Dataset(Parsed):
    """A data set in one view, parsed and checked.

    Attributes
    ----------
    name, view, revision : as in the catalogue.
    content_hash : "sha256:…" over the parsed arrays and texts; the data set's identity.
    propensity : (A, B) of Jain et al. 2016.
    """

    name: str
    view: str
    revision: str
    content_hash: str
    propensity: tuple[float, float]

    def __repr__(self) -> str:
        counts = [f"{rows.labels.shape[0]:,} {name} rows" for name, rows in self.splits.items()]
        width = self.facts().n_features
        counts += [f"{self.n_labels:,} labels", *([f"{width:,} features"] if width else [])]
        return f"<{self.name} ({self.view}): {', '.join(counts)}>"

    @property
    def n_labels(self) -> int:
        return int(self.train.labels.shape[1])

    @cached_property
    def near_groups(self) -> NDArray[np.int32]:
        """(n_test,) int32 smallest row number of each test row's near-duplicate group."""
        from xmcbench.data.near import near_groups

        return near_groups(self.test)

    def facts(self) -> Facts:
        """The counts and available inputs that `Method.skip` may use."""
        train = self.train
        inputs = {"features": train.features, "texts": train.texts, "label_texts": self.label_texts}
        return Facts(
            name=self.name,
            view=self.view,
            n_train=int(train.labels.shape[0]),
            n_test=int(self.test.labels.shape[0]),
            n_features=0 if train.features is None else int(train.features.shape[1]),
            n_labels=self.n_labels,
            available=frozenset(kind for kind, value in inputs.items() if value is not None),
        )

    def train_data(self) -> TrainData:
        """The official training rows as passed to a method."""
        return self._data(self.train)

    def validation_data(self) -> TrainData | None:
        """The official development rows, or None."""
        return None if self.validation is None else self._data(self.validation)

    def _data(self, rows: Split) -> TrainData:
        inputs = self._inputs(rows)
        return TrainData(inputs.features, inputs.texts, inputs.label_texts, self.n_labels, _read_only(rows.labels))

    def _inputs(self, rows: Split) -> Inputs:
        """Rows as objects of their own, so that a method that changes them changes nothing for others."""
        features = None if rows.features is None else _read_only(rows.features)
        return Inputs(features, _unchangeable(rows.texts), _unchangeable(self.label_texts), self.n_labels)

    def test_inputs(self) -> Inputs:
        """The test rows without their labels, as passed to `predict`."""
        return self._inputs(self.test)


def _read_only(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The same matrix in an own object, over views of its arrays that can't be written."""
    own = copy.copy(matrix)  # shares the arrays
    for part in ("data", "indices", "indptr"):
        view = getattr(matrix, part).view()
        view.flags.writeable = False
        setattr(own, part, view)
    return own


def _unchangeable(texts: Sequence[str] | None) -> Sequence[str] | None:
    return tuple(texts) if isinstance(texts, list) else copy.copy(texts)
