"""Input and model files of all peers: rows of length one, labels with a training row, errors for crashing inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError
from xmcbench.files import read_npz, write_npz
from xmcbench.method import Inputs, TrainData
from xmcbench.methods.helpers import features_of, not_a_model, not_fitted

if TYPE_CHECKING:
    import scipy.sparse as sp

NOTES = "xmcbench.npz"  # in the model folder, next to the peer's files


def training(name: str, train: TrainData) -> tuple[sp.csr_matrix, sp.csr_matrix, NDArray[np.int32]]:
    """Return (n, d) features of L2 norm one, (n, s) labels, and the s label ids that have a training row.

    Both matrices are float32 CSR copies with sorted indices. Labels without a training row are left out: they
    can't be learned, and napkinXC's tree crashes on trailing ones.

    Raises
    ------
    DataError : there are no features, or no row has a label. The peers would end the whole process.
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


def queries(name: str, inputs: Inputs, n_features: int) -> sp.csr_matrix:
    """Features to predict for: an (n, d) float32 CSR copy with rows of L2 norm one.

    Raises
    ------
    UsageError : there is no model yet.
    DataError : the width differs from the width of the training rows.
    """
    from xmcbench.sparse.csr import unit_rows

    if n_features == 0:
        raise not_fitted(name, "predict")
    return unit_rows(features_of(name, inputs, n_features))


def dataset_ids(ids: NDArray[np.int32], seen: NDArray[np.int32]) -> NDArray[np.int32]:
    """Map a peer's label ids, which are indices into `seen`, to label ids of the data set; padding stays."""
    return np.where(ids < 0, ids, seen[ids])


def keep_notes(folder: Path, n_features: int, seen: NDArray[np.int32]) -> None:
    """Write the number of features and the label ids next to a peer's model, which lacks them."""
    write_npz(folder / NOTES, {"n_features": np.array(n_features), "labels": seen})


def read_notes(name: str, folder: Path) -> tuple[int, NDArray[np.int32]]:
    """Read (n_features, label ids) as `keep_notes` wrote them.

    Raises
    ------
    DataError : the file is missing or damaged.
    """
    arrays = read_npz(folder / NOTES)
    if not {"n_features", "labels"} <= arrays.keys():
        raise not_a_model(name, folder / NOTES, "a field is missing")
    return int(arrays["n_features"]), arrays["labels"]


def copy_model(name: str, source: Path | None, target: Path) -> None:
    """Copy a peer's model into an existing empty folder.

    Files are copied in the order of their names, since omikuji sums its trees in the order of the directory listing.

    Raises
    ------
    UsageError : there is no model yet.
    """
    import shutil

    if source is None:
        raise not_fitted(name, "save")
    for path in sorted(source.rglob("*")):
        destination = target / path.relative_to(source)
        if path.is_dir():
            destination.mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, destination)
