"""Common layouts. XC repository: one file per split, with split columns, two files per split, raw text; and PECOS."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.data.documents import LfItem, read_lf_json, read_lines
from xmcbench.data.formats import read_labels, read_matrix, with_filters
from xmcbench.data.growing import GrowingMatrix, GrowingTexts
from xmcbench.data.matrix_text import read_xmc
from xmcbench.data.recipes import Files, Options
from xmcbench.data.spec import Parsed, Split
from xmcbench.data.texts import Texts
from xmcbench.errors import DataError
from xmcbench.inputs import typed

ITEMS_AT_A_TIME = 1024  # rows of raw text
FeaturesAndLabels = tuple[sp.csr_matrix, sp.csr_matrix]


def single(files: Files, view: str, options: Options) -> Parsed:
    """Roles `train`, `test` in one-file form; optional `label_names`, `train_filter`, `test_filter`."""
    return _assemble(files, read_xmc(files["train"]), read_xmc(files["test"]))


def split(files: Files, view: str, options: Options) -> Parsed:
    """The small data sets: either as `single`, or `data` with `train_split` and `test_split`.

    The split files hold row numbers from 1, one random split per column; the first column is used.
    """
    if "data" not in files:
        return single(files, view, options)
    features, labels = read_xmc(files["data"])
    train, test = (_first_column(files[role], features.shape[0]) for role in ("train_split", "test_split"))
    return _assemble(files, (features[train], labels[train]), (features[test], labels[test]))


def label_features(files: Files, view: str, options: Options) -> Parsed:
    """The label-feature (LF) data sets, whose labels are documents too.

    View `bow`: as `single`, or each split as `*_features` and `*_labels`. View `text`: `*_json` and `label_json`; the
    fields named by option `text_fields` are joined with a space.
    """
    if view == "text":
        return _parse_raw_text(files, typed(options["text_fields"], list[str], "option text_fields"))
    if "train" in files:
        return single(files, view, options)
    train, test = (
        (read_matrix(files[f"{which}_features"]), read_labels(files[f"{which}_labels"])) for which in ("train", "test")
    )
    return _assemble(files, train, test)


def pecos(files: Files, view: str, options: Options) -> Parsed:
    """PECOS and ELIAS. Roles `{train,test}_{features,labels,texts}`, `label_texts` (output-items.txt)."""

    def split(which: str) -> Split:
        labels = read_labels(files[f"{which}_labels"])
        texts = read_lines(files[f"{which}_texts"], labels.shape[0]) if f"{which}_texts" in files else None
        return Split(read_matrix(files[f"{which}_features"]) if view == "bow" else None, texts, labels)

    train, test = split("train"), split("test")
    _check_widths(files, train.labels, test.labels)
    return Parsed(train, test, label_texts=read_lines(files["label_texts"], train.labels.shape[1]))


def _parse_raw_text(files: Files, fields: list[str]) -> Parsed:
    label_texts, _ = _read_items(read_lf_json(files["label_json"]), fields, 0)
    n_labels = len(label_texts)
    splits = [
        Split(None, *_read_items(read_lf_json(files[f"{which}_json"], n_labels), fields, n_labels))
        for which in ("train", "test")
    ]
    parsed = Parsed(splits[0], splits[1], label_texts=label_texts)
    return with_filters(parsed, files.get("train_filter"), files.get("test_filter"))


def _read_items(items: Iterator[LfItem], fields: list[str], n_labels: int) -> tuple[Texts, sp.csr_matrix]:
    """The texts and the label ids of all items, which are read by blocks: there may be millions."""
    texts, labels = GrowingTexts(), GrowingMatrix()
    while block := list(islice(items, ITEMS_AT_A_TIME)):
        texts.append(item.text(fields) for item in block)
        ids = [sorted(set(item.target_ind)) for item in block] if n_labels else [[] for _ in block]
        flat = np.array([label for row in ids for label in row], np.int32)
        labels.append(np.array([len(row) for row in ids]), flat, np.ones(len(flat), np.float32))
    return texts.texts(), labels.csr(n_labels)


def _assemble(files: Files, train: FeaturesAndLabels, test: FeaturesAndLabels) -> Parsed:
    """Combine two splits into one data set with common widths, and add label names and filters if there are files."""
    _check_widths(files, train[1], test[1])
    width = max(train[0].shape[1], test[0].shape[1])  # the two headers can differ, for example in Wiki10-31K
    for features, _ in (train, test):
        features.resize(features.shape[0], width)
    label_texts = read_lines(files["label_names"], train[1].shape[1]) if "label_names" in files else None
    parsed = Parsed(Split(train[0], None, train[1]), Split(test[0], None, test[1]), label_texts=label_texts)
    return with_filters(parsed, files.get("train_filter"), files.get("test_filter"))


def _first_column(path: Path, n_rows: int) -> NDArray[np.int64]:
    """Row ids from 0 in the first column of a split file, in file order."""
    try:
        row_ids = np.loadtxt(path, dtype=np.int64, ndmin=2)[:, 0] - 1
    except (ValueError, IndexError) as error:
        hint = "It holds whole numbers, one split per column."
        raise DataError(f"{path}: not a split file ({error})", hint) from error
    out_of_range = np.flatnonzero((row_ids < 0) | (row_ids >= n_rows))
    if len(out_of_range):
        line = int(out_of_range[0])
        raise DataError(f"{path}, line {line + 1}: row {row_ids[line] + 1} of {n_rows}", "Rows count from 1.")
    if len(np.unique(row_ids)) < len(row_ids):
        raise DataError(f"{path}: the first split names a row twice")
    return row_ids


def _check_widths(files: Files, train: sp.csr_matrix, test: sp.csr_matrix) -> None:
    if train.shape[1] != test.shape[1]:
        raise DataError(
            f"train has {train.shape[1]} labels and test {test.shape[1]}: {', '.join(map(str, files.values()))}",
            "The files belong to different data sets or versions.",
        )
