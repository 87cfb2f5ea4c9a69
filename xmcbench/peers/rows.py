"""What all peers share: their input rows, model folders, predictions, and silence."""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError
from xmcbench.files import write_npz
from xmcbench.method import Footprint, Inputs, Machine, MethodInfo, TrainData, check_bounds
from xmcbench.methods.helpers import features_of, not_a_model, not_fitted
from xmcbench.npz_files import read_npz
from xmcbench.peers import packages
from xmcbench.topk import PAD, TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.method import Facts

ROWS = 1024  # rows between two progress reports, which check Ctrl-C and the deadline
WORKING = 100 << 20  # bytes of a peer's libraries and working arrays
PER_WEIGHT = 16  # bytes of the peer per weight
NOTES = "xmcbench.npz"  # in the model folder, next to the peer's files


def training(name: str, train: TrainData) -> tuple[sp.csr_matrix, sp.csr_matrix, NDArray[np.int32]]:
    """Return (n, d) features of L2 norm one, (n, s) labels, and the s label ids that have a training row.

    Both matrices are float32 CSR copies with sorted indices. Labels without a training row are left out: they
    can't be learned, and napkinXC's tree crashes on trailing ones. DataError if there are no features, or no row has a
    label: the peers would end the whole process.
    """
    import scipy.sparse as sp

    from xmcbench.sparse.csr import unit_rows

    assert train.features is not None
    seen = np.flatnonzero(np.bincount(train.labels.indices, minlength=train.n_labels)).astype(np.int32)
    if len(seen) == 0:
        raise DataError(f"{name}: no training row has a label", "There is nothing to learn from.")
    if train.features.shape[1] == 0:
        raise DataError(f"{name}: the rows have no features at all", "Choose another view of the data set.")
    labels = sp.csr_matrix(train.labels[:, seen], dtype=np.float32)
    labels.sort_indices()
    features = unit_rows(train.features).copy()
    features.sort_indices()
    return features, labels, seen


def parameters_of(params: object) -> str:
    """The hint for an error that the peer raised: the parameters of the run, as a user types them."""
    return "The parameters were " + ", ".join(f"{name}={value}" for name, value in vars(params).items()) + "."


def queries(name: str, inputs: Inputs, n_features: int) -> sp.csr_matrix:
    """Features to predict for: an (n, d) float32 CSR copy with rows of L2 norm one.

    UsageError if there is no model yet; DataError if the width differs from the width of the training rows.
    """
    from xmcbench.sparse.csr import unit_rows

    if n_features == 0:
        raise not_fitted(name, "predict")
    return unit_rows(features_of(name, inputs, n_features))


def dataset_ids(ids: NDArray[np.int32], seen: NDArray[np.int32]) -> NDArray[np.int32]:
    """Map a peer's label ids, which are indices into `seen`, to label ids of the data set; padding stays."""
    return np.where(ids < 0, ids, seen[ids])


@contextmanager
def quiet() -> Iterator[None]:
    """Redirect file descriptors 1 and 2 of the whole process to the null device, and restore them afterwards.

    Python's buffers are flushed before and after, so that text written outside the block is not lost.
    """

    def flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()

    flush()
    saved = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            for descriptor, _ in saved:
                os.dup2(null, descriptor)
        finally:
            os.close(null)
        yield
    finally:
        flush()
        for descriptor, copy in saved:
            os.dup2(copy, descriptor)
            os.close(copy)


def _weights(data: Facts) -> int:
    """Expected number of weights of a tree."""
    from xmcbench.methods.sizes import labels_with_rows, linear_weights, rows_per_label

    positives = rows_per_label(data)
    return int(labels_with_rows(data) * linear_weights(data, positives, 100 * positives, 0.1))


class PeerMethod(ABC):
    """What all peers have: parameters, a model folder, and notes in it, since a peer's own files lack them.

    Attributes
    ----------
    n_features : d of the training rows; 0 before `fit` or `load`. seen : label ids that have a training row, ascending.
    folder : the folder of the peer's model, or None.
    """

    info: ClassVar[MethodInfo]
    PER_ENTRY: ClassVar[int] = 64  # bytes of the peer per stored feature; measured, see `tests/benchmarks/memory.py`

    def __init__(self, params: Any) -> None:
        check_bounds(self.info.name, params)
        self.params = params
        self.n_features = 0
        self.seen: NDArray[np.int32] = np.empty(0, np.int32)
        self.folder: Path | None = None

    @classmethod
    def skip(cls, data: Facts, machine: Machine) -> str | None:
        """Skip if the peer is not installed."""
        return packages.missing(cls.info.name)

    def footprint(self, data: Facts, machine: Machine) -> Footprint:
        """Our copy of the rows, the peer's, its model, and lists of Python numbers for the predictions."""
        copies = (8 + self.PER_ENTRY) * data.entries + 16 * data.pairs + 4 * machine.threads * data.n_features
        predictions = 24 * min(data.n_labels, 100) * data.n_test
        memory = copies + self.training_bytes(data) + predictions + WORKING
        return Footprint(memory, disk=20 * data.entries + 16 * self.trees() * _weights(data))

    def trees(self) -> int:
        """Number of trees; parameters of peers have different names for it."""
        return 1

    def training_bytes(self, data: Facts) -> int:
        """Bytes of the peer's model and of what it takes to train and load it, beside the rows."""
        return PER_WEIGHT * self.trees() * _weights(data)

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Train a model in the run's folder, write the notes next to it, and load both."""
        packages.require(self.info.name)
        features, labels, seen = training(self.info.name, train)
        folder = ctx.folder / "model"
        shutil.rmtree(folder, ignore_errors=True)
        self.train(features, labels, folder, ctx)
        write_npz(folder / NOTES, {"n_features": np.array(features.shape[1]), "labels": seen})
        self.load(folder)

    @abstractmethod
    def train(self, features: sp.csr_matrix, labels: sp.csr_matrix, folder: Path, ctx: RunContext) -> None:
        """Train on (n, d) features and (n, s) labels, and write the peer's files into a new `folder`."""

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; DataError if a file is missing or damaged, XmcError if the peer isn't installed."""
        packages.require(self.info.name)
        arrays = read_npz(folder / NOTES)
        if not {"n_features", "labels"} <= arrays.keys():
            raise not_a_model(self.info.name, folder / NOTES, "a field is missing")
        self.read(folder)
        self.n_features, self.seen, self.folder = int(arrays["n_features"]), arrays["labels"], folder

    @abstractmethod
    def read(self, folder: Path) -> None:
        """Read the peer's files."""

    def ranked(self, predicted: Iterable[Sequence[tuple[int, float]]], n: int, k: int, ctx: RunContext) -> TopK:
        """Up to k labels of n rows from the (label, score) pairs of each row; nothing is predicted if n or k is 0."""
        ids, scores = np.full((n, k), PAD, np.int32), np.zeros((n, k))  # float64: scores are ranked as given
        if n == 0 or k == 0:
            return TopK.padding(n, k)
        for row, pairs in enumerate(predicted):
            if pairs:
                ids[row, : len(pairs)], scores[row, : len(pairs)] = zip(*pairs, strict=True)
            if (row + 1) % ROWS == 0:
                ctx.progress(row + 1, n, "rows")
        return TopK.from_arrays(dataset_ids(ids, self.seen), scores)

    def save(self, folder: Path) -> None:
        """Copy the peer's files and the notes; UsageError if there is no model yet.

        Files are copied in the order of their names, since omikuji sums its trees in the order of the directory
        listing.
        """
        if self.folder is None:
            raise not_fitted(self.info.name, "save")
        for path in sorted(self.folder.rglob("*")):
            destination = folder / path.relative_to(self.folder)
            if path.is_dir():
                destination.mkdir(exist_ok=True)
            else:
                shutil.copyfile(path, destination)
