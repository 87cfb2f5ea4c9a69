"""What must hold of a parsed data set before a method may see it, and the counts that `data stats` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xmcbench.errors import DataError

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.data.recipes import Parsed
    from xmcbench.data.spec import Dataset, Split

Counts = dict[str, int | float]


def validate(data: Dataset | Parsed, name: str, expected: Mapping[str, int] | None = None) -> Counts:
    """Check a data set and count it.

    Parameters
    ----------
    name : how errors call it.
    expected : counts that a source states, by the names of `counts`; a difference is a problem.

    Raises
    ------
    DataError : with every problem there is, one a line.
    """
    found = problems(data)
    if found:
        raise _all(name, found)
    counted = counts(data)
    differ = [
        f"{key} is {counted.get(key)}, expected {value}"
        for key, value in (expected or {}).items()
        if counted.get(key) != value
    ]
    if differ:
        raise _all(name, differ)
    return counted


def _all(name: str, found: list[str]) -> DataError:
    if len(found) == 1:
        return DataError(f"{name}: {found[0]}", "Correct the files and read them again.")
    lines = "".join(f"\n  - {problem}" for problem in found)
    return DataError(f"{name} has {len(found)} problems:{lines}", "Correct the files and read them again.")


def problems(data: Dataset | Parsed) -> list[str]:
    """One sentence for each thing that is wrong; rows without labels and labels unseen in training are not."""
    found: list[str] = []
    n_labels = int(data.train.labels.shape[1])
    features = data.train.features
    width = None if features is None else int(features.shape[1])
    for name, split in _splits(data).items():
        found += _split_problems(name, split, n_labels, width)
    if data.train.labels.shape[0] == 0:
        found.append("there are no training rows")
    elif data.train.labels.nnz == 0:
        found.append("no training row has a label")
    if data.test.labels.shape[0] == 0:
        found.append("there are no test rows")
    if data.label_texts is not None and len(data.label_texts) != n_labels:
        found.append(f"{len(data.label_texts)} label texts for {n_labels} labels")
    for name, pairs, split in (("train", data.train_filter, data.train), ("test", data.test_filter, data.test)):
        rows = int(split.labels.shape[0])
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind != "i":
            found.append(f"{name} filter is {pairs.dtype} {pairs.shape}, not whole numbers (pairs, 2)")
        elif len(pairs) and (pairs.min() < 0 or pairs[:, 0].max() >= rows or pairs[:, 1].max() >= n_labels):
            found.append(f"{name} filter names a pair outside {rows} rows and {n_labels} labels")
    for kind, groups, length in (
        ("label group", data.label_groups, n_labels),
        ("row group", data.row_groups, int(data.test.labels.shape[0])),
    ):
        found += [
            f"{kind} {name!r} has {len(g)} members, not {length}" for name, g in groups.items() if len(g) != length
        ]
    return found


def _splits(data: Dataset | Parsed) -> dict[str, Split]:
    named = {"train": data.train, "test": data.test, "validation": data.validation}
    return {name: split for name, split in named.items() if split is not None}


def _split_problems(name: str, split: Split, n_labels: int, width: int | None) -> list[str]:
    """What is wrong within one split, and between it and the widths of the training split."""
    found = matrix_problems(f"{name} labels", split.labels)
    rows = int(split.labels.shape[0])
    if split.labels.shape[1] != n_labels:
        found.append(f"train has {n_labels} labels, {name} {split.labels.shape[1]}")
    if not found and not (split.labels.data == 1).all():
        found.append(f"{name} labels hold values other than 1")
    if (split.features is None) != (width is None):
        found.append(f"train and {name}: only one of them has features")
    if split.features is not None:
        found += matrix_problems(f"{name} features", split.features)
        if split.features.shape[0] != rows:
            found.append(f"{name}: {split.features.shape[0]} rows of features, {rows} of labels")
        if width is not None and split.features.shape[1] != width:
            found.append(f"train has {width} features, {name} {split.features.shape[1]}")
    if split.texts is not None and len(split.texts) != rows:
        found.append(f"{name}: {len(split.texts)} texts, {rows} rows of labels")
    if split.features is None and split.texts is None:
        found.append(f"{name} has neither features nor texts")
    return found


def matrix_problems(name: str, matrix: sp.csr_matrix) -> list[str]:
    """Whether a matrix is what kernels rely on: CSR float32, row pointers and ids in range, sorted, unique, finite."""
    rows, width = matrix.shape
    if getattr(matrix, "format", "") != "csr" or matrix.dtype != np.float32:
        return [f"{name} are {getattr(matrix, 'format', 'dense')} {matrix.dtype}, not csr float32"]
    at, ids = matrix.indptr, matrix.indices
    if len(at) != rows + 1 or at[0] != 0 or at[-1] != len(ids) or (np.diff(at) < 0).any():
        return [f"{name}: the row pointers are damaged"]
    found = []
    if len(ids) and (ids.min() < 0 or ids.max() >= width):
        wrong = int(np.flatnonzero((ids < 0) | (ids >= width))[0])
        found.append(f"{name}: row {_row(at, wrong)} names id {ids[wrong]}, valid are 0 to {width - 1}")
    falls = np.flatnonzero(ids[1:] <= ids[:-1]) + 1
    falls = falls[~np.isin(falls, at)]  # a new row may begin lower
    if len(falls):
        found.append(f"{name}: row {_row(at, int(falls[0]))} has ids unsorted or twice")
    wrong_values = np.flatnonzero(~np.isfinite(matrix.data))
    if len(wrong_values):
        found.append(f"{name}: row {_row(at, int(wrong_values[0]))} holds NaN or an infinite value")
    return found


def _row(at: Any, entry: int) -> int:
    return int(np.searchsorted(at, entry, side="right")) - 1


def counts(data: Dataset | Parsed) -> Counts:
    """Sizes by name; shares and means are over all rows or labels. Names that the catalogue knows are as there."""
    train, test = data.train, data.test
    n_labels = int(train.labels.shape[1])
    frequency = np.bincount(train.labels.indices, minlength=n_labels)
    seen = frequency > 0
    test_ids = np.unique(test.labels.indices)
    found: Counts = {
        "n_features": 0 if train.features is None else int(train.features.shape[1]),
        "n_labels": n_labels,
        "labels_seen_in_train": int(seen.sum()),
        "test_labels_unseen_in_train": int((~seen[test_ids]).sum()),
        "test_pairs_unseen_in_train": int((~seen[test.labels.indices]).sum()),
        "train_rows_per_label": _mean(train.labels.nnz, n_labels),
        "train_rows_per_seen_label": _mean(train.labels.nnz, int(seen.sum())),
        "labels_with_one_train_row": int((frequency == 1).sum()),
        "train_filter_pairs": len(data.train_filter),
        "test_filter_pairs": len(data.test_filter),
    }
    for name, split in _splits(data).items():
        rows, pairs = int(split.labels.shape[0]), int(split.labels.nnz)
        found[f"n_{name}"] = rows
        found[f"{name}_pairs"] = pairs
        found[f"{name}_labels_per_row"] = _mean(pairs, rows)
        found[f"{name}_rows_without_labels"] = int((np.diff(split.labels.indptr) == 0).sum())
        if split.features is not None:
            found[f"{name}_features_per_row"] = _mean(int(split.features.nnz), rows)
            found[f"{name}_rows_without_features"] = int((np.diff(split.features.indptr) == 0).sum())
        if split.texts is not None:
            found[f"{name}_characters_per_text"] = _mean(sum(map(len, split.texts)), rows)
    return found


def _mean(total: int, count: int) -> float:
    return round(total / count, 4) if count else 0.0
