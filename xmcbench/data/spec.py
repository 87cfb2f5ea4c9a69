"""A parsed data set: splits of rows, label texts, and the facts that metrics need."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench import notebook
from xmcbench.errors import counted
from xmcbench.method import Facts, Inputs, TrainData

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.data.vectorizer import Vectorizer

SAMPLE = 1000  # rows, of which the spread is known to a few percent


@dataclass(frozen=True)
class Split:
    """Rows of a split: (n, d) CSR float32 features or None, n texts or None, (n, L) CSR float32 labels of ones.

    `ids` are the user's own ids of the n rows, as written in their file, or None. They are no part of the content.
    """

    features: sp.csr_matrix | None
    texts: Sequence[str] | None
    labels: sp.csr_matrix
    ids: Sequence[str] | None = None


@dataclass(frozen=True)
class Naming:
    """What readers see of labels: L short names, such as codes, and L label texts; each may be None."""

    names: Sequence[str] | None = None
    texts: Sequence[str] | None = None

    def name(self, label: int) -> str:
        """The short name of a label, else its text, else its id."""
        for given in (self.names, self.texts):
            if given is not None and (name := given[label]):
                return name
        return str(label)

    def text(self, label: int) -> str | None:
        """The text of a label that has another short name; None if its name is the text, or it has no text."""
        text = None if self.names is None or self.texts is None else self.texts[label]
        return text if text and text != self.name(label) else None


def title_of(name: str, text: str | None) -> str:
    """A label as people read it, from its `Naming.name` and `Naming.text`: "name", or "name · text"."""
    return name if text is None else f"{name} · {text}"


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
    label_names : L short names of labels that have texts besides, such as codes; "" for a label without one; or None.
        No part of the content.
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
    label_names: Sequence[str] | None = None

    @property
    def naming(self) -> Naming:
        """What readers see of the labels."""
        return Naming(self.label_names, self.label_texts)

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that exist: "train", "test" and perhaps "validation"."""
        official = {} if self.validation is None else {"validation": self.validation}
        return {"train": self.train, "test": self.test} | official


@dataclass(frozen=True, kw_only=True, repr=False)
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

    @property
    def n_labels(self) -> int:
        return int(self.train.labels.shape[1])

    @cached_property
    def near_groups(self) -> NDArray[np.int32]:
        """(n_test,) int32 smallest row number of each test row's near-duplicate group."""
        from xmcbench.data.near import near_groups

        return near_groups(self.test)

    def __repr__(self) -> str:
        rows = {which: split.labels.shape[0] for which, split in self.splits.items()}
        counts = f"{rows['train']:,} training and {rows['test']:,} test rows, {counted(self.n_labels, 'label')}"
        return f"<{self.name} ({self.view}): {counts}>"

    def _repr_html_(self) -> str:
        rows = [(which, *_counts(split)) for which, split in self.splits.items()]
        named = ["texts"] * (self.label_texts is not None) + ["names"] * (self.label_names is not None)
        labels = f"{counted(self.n_labels, 'label')} with {' and '.join(named) or 'neither names nor texts'}"
        caption = f"{self.name}, view {self.view}, revision {self.revision}: {labels}"
        return notebook.table(
            ("split", "rows", "labels per row", "features", "features per row", "texts"), rows, caption
        )

    def facts(self) -> Facts:
        """The counts and available inputs that `Method.skip` and `footprint` may use."""
        return self._facts

    @cached_property
    def _facts(self) -> Facts:
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
            entries=0 if train.features is None else int(train.features.nnz),
            test_entries=0 if self.test.features is None else int(self.test.features.nnz),
            pairs=int(train.labels.nnz),
            text_bytes=_bytes_of(train.texts) + _bytes_of(self.label_texts),
            seen=int(np.count_nonzero(np.bincount(train.labels.indices, minlength=1))),
            spread=0.0 if train.features is None else _spread(train.features),
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


def _spread(features: sp.csr_matrix) -> float:
    """Mean of (Σ x²)² / Σ x⁴ over the rows of a sample that have a value above 0: as many values of equal size."""
    step = max(1, features.shape[0] // SAMPLE)
    sample = abs(features[::step][:SAMPLE]).astype(np.float64)
    sample.data /= max(sample.data.max(initial=0.0), 1e-300)  # the fourth power of no value is too large for a float
    squares, fourths = (np.asarray(sample.power(power).sum(axis=1)).ravel() for power in (2, 4))
    filled = fourths > 0
    return float((squares[filled] ** 2 / fourths[filled]).mean()) if filled.any() else 0.0


def _bytes_of(texts: Sequence[str] | None) -> int:
    """Bytes of texts that are stored as bytes; 0 for others, which would have to be read."""
    offsets = getattr(texts, "offsets", None)
    return 0 if offsets is None or len(offsets) == 0 else int(offsets[-1] - offsets[0])


def _counts(split: Split) -> tuple[str, ...]:
    """Rows, labels per row, features, features per row, and whether there are texts, as readers see them."""
    n, features = split.labels.shape[0], split.features
    width, each = ("–", "–") if features is None else (f"{features.shape[1]:,}", f"{features.nnz / max(n, 1):.1f}")
    return f"{n:,}", f"{split.labels.nnz / max(n, 1):.2f}", width, each, "no" if split.texts is None else "yes"


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
