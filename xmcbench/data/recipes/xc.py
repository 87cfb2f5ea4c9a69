"""The XC repository's layouts: one file a split, one file and a split by columns, features and labels apart, raw."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.data.formats import read_filter, read_labels, read_lf_json, read_lines, read_matrix, read_xmc
from xmcbench.data.recipes import Files, Options, Parsed, no_pairs
from xmcbench.data.recipes.labels import label_matrix
from xmcbench.data.spec import Split
from xmcbench.errors import DataError

if TYPE_CHECKING:
    import scipy.sparse as sp

    Rows = tuple[sp.csr_matrix, sp.csr_matrix]  # features, labels


def single(files: Files, view: str, options: Options) -> Parsed:
    """Roles `train`, `test` in one-file form; `label_names`, `train_filter`, `test_filter` where there are any."""
    return _parsed(files, read_xmc(files["train"]), read_xmc(files["test"]))


def split(files: Files, view: str, options: Options) -> Parsed:
    """The small sets: either as `single`, or `data` with `train_split` and `test_split`.

    The split files hold row numbers, counted from 1, one random split a column; the first column is taken.
    """
    if "data" not in files:
        return single(files, view, options)
    features, labels = read_xmc(files["data"])
    train, test = (_first_column(files[role], features.shape[0]) for role in ("train_split", "test_split"))
    return _parsed(files, (features[train], labels[train]), (features[test], labels[test]))


def label_features(files: Files, view: str, options: Options) -> Parsed:
    """The LF sets, whose labels are documents too.

    View `bow`: as `single`, or each split as `*_features` and `*_labels`. View `text`: `*_json` and `label_json`, of
    which the fields named by option `text_fields` are joined with a blank.
    """
    if view == "text":
        return _raw(files, list(options["text_fields"]))
    if "train" in files:
        return single(files, view, options)
    train, test = (
        (read_matrix(files[f"{which}_features"]), read_labels(files[f"{which}_labels"])) for which in ("train", "test")
    )
    return _parsed(files, train, test)


def _raw(files: Files, fields: list[str]) -> Parsed:
    label_texts = [item.text(fields) for item in read_lf_json(files["label_json"])]
    splits = []
    for which in ("train", "test"):
        texts: list[str] = []
        labels: list[list[int]] = []
        for item in read_lf_json(files[f"{which}_json"], len(label_texts)):
            texts.append(item.text(fields))
            labels.append(item.labels)
        splits.append(Split(None, texts, label_matrix(labels, len(label_texts))))
    return _with_filters(files, Parsed(splits[0], splits[1], label_texts=label_texts))


def _parsed(files: Files, train: Rows, test: Rows) -> Parsed:
    """Splits of one feature and one label space, with label names and filters where there are files for them."""
    if train[1].shape[1] != test[1].shape[1]:
        raise DataError(
            f"train has {train[1].shape[1]} labels and test {test[1].shape[1]}: {_named(files)}",
            "The two files belong to different data sets or versions.",
        )
    width = max(train[0].shape[1], test[0].shape[1])  # Wiki10-31K's two headers have been seen to differ
    for features, _ in (train, test):
        features.resize(features.shape[0], width)
    label_texts = read_lines(files["label_names"], train[1].shape[1]) if "label_names" in files else None
    return _with_filters(
        files, Parsed(Split(train[0], None, train[1]), Split(test[0], None, test[1]), None, label_texts)
    )


def _with_filters(files: Files, parsed: Parsed) -> Parsed:
    def pairs(which: str, rows: Split) -> NDArray[np.int64]:
        role = f"{which}_filter"
        return read_filter(files[role], *rows.labels.shape) if role in files else no_pairs()

    return dataclasses.replace(
        parsed, train_filter=pairs("train", parsed.train), test_filter=pairs("test", parsed.test)
    )


def _first_column(path: Path, n_rows: int) -> NDArray[np.int64]:
    """Row ids from 0 out of a split file, in its order."""
    try:
        rows = np.loadtxt(path, dtype=np.int64, ndmin=2)[:, 0] - 1
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: not a split file ({error})", "It holds whole numbers, one split a column.") from error
    outside = np.flatnonzero((rows < 0) | (rows >= n_rows))
    if len(outside):
        line = int(outside[0])
        raise DataError(f"{path}, line {line + 1}: row {rows[line] + 1} of {n_rows}", "Rows count from 1.")
    if len(np.unique(rows)) < len(rows):
        raise DataError(f"{path}: the first split names a row twice")
    return rows


def _named(files: Files) -> str:
    return ", ".join(str(path) for path in files.values())
