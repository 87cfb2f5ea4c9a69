"""Validate a parsed data set before methods use it, and compute the counts that `data stats` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmcbench.data.spec import Parsed, Split
from xmcbench.data.texts import Texts
from xmcbench.errors import DataError, counted

Counts = dict[str, int | float]
ENTRIES_AT_A_TIME = 1 << 20  # of a matrix that are checked at once


def validate(data: Parsed, name: str, expected: Mapping[str, int] | None = None) -> Counts:
    """Check a data set and return its counts.

    Parameters
    ----------
    name : name of the data set in errors.
    expected : counts stated by a source, by the names of `counts`; n_features is ignored for views without features.

    Raises
    ------
    DataError : with all problems, one per line.
    """
    faults = problems(data)
    if faults:
        raise _data_error(name, faults)
    actual = counts(data)
    differences = [
        f"{key} is {actual.get(key)}, expected {value}"
        for key, value in (expected or {}).items()
        if actual.get(key) != value and not (key == "n_features" and data.train.features is None)
    ]
    if differences:
        raise _data_error(name, differences)
    return actual


def _data_error(name: str, faults: list[str]) -> DataError:
    lines = "".join(f"\n  - {problem}" for problem in faults)
    message = f"{name}: {faults[0]}" if len(faults) == 1 else f"{name} has {len(faults)} problems:{lines}"
    return DataError(message, "Correct the files and read them again.")


def problems(data: Parsed) -> list[str]:
    """One message per fault. Rows without labels and labels unseen in training are valid."""
    faults: list[str] = []
    n_labels = int(data.train.labels.shape[1])
    features = data.train.features
    width = None if features is None else int(features.shape[1])
    for name, split in data.splits.items():
        faults += _split_problems(name, split, n_labels, width)
    if isinstance(data.label_texts, Texts) and (fault := data.label_texts.problem()):
        faults.append(f"label texts: {fault}")
    if isinstance(data.label_names, Texts) and (fault := data.label_names.problem()):
        faults.append(f"label names: {fault}")
    if data.train.labels.shape[0] == 0:
        faults.append("there are no training rows")
    elif data.train.labels.nnz == 0:
        faults.append("no training row has a label")
    if data.test.labels.shape[0] == 0:
        faults.append("there are no test rows")
    if data.label_texts is not None and len(data.label_texts) != n_labels:
        faults.append(f"{counted(len(data.label_texts), 'label text')} for {counted(n_labels, 'label')}")
    if data.label_names is not None and len(data.label_names) != n_labels:
        faults.append(f"{counted(len(data.label_names), 'label name')} for {counted(n_labels, 'label')}")
    for name, pairs, split in (("train", data.train_filter, data.train), ("test", data.test_filter, data.test)):
        rows = int(split.labels.shape[0])
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind != "i":
            faults.append(f"{name} filter is {pairs.dtype} {pairs.shape}, not whole numbers (pairs, 2)")
        elif len(pairs) and (pairs.min() < 0 or pairs[:, 0].max() >= rows or pairs[:, 1].max() >= n_labels):
            faults.append(f"{name} filter names a pair outside {rows} rows and {n_labels} labels")
    n_test = int(data.test.labels.shape[0])
    for kind, groups, length in (("label group", data.label_groups, n_labels), ("row group", data.row_groups, n_test)):
        wrong = {name: len(group) for name, group in groups.items() if len(group) != length}
        faults += [f"{kind} {name!r} has {counted(members, 'member')}, not {length}" for name, members in wrong.items()]
    return faults


def _split_problems(name: str, split: Split, n_labels: int, width: int | None) -> list[str]:
    """What is wrong within one split, and between it and the widths of the training split."""
    faults = matrix_problems(f"{name} labels", split.labels)
    rows = int(split.labels.shape[0])
    if split.ids is not None and len(split.ids) != rows:
        faults.append(f"{name}: {counted(len(split.ids), 'id')} for {counted(rows, 'row')}")
    if isinstance(split.ids, Texts) and (fault := split.ids.problem()):
        faults.append(f"{name} ids: {fault}")
    if split.labels.shape[1] != n_labels:
        faults.append(f"train has {n_labels} labels, {name} {split.labels.shape[1]}")
    if not faults and not (split.labels.data == 1).all():
        faults.append(f"{name} labels hold values other than 1")
    if (split.features is None) != (width is None):
        faults.append(f"train and {name}: only one of them has features")
    if split.features is not None:
        faults += matrix_problems(f"{name} features", split.features)
        if split.features.shape[0] != rows:
            faults.append(f"{name}: {split.features.shape[0]} rows of features, {rows} of labels")
        if width is not None and split.features.shape[1] != width:
            faults.append(f"train has {width} features, {name} {split.features.shape[1]}")
    if isinstance(split.texts, Texts) and (fault := split.texts.problem()):
        faults.append(f"{name} texts: {fault}")
    if split.texts is not None and len(split.texts) != rows:
        faults.append(f"{name}: {len(split.texts)} texts, {rows} rows of labels")
    if split.features is None and split.texts is None:
        faults.append(f"{name} has neither features nor texts")
    return faults


def matrix_problems(name: str, matrix: sp.csr_matrix) -> list[str]:
    """One message per broken assumption of the kernels: CSR float32, ids in range, sorted and unique, finite values."""
    rows, width = matrix.shape
    if getattr(matrix, "format", "") != "csr" or matrix.dtype != np.float32:
        return [f"{name} are {getattr(matrix, 'format', 'dense')} {matrix.dtype}, not csr float32"]
    indptr, ids = matrix.indptr, matrix.indices
    if len(indptr) != rows + 1 or indptr[0] != 0 or indptr[-1] != len(ids) or (np.diff(indptr) < 0).any():
        return [f"{name}: the row pointers are damaged"]
    faults = []
    if len(ids) and (ids.min() < 0 or ids.max() >= width):
        bad_entry = int(np.flatnonzero((ids < 0) | (ids >= width))[0])
        faults.append(f"{name}: row {_row(indptr, bad_entry)} names id {ids[bad_entry]}, valid are 0 to {width - 1}")
    for start in range(0, len(ids), ENTRIES_AT_A_TIME):  # masks of all entries at once are a third of the matrix
        block = ids[start : start + ENTRIES_AT_A_TIME + 1]  # and the first entry of the next block
        not_ascending = np.flatnonzero(block[1:] <= block[:-1]) + start + 1
        is_start = indptr[np.searchsorted(indptr, not_ascending)] == not_ascending  # where ids may decrease
        if not is_start.all():
            bad_entry = int(not_ascending[~is_start][0])
            faults.append(f"{name}: row {_row(indptr, bad_entry)} has unsorted or duplicate ids")
            break
    for start in range(0, len(ids), ENTRIES_AT_A_TIME):
        is_finite = np.isfinite(matrix.data[start : start + ENTRIES_AT_A_TIME])
        if not is_finite.all():
            bad_entry = start + int(is_finite.argmin())
            faults.append(f"{name}: row {_row(indptr, bad_entry)} holds NaN or an infinite value")
            break
    return faults


def _row(indptr: Any, entry: int) -> int:
    return int(np.searchsorted(indptr, entry, side="right")) - 1


def counts(data: Parsed) -> Counts:
    """Counts by name, with the catalogue's names where it has them; means are over all rows or labels."""
    train, test = data.train, data.test
    n_labels = int(train.labels.shape[1])
    frequency = np.bincount(train.labels.indices, minlength=n_labels)
    in_train = frequency > 0
    test_ids = np.unique(test.labels.indices)
    by_name: Counts = {
        "n_labels": n_labels,
        "labels_seen_in_train": int(in_train.sum()),
        "test_labels_unseen_in_train": int((~in_train[test_ids]).sum()),
        "test_pairs_unseen_in_train": int((~in_train[test.labels.indices]).sum()),
        "train_rows_per_label": _mean(train.labels.nnz, n_labels),
        "train_rows_per_seen_label": _mean(train.labels.nnz, int(in_train.sum())),
        "labels_with_one_train_row": int((frequency == 1).sum()),
        "train_filter_pairs": len(data.train_filter),
        "test_filter_pairs": len(data.test_filter),
    }
    if train.features is not None:
        by_name["n_features"] = int(train.features.shape[1])
    for name, split in data.splits.items():
        rows, pairs = int(split.labels.shape[0]), int(split.labels.nnz)
        by_name[f"n_{name}"] = rows
        by_name[f"{name}_pairs"] = pairs
        by_name[f"{name}_labels_per_row"] = _mean(pairs, rows)
        by_name[f"{name}_rows_without_labels"] = int((np.diff(split.labels.indptr) == 0).sum())
        if split.features is not None:
            by_name[f"{name}_features_per_row"] = _mean(int(split.features.nnz), rows)
            by_name[f"{name}_rows_without_features"] = int((np.diff(split.features.indptr) == 0).sum())
        if split.texts is not None:
            by_name[f"{name}_characters_per_text"] = _mean(sum(map(len, split.texts)), rows)
    return by_name


def _mean(total: int, count: int) -> float:
    return round(total / count, 4) if count else 0.0
