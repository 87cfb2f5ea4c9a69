"""What all peers are handed: rows of length one, labels that have a row, and refusals of what makes them crash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, UsageError
from xmcbench.files import read_npz, write_npz
from xmcbench.method import Inputs, TrainData

if TYPE_CHECKING:
    import scipy.sparse as sp

NOTES = "xmcbench.npz"  # in a model's folder, beside the peer's own files


def training(name: str, train: TrainData) -> tuple[sp.csr_matrix, sp.csr_matrix, NDArray[np.int32]]:
    """(features, labels, seen): (n, d) rows of L2 norm one, (n, s) labels, and the s label ids that have a row.

    Both matrices are float32 CSR copies with sorted indices. Labels without a training row are left out: nothing can
    be learned of them, and napkinXC's tree crashes on trailing ones.

    Raises
    ------
    DataError : there is no feature, or no row has a label: the peers end the whole process on these.
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
    """(n, d) float32 CSR copy with rows of L2 norm one.

    Raises
    ------
    UsageError : the model isn't there yet.
    DataError : the rows have another width than those it was trained on.
    """
    from xmcbench.sparse.csr import unit_rows

    assert inputs.features is not None
    if n_features == 0:
        raise UsageError(f"{name}: predict before fit or load")
    if inputs.features.shape[1] != n_features:
        raise DataError(f"{name}: rows have {inputs.features.shape[1]} features, the model was trained on {n_features}")
    return unit_rows(inputs.features)


def ours(ids: NDArray[np.int32], seen: NDArray[np.int32]) -> NDArray[np.int32]:
    """Our label ids for a peer's, which count the labels that have a row; padding stays."""
    return np.where(ids < 0, ids, seen[ids])


def keep_notes(folder: Path, n_features: int, seen: NDArray[np.int32]) -> None:
    """Write beside a peer's model what it doesn't know: the width of rows, and the label ids behind its own."""
    write_npz(folder / NOTES, {"n_features": np.array(n_features), "labels": seen})


def read_notes(name: str, folder: Path) -> tuple[int, NDArray[np.int32]]:
    """(n_features, label ids) as `keep_notes` wrote them.

    Raises
    ------
    DataError : the file is missing or damaged.
    """
    found = read_npz(folder / NOTES)
    if not {"n_features", "labels"} <= found.keys():
        raise DataError(f"{folder / NOTES}: not a {name} model", "Fit again.")
    return int(found["n_features"]), found["labels"]


def copy_model(name: str, source: Path | None, target: Path) -> None:
    """Copy a peer's model into an existing empty folder, in the order of names: omikuji adds up its trees in the order
    in which the folder lists them.

    Raises
    ------
    UsageError : there is no model yet.
    """
    import shutil

    if source is None:
        raise UsageError(f"{name}: save before fit or load")
    for path in sorted(source.rglob("*")):
        goal = target / path.relative_to(source)
        if path.is_dir():
            goal.mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, goal)
